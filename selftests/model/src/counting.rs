// SPDX-License-Identifier: GPL-2.0

//! A CPU and a device that count together in one word, in every interleaving: which devices may do so
//! is decided by `mode.rs` and `atomics.rs`.

use stateright::{Checker, Model, Property};

use crate::{
    atomics::{Bus, Widths},
    coherency::Coherency,
    mode::Mode,
};

/// Who counts, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Adds {
    /// In one step, as the CPU's atomic instructions do.
    AtOnce,
    /// By a read and a write.
    InTwoSteps,
}

/// How a device on such a bus adds to a word of `bytes` bytes. One that caches the line has it alone
/// meanwhile. An atomic operation that nobody carries out has to be made of a read and a write.
fn device(bus: &Bus, bytes: usize) -> Adds {
    let completed = bus.completes.is_none_or(|widths| match bytes {
        4 => widths.four_bytes,
        _ => widths.eight_bytes,
    });
    match bus.caches || (bus.requests && completed) {
        true => Adds::AtOnce,
        false => Adds::InTwoSteps,
    }
}

/// The CPU and a device, each of which adds 1 twice.
struct Counting(Adds);

const EACH: u8 = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Adder {
    done: u8,
    /// What it has read and not written back.
    read: Option<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    word: u8,
    adders: [Adder; 2],
}

impl Model for Counting {
    type State = State;
    /// The CPU, which is 0, or the device goes on.
    type Action = usize;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<usize>) {
        actions.extend((0..2).filter(|&adder| state.adders[adder].done < EACH));
    }

    fn next_state(&self, last: &State, who: usize) -> Option<State> {
        let mut state = *last;
        let adder = &mut state.adders[who];
        let how = [Adds::AtOnce, self.0][who];
        match (how, adder.read) {
            (Adds::InTwoSteps, None) => adder.read = Some(state.word),
            (_, read) => {
                state.word = read.unwrap_or(state.word) + 1;
                *adder = Adder {
                    done: adder.done + 1,
                    read: None,
                };
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("nothing is lost", |_, state: &State| {
            let done: u8 = state.adders.iter().map(|adder| adder.done).sum();
            done < 2 * EACH || state.word == done
        })]
    }
}

/// Whether anything is lost in some interleaving.
fn loses(adds: Adds) -> bool {
    let checked = Counting(adds).checker().spawn_bfs().join();
    checked.discovery("nothing is lost").is_some()
}

fn buses() -> Vec<Bus> {
    let bools = [false, true];
    let mut buses = Vec::new();
    for caches in bools {
        for requests in bools {
            let mut completes = vec![None];
            for four_bytes in bools {
                completes.extend(bools.map(|eight_bytes| {
                    Some(Widths {
                        four_bytes,
                        eight_bytes,
                    })
                }));
            }
            buses.extend(completes.into_iter().map(|completes| Bus {
                caches,
                requests,
                completes,
            }));
        }
    }
    buses
}

#[test]
fn who_may_map_loses_nothing_and_who_may_not_does() {
    let mut admitted = 0;
    for bus in buses() {
        let may = Mode::AtomicCoherent.may_map(Coherency::Coherent, bus.has_atomics());
        let lost = [4, 8].iter().any(|&bytes| loses(device(&bus, bytes)));
        assert_eq!(may, !lost, "{bus:?}");
        admitted += usize::from(may);
    }
    // Ten that cache, and of the others those that request and are completed, or see no root port.
    assert_eq!(admitted, 10 + 2);
}

#[test]
fn a_coherent_device_may_map_in_the_other_modes_and_may_lose_something() {
    assert!(Mode::CpuCoherent.may_map(Coherency::Coherent, false));
    assert!(loses(Adds::InTwoSteps) && !loses(Adds::AtOnce));
}
