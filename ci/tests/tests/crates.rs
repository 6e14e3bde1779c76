// SPDX-License-Identifier: GPL-2.0

//! `ci/crates` makes the crates once, or says in one line what is missing; and whatever it has to
//! notice, a script that does not notice it fails here.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use ci_tests::{Machine, Outcome, RELEASE, RUSTC, scenarios};

/// Something is missing that can be installed.
const MISSING: i32 = 1;
/// The kernel can never have the module.
const NEVER: i32 = 77;

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

/// Runs the script for the machine's kernel.
fn run(machine: &Machine, script: &Path) -> Result<Outcome> {
    machine.run(script, &arguments(&[RELEASE]))
}

fn arguments<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    let places = [
        "--headers",
        "headers",
        "--source",
        "source",
        "--cache",
        "cache",
    ];
    [&places, rest].concat()
}

/// What a test wants of the script, whichever script that is.
type Scenario = fn(&Path) -> Result<()>;

fn crates_are_made_once(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    let first = run(&machine, script)?;
    let directory = first.line()?;
    let made = machine.makes();
    ensure!(made > 0, "nothing was made");
    ensure!(run(&machine, script)?.line()? == directory, "another place");
    ensure!(machine.makes() == made, "made again");
    Ok(())
}

fn what_is_made_is_complete(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    let outcome = run(&machine, script)?;
    let directory = Path::new(outcome.line()?);
    let symbols = fs::read_to_string(directory.join("Module.symvers"))?;
    ensure!(
        symbols == machine.read("headers/Module.symvers")?,
        "not the kernel's symbols"
    );
    let config = fs::read_to_string(directory.join(".config"))?;
    ensure!(
        config.contains("CONFIG_MODULE_SIG_KEY=\"\"\n"),
        "a key that is not here: {config}"
    );
    let made = machine.read("made")?;
    for argument in [
        "ARCH=x86_64",
        "CC=x86_64-linux-gnu-gcc-14",
        "HOSTCC=gcc-14",
        "LOCALVERSION=+deb13-amd64",
        "KERNELRELEASE=7.3.4+deb13-amd64",
    ] {
        ensure!(
            made.lines()
                .all(|line| line.split(' ').any(|word| word == argument)),
            "no {argument}: {made}"
        );
    }
    Ok(())
}

/// Whoever builds a module there need not know which compilers those were.
fn the_directory_knows_its_compilers(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    let outcome = run(&machine, script)?;
    let directory = outcome.line()?;
    let forward = fs::read_to_string(Path::new(directory).join("Makefile"))?;
    for argument in ["'CC=x86_64-linux-gnu-gcc-14'", &format!("'O={directory}'")] {
        ensure!(forward.contains(argument), "no {argument}: {forward}");
    }
    Ok(())
}

fn headers_with_crates_serve_as_they_are(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write("headers/rust/libkernel.rmeta", "")?;
    machine.write("headers/scripts/target.json", "")?;
    machine.remove("bin/bindgen")?;
    machine.remove("source/Makefile")?;
    machine.rustc("rustc", "rustc 1.90.0 (of the user)")?;
    machine.rustc("rustc-1.85", RUSTC)?;
    let headers = machine.path("headers").canonicalize()?;
    let outcome = run(&machine, script)?;
    let forward = fs::read_to_string(Path::new(outcome.line()?).join("Makefile"))?;
    for argument in [headers.display().to_string(), "/rustc-1.85'".into()] {
        ensure!(forward.contains(&argument), "no {argument}: {forward}");
    }
    ensure!(machine.makes() == 0, "made what is there");
    Ok(())
}

fn other_headers_are_other_crates(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    let first = run(&machine, script)?;
    machine.write(
        "headers/Module.symvers",
        "0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n",
    )?;
    let second = run(&machine, script)?;
    ensure!(
        first.line()? != second.line()?,
        "crates of headers that have gone"
    );
    ensure!(
        !Path::new(first.line()?).exists(),
        "those of before are still there"
    );
    Ok(())
}

