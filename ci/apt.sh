# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced after lib.sh: packages of this and of other Debian suites. Other
# suites are read through lists of our own, so that the machine's apt set-up
# stays as it is.

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Runs a command as root.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		die "this needs root: run it as root or install sudo ($*)"
	fi
}

# Installs packages of the machine's own suites. A list that cannot be read does
# not fail the update: it may be one that has nothing to do with us.
apt_install() {
	as_root apt-get -q update || die "apt-get update failed: is there a network?"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@" ||
		die "apt-get cannot install $*: is there a network?"
}

# Installs those of the packages that are missing.
install_missing() {
	local package status missing=()
	for package in "$@"; do
		# shellcheck disable=SC2016 # The dollar is dpkg's.
		status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
		[ "$status" = installed ] || missing+=("$package")
	done
	[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# The Debian archive that this machine is configured for.
archive() {
	local codename
	codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
	# Before the first update no origin is known; another vendor's archive would not have "main".
	# shellcheck disable=SC2016 # The dollars are apt's.
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI) $(ORIGIN)' 'Created-By: Packages' |
		awk -v name="$codename" '($1 == name || $1 ~ /^(old)?stable$/) && $2 == "main" &&
			($4 == "" || $4 == "Debian") { print $3; exit }'
}

# Sets APT_OPTIONS to those that read only the given suites, for this machine's architecture or
# for the one in ARCHITECTURE, and updates their lists.
other_suites() {
	local uri suite state architecture=${ARCHITECTURE:-$(dpkg --print-architecture)}
	# A directory for each, so that steps at the same time do not take each other's.
	state=$BUILD/apt/$architecture-$(IFS=-; printf '%s' "$*")
	uri=$(archive)
	[ -n "$uri" ] || die "apt knows no Debian archive: check /etc/apt/sources.list*"
	[ -f "$KEYRING" ] || die "no $KEYRING: install the package debian-archive-keyring"
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	for suite in "$@"; do
		printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "$uri" "$suite"
	done >"$state/list"
	APT_OPTIONS=(
		-o Dir::Etc::sourcelist="$state/list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::State::Lists="$state/lists" -o Dir::Cache="$state/cache"
		-o APT::Architecture="$architecture" -o APT::Architectures="$architecture"
		-o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
		-o APT::Update::Error-Mode=any
	)
	# Its lists are older at times than they say they live.
	[[ " $* " != *" sid "* ]] || APT_OPTIONS+=(-o Acquire::Check-Valid-Until=false)
	# One at a time, and whoever comes a minute later reads what is there.
	exec 8>"$state/lock"
	flock 8
	if [ -z "$(find "$state/updated" -mmin -10 2>/dev/null)" ]; then
		apt-get -q "${APT_OPTIONS[@]}" update || die "cannot read the package lists of $*: is there a network?"
		touch "$state/updated"
	fi
	exec 8>&-
}

# The versions of a package in those suites, newest first.
versions_of() {
	apt-cache "${APT_OPTIONS[@]}" madison "$1" | awk -F'|' '{ gsub(/ /, "", $2); print $2 }' | sort -ruV
}

# The packages whose names match a pattern from beginning to end, the newest last.
package_names() {
	apt-cache "${APT_OPTIONS[@]}" search --names-only "^$1\$" | cut -d' ' -f1 | sort -V
}

# Downloads one version of a package into a directory (apt checks its hash), and prints where it is.
download_package() {
	local package=$1 version=$2 into=$3
	(cd "$into" && apt-get -q "${APT_OPTIONS[@]}" download "$package=$version") >&2 ||
		die "cannot download $package $version: is there a network?"
	printf '%s\n' "$into"/*.deb
}

# Downloads one version of a package and unpacks it into a directory: all of it, or what fits the
# patterns.
# usage: unpack_package PACKAGE VERSION DIRECTORY [PATTERN...]
unpack_package() (
	package=$1 version=$2 into=$3
	shift 3
	scratch=$(mktemp -d "$BUILD/download.XXXXXX")
	# Also if it is interrupted.
	trap 'rm -rf "$scratch"' EXIT
	file=$(download_package "$package" "$version" "$scratch") || exit 1
	if [ $# -eq 0 ]; then
		dpkg -x "$file" "$into" || die "cannot unpack $package $version"
	else
		dpkg --fsys-tarfile "$file" | tar -C "$into" -x --wildcards "$@" || die "cannot unpack $package $version"
	fi
)

# Whether version $1 is at least $2.
at_least() {
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}
