# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by every script in ci/: places, versions, and how to talk to the user.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$ROOT/build
LOGS=$BUILD/logs
# shellcheck source=ci/versions
. "$ROOT/ci/versions"

# What the outer make was told (EXEC=, MACHINE=, -j) is not for the kernel's make.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

# Messages of tools that scripts look into stay in one language.
export LC_ALL=C.UTF-8

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null
}

# What a log says went wrong, in one line.
last_error() {
	{ grep -aE '(^|: |\*\*\* )(fatal |E: ?)?[Ee]rror' "$1" || tail -n 1 "$1"; } | tail -n 1
}

# Runs a command with its output in a log, and shows that it is alive: a
# ticking line on a terminal, a line every half minute elsewhere. Silent if it
# is over within seconds. If it fails, its last error and the log are named.
# usage: progress TITLE LOG COMMAND...
progress() {
	local title=$1 log=$2 start=$SECONDS shown=-1 elapsed pid status=0
	shift 2
	mkdir -p "$(dirname "$log")"
	# In a session of its own, so that an interrupt can end it with all its children.
	setsid "$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# shellcheck disable=SC2064 # Now is right: the number is this command's.
	trap "kill -- -$pid 2>/dev/null; wait $pid 2>/dev/null; exit 130" INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		elapsed=$((SECONDS - start))
		if [ -t 2 ]; then
			[ "$elapsed" -lt 1 ] || printf '\r%s: %d:%02d ' "$title" $((elapsed / 60)) $((elapsed % 60)) >&2
		elif [ $((elapsed / 30)) -gt "$shown" ] && [ "$elapsed" -ge 3 ]; then
			shown=$((elapsed / 30))
			printf '%s: %d:%02d\n' "$title" $((elapsed / 60)) $((elapsed % 60)) >&2
		fi
		sleep 0.1
	done
	wait "$pid" || status=$?
	trap - INT TERM
	elapsed=$((SECONDS - start))
	[ ! -t 2 ] || printf '\r\033[K' >&2
	if [ "$status" -ne 0 ]; then
		printf '%s: failed after %d:%02d\n' "$title" $((elapsed / 60)) $((elapsed % 60)) >&2
		last_error "$log" >&2
		printf 'The whole log is %s\n' "${log#"$ROOT"/}" >&2
		return "$status"
	fi
	[ "$elapsed" -lt 3 ] || printf '%s: done, %d:%02d\n' "$title" $((elapsed / 60)) $((elapsed % 60)) >&2
}
