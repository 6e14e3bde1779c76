// SPDX-License-Identifier: GPL-2.0

//! Device trees that QEMU makes, changed before the kernel sees them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};

/// The property that says that a device snoops the CPU's caches.
const COHERENT: &str = "dma-coherent;";

/// Runs `dump`, which has QEMU write its device tree to `file`, and takes from it that any device
/// is cache-coherent.
///
/// # Errors
///
/// When a tool fails, and when nothing was said about coherence: the machine is not what it was.
pub fn make_noncoherent(mut dump: Command, file: &Path) -> Result<()> {
    let dumped = run(&mut dump)?;
    if !file.is_file() {
        let said = String::from_utf8_lossy(&dumped.stderr);
        bail!("QEMU dumps no device tree: {}", said.trim());
    }
    let source = run(Command::new("dtc")
        .args(["-qq", "-I", "dtb", "-O", "dts"])
        .arg(file))?;
    let source = String::from_utf8(source.stdout).context("dtc: not text")?;
    let changed = file.with_extension("dts");
    fs::write(&changed, without_coherence(&source)?).context("cannot write a device tree")?;
    run(Command::new("dtc")
        .args(["-qq", "-I", "dts", "-O", "dtb", "-o"])
        .args([file, &changed]))?;
    Ok(())
}

/// The source of a device tree without the lines that say that a device is coherent.
fn without_coherence(source: &str) -> Result<String> {
    let (dropped, kept): (Vec<_>, Vec<_>) = source
        .lines()
        .partition(|line| line.trim_start() == COHERENT);
    if dropped.is_empty() {
        bail!("QEMU's device tree says of no device that it is coherent: is this another QEMU?");
    }
    let changed = kept.join("\n") + "\n";
    if changed.contains(COHERENT.trim_end_matches(';')) {
        bail!("QEMU's device tree still says that something is coherent: is this another QEMU?");
    }
    Ok(changed)
}

/// Runs a tool to its end.
fn run(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {program}: run ci/setup"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed: {}", said.trim());
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_coherence_is_dropped() {
        let source = "\
/ {
\tdma-coherent;
\tpcie@10000000 {
\t\tdma-coherent;
\t\tcompatible = \"pci-host-ecam-generic\";
\t};
};
";
        let changed = without_coherence(source).unwrap();
        assert_eq!(changed.matches("dma-coherent").count(), 0);
        assert_eq!(changed.lines().count(), source.lines().count() - 2);
        // Written in another way it would be overlooked.
        let other = source.replace("\t\tdma-coherent;", "\t\tdma-coherent = <1>;");
        assert!(without_coherence(&other).is_err());
    }

    #[test]
    fn a_tree_that_says_nothing_of_coherence_is_refused() {
        assert!(without_coherence("/ {\n};\n").is_err());
    }
}
