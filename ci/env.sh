# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced after lib.sh by scripts that build something: the tools that set-up
# put in place, and how to call the kernel's make.

# Rust that set-up fetched, where the machine's own is too old for the programs.
if [ -x "$BUILD/tools/rust/usr/bin/rustc" ]; then
	PATH=$BUILD/tools/rust/usr/bin:$PATH
	export LD_LIBRARY_PATH=$BUILD/tools/rust/usr/lib/x86_64-linux-gnu
fi

# The newest unpacked kernel source of a series, or nothing. build/src, and what is in it, may be
# links: the kernels' build directories name the place that these lead to.
unpacked_source() {
	local newest
	[ -d "$BUILD/src" ] || return 0
	newest=$(find -L "$BUILD/src" -maxdepth 1 -type d -name "linux-$1*" | sort -V | tail -n 1)
	[ -z "$newest" ] || realpath "$newest"
}

# The version of the Rust compiler, as in 1.95.0.
rust_version() {
	rustc --version | cut -d' ' -f2
}

# The sources of Rust's core library: rustup's, or those that set-up fetched.
rust_library() {
	local library
	# Set-up says so, in its first step.
	have rustc || return 0
	for library in "$(rustc --print sysroot)/lib/rustlib/src/rust/library" \
		"$BUILD/tools/rust-src/rustc-$(rust_version)/library"; do
		if [ -d "$library/core" ]; then
			printf '%s\n' "$library"
			return
		fi
	done
}

# SOURCE is the kernel tree in use. The user's own one keeps its products apart from those of the usual one.
# USUAL_X86_64 is the kernel for x86-64 that most tests boot.
if [ -n "${KSRC:-}" ]; then
	SOURCE=$(cd "$KSRC" 2>/dev/null && pwd -P) || die "no directory KSRC=$KSRC"
	own=$BUILD/ksrc/$(printf '%s' "$SOURCE" | cksum | cut -d' ' -f1)
	KERNELS=$own/kernel
	MODULES=$own/modules
	export UDMABUF_KERNEL=plain
	USUAL_X86_64=x86_64
else
	for series in $KERNEL_SERIES; do
		SOURCE=$(unpacked_source "$series")
		[ -z "$SOURCE" ] || break
	done
	KERNELS=$BUILD/kernel
	MODULES=$BUILD/modules
	USUAL_X86_64=x86_64-debian
fi

RUST_LIB_SRC=$(rust_library)
LIBCLANG_PATH=/usr/lib/llvm-$LLVM_MAJOR/lib
PATH=$BUILD/tools/bin:$PATH
UDMABUF_ROOT=$ROOT
UDMABUF_KERNELS=$KERNELS
UDMABUF_MODULES=$MODULES
export RUST_LIB_SRC LIBCLANG_PATH PATH UDMABUF_ROOT UDMABUF_KERNELS UDMABUF_MODULES

# The Debian release of this machine, as in bookworm.
machine_suite() {
	(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
}

# Sets what there is to know about a kernel that Debian builds: the suite that has it, its series,
# architecture, the end of its name, and the release whose compilers built it. Fails for a name
# that is none of DEBIAN_KERNELS.
debian_kernel() {
	DEBIAN_SUITE=trixie-backports
	DEBIAN_SERIES=7.3
	DEBIAN_ROOT=trixie
	DEBIAN_ARCHITECTURE=amd64
	case $1 in
	x86_64-debian) DEBIAN_SUFFIX=deb13-amd64 ;;
	x86_64-debian-rt) DEBIAN_SUFFIX=deb13-rt-amd64 ;;
	x86_64-debian-7.2) DEBIAN_SUFFIX=deb13-amd64 DEBIAN_SERIES=7.2 ;;
	x86_64-debian-sid)
		DEBIAN_SUITE=sid DEBIAN_SERIES=7.2 DEBIAN_ROOT=sid
		DEBIAN_SUFFIX='deb[0-9]*-amd64'
		;;
	arm64-debian) DEBIAN_SUFFIX=deb13-arm64 DEBIAN_ARCHITECTURE=arm64 ;;
	arm64-debian-16k) DEBIAN_SUFFIX=deb13-arm64-16k DEBIAN_ARCHITECTURE=arm64 ;;
	*) return 1 ;;
	esac
}
DEBIAN_KERNELS=(x86_64-debian x86_64-debian-rt x86_64-debian-7.2 x86_64-debian-sid
	arm64-debian arm64-debian-16k)

# Kernels that are built here.
OWN_KERNELS=(x86_64 x86_64-check x86_64-kcsan arm64 arm64-bench)

# Whether `make bench` measures with a kernel.
measured() {
	[[ $1 = x86_64 || $1 = x86_64-debian || $1 = arm64-bench ]]
}

# A name that no kernel has is refused before minutes are spent on set-up.
check_kernels() {
	local kernel
	for kernel in "$@"; do
		[[ " ${OWN_KERNELS[*]} ${DEBIAN_KERNELS[*]} " = *" $kernel "* ]] ||
			die "unknown kernel '$kernel': say one of ${OWN_KERNELS[*]} ${DEBIAN_KERNELS[*]}"
	done
}

# What the kernel's make calls the architecture of one of our kernels.
kernel_arch() {
	case $1 in
	arm64*) echo arm64 ;;
	*) echo x86_64 ;;
	esac
}

# The Rust target of programs that run on one of our kernels.
rust_target() {
	case $(kernel_arch "$1") in
	arm64) echo aarch64-unknown-linux-gnu ;;
	*) echo x86_64-unknown-linux-gnu ;;
	esac
}

# The kernel's make for one of our kernels, in the source tree in use. Clang needs no other
# compiler for another architecture.
# usage: kmake KERNEL [argument...]
kmake() {
	local arch
	arch=$(kernel_arch "$1")
	shift
	make -C "$SOURCE" LLVM="-$LLVM_MAJOR" ARCH="$arch" "$@"
}