/// A distribution replaces its source when the next kernel comes; what was made of it is still good.
fn crates_outlive_their_source(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    let source = "cache/source-7.3.4-0123456789abcdef";
    machine.write(
        &format!("{source}/Makefile"),
        &machine.read("source/Makefile")?,
    )?;
    let arguments = ["--headers", "headers", "--cache", "cache", RELEASE];
    let first = machine.run(script, &arguments)?;
    machine.remove(&format!("{source}/Makefile"))?;
    let second = machine.run(script, &arguments)?;
    ensure!(first.line()? == second.line()?, "other ones");
    Ok(())
}

/// Who could open the lock could keep everybody from installing anything.
fn the_lock_is_its_owners(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write("cache/.lock", "")?;
    run(&machine, script)?.line()?;
    let mode = fs::metadata(machine.path("cache/.lock"))?
        .permissions()
        .mode();
    ensure!(mode & 0o777 == 0o600, "its mode is {mode:o}");
    Ok(())
}

/// What somebody builds their own kernels with does not make these crates other ones.
fn the_environment_is_left_out(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write(
        "source/BUILD",
        "[ -z \"$KCONFIG_CONFIG$KBUILD_OUTPUT$KCFLAGS$CDPATH\" ] || exit 1",
    )?;
    machine.tool(
        "with-variables",
        "export KCONFIG_CONFIG=mine KBUILD_OUTPUT=mine KCFLAGS=-O0 CDPATH=/\nexec \"$@\"",
    )?;
    let script = script.to_string_lossy();
    let words = [&[script.as_ref()], &arguments(&[RELEASE])[..]].concat();
    machine
        .run(&machine.path("bin/with-variables"), &words)?
        .line()?;
    Ok(())
}

fn little_space(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.tool("df", "echo Avail; echo ' 12M'")?;
    run(&machine, script)?.refuses(MISSING, &["12 MB free", "700"])?;
    ensure!(machine.makes() == 0, "begun all the same");
    Ok(())
}

/// Two at the same time: one makes them, both have them.
fn two_at_once_make_them_once(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write("source/BUILD", "sleep 0.5")?;
    let children = [(); 2].map(|()| machine.start(script, &arguments(&[RELEASE])));
    let mut lines = Vec::new();
    for child in children {
        let outcome = Outcome::from(child?.wait_with_output()?);
        lines.push(outcome.line()?.to_owned());
    }
    ensure!(lines[0] == lines[1], "two places: {lines:?}");
    ensure!(
        machine.makes() == 2,
        "made {} times, not in two steps",
        machine.makes()
    );
    Ok(())
}

/// A build that fails leaves nothing that looks like crates, and the next one makes them.
fn a_build_that_fails_leaves_nothing(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write(
        "source/BUILD",
        "case \" $* \" in *modules_prepare*) touch \"$out/rust/libkernel.rmeta\" \"$out/scripts/target.json\"\n\
         echo \"lib.rs:1: error: the disk is full\"; exit 2;; esac",
    )?;
    let outcome = run(&machine, script)?;
    outcome.refuses(MISSING, &["failed", ".log"])?;
    ensure!(
        outcome.stderr.contains("the disk is full"),
        "no reason: {outcome:?}"
    );
    ensure!(
        !machine.path("cache/.scratch").exists(),
        "the scratch directory is left"
    );
    ensure!(
        !machine.path("cache").join(RELEASE).exists(),
        "half of it is left"
    );
    machine.remove("source/BUILD")?;
    run(&machine, script)?.line()?;
    Ok(())
}

/// An option that is lost on the way is another layout of structures, which no loader notices.
fn another_configuration_is_refused(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write(
        "source/BUILD",
        "sed -i '/CONFIG_DEBUG_INFO_BTF/d; s/14.2.0-19/14.2.0-20/' \"$out/.config\"",
    )?;
    let outcome = run(&machine, script)?;
    outcome.refuses(MISSING, &["CONFIG_DEBUG_INFO_BTF"])?;
    ensure!(
        !outcome.stderr.contains("VERSION_TEXT"),
        "a compiler's name is no option: {outcome:?}"
    );
    Ok(())
}

fn a_compilers_name_is_no_option(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write(
        "source/BUILD",
        "sed -i 's/14.2.0-19/14.2.0-20/' \"$out/.config\"",
    )?;
    run(&machine, script)?.line()?;
    Ok(())
}

