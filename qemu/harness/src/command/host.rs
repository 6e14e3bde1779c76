// SPDX-License-Identifier: GPL-2.0

//! The unit tests of the programs themselves, run by cargo on the host.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{
    ktap::{Test, Verdict},
    layout::Layout,
};

/// Crates that go through all states of something, which takes minutes without optimization: `make
/// check` runs them with it.
const EXPLORED: [&str; 2] = ["model", "orders"];

/// Runs them all, but what explores.
pub fn unit_tests(layout: &Layout) -> Result<Vec<Test>> {
    let output = Command::new("cargo")
        .args([
            "test",
            "--locked",
            "--workspace",
            "--no-fail-fast",
            "--quiet",
        ])
        .args(EXPLORED.iter().flat_map(|name| ["--exclude", name]))
        .args(["--", "--format=pretty", "--color=never"])
        .env("RUST_BACKTRACE", "0")
        .current_dir(layout.root())
        .output()
        .context("cannot start cargo")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut tests = results(&stdout);
    let failed = tests
        .iter()
        .any(|test| matches!(test.verdict, Verdict::Failed(_)));
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let mut why = crashes(&stderr);
        let crashed = !why.is_empty();
        if !crashed {
            // Such as a program that does not build.
            let errors = stderr.lines().filter(|line| line.starts_with("error"));
            why.extend(errors.map(str::to_owned));
        }
        if crashed || !failed {
            tests.push(Test {
                path: vec!["cargo test".into()],
                verdict: Verdict::Failed(why),
            });
        }
    }
    Ok(tests)
}

/// The tests in the output of Rust's test runner.
fn results(output: &str) -> Vec<Test> {
    let result = |line: &str| {
        let (name, verdict) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let verdict = match verdict.trim() {
            "ok" => Verdict::Passed,
            "FAILED" => Verdict::Failed(why(output, name)),
            ignored => Verdict::Skipped(
                ignored
                    .strip_prefix("ignored")?
                    .trim_matches([',', ' '])
                    .into(),
            ),
        };
        Some(Test {
            path: vec![name.to_owned()],
            verdict,
        })
    };
    output.lines().filter_map(result).collect()
}

/// Programs that a signal ended, of which no result says so, and what the tests last printed.
fn crashes(errors: &str) -> Vec<String> {
    let tells =
        |line: &&str| line.contains("has overflowed its stack") || line.contains("(signal: ");
    let lines = errors.lines().filter(tells);
    lines.map(|line| line.trim().to_owned()).collect()
}

/// What a failed test printed.
fn why(output: &str, name: &str) -> Vec<String> {
    let title = format!("---- {name} stdout ----");
    let after = output.lines().skip_while(|line| *line != title).skip(1);
    after
        .take_while(|line| !line.starts_with("---- ") && *line != "failures:")
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_told_whatever_else_failed() {
        let errors = "
thread 'a::deep' (6053) has overflowed its stack
fatal runtime error: stack overflow, aborting
error: test failed, to rerun pass `-p model --lib`

Caused by:
  process didn't exit successfully: `model` (signal: 6, SIGABRT: process abort signal)
error: 1 target failed:
    `-p model --lib`
";
        let why = crashes(errors);
        assert_eq!(why.len(), 2);
        assert!(why[0].contains("a::deep") && why[1].contains("SIGABRT"));
        assert!(crashes("error: test failed, to rerun pass `-p model --lib`").is_empty());
    }

    #[test]
    fn results_of_rusts_runner_are_understood() {
        let output = "
running 3 tests
test a::good ... ok
test a::bad ... FAILED
test a::off ... ignored, needs a device

failures:

---- a::bad stdout ----
thread 'a::bad' panicked at src/a.rs:1:2:
left is not right

failures:
    a::bad

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out
";
        let tests = results(output);
        assert_eq!(tests.len(), 3);
        assert_eq!(tests[0].verdict, Verdict::Passed);
        let Verdict::Failed(why) = &tests[1].verdict else {
            panic!("{tests:?}")
        };
        assert_eq!(why.len(), 2);
        assert_eq!(tests[2].verdict, Verdict::Skipped("needs a device".into()));
    }
}
