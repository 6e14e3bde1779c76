// SPDX-License-Identifier: GPL-2.0

//! Runs tests, each in a process of its own, and reports in KTAP.
//!
//! Around every test the kernel is checked: as many pages pinned as unpinned, no dma-buf left, no
//! complaint in its log. A test that passes but leaves something behind has failed. What a test that
//! passes prints as a comment is one of the report.

use std::env;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::process;
use rustix::process::Pid;
use rustix::process::Signal;

use crate::PAGE;
use crate::bufinfo;
use crate::kmsg::Kmsg;
use crate::limit::Limit;
use crate::outcome::Outcome;
use crate::outcome::Stop;
use crate::pins::Pins;
use crate::sys::fork;

/// How long one test may take. An emulated machine with a checking kernel is slow.
const TIMEOUT: Limit = Limit::seconds(180);

/// How long a process may take to die.
const LAST_GASP: Limit = Limit::seconds(10);

/// Exit codes of the program.
const ALL_PASSED: u8 = 0;
const SOME_FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Exit codes of the process of one test; 4 is what the kernel's selftests use.
const PASSED: u8 = 0;
const FAILED: u8 = 1;
const SKIPPED: u8 = 4;

/// One test.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// The name of the function.
    pub name: &'static str,
    /// The function.
    pub run: fn() -> Outcome,
}

/// A list of [`Test`]s from the names of functions.
#[macro_export]
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        &[$($crate::ktap::Test { name: stringify!($test), run: $test }),*]
    };
}

/// How one test ended.
enum Verdict {
    /// With what it printed.
    Pass(String),
    Fail(String),
    Skip(String),
}

/// The main function of a test program: arguments are parts of names, or `--list`.
pub fn main(groups: &[&[Test]]) -> ExitCode {
    let tests = groups.concat();
    // A test is started by its name, so the second one of a name would never run.
    if let Some(name) = twice(&tests) {
        return usage(&format!("two tests are named {name}"));
    }
    if let Some(misfit) = misfit() {
        return usage(&misfit);
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--list"] => {
            for test in &tests {
                println!("{}", test.name);
            }
            ExitCode::from(ALL_PASSED)
        }
        // The program starts itself so for every test.
        ["--only", name] => match tests.iter().find(|test| test.name == name) {
            Some(test) => run_here(test),
            None => usage(&format!("there is no test {name}")),
        },
        _ => match arguments.iter().find(|argument| argument.starts_with('-')) {
            Some(option) => usage(&format!("unknown option {option}")),
            None => run_all(&tests, &arguments),
        },
    }
}

/// A name that stands for more than one test.
fn twice(tests: &[Test]) -> Option<&'static str> {
    let mut names: Vec<_> = tests.iter().map(|test| test.name).collect();
    names.sort_unstable();
    let mut pairs = names.windows(2);
    pairs.find_map(|pair| (pair[0] == pair[1]).then_some(pair[0]))
}

fn usage(error: &str) -> ExitCode {
    eprintln!("{error}; usage: [--list | PART_OF_A_NAME...]");
    ExitCode::from(BAD_USAGE)
}

/// Why these programs are not for this kernel, if so.
fn misfit() -> Option<String> {
    let page = rustix::param::page_size();
    (page != PAGE).then(|| format!("built for pages of {PAGE} bytes, not of {page}"))
}

/// Runs the test in this process. The reason for its end, if any, is the output's last line.
fn run_here(test: &Test) -> ExitCode {
    let Err(stop) = (test.run)() else {
        return ExitCode::from(PASSED);
    };
    let code = match stop {
        Stop::Skip(_) => SKIPPED,
        _ => FAILED,
    };
    println!("{}", stop.to_string().replace('\n', " "));
    ExitCode::from(code)
}

fn run_all(tests: &[Test], filters: &[&str]) -> ExitCode {
    let chosen: Vec<&Test> = tests
        .iter()
        .filter(|test| filters.is_empty() || filters.iter().any(|part| test.name.contains(part)))
        .collect();
    if chosen.is_empty() {
        return usage(&format!("no test has {} in its name", filters.join(" or ")));
    }
    println!("KTAP version 1");
    println!("1..{}", chosen.len());
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (number, test) in chosen
        .iter()
        .enumerate()
        .map(|(index, test)| (index + 1, test))
    {
        let verdict = match run_watched(test.name) {
            Ok(verdict) => verdict,
            Err(error) => {
                // Without the watch a pass would mean nothing.
                println!("Bail out! {error}");
                return ExitCode::from(BAD_USAGE);
            }
        };
        match verdict {
            Verdict::Pass(output) => {
                passed += 1;
                for line in output.lines().filter(|line| line.starts_with("# ")) {
                    println!("{line}");
                }
                println!("ok {number} {}", test.name);
            }
            Verdict::Skip(reason) => {
                skipped += 1;
                println!("ok {number} {} # SKIP {reason}", test.name);
            }
            Verdict::Fail(reason) => {
                failed += 1;
                for line in reason.lines() {
                    println!("# {}: {line}", test.name);
                }
                println!("not ok {number} {}", test.name);
            }
        }
        // A machine that crashes next must not take this line with it.
        let _ = io::stdout().flush();
    }
    println!("# Totals: pass:{passed} fail:{failed} xfail:0 xpass:0 skip:{skipped} error:0");
    ExitCode::from(if failed == 0 { ALL_PASSED } else { SOME_FAILED })
}

