// SPDX-License-Identifier: GPL-2.0

//! A program that does one thing after another: results in KTAP, as they come. Lines that begin
//! with `# next:` say what it is about to do, other comments what it found.

use std::fmt::Display;
use std::io;
use std::io::Write;

/// Counts results and prints them.
#[derive(Debug)]
pub struct Report {
    number: usize,
    failed: usize,
}

impl Report {
    /// Begins; the plan follows, before the first result.
    pub fn begin() -> Self {
        println!("KTAP version 1");
        Report {
            number: 0,
            failed: 0,
        }
    }

    /// Announces that many results.
    pub fn plan(&self, results: usize) {
        println!("1..{results}");
    }

    /// Says what comes next.
    pub fn next(&self, what: impl Display) {
        println!("# next: {what}");
        // Whoever watches wants to see it now.
        let _ = io::stdout().flush();
    }

    /// Takes in a result: what was found, or what is wrong.
    pub fn result(&mut self, name: &str, result: Result<String, impl Display>) {
        self.number += 1;
        let (text, verdict) = match result {
            Ok(found) => (found, "ok"),
            Err(error) => {
                self.failed += 1;
                (format!("{error:#}"), "not ok")
            }
        };
        for line in text.lines() {
            println!("# {name}: {line}");
        }
        println!("{verdict} {} {name}", self.number);
        let _ = io::stdout().flush();
    }

    /// Ends it; whether all is well.
    pub fn end(self) -> bool {
        let passed = self.number - self.failed;
        println!(
            "# Totals: pass:{passed} fail:{} xfail:0 xpass:0 skip:0 error:0",
            self.failed
        );
        self.failed == 0
    }
}
