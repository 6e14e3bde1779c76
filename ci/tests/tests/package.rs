// SPDX-License-Identifier: GPL-2.0

//! The package's scripts where something is missing or fails: what they then say, what they leave
//! behind, and that nobody's installation breaks. A script that does less fails here.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use ci_tests::{Machine, Outcome, RELEASE, scenarios};

const SWITCH: &str = "udmabuf-rs-switch";
const POSTINST: &str = "debian/udmabuf-rs-dkms.postinst";
const PRERM: &str = "debian/udmabuf-rs-dkms.prerm";
const POSTRM: &str = "debian/udmabuf-rs-dkms.postrm";
const DKMS_BUILD: &str = "dkms-build";

/// The directories of a system that the scripts use; here they are in the machine's own.
const PLACES: [&str; 8] = [
    "/boot/",
    "/etc/",
    "/lib/modules/",
    "/proc/",
    "/run/",
    "/sys/",
    "/usr/src",
    "/var/",
];

const MENU: &str = "boot/grub/grub.cfg";
const SETTING: &str = "etc/default/grub.d/udmabuf-rs.cfg";
const SKIPPED: &str = "var/cache/udmabuf-rs/6.12.117+deb13-amd64.skipped";
const MODULE: &str = "sys/module/udmabuf_rs/parameters/node";
const SYSTEMD: &str = "run/systemd/system/units";

/// Makes the menu of the settings, as GRUB's script does.
const UPDATE_GRUB: &str =
    "for file in etc/default/grub.d/*.cfg; do [ ! -e \"$file\" ] || . \"$PWD/$file\"; done
echo \"linux /vmlinuz $GRUB_CMDLINE_LINUX\" >boot/grub/grub.cfg";

/// What a script is made to do before a test looks at it: nothing, or something that is wrong.
#[derive(Clone, Copy)]
struct Change<'a> {
    script: &'a str,
    from: &'a str,
    to: &'a str,
}

/// A system with the package's scripts and the tools that they call, each of which writes its name and
/// arguments into `calls`.
struct System {
    machine: Machine,
}