fn a_build_of_another_name_is_refused(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write(
        "source/BUILD",
        "echo 7.3.4-dirty >\"$out/include/config/kernel.release\"",
    )?;
    run(&machine, script)?.refuses(MISSING, &["7.3.4-dirty", RELEASE])
}

fn a_build_without_crates_is_refused(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write("source/BUILD", "exit 0")?;
    run(&machine, script)?.refuses(MISSING, &["made no crates", ".log"])
}

fn no_headers(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.remove("headers/.config")?;
    run(&machine, script)?.refuses(MISSING, &["apt install linux-headers-7.3.4+deb13-amd64"])
}

fn headers_of_a_kernel_that_was_not_built(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.remove("headers/Module.symvers")?;
    run(&machine, script)?.refuses(MISSING, &["no Module.symvers"])
}

fn headers_of_another_release(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine
        .run(script, &arguments(&["7.3.5+deb13-amd64"]))?
        .refuses(MISSING, &[RELEASE, "not of 7.3.5+deb13-amd64"])
}

fn headers_of_another_machine(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine
        .run(script, &arguments(&["--arch", "arm64", RELEASE]))?
        .refuses(MISSING, &["for amd64, not for arm64"])
}

fn a_kernel_for_another_machine(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("CONFIG_X86_64=y\n", "CONFIG_RISCV=y\n")?;
    run(&machine, script)?.refuses(NEVER, &["amd64 and arm64"])
}

fn an_old_kernel(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write(
        "headers/include/config/kernel.release",
        "6.12.117+deb13-amd64\n",
    )?;
    machine
        .run(script, &arguments(&["6.12.117+deb13-amd64"]))?
        .refuses(NEVER, &["6.12 is too old", "7.2"])
}

/// By number, not by letter.
fn a_kernel_with_two_digits_is_newer(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write("headers/include/config/kernel.release", "7.10.1-amd64\n")?;
    machine.source("7.10.1")?;
    machine.run(script, &arguments(&["7.10.1-amd64"]))?.line()?;
    Ok(())
}

fn a_kernel_without_rust(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("CONFIG_RUST=y", "# CONFIG_RUST is not set")?;
    run(&machine, script)?.refuses(NEVER, &["CONFIG_RUST"])
}

fn a_kernel_without_dma_bufs(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("CONFIG_DMA_SHARED_BUFFER=y\n", "")?;
    run(&machine, script)?.refuses(NEVER, &["CONFIG_DMA_SHARED_BUFFER"])
}

fn another_rustc(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.rustc("rustc", "rustc 1.95.0 (f2d3ce0bd 2026-04-10)")?;
    run(&machine, script)?.refuses(
        MISSING,
        &[
            "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)",
            "here is rustc 1.95.0",
            "apt install rustc=1.85.1*",
        ],
    )
}

/// Symbols have the compiler's whole identity in them, so rustup's 1.85.1 is not Debian's.
fn a_rustc_of_another_maker(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.rustc("rustc", "rustc 1.85.1 (4eb161250 2025-03-15)")?;
    run(&machine, script)?.refuses(MISSING, &["rustc"])
}

fn no_rustc(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.remove("bin/rustc")?;
    run(&machine, script)?.refuses(MISSING, &["no rustc", "rust-src"])
}

/// The right one may have a version in its name, with another one before it.
fn the_right_rustc_is_found(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    fs::rename(machine.path("bin/rustc"), machine.path("bin/rustc-1.85"))?;
    machine.rustc("rustc", "rustc 1.95.0 (f2d3ce0bd 2026-04-10)")?;
    run(&machine, script)?.line()?;
    ensure!(
        machine.read("made")?.contains("rustc-1.85 "),
        "built with another one"
    );
    Ok(())
}

fn no_c_compiler(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.remove("bin/x86_64-linux-gnu-gcc-14")?;
    machine.remove("bin/gcc-14")?;
    machine.tool("gcc", "[ \"$1\" != -dumpversion ] || echo 12")?;
    run(&machine, script)?.refuses(MISSING, &["apt install gcc-14"])
}

