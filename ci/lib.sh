# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by every script in ci/: places, versions, and how to talk to the user.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$ROOT/build
LOGS=$BUILD/logs
# shellcheck source=ci/versions
. "$ROOT/ci/versions"

# Asked for help, a script shows the comment at its head. Cargo and the harness have helps of their own.
case ${0##*/}:${1:-} in
cargo:* | harness:*) ;;
*:-h | *:--help)
	awk 'NR > 2 && !/^#/ { exit } NR > 2 { sub(/^# ?/, ""); print }' "$0"
	exit
	;;
esac

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

# What start started and await has not seen the end of, by its title.
declare -A STARTED=() STARTED_AT=() STARTED_LOG=()

# Starts a command that runs beside what comes next, with its output in a log. Await waits for it; a
# script that ends before that, ends it.
# usage: start TITLE LOG COMMAND...
start() {
	local title=$1 log=$2
	shift 2
	mkdir -p "$(dirname "$log")"
	trap end_started EXIT
	trap 'exit 130' INT TERM
	rm -f "$log.status"
	# In a session of its own, so that an interrupt can end it with all its children. Its status is in a
	# file, since what ends long before it is awaited may have left its number to another process.
	# shellcheck disable=SC2016,SC2094 # The dollars are the inner shell's; neither reads the log.
	setsid bash -c 'log=$1; shift; status=0; "$@" || status=$?; echo "$status" >"$log.status"' \
		start "$log" "$@" >"$log" 2>&1 </dev/null &
	STARTED[$title]=$!
	STARTED_AT[$title]=$SECONDS
	STARTED_LOG[$title]=$log
}

end_started() {
	local title
	for title in "${!STARTED[@]}"; do
		[ -s "${STARTED_LOG[$title]}.status" ] || kill -- "-${STARTED[$title]}" 2>/dev/null || true
		wait "${STARTED[$title]}" 2>/dev/null || true
		rm -f "${STARTED_LOG[$title]}.status"
	done
}

# Waits for what start started, and shows that it is alive: a ticking line on a terminal, a line
# every half minute elsewhere. Silent if it is over within seconds. If it fails, its last error and
# the log are named.
# usage: await TITLE
await() {
	local title=$1 log=${STARTED_LOG[$1]} pid=${STARTED[$1]} start=${STARTED_AT[$1]}
	local asked=$SECONDS shown=-1 elapsed status
	while [ ! -s "$log.status" ] && kill -0 "$pid" 2>/dev/null; do
		elapsed=$((SECONDS - start))
		if [ -t 2 ]; then
			[ "$elapsed" -lt 1 ] || printf '\r%s: %d:%02d ' "$title" $((elapsed / 60)) $((elapsed % 60)) >&2
		elif [ $((elapsed / 30)) -gt "$shown" ] && [ "$elapsed" -ge 3 ]; then
			shown=$((elapsed / 30))
			printf '%s: %d:%02d\n' "$title" $((elapsed / 60)) $((elapsed % 60)) >&2
		fi
		sleep 0.1
	done
	# Whoever was killed has left none.
	status=$(cat "$log.status" 2>/dev/null) || status=137
	rm -f "$log.status"
	unset "STARTED[$title]"
	elapsed=$((SECONDS - start))
	[ ! -t 2 ] || printf '\r\033[K' >&2
	if [ "$status" -ne 0 ]; then
		printf '%s: failed after %d:%02d\n' "$title" $((elapsed / 60)) $((elapsed % 60)) >&2
		last_error "$log" >&2
		printf 'The whole log is %s\n' "${log#"$ROOT"/}" >&2
		return "$status"
	fi
	# What was over before anybody waited may have taken less.
	[ $((SECONDS - asked)) -lt 3 ] || printf '%s: done, %d:%02d\n' "$title" $((elapsed / 60)) $((elapsed % 60)) >&2
}

# Runs a command with its output in a log, and shows that it is alive, as await does.
# usage: progress TITLE LOG COMMAND...
progress() {
	start "$@"
	await "$1"
}
