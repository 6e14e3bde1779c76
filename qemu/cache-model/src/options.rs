// SPDX-License-Identifier: GPL-2.0

//! The plugin's options: `-plugin libcache_model.so,report=FILE`.

use std::path::PathBuf;

/// What the plugin was told on QEMU's command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The file to write the report to.
    pub report: PathBuf,
}

impl Options {
    /// Reads `name=value` pairs.
    ///
    /// # Errors
    ///
    /// One line that says what is wrong.
    pub fn parse<S: AsRef<str>>(arguments: &[S], target: &str) -> Result<Self, String> {
        if target != "aarch64" {
            return Err(format!(
                "made for aarch64, not for {target}: leave the plugin out"
            ));
        }
        let mut report = None;
        for argument in arguments {
            match argument.as_ref().split_once('=') {
                Some(("report", "")) => return Err("report= names no file".into()),
                Some(("report", _)) if report.is_some() => {
                    return Err("report= is given twice".into());
                }
                Some(("report", file)) => report = Some(file.into()),
                _ => {
                    return Err(format!(
                        "unknown option '{}': there is only report=FILE",
                        argument.as_ref()
                    ));
                }
            }
        }
        let report = report.ok_or("no report=FILE: say where the report goes")?;
        Ok(Options { report })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_goes_where_it_is_told() {
        let options = Options::parse(&["report=a=b"], "aarch64").unwrap();
        assert_eq!(options.report, PathBuf::from("a=b"));
    }

    #[test]
    fn wrong_options_are_refused_in_one_line() {
        for (arguments, target, reason) in [
            (&[][..], "aarch64", "no report=FILE"),
            (&["report="], "aarch64", "names no file"),
            (&["report=a", "report=b"], "aarch64", "given twice"),
            (
                &["report=a", "lines=3"],
                "aarch64",
                "unknown option 'lines=3'",
            ),
            (&["on"], "aarch64", "unknown option 'on'"),
            (&["report=a"], "x86_64", "not for x86_64"),
        ] {
            let error = Options::parse(arguments, target).unwrap_err();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