/// Without the prefix it is the same compiler, on a machine of the kernel's kind.
fn a_compiler_without_its_prefix_serves(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.remove("bin/x86_64-linux-gnu-gcc-14")?;
    run(&machine, script)?.line()?;
    ensure!(
        machine.read("made")?.contains(" CC=gcc-14 "),
        "another compiler"
    );
    Ok(())
}

fn arm64(machine: &Machine) -> Result<()> {
    machine.configure("CONFIG_X86_64=y", "CONFIG_ARM64=y")?;
    machine.configure("x86_64-linux-gnu-gcc-14", "aarch64-linux-gnu-gcc-14")
}

/// A native compiler makes nothing for another machine.
fn no_cross_compiler(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    arm64(&machine)?;
    run(&machine, script)?.refuses(MISSING, &["apt install gcc-14-aarch64-linux-gnu"])
}

fn a_cross_compiler_is_used(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    arm64(&machine)?;
    machine.tool(
        "aarch64-linux-gnu-gcc-14",
        "[ \"$1\" != -dumpversion ] || echo 14",
    )?;
    run(&machine, script)?.line()?;
    let made = machine.read("made")?;
    for argument in [
        "ARCH=arm64",
        "CROSS_COMPILE=aarch64-linux-gnu-",
        "CC=aarch64-linux-gnu-gcc-14",
    ] {
        ensure!(made.contains(argument), "no {argument}: {made}");
    }
    Ok(())
}

fn a_kernel_of_clang(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(
        "CONFIG_GCC_VERSION=140200",
        "CONFIG_CC_IS_CLANG=y\nCONFIG_CLANG_VERSION=190107",
    )?;
    run(&machine, script)?.refuses(MISSING, &["clang-19 lld-19 llvm-19"])?;
    machine.tool("clang-19", "[ \"$1\" != -dumpversion ] || echo 19.1.7")?;
    run(&machine, script)?.line()?;
    ensure!(machine.read("made")?.contains("LLVM=-19"), "not with clang");
    Ok(())
}

/// All that is missing is in one line, to be installed at once.
fn all_tools_are_named_at_once(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    for tool in [
        "bc", "bindgen", "bison", "flex", "pahole", "make", "python3",
    ] {
        machine.remove(&format!("bin/{tool}"))?;
    }
    machine.tool(
        "gcc-14",
        "case $1 in -dumpversion) echo 14 ;; *) exit 1 ;; esac",
    )?;
    machine.remove("sysroot/lib/rustlib/src/rust/library/core/src/lib.rs")?;
    run(&machine, script)?.refuses(
        MISSING,
        &["apt install make bindgen bc bison flex python3 libelf-dev libssl-dev pahole rust-src"],
    )
}

/// Where there is no apt, nobody is told to run it.
fn without_apt_packages_are_only_named(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.remove("bin/apt-get")?;
    machine.remove("bin/flex")?;
    let outcome = run(&machine, script)?;
    outcome.refuses(MISSING, &["flex"])?;
    ensure!(
        !outcome.stderr.contains("apt install"),
        "apt is not here: {outcome:?}"
    );
    Ok(())
}

fn no_source(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.remove("source/Makefile")?;
    run(&machine, script)?.refuses(
        MISSING,
        &[
            "no source of Linux 7.3.4",
            "apt install linux-source-7.3=7.3.4-1~bpo13+1",
        ],
    )
}

fn source_of_another_version(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.source("7.3.5")?;
    run(&machine, script)?.refuses(MISSING, &["source is 7.3.5"])
}

fn source_that_was_built_in(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write("source/.config", "")?;
    run(&machine, script)?.refuses(MISSING, &["make mrproper"])
}

