// SPDX-License-Identifier: GPL-2.0

//! One site after the other, until there is none left.

use std::time::Instant;

use selftests::Outcome;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::fail;

use crate::injection;
use crate::site::Site;
use crate::sites;
use crate::traces::Traces;

/// More sites than any request has: one that has more does not end.
const MOST: usize = 100_000;

/// A scenario whose sites fail.
pub struct Sweep {
    name: &'static str,
    /// How many sites are all tried.
    dense: usize,
    /// Of those behind, one of so many is.
    stride: usize,
}

impl Sweep {
    /// A sweep over all sites of the scenario that the table has under this name.
    pub fn over(name: &'static str) -> Sweep {
        Sweep {
            name,
            dense: usize::MAX,
            stride: 1,
        }
    }

    /// Only one of `stride` sites behind the first `dense` ones: for a request that does the same
    /// as often as it has pages.
    pub fn sparse(mut self, dense: usize, stride: usize) -> Sweep {
        self.dense = dense;
        self.stride = stride;
        self
    }

    /// Lets one site after the other fail, until there is none left. After each, nothing may be
    /// there that was not there before.
    pub fn run(self, scenario: impl Fn(&Site) -> Outcome) -> Outcome {
        let name = self.name;
        let least = sites::least(name)?;
        let started = Instant::now();
        let site = Site::none(injection::prepare()?);
        // What is made once and stays, such as caches of the kernel, is there afterwards.
        scenario(&site)?;
        let before = Traces::now()?;
        let (mut tried, mut last) = (0, 0);
        let mut next = 1;
        while next < MOST {
            site.aim(next);
            if let Err(stop) = scenario(&site) {
                return fail(format_args!("{name}, site {next}: {stop}"));
            }
            equal(
                format_args!("{name}: left behind after site {next}"),
                &Traces::now()?,
                &before,
            )?;
            if !site.is_reached() {
                // What the kernel has in stock differs from time to time.
                let found = last.max(next - site.left());
                let seconds = started.elapsed().as_secs_f32();
                println!("# {name}: {found} sites, {tried} of them tried, {seconds:.1} s");
                return check(
                    format_args!("{name}: {found} sites are {least} at least"),
                    found >= least,
                );
            }
            tried += 1;
            last = next;
            next += if next < self.dense { 1 } else { self.stride };
        }
        fail(format_args!("{name}: more than {MOST} sites"))
    }
}
