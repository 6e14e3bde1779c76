// SPDX-License-Identifier: GPL-2.0

//! Two operations at once, again and again, in a process that is given up afterwards.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use selftests::Held;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::child;
use selftests::kmsg::Kmsg;
use selftests::limit::Limit;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::statistics;
use selftests::sys::fork::Child;

use crate::meet::Meet;
use crate::operation::Needs;
use crate::operation::Operation;
use crate::stage::Hand;
use crate::stage::Stage;

/// How much longer a pair may take than it is given. An emulated machine is slow, and a round begins
/// before the end.
const PATIENCE: Limit = Limit::seconds(60);

/// Rounds that there are, however little time there is.
const FEWEST: usize = 4;

/// Who does the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Two threads, which share all descriptors and the address space, and begin each round together.
    Threads,
    /// Two processes, which share what was open when they parted.
    Processes,
}

/// Two operations.
#[derive(Clone, Copy)]
pub struct Pair {
    pub first: &'static Operation,
    pub second: &'static Operation,
    pub who: Who,
}

impl Pair {
    pub fn name(&self) -> String {
        let names = format!("{}_and_{}", self.first.name, self.second.name);
        match self.who {
            Who::Threads => names,
            Who::Processes => format!("{names}_in_processes"),
        }
    }

    /// Runs both for a while, and returns the number of rounds that both did.
    ///
    /// # Errors
    ///
    /// Whatever went wrong, or was left behind.
    pub fn run(&self, duration: Duration, seed: u64) -> Outcome<u64> {
        let mut kmsg = Kmsg::watch()?;
        kmsg.mark(&format!("selftests: pairs {}", self.name()))?;
        let (held, gauges) = (Held::now()?, statistics::gauges()?);

        let rounds = Rounds::new()?;
        let child = Child::run(|| {
            child::exit_code(&format!("# {}", self.name()), || {
                let stage = Stage::new()?;
                match self.who {
                    Who::Threads => self.in_threads(&stage, &rounds, duration, seed),
                    Who::Processes => self.in_processes(&stage, &rounds, duration, seed),
                }
            })
        })?;
        let status = child.wait_within(duration + PATIENCE.here()?)?;

        equal("complaints of the kernel", kmsg.complaints()?, Vec::new())?;
        let Some(status) = status else {
            return fail("it did not come to an end");
        };
        equal("signal", status.terminating_signal(), None)?;
        equal("exit code", status.exit_status(), Some(0))?;
        let after = Held::wait_until(|now| *now == held)?;
        equal("what is held", after, held)?;
        equal("statistics", statistics::gauges()?, gauges)?;
        let rounds = rounds.of_both();
        check("both did something", rounds >= FEWEST as u64)?;
        Ok(rounds)
    }

    fn in_threads(&self, stage: &Stage, rounds: &Rounds, duration: Duration, seed: u64) -> Outcome {
        // Both are ready before one begins, which may take away what the other one looks for.
        let mut hands = [self.hand(stage, 0, seed)?, self.hand(stage, 1, seed)?];
        let (meet, deadline) = (Meet::default(), Instant::now() + duration);
        thread::scope(|scope| -> Outcome {
            let threads: Vec<_> = hands
                .iter_mut()
                .enumerate()
                .map(|(who, hand)| {
                    let (operation, meet) = (self.operation(who), &meet);
                    scope.spawn(move || {
                        let result = repeat(operation, hand, deadline, |round| {
                            rounds.set(who, round as u64);
                            meet.both(round)
                        });
                        meet.leave();
                        result
                    })
                })
                .collect();
            let results = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(_) => fail("a thread panicked"),
            });
            results.collect()
        })?;
        self.intact(&hands)
    }

    fn in_processes(
        &self,
        stage: &Stage,
        rounds: &Rounds,
        duration: Duration,
        seed: u64,
    ) -> Outcome {
        let deadline = Instant::now() + duration;
        let run = |who: usize| -> Outcome {
            let mut hand = self.hand(stage, who, seed)?;
            repeat(self.operation(who), &mut hand, deadline, |round| {
                rounds.set(who, round as u64);
                true
            })?;
            self.intact(&[hand])
        };
        let other = Child::run(|| child::exit_code(&format!("# {}", self.name()), || run(1)))?;
        run(0)?;
        let status = other.wait()?;
        equal("exit code of the other", status.exit_status(), Some(0))
    }

    fn operation(&self, who: usize) -> &'static Operation {
        [self.first, self.second][who]
    }

    fn hand<'a>(&self, stage: &'a Stage, who: usize, seed: u64) -> Outcome<Hand<'a>> {
        let pair = [self.operation(who), self.operation(1 - who)];
        // Each has data of its own.
        Hand::new(stage, who, seed << 20 | who as u64, pair)
    }

    /// What each of them wrote last is everywhere.
    fn intact(&self, hands: &[Hand<'_>]) -> Outcome {
        let devices = [self.first, self.second].map(|one| one.needs == Needs::Devices);
        let with_device = devices.contains(&true);
        let mut all = hands.iter();
        all.try_for_each(|hand| hand.intact_everywhere(with_device))
    }
}

/// Does an operation until it is time, or `next` says that it is enough.
fn repeat(
    operation: &Operation,
    hand: &mut Hand<'_>,
    deadline: Instant,
    next: impl Fn(usize) -> bool,
) -> Outcome {
    for round in 0.. {
        // `next` first: it says how many rounds are over.
        if !next(round) || (round >= FEWEST && Instant::now() >= deadline) {
            break;
        }
        hand.pause.here();
        (operation.run)(hand)?;
    }
    Ok(())
}

/// How far each of the two has come, for the process that waits for them.
struct Rounds(Mapping);

impl Rounds {
    fn new() -> Outcome<Rounds> {
        Ok(Rounds(Memfd::new(PAGE)?.map()?))
    }

    fn set(&self, who: usize, rounds: u64) {
        self.0.write(who * size_of::<u64>(), &rounds.to_ne_bytes());
    }

    fn of_both(&self) -> u64 {
        let [first, second] = [0, 1].map(|who| {
            let mut bytes = [0; size_of::<u64>()];
            self.0.read(who * bytes.len(), &mut bytes);
            u64::from_ne_bytes(bytes)
        });
        first.min(second)
    }
}