fn a_tarball_is_unpacked_once(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    fs::create_dir(machine.path("linux-source-7.3"))?;
    fs::rename(
        machine.path("source/Makefile"),
        machine.path("linux-source-7.3/Makefile"),
    )?;
    for file in [
        "drivers/net/Kconfig",
        "drivers/net/dummy.c",
        "rust/helpers/net/a.c",
        "arch/riscv/Kconfig",
    ] {
        machine.write(&format!("linux-source-7.3/{file}"), "")?;
    }
    let tar = std::process::Command::new("tar")
        .args(["-cf", "linux-source-7.3.tar", "linux-source-7.3"])
        .current_dir(machine.path(""))
        .status()?;
    ensure!(tar.success(), "no tarball");
    let tarball = [
        "--headers",
        "headers",
        "--source",
        "linux-source-7.3.tar",
        "--cache",
        "cache",
        RELEASE,
    ];
    let first = machine.run(script, &tarball)?;
    let unpacked = fs::read_to_string(Path::new(first.line()?).join(".source"))?;
    let unpacked = Path::new(unpacked.trim());
    for file in [
        "drivers/net/Kconfig",
        "rust/helpers/net/a.c",
        "arch/riscv/Kconfig",
    ] {
        ensure!(unpacked.join(file).exists(), "{file} was left out");
    }
    ensure!(
        !unpacked.join("drivers/net/dummy.c").exists(),
        "drivers take a gigabyte"
    );
    // Other crates of the same source.
    machine.write("headers/Module.symvers", "")?;
    let second = machine.run(script, &tarball)?;
    second.line()?;
    ensure!(
        !second.stderr.contains("unpacking"),
        "unpacked again: {second:?}"
    );
    Ok(())
}

fn a_cache_that_cannot_be_written(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    machine.write("cache", "")?;
    run(&machine, script)?.refuses(MISSING, &["cache", "--cache DIR"])
}

/// It is said, and the module is built all the same: it can be signed.
fn a_kernel_that_wants_signatures(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    let outcome = run(&machine, script)?;
    ensure!(
        !outcome.stderr.contains("mokutil"),
        "no signature is wanted: {outcome:?}"
    );
    for (place, text) in [
        (
            "sys/kernel/security/lockdown",
            "none [integrity] confidentiality\n",
        ),
        ("sys/module/module/parameters/sig_enforce", "Y\n"),
    ] {
        machine.write(place, text)?;
        let outcome = run(&machine, script)?;
        outcome.line()?;
        ensure!(
            outcome.stderr.contains("mokutil --import"),
            "{place} is not told: {outcome:?}"
        );
        machine.remove(place)?;
    }
    Ok(())
}

fn words_that_it_does_not_know(script: &Path) -> Result<()> {
    let machine = Machine::new()?;
    for wrong in [
        &["--colour", "red", RELEASE][..],
        &[],
        &["--arch", "riscv", RELEASE],
        &["--headers"],
    ] {
        let outcome = machine.run(script, wrong)?;
        ensure!(
            outcome.code == Some(2),
            "not a mistake: {wrong:?} {outcome:?}"
        );
        ensure!(
            outcome.stderr.starts_with("usage: "),
            "no usage: {outcome:?}"
        );
    }
    Ok(())
}

scenarios! {
    &super::crates();
    crates_are_made_once,
    what_is_made_is_complete,
    the_directory_knows_its_compilers,
    headers_with_crates_serve_as_they_are,
    other_headers_are_other_crates,
    crates_outlive_their_source,
    the_lock_is_its_owners,
    the_environment_is_left_out,
    little_space,
    two_at_once_make_them_once,
    a_build_that_fails_leaves_nothing,
    another_configuration_is_refused,
    a_compilers_name_is_no_option,
    a_build_of_another_name_is_refused,
    a_build_without_crates_is_refused,
    no_headers,
    headers_of_a_kernel_that_was_not_built,
    headers_of_another_release,
    headers_of_another_machine,
    a_kernel_for_another_machine,
    an_old_kernel,
    a_kernel_with_two_digits_is_newer,
    a_kernel_without_rust,
    a_kernel_without_dma_bufs,
    another_rustc,
    a_rustc_of_another_maker,
    no_rustc,
    the_right_rustc_is_found,
    no_c_compiler,
    a_compiler_without_its_prefix_serves,
    no_cross_compiler,
    a_cross_compiler_is_used,
    a_kernel_of_clang,
    all_tools_are_named_at_once,
    without_apt_packages_are_only_named,
    no_source,
    source_of_another_version,
    source_that_was_built_in,
    a_tarball_is_unpacked_once,
    a_cache_that_cannot_be_written,
    a_kernel_that_wants_signatures,
    words_that_it_does_not_know,
}