/// What a test wants of the scripts, of which one may be broken.
type Scenario = fn(Option<Change<'_>>) -> Result<()>;

impl System {
    fn new(change: Option<Change<'_>>) -> Result<Self> {
        let machine = Machine::new()?;
        for (file, place) in [
            (SWITCH, "bin/udmabuf-rs-switch"),
            (POSTINST, "postinst"),
            (PRERM, "prerm"),
            (POSTRM, "postrm"),
            (DKMS_BUILD, "dkms-build"),
        ] {
            let mut text = fs::read_to_string(packaging().join(file))?;
            if let Some(change) = change.filter(|change| change.script == file) {
                ensure!(text.contains(change.from), "no '{}' in {file}", change.from);
                text = text.replace(change.from, change.to);
            }
            machine.write(place, &moved(&text, &machine))?;
            fs::set_permissions(machine.path(place), fs::Permissions::from_mode(0o755))?;
        }
        let system = Self { machine };
        system.machine.tool("id", "echo 0")?;
        for tool in ["modinfo", "modprobe", "rmmod", "udevadm", "dkms", "logger"] {
            system.answers(tool, "")?;
        }
        system.answers("update-grub", UPDATE_GRUB)?;
        system.machine.write(MENU, "linux /vmlinuz\n")?;
        system.machine.write("proc/cmdline", "quiet\n")?;
        system
            .machine
            .write("usr/src/linux-source-7.3.tar.xz", "")?;
        system.machine.write(SYSTEMD, "")?;
        Ok(system)
    }

    /// Has a tool do this when it is called.
    fn answers(&self, tool: &str, script: &str) -> Result<()> {
        self.machine
            .tool(tool, &format!("echo \"{tool} $*\" >>calls\n{script}"))
    }

    /// Nobody asked for a build.
    fn tries_nothing(&self) -> Result<()> {
        says(&self.run("postinst", &["triggered", "/usr/src"])?, &[])?;
        ensure!(!self.calls().contains("dkms"), "tried: {}", self.calls());
        Ok(())
    }

    /// What was called, a line each.
    fn calls(&self) -> String {
        self.machine.read("calls").unwrap_or_default()
    }

    fn has(&self, place: &str) -> bool {
        self.machine.path(place).exists()
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Result<Outcome> {
        self.machine.run(&self.machine.path(script), arguments)
    }

    fn switch(&self, word: &str) -> Result<Outcome> {
        self.run("bin/udmabuf-rs-switch", &[word])
    }

    /// Whether the next boot gives the name to the module.
    fn switched(&self) -> Result<bool> {
        let menu = self.machine.read(MENU)?;
        let words = [
            "initcall_blacklist=udmabuf_dev_init",
            "udmabuf_rs.node=udmabuf",
        ];
        match words.map(|word| menu.contains(word)) {
            [true, true] => Ok(true),
            [false, false] => Ok(false),
            _ => bail!("one word without the other: {menu}"),
        }
    }

    /// Nothing of the switch is there.
    fn untouched(&self) -> Result<()> {
        ensure!(!self.switched()?, "switched all the same");
        ensure!(!self.has(SETTING), "the setting is still there");
        Ok(())
    }
}

/// The script with the machine's own directories in place of the real ones: it runs as whoever runs the
/// tests, and removes things.
fn moved(script: &str, machine: &Machine) -> String {
    let in_a_path = |last: char| last.is_alphanumeric() || "/._-}*".contains(last);
    let mut moved = String::new();
    let mut rest = script;
    while let Some(here) = rest.find('/') {
        let (before, after) = rest.split_at(here);
        moved.push_str(before);
        let begins = !moved.ends_with(in_a_path);
        let place = PLACES.iter().find(|place| after.starts_with(**place));
        if let Some(place) = place.filter(|_| begins) {
            let own = machine.path(&place[1..]);
            moved.push_str(&own.display().to_string());
            rest = &after[place.len()..];
        } else {
            moved.push('/');
            rest = &after[1..];
        }
    }
    moved + rest
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging")
}

/// It ended well, and said all of `words`.
fn says(outcome: &Outcome, words: &[&str]) -> Result<()> {
    ensure!(outcome.code == Some(0), "it failed: {outcome:?}");
    for word in words {
        ensure!(outcome.stdout.contains(word), "no '{word}': {outcome:?}");
    }
    Ok(())
}

fn the_switch_goes_on_and_off(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    says(&system.switch("on")?, &["From the next boot on"])?;
    ensure!(system.switched()?, "not switched");
    says(
        &system.switch("status")?,
        &["at the next boot: /dev/udmabuf is udmabuf-rs"],
    )?;
    says(&system.switch("off")?, &["the kernel's own driver"])?;
    system.untouched()?;
    says(
        &system.switch("status")?,
        &["at the next boot: /dev/udmabuf is the kernel's own driver"],
    )
}

/// Somebody's own GRUB settings stay.
fn the_switch_adds_to_the_command_line(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    let own = "etc/default/grub.d/own.cfg";
    system.machine.write(own, "GRUB_CMDLINE_LINUX=quiet\n")?;
    says(&system.switch("on")?, &[])?;
    let menu = system.machine.read(MENU)?;
    ensure!(menu.contains("quiet"), "it has gone: {menu}");
    Ok(())
}

fn the_switch_is_for_root(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    system.machine.tool("id", "echo 1000")?;
    for word in ["on", "off"] {
        system.switch(word)?.refuses(1, &["as root", word])?;
    }
    system.untouched()
}

fn another_boot_loader_is_told_the_words(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    system.machine.remove("bin/update-grub")?;
    let words = ["initcall_blacklist=udmabuf_dev_init udmabuf_rs.node=udmabuf"];
    system.switch("on")?.refuses(1, &words)?;
    system.untouched()?;
    system
        .machine
        .write("proc/cmdline", &format!("{}\n", words[0]))?;
    says(&system.switch("off")?, &words)
}

fn no_switch_without_a_module(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    system.answers("modinfo", "exit 1")?;
    system.switch("on")?.refuses(1, &[RELEASE, "dkms status"])?;
    system.untouched()
}

/// Those that could be booted next are named, for there would be no node at all.
fn kernels_without_a_module_are_named(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    system.answers("modinfo", "[ \"$2\" != 6.12.117+deb13-amd64 ]")?;
    for kernel in [RELEASE, "6.12.117+deb13-amd64"] {
        system
            .machine
            .write(&format!("boot/vmlinuz-{kernel}"), "")?;
    }
    for word in ["on", "status"] {
        let outcome = system.switch(word)?;
        says(&outcome, &["6.12.117+deb13-amd64"])?;
        ensure!(!outcome.stdout.contains(RELEASE), "it has one: {outcome:?}");
    }
    Ok(())
}

fn a_failure_of_grub_changes_nothing(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    // It fails, or it writes another menu than the one that is booted.
    for script in ["exit 1", ""] {
        system.answers("update-grub", script)?;
        system.switch("on")?.refuses(1, &["nothing is changed"])?;
        system.untouched()?;
    }
    Ok(())
}

fn no_place_for_the_setting(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    system.machine.write("etc/default/grub.d", "")?;
    system
        .switch("on")?
        .refuses(1, &["cannot make", "grub.d"])?;
    system.untouched()
}

fn off_says_when_the_menu_stays(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    says(&system.switch("on")?, &[])?;
    for script in ["exit 1", ""] {
        system.answers("update-grub", script)?;
        system
            .switch("off")?
            .refuses(1, &["run it, or the next boot has no /dev/udmabuf"])?;
    }
    // Once that is mended, the same command does it.
    system.answers("update-grub", UPDATE_GRUB)?;
    says(&system.switch("off")?, &[])?;
    system.untouched()
}

fn off_where_nothing_is_on_leaves_the_menu(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    says(&system.switch("off")?, &[])?;
    ensure!(system.calls().is_empty(), "it did: {}", system.calls());
    Ok(())
}

fn status_says_who_is_there_now(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    let now = |words: &str| says(&system.switch("status")?, &[words]);
    now("now: neither driver is there")?;
    system.machine.write("sys/class/misc/udmabuf/dev", "")?;
    now("now: /dev/udmabuf is the kernel's own driver\n")?;
    system.machine.write(MODULE, "udmabuf-rs\n")?;
    now("own driver, udmabuf-rs is /dev/udmabuf-rs")?;
    system.machine.remove("sys/class/misc/udmabuf/dev")?;
    fs::remove_dir(system.machine.path("sys/class/misc/udmabuf"))?;
    now("a link to /dev/udmabuf-rs")?;
    system.machine.write(MODULE, "udmabuf\n")?;
    now("now: /dev/udmabuf is udmabuf-rs\n")
}

fn words_that_the_switch_does_not_know(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    for words in [&["over"][..], &[], &["on", "off"]] {
        let outcome = system.run("bin/udmabuf-rs-switch", words)?;
        ensure!(outcome.code == Some(2), "not a mistake: {outcome:?}");
        ensure!(outcome.stderr.starts_with("usage: "), "{outcome:?}");
    }
    system.untouched()
}

/// Otherwise the next boot would have neither driver.
fn removal_gives_the_name_back(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    says(&system.switch("on")?, &[])?;
    says(&system.run("prerm", &["remove"])?, &[])?;
    system.untouched()
}

fn removal_cannot_fail(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    says(&system.switch("on")?, &[])?;
    system.machine.write(MODULE, "udmabuf\n")?;
    for tool in ["update-grub", "rmmod"] {
        system.answers(tool, "exit 1")?;
    }
    says(&system.run("prerm", &["remove"])?, &["until the next boot"])
}

fn the_module_goes_with_the_package(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    system.machine.write(MODULE, "udmabuf-rs\n")?;
    says(&system.run("prerm", &["remove"])?, &[])?;
    let calls = system.calls();
    ensure!(calls.contains("rmmod udmabuf_rs\n"), "it stays: {calls}");
    Ok(())
}

/// The new version's script does that, once there is something to exchange it for.
fn an_upgrade_unloads_nothing_before(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    system.machine.write(MODULE, "udmabuf-rs\n")?;
    says(&system.run("prerm", &["upgrade", "0.2.0"])?, &[])?;
    ensure!(system.calls().is_empty(), "it did: {}", system.calls());
    Ok(())
}

/// Where no systemd runs, this may be a root in somebody else's kernel.
fn another_systems_modules_are_left_alone(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    system.machine.write(MODULE, "udmabuf-rs\n")?;
    system.machine.remove(SYSTEMD)?;
    fs::remove_dir(system.machine.path("run/systemd/system"))?;
    says(&system.run("postinst", &["configure"])?, &[])?;
    says(&system.run("prerm", &["remove"])?, &[])?;
    ensure!(system.calls().is_empty(), "it did: {}", system.calls());
    Ok(())
}

fn installation_loads_the_module(change: Option<Change<'_>>) -> Result<()> {
    let system = System::new(change)?;
    system.machine.write(MODULE, "udmabuf-rs\n")?;
    says(&system.run("postinst", &["configure"])?, &[])?;
    let calls = system.calls();
    let order = [
        "udevadm control --reload",
        "rmmod udmabuf_rs",
        "modprobe udmabuf_rs",
    ];
    let places = order.map(|call| calls.find(call));
    ensure!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "not {order:?}: {calls}"
    );
    Ok(())
}

fn installation_says_what_is_wrong(change: Option<Change<'_>>) -> Result<()> {
    let wrong = |tool: &str, words: &[&str]| {
        let system = System::new(change)?;
        system.machine.write(MODULE, "udmabuf-rs\n")?;
        system.answers(tool, "exit 1")?;
        says(&system.run("postinst", &["configure"])?, words)
    };
    wrong("udevadm", &[])?;
    wrong("modinfo", &["not built for", RELEASE, "journalctl"])?;
    wrong("rmmod", &["stays until the next boot"])?;
    wrong("modprobe", &["not loaded", "mokutil --import"])
}

/// A kernel whose source came later; `age` is that of the mark, against the source.
fn skipped_before(change: Option<Change<'_>>, age: i64) -> Result<System> {
    let system = System::new(change)?;
    system.machine.write(SKIPPED, "")?;
    let source = fs::metadata(system.machine.path("usr/src/linux-source-7.3.tar.xz"))?;
    let mark = fs::File::options()
        .write(true)
        .open(system.machine.path(SKIPPED))?;
    let second = std::time::Duration::from_secs(age.unsigned_abs());
    let time = source.modified()?;
    mark.set_modified(if age > 0 {
        time - second
    } else {
        time + second
    })?;
    // The directory changes with what is put into it.
    fs::File::open(system.machine.path("usr/src"))?.set_modified(time)?;
    Ok(system)
}

fn what_was_skipped_is_tried_again(change: Option<Change<'_>>) -> Result<()> {
    let system = skipped_before(change, 10)?;
    system.answers("dkms", "exit 1")?;
    says(
        &system.run("postinst", &["triggered", "/usr/src"])?,
        &["building for 6.12.117+deb13-amd64"],
    )?;
    let calls = system.calls();
    ensure!(
        calls.contains("dkms install udmabuf-rs/7.3.4-1~bpo13+1 -k 6.12.117+deb13-amd64"),
        "not tried: {calls}"
    );
    Ok(())
}

fn nothing_new_is_nothing_to_try(change: Option<Change<'_>>) -> Result<()> {
    let system = skipped_before(change, -10)?;
    system.tries_nothing()
}

fn who_builds_nothing_by_itself_is_obeyed(change: Option<Change<'_>>) -> Result<()> {
    let system = skipped_before(change, 10)?;
    system.machine.write("etc/dkms/no-autoinstall", "")?;
    system.tries_nothing()
}

fn the_cache_goes_with_the_package(change: Option<Change<'_>>) -> Result<()> {
    for (words, stays) in [
        (&["upgrade", "0.2.0"][..], true),
        (&["remove"], false),
        (&["purge"], false),
    ] {
        let system = System::new(change)?;
        system.machine.write(SKIPPED, "")?;
        says(&system.run("postrm", words)?, &[])?;
        ensure!(system.has(SKIPPED) == stays, "{words:?}");
    }
    Ok(())
}

/// A system on which the build of the module ends so.
fn builds(change: Option<Change<'_>>, script: &str) -> Result<(System, Outcome)> {
    let system = System::new(change)?;
    system
        .machine
        .write("dkms.conf", "PACKAGE_VERSION=\"0.2.0\"\n")?;
    let place = "ci/packaging/build-module";
    system
        .machine
        .write(place, &format!("#!/bin/bash\n{script}\n"))?;
    let path = system.machine.path(place);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    for directory in [
        "lib/modules/6.12.117+deb13-amd64/build",
        "var/cache/udmabuf-rs/6.1-gone/crates",
    ] {
        system.machine.write(directory, "")?;
    }
    system.machine.write(SKIPPED, "")?;
    system
        .machine
        .write("var/cache/udmabuf-rs/6.12.117+deb13-amd64/crates", "")?;
    let outcome = system.run("dkms-build", &["6.12.117+deb13-amd64", "headers"])?;
    Ok((system, outcome))
}

fn dkms_builds(change: Option<Change<'_>>) -> Result<()> {
    let (system, outcome) = builds(change, "[ -z \"$CC\" ] && echo \"built $*\"")?;
    says(&outcome, &["built 6.12.117+deb13-amd64 headers"])?;
    ensure!(!system.has(SKIPPED), "still marked");
    ensure!(
        !system.has("var/cache/udmabuf-rs/6.1-gone"),
        "crates of no kernel"
    );
    let own = "var/cache/udmabuf-rs/6.12.117+deb13-amd64";
    ensure!(system.has(own), "the kernel's own crates have gone");
    Ok(())
}

/// DKMS takes code 77 for a kernel that the module is not for; the mark has it tried again.
fn dkms_skips_with_a_reason(change: Option<Change<'_>>) -> Result<()> {
    for (code, marked) in [(1, true), (77, false)] {
        let script = format!("echo line; echo 'error: no compiler' >&2; exit {code}");
        let (system, outcome) = builds(change, &script)?;
        ensure!(outcome.code == Some(77), "not skipped: {outcome:?}");
        ensure!(system.has(SKIPPED) == marked, "code {code}: marked or not");
        let again = "dkms install udmabuf-rs/0.2.0 -k 6.12.117+deb13-amd64";
        for place in [outcome.stdout, system.calls()] {
            ensure!(place.contains("(no compiler)"), "no reason: {place}");
            ensure!(place.contains(again), "no way to try again: {place}");
        }
    }
    Ok(())
}

scenarios! {
    None;
    the_switch_goes_on_and_off,
    the_switch_adds_to_the_command_line,
    the_switch_is_for_root,
    another_boot_loader_is_told_the_words,
    no_switch_without_a_module,
    kernels_without_a_module_are_named,
    a_failure_of_grub_changes_nothing,
    no_place_for_the_setting,
    off_says_when_the_menu_stays,
    off_where_nothing_is_on_leaves_the_menu,
    status_says_who_is_there_now,
    words_that_the_switch_does_not_know,
    removal_gives_the_name_back,
    removal_cannot_fail,
    the_module_goes_with_the_package,
    an_upgrade_unloads_nothing_before,
    another_systems_modules_are_left_alone,
    installation_loads_the_module,
    installation_says_what_is_wrong,
    what_was_skipped_is_tried_again,
    nothing_new_is_nothing_to_try,
    who_builds_nothing_by_itself_is_obeyed,
    the_cache_goes_with_the_package,
    dkms_builds,
    dkms_skips_with_a_reason,
}

#[test]
fn no_real_directory_is_left_in_a_script() -> Result<()> {
    let machine = Machine::new()?;
    let script = "\trm '/var/a' $(cat /etc/b) ${x#/boot/c} {/run/d}\n/sys/e";
    let moved = moved(script, &machine);
    let home = machine.path("").display().to_string();
    ensure!(moved.matches(&home).count() == 5, "{moved}");
    // What only looks like one stays.
    let other = "$x/var/a ../etc/b";
    ensure!(self::moved(other, &machine) == other);
    Ok(())
}

/// What is taken out of a script or changed in it, and the scenario that notices.
const BROKEN: &[(&str, &str, &str, Scenario)] = &[
    (
        SWITCH,
        " udmabuf_rs.node=udmabuf'",
        "'",
        the_switch_goes_on_and_off,
    ),
    (
        SWITCH,
        "\\$GRUB_CMDLINE_LINUX ",
        "",
        the_switch_adds_to_the_command_line,
    ),
    (
        SWITCH,
        "[ \"$(id -u)\" -eq 0 ]",
        "true",
        the_switch_is_for_root,
    ),
    (
        SWITCH,
        "\thave update-grub ||",
        "\ttrue ||",
        another_boot_loader_is_told_the_words,
    ),
    (
        SWITCH,
        "\telif grep -qs",
        "\telif false",
        another_boot_loader_is_told_the_words,
    ),
    (
        SWITCH,
        ">/dev/null 2>&1 ||\n\t\tdie",
        "; true ||\n\t\tdie",
        no_switch_without_a_module,
    ),
    (
        SWITCH,
        "|| echo \"$kernel\"",
        "",
        kernels_without_a_module_are_named,
    ),
    (
        SWITCH,
        ">/dev/null || ! at_next_boot; then\n\t\trm -f \"$file\"",
        ">/dev/null; then\n\t\trm -f \"$file\"",
        a_failure_of_grub_changes_nothing,
    ),
    (
        SWITCH,
        "then\n\t\trm -f \"$file\"",
        "then\n\t\t:",
        a_failure_of_grub_changes_nothing,
    ),
    (
        SWITCH,
        "|| die \"cannot make $directory\"",
        "",
        no_place_for_the_setting,
    ),
    (
        SWITCH,
        ">/dev/null || at_next_boot; then",
        ">/dev/null; then",
        off_says_when_the_menu_stays,
    ),
    (
        SWITCH,
        "[ -e \"$file\" ] || at_next_boot",
        "[ -e \"$file\" ]",
        off_says_when_the_menu_stays,
    ),
    (
        SWITCH,
        "[ -e \"$file\" ] || at_next_boot",
        "true",
        off_where_nothing_is_on_leaves_the_menu,
    ),
    (
        SWITCH,
        "[ -e /sys/class/misc/udmabuf ]",
        "false",
        status_says_who_is_there_now,
    ),
    (
        SWITCH,
        "case $#-${1:-} in",
        "case 1-${1:-} in",
        words_that_the_switch_does_not_know,
    ),
    (
        PRERM,
        "udmabuf-rs-switch off",
        ":",
        removal_gives_the_name_back,
    ),
    (
        PRERM,
        "udmabuf-rs-switch off || true",
        "udmabuf-rs-switch off",
        removal_cannot_fail,
    ),
    (PRERM, "|| echo", "&& echo", removal_cannot_fail),
    (
        PRERM,
        "rmmod udmabuf_rs ||",
        "true ||",
        the_module_goes_with_the_package,
    ),
    (
        PRERM,
        "[ \"$1\" = remove ]",
        "true",
        an_upgrade_unloads_nothing_before,
    ),
    (
        PRERM,
        "[ -d /run/systemd/system ] &&",
        "",
        another_systems_modules_are_left_alone,
    ),
    (
        POSTINST,
        "&& [ -d /run/systemd/system ]",
        "",
        another_systems_modules_are_left_alone,
    ),
    (
        POSTINST,
        "&& ! rmmod udmabuf_rs",
        "&& false",
        installation_loads_the_module,
    ),
    (
        POSTINST,
        "--reload || true",
        "--reload",
        installation_says_what_is_wrong,
    ),
    (
        POSTINST,
        "elif ! modprobe udmabuf_rs; then",
        "elif modprobe udmabuf_rs; then",
        installation_says_what_is_wrong,
    ),
    (
        POSTINST,
        "-k \"$kernel\" || true",
        "-k \"$kernel\"",
        what_was_skipped_is_tried_again,
    ),
    (
        POSTINST,
        "\t\t[ -n \"$(find",
        "\t\ttrue || [ -n \"$(find",
        nothing_new_is_nothing_to_try,
    ),
    (
        POSTINST,
        "[ ! -e /etc/dkms/no-autoinstall ] ||",
        "true ||",
        who_builds_nothing_by_itself_is_obeyed,
    ),
    (
        POSTRM,
        "[ \"$1\" = remove ] ||",
        "true ||",
        the_cache_goes_with_the_package,
    ),
    (
        POSTRM,
        "|| [ \"$1\" = purge ]",
        "",
        the_cache_goes_with_the_package,
    ),
    (DKMS_BUILD, "rm -f \"$skipped\"", ":", dkms_builds),
    (
        DKMS_BUILD,
        "[ -d \"/lib/modules/$kernel\" ] ||",
        "true ||",
        dkms_builds,
    ),
    (
        DKMS_BUILD,
        "[ -d \"/lib/modules/$kernel\" ] ||",
        "",
        dkms_builds,
    ),
    (
        DKMS_BUILD,
        "\texit 77",
        "\texit 1",
        dkms_skips_with_a_reason,
    ),
    (
        DKMS_BUILD,
        "[ \"${PIPESTATUS[0]}\" -eq 77 ] ||",
        "",
        dkms_skips_with_a_reason,
    ),
    (DKMS_BUILD, "|| touch", "|| :", dkms_skips_with_a_reason),
    (DKMS_BUILD, "logger -t", ": -t", dkms_skips_with_a_reason),
];

#[test]
fn broken_scripts_are_noticed() -> Result<()> {
    for &(script, from, to, scenario) in BROKEN {
        let text = fs::read_to_string(packaging().join(script)).context(script)?;
        ensure!(text.contains(from), "{script} has no '{from}' any more");
        ensure!(
            scenario(Some(Change { script, from, to })).is_err(),
            "nobody notices '{to}' instead of '{from}' in {script}"
        );
    }
    Ok(())
}