/// Runs one test in a process of its own and looks at what it leaves behind.
fn run_watched(name: &str) -> io::Result<Verdict> {
    let program = env::current_exe()?;
    let mut kmsg = Kmsg::watch()?;
    let program_name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    kmsg.mark(&format!("selftests: {program_name} {name}"))?;
    let held_before = Pins::now()?.held();
    let buffers_before = bufinfo::count()?;

    let mut output = File::from(rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC)?);
    let mut child = Command::new(&program)
        .args(["--only", name])
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn()?;
    let limit = TIMEOUT.here()?;
    let status = wait(&mut child, limit)?;
    let mut text = String::new();
    output.rewind()?;
    output.read_to_string(&mut text)?;
    let verdict = verdict(status, limit, text.trim_end());

    let mut left = Vec::new();
    let held = Pins::now()?.held();
    if held != held_before {
        left.push(format!(
            "{held_before} pages were pinned before, {held} are after"
        ));
    }
    let buffers = bufinfo::count()?;
    if buffers != buffers_before {
        left.push(format!(
            "there were {buffers_before} dma-bufs before, {buffers} are after"
        ));
    }
    left.extend(
        kmsg.complaints()?
            .into_iter()
            .map(|line| format!("kernel log: {line}")),
    );
    if left.is_empty() {
        return Ok(verdict);
    }
    if let Verdict::Fail(reason) | Verdict::Skip(reason) = verdict {
        left.insert(0, reason);
    }
    Ok(Verdict::Fail(left.join("\n")))
}

/// Waits for the end of the child; `None` when it was ended for taking too long.
///
/// # Errors
///
/// When it does not die either: whatever runs next would wait for the same.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = Pid::from_child(child);
    if fork::ends_within(pid, limit)? {
        return child.wait().map(Some);
    }
    // The whole group, as the test may have children.
    process::kill_process_group(pid, Signal::KILL)?;
    if !fork::ends_within(pid, LAST_GASP.here()?)? {
        return Err(io::Error::other("a test hangs in the kernel for ever"));
    }
    child.wait()?;
    Ok(None)
}

fn verdict(status: Option<ExitStatus>, limit: Duration, output: &str) -> Verdict {
    let with_output = |why: String| match output {
        "" => Verdict::Fail(why),
        _ => Verdict::Fail(format!("{output}\n{why}")),
    };
    let Some(status) = status else {
        return with_output(format!("did not end within {} s", limit.as_secs()));
    };
    if let Some(signal) = status.signal() {
        return with_output(format!("killed by signal {signal}"));
    }
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(PASSED) => Verdict::Pass(output.to_owned()),
        Some(SKIPPED) => Verdict::Skip(
            output
                .lines()
                .last()
                .unwrap_or("no reason given")
                .to_owned(),
        ),
        Some(FAILED) if !output.is_empty() => Verdict::Fail(output.to_owned()),
        code => with_output(format!("exit code {code:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(verdict: Verdict) -> String {
        match verdict {
            Verdict::Pass(output) => format!("pass: {output}"),
            Verdict::Fail(reason) => format!("fail: {reason}"),
            Verdict::Skip(reason) => format!("skip: {reason}"),
        }
    }

    fn judged(status: Option<ExitStatus>, output: &str) -> Verdict {
        verdict(status, Duration::from_secs(180), output)
    }

    fn exited(code: i32) -> Option<ExitStatus> {
        Some(ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn verdict_follows_the_exit_status() {
        assert_eq!(text(judged(exited(0), "# news")), "pass: # news");
        assert_eq!(text(judged(exited(1), "why")), "fail: why");
        assert_eq!(
            text(judged(exited(4), "no huge pages")),
            "skip: no huge pages"
        );
        assert_eq!(text(judged(exited(7), "")), "fail: exit code Some(7)");
    }

    #[test]
    fn name_of_two_tests_is_found() {
        let named = |name| Test {
            name,
            run: || Ok(()),
        };
        assert_eq!(twice(&["a", "b", "ab"].map(named)), None);
        assert_eq!(twice(&["a", "b", "a"].map(named)), Some("a"));
    }

    #[test]
    fn crash_and_timeout_are_failures() {
        let crashed = Some(ExitStatus::from_raw(11));
        assert_eq!(
            text(judged(crashed, "said")),
            "fail: said\nkilled by signal 11"
        );
        assert_eq!(text(judged(None, "")), "fail: did not end within 180 s");
    }
}