/// What is taken out of the script or changed in it, and the scenario that notices.
const BROKEN: &[(&str, &str, Scenario)] = &[
    ("\nmade\n", "\n", crates_are_made_once),
    (
        "cp \"$headers/Module.symvers\"",
        ": \"$headers/Module.symvers\"",
        what_is_made_is_complete,
    ),
    ("=.*/\\1=\"\"/", "=.*/&/", what_is_made_is_complete),
    (
        "local_version=${release#\"$version\"}",
        "local_version=",
        what_is_made_is_complete,
    ),
    (" \"KERNELRELEASE=$release\"", "", what_is_made_is_complete),
    (
        "\"$@\" \"${arguments[@]}\"",
        "\"$@\"",
        the_directory_knows_its_compilers,
    ),
    (
        "\"O=$product\"",
        "\"O=$scratch\"",
        the_directory_knows_its_compilers,
    ),
    (
        "if crates_of \"$headers\"",
        "if false",
        headers_with_crates_serve_as_they_are,
    ),
    (
        "\t\t\"$cache\"/source-\"$version\"-*\n",
        "",
        crates_outlive_their_source,
    ),
    (
        "\nmade\n\n#\n# The kernel's source.",
        "\n#\n# The kernel's source.",
        crates_outlive_their_source,
    ),
    ("chmod 600", ": 600", the_lock_is_its_owners),
    (" \"${!KCONFIG_@}\"", "", the_environment_is_left_out),
    (" \"${!KBUILD_@}\"", "", the_environment_is_left_out),
    ("\tKCFLAGS ", "\t", the_environment_is_left_out),
    (" CDPATH ", " ", the_environment_is_left_out),
    ("[ \"$free\" -ge \"$SPACE\" ]", "true", little_space),
    (
        "\"RUSTC=$rustc\"",
        "\"RUSTC=rustc\"",
        headers_with_crates_serve_as_they_are,
    ),
    (
        "cat \"$headers/.config\" \"$headers/Module.symvers\"",
        "cat \"$headers/.config\"",
        other_headers_are_other_crates,
    ),
    (
        "rm -rf \"${cache:?}/$release\"\nmkdir",
        "mkdir -p",
        other_headers_are_other_crates,
    ),
    ("\tmade\n}\n", "}\n", two_at_once_make_them_once),
    (
        "\tflock -w \"$PATIENCE\" 9 ||",
        "\ttrue ||",
        two_at_once_make_them_once,
    ),
    (
        "scratch=$cache/.scratch",
        "scratch=$cache/$release",
        a_build_that_fails_leaves_nothing,
    ),
    (
        "\trm -rf \"$scratch\"\n",
        "",
        a_build_that_fails_leaves_nothing,
    ),
    (
        "\t\tsay \"$(first_error)\"\n",
        "",
        a_build_that_fails_leaves_nothing,
    ),
    (
        "if ! wait \"$child\"; then",
        "if false; then",
        a_build_that_fails_leaves_nothing,
    ),
    (
        "[ -z \"$differs\" ]",
        "true",
        another_configuration_is_refused,
    ),
    (
        "[A-Z_]*_VERSION(_TEXT)?|",
        "",
        a_compilers_name_is_no_option,
    ),
    (
        "[ \"$(<\"$scratch/include/config/kernel.release\")\" = \"$release\" ]",
        "true",
        a_build_of_another_name_is_refused,
    ),
    (
        "crates_of \"$scratch\"",
        "true",
        a_build_without_crates_is_refused,
    ),
    ("[ -f \"$headers/.config\" ]", "true", no_headers),
    (
        "include/config/kernel.release Module.symvers",
        "include/config/kernel.release",
        headers_of_a_kernel_that_was_not_built,
    ),
    (
        "[ \"$described\" = \"$release\" ]",
        "true",
        headers_of_another_release,
    ),
    (
        "[ -z \"$arch\" ] || [ \"$arch\" = \"$is\" ]",
        "true",
        headers_of_another_machine,
    ),
    (
        "\tnever \"$release is a kernel for another",
        "\tdie \"$release is a kernel for another",
        a_kernel_for_another_machine,
    ),
    ("OLDEST=7.2", "OLDEST=6.0", an_old_kernel),
    ("| sort -V |", "| sort |", a_kernel_with_two_digits_is_newer),
    (
        "for needed in RUST ",
        "for needed in ",
        a_kernel_without_rust,
    ),
    (" DMA_SHARED_BUFFER ", " ", a_kernel_without_dma_bufs),
    ("\"$text\" = \"$wanted\"", "-n \"$text\"", another_rustc),
    (
        "\"$text\" = \"$wanted\"",
        "\"${wanted%% (b*}\" = \"${text%% (b*}\"",
        a_rustc_of_another_maker,
    ),
    (":-no rustc}", "}", no_rustc),
    (
        "type -ap rustc \"rustc-${rust%.*}\"",
        "type -ap rustc",
        the_right_rustc_is_found,
    ),
    (
        "| cut -d. -f1)\" = \"$major\"",
        ")\" != \"\"",
        no_c_compiler,
    ),
    (
        "names+=(\"gcc-$major\" gcc)",
        ":",
        a_compiler_without_its_prefix_serves,
    ),
    (
        "[ \"$(uname -m)\" = \"${triplet%%-*}\" ]",
        "true",
        no_cross_compiler,
    ),
    (
        "arguments+=(\"CROSS_COMPILE=$triplet-\")",
        ":",
        a_cross_compiler_is_used,
    ),
    (
        "$(option CC_IS_CLANG)",
        "$(option CC_IS_NOTHING)",
        a_kernel_of_clang,
    ),
    (
        "\targuments+=(\"LLVM=${llvm:-1}\")\n",
        "",
        a_kernel_of_clang,
    ),
    ("needs bc bc", "", all_tools_are_named_at_once),
    ("needs bison bison", "", all_tools_are_named_at_once),
    ("needs flex flex", "", all_tools_are_named_at_once),
    ("needs make make", "", all_tools_are_named_at_once),
    ("needs python3 python3", "", all_tools_are_named_at_once),
    (
        "needs \"${BINDGEN:-bindgen}\" bindgen",
        "",
        all_tools_are_named_at_once,
    ),
    ("needs pahole pahole", "true", all_tools_are_named_at_once),
    (
        "includes libelf.h libelf-dev",
        "",
        all_tools_are_named_at_once,
    ),
    (
        "includes openssl/opensslv.h libssl-dev",
        "",
        all_tools_are_named_at_once,
    ),
    (
        "|| packages+=(rust-src)",
        "|| true",
        all_tools_are_named_at_once,
    ),
    (
        "if have apt-get",
        "if true",
        without_apt_packages_are_only_named,
    ),
    ("${exact:+=$exact}", "", no_source),
    (
        "[ \"$is\" = \"$version\" ]",
        "true",
        source_of_another_version,
    ),
    (
        "elif built_in \"$source\"",
        "elif false",
        source_that_was_built_in,
    ),
    (
        "if [ ! -d \"$tree\" ]",
        "if true",
        a_tarball_is_unpacked_once,
    ),
    (
        "\"${top%%/*}/$pattern\"",
        "\"*/$pattern\"",
        a_tarball_is_unpacked_once,
    ),
    ("\"${excluded[@]}\"", "", a_tarball_is_unpacked_once),
    (
        "[[ -d $cache && -w $cache ]]",
        "true",
        a_cache_that_cannot_be_written,
    ),
    ("integrity\\|", "", a_kernel_that_wants_signatures),
    ("'[Y1]'", "'1'", a_kernel_that_wants_signatures),
    (
        "[ \"$release\" = \"$(uname -r)\" ]",
        "false",
        a_kernel_that_wants_signatures,
    ),
    ("\t*) usage ;;", "\t*) ;;", words_that_it_does_not_know),
];

#[test]
fn broken_scripts_are_noticed() -> Result<()> {
    let script = fs::read_to_string(crates())?;
    for &(from, to, scenario) in BROKEN {
        ensure!(script.contains(from), "the script has no '{from}' any more");
        let directory = tempfile::tempdir()?;
        let broken = directory.path().join("crates");
        fs::write(&broken, script.replace(from, to))?;
        fs::set_permissions(&broken, fs::Permissions::from_mode(0o755))?;
        ensure!(
            scenario(&broken).is_err(),
            "nobody notices '{to}' instead of '{from}'"
        );
    }
    Ok(())
}
