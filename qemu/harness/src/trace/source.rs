// SPDX-License-Identifier: GPL-2.0

//! The text of a trace, from a file.

use std::{fs, io::ErrorKind, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::usage::refuse;

/// How a file of trace-cmd begins.
const MAGIC: &[u8] = b"\x17\x08\x44tracing";

/// The program that knows what is in such a file.
pub const CONVERTER: &str = "trace-cmd";

/// The text in a file, which `converter` reads if it is one of trace-cmd.
///
/// # Errors
///
/// [`Usage`](crate::usage::Usage) if it cannot be read.
pub fn text(file: &Path, converter: &str) -> Result<String> {
    let shown = file.display();
    let data = match fs::read(file) {
        Ok(data) => data,
        Err(error) => refuse!("cannot read {shown}: {error}"),
    };
    if !data.starts_with(MAGIC) {
        // The name of a program may be any bytes.
        return Ok(String::from_utf8_lossy(&data).into_owned());
    }
    let mut report = Command::new(converter);
    let output = match report.arg("report").arg("-i").arg(file).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => refuse!(
            "{shown} is a file of trace-cmd, which is not installed: apt install trace-cmd, or \
             bring what 'trace-cmd report' says of it"
        ),
        output => output.with_context(|| format!("cannot run {converter}"))?,
    };
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty());
        bail!(
            "{converter} cannot read {shown}: {}",
            complaint.unwrap_or(&output.status.to_string())
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn text_is_taken_as_it_is() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("trace.txt");
        fs::write(&file, b"# tracer: nop\n\xff").unwrap();
        let text = text(&file, "/nonexistent").unwrap();
        assert_eq!(text, "# tracer: nop\n\u{fffd}");
    }

    #[test]
    fn files_of_trace_cmd_are_converted() {
        let scratch = tempfile::tempdir().unwrap();
        let [file, converter] = ["trace.dat", "converter"].map(|name| scratch.path().join(name));
        fs::write(&file, [MAGIC, b"6\0"].concat()).unwrap();
        let converter = converter.to_str().unwrap();
        let script = |text: &str| {
            let new = scratch.path().join("new");
            fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
            // What a test has open for writing while another one forks cannot be run.
            let copied = Command::new("cp").arg(&new).arg(converter).status();
            assert!(copied.unwrap().success());
        };
        script("echo \"$@\"");
        let said = text(&file, converter).unwrap();
        assert_eq!(said, format!("report -i {}\n", file.display()));
        script("echo >&2; echo ' broken file' >&2; echo more >&2; exit 3");
        let error = text(&file, converter).err().unwrap().to_string();
        assert!(error.ends_with("trace.dat: broken file"), "{error}");
        script("exit 3");
        let error = text(&file, converter).err().unwrap().to_string();
        assert!(error.ends_with("trace.dat: exit status: 3"), "{error}");
    }

    #[test]
    fn bad_files_are_refused_in_one_line() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("trace.dat");
        fs::write(&file, MAGIC).unwrap();
        for (file, reason) in [
            (file.as_path(), "apt install trace-cmd"),
            (
                Path::new("/nonexistent/file"),
                "cannot read /nonexistent/file: No such",
            ),
            (scratch.path(), "Is a directory"),
        ] {
            let message = text(file, "/nonexistent/trace-cmd")
                .err()
                .unwrap()
                .to_string();
            assert!(message.contains(reason), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
    }
}
