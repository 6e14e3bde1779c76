// SPDX-License-Identifier: GPL-2.0

//! The module's rules hold, and each of those that were broken on purpose does not.

mod scripts;

use model::{
    run::Rules,
    script::{
        Access::{Read, ReadWrite, Write},
        Class, Op, Script,
    },
};
use scripts::*;

/// One device, and a CPU that brackets or not, in every order, on one byte.
fn in_turns() -> Vec<Script> {
    let alphabet = [
        Op::Begin(ReadWrite),
        Op::Begin(Read),
        Op::End(ReadWrite),
        Op::End(Read),
        store(A),
        load(A),
        device_store(0, A),
        device_load(0, A),
    ];
    let choices = [
        these([map(0, ReadWrite)]),
        any(&alphabet, 6),
        these([unmap(0), load(A)]),
    ]
    .concat();
    Class::ALL
        .map(|class| script([class, Class::Coherent], vec![choices.clone()]))
        .into()
}

/// Devices that come, go and come back, and one that is imported twice, for one byte.
fn mappings() -> Vec<Script> {
    let steps = vec![
        vec![store(A)],
        vec![load(A)],
        vec![Op::Begin(Write), Op::End(Read)],
        vec![device_store(0, A)],
        vec![device_load(0, A)],
        vec![map(1, ReadWrite), device_store(1, A), unmap(1)],
        vec![map(1, Read), device_load(1, A), unmap(1)],
    ];
    let choices = [
        // The second mapping may write, the first only reads.
        these([map(0, Read), store(A), map(0, ReadWrite)]),
        vec![steps.clone(), steps.clone()],
        these([unmap(0)]),
        vec![steps],
        these([
            unmap(0),
            load(A),
            map(0, ReadWrite),
            device_load(0, A),
            unmap(0),
        ]),
    ]
    .concat();
    let mut scripts = Vec::new();
    for one in Class::ALL {
        for other in Class::ALL {
            scripts.push(script([one, other], vec![choices.clone()]));
        }
    }
    scripts
}

/// A CPU beside a device, at the same time, each with a byte of its own.
fn at_once() -> Vec<Script> {
    let mut scripts = Vec::new();
    for class in Class::ALL {
        let classes = [class, Class::Coherent];
        let theirs = beside(classes);
        let alphabet = [
            Op::Begin(ReadWrite),
            Op::End(ReadWrite),
            Op::End(Read),
            store(A),
            load(A),
            load(theirs),
        ];
        let device = these([
            map(0, ReadWrite),
            device_store(0, theirs),
            device_load(0, A),
            unmap(0),
        ]);
        scripts.push(script(classes, vec![any(&alphabet, 5), device]));
    }
    scripts
}

/// Two CPU threads whose brackets overlap, or are left open, while a device is mapped.
fn two_threads() -> Vec<Script> {
    let mut scripts = Vec::new();
    for class in Class::ALL {
        let classes = [class, Class::Coherent];
        let theirs = beside(classes);
        let writer = vec![
            vec![Op::Begin(ReadWrite), store(A), Op::End(ReadWrite)],
            vec![Op::Begin(Write), store(A)],
            vec![store(A), Op::End(Write)],
            vec![Op::Begin(ReadWrite), store(A), Op::End(Read)],
        ];
        let first = [
            these([map(0, ReadWrite), device_store(0, theirs)]),
            vec![writer],
            these([device_load(0, A), unmap(0), load(theirs)]),
        ];
        let reader = these([Op::Begin(Read), load(theirs), Op::End(Read)]);
        scripts.push(script(classes, vec![first.concat(), reader]));
    }
    scripts
}

/// Two devices of every two classes, each with a byte of its own, and a CPU that hands over.
fn two_devices() -> Vec<Script> {
    let mut scripts = Vec::new();
    for one in Class::ALL {
        for other in Class::ALL {
            let classes = [one, other];
            let theirs = beside(classes);
            let alone = these([
                map(0, ReadWrite),
                device_store(0, A),
                device_load(0, theirs),
                unmap(0),
            ]);
            let with_the_other = [
                these([map(0, ReadWrite), map(1, ReadWrite), device_store(0, A)]),
                vec![vec![
                    vec![Op::Begin(ReadWrite), Op::End(ReadWrite)],
                    vec![Op::End(Read)],
                ]],
                these([
                    device_load(1, A),
                    unmap(0),
                    device_load(1, A),
                    load(A),
                    unmap(1),
                ]),
            ]
            .concat();
            for first in [alone, with_the_other] {
                let second = these([map(1, ReadWrite), device_store(1, theirs), unmap(1)]);
                scripts.push(script(classes, vec![first, second]));
            }
        }
    }
    scripts
}

/// END against map, with stores that are still in the CPU's store buffer.
fn dekker() -> Vec<Script> {
    let mut scripts = Vec::new();
    for class in Class::ALL {
        let cpu = [these([store(A)]), any(&[Op::End(Read), Op::End(Write)], 1)];
        let device = these([map(0, Read), device_load(0, A), unmap(0)]);
        scripts.push(Script {
            buffered: true,
            ..script([class, Class::Coherent], vec![cpu.concat(), device])
        });
    }
    scripts
}

fn families() -> Vec<(&'static str, Vec<Script>)> {
    vec![
        ("in turns", in_turns()),
        ("mappings", mappings()),
        ("at once", at_once()),
        ("two threads", two_threads()),
        ("two devices", two_devices()),
        ("dekker", dekker()),
    ]
}

#[test]
fn the_rules_hold() {
    hold(families());
}

#[test]
fn whole_words_lose_a_neighbour() {
    is_wrong(Rules::WholeWords, at_once());
}

#[test]
fn twin_and_shadow_want_one_load() {
    is_wrong(Rules::FilledTwice, at_once());
}

#[test]
fn all_is_collected_before_anything_is_published() {
    is_wrong(Rules::PublishedEarly, two_devices());
}

#[test]
fn a_twin_is_made_of_the_shadow() {
    is_wrong(Rules::TwinOfThePages, mappings());
}

#[test]
fn end_needs_its_barrier() {
    is_wrong(Rules::NoBarrier, dekker());
}

#[test]
fn map_needs_its_barrier() {
    is_wrong(Rules::NoBarrierAtMap, dekker());
}

#[test]
fn a_store_between_two_passes_is_lost() {
    is_wrong(Rules::TwoPasses, at_once());
}

#[test]
fn invalidating_alone_loses_stores() {
    is_wrong(Rules::InvalidatedAlone, at_once());
}

#[test]
fn invalidating_after_unmap_loses_stores() {
    is_wrong(Rules::InvalidatedAfterUnmap, at_once());
}

#[test]
fn the_word_is_cleared_last() {
    is_wrong(Rules::ClearedEarly, at_once());
}

#[test]
fn remembering_brackets_goes_stale() {
    is_wrong(Rules::Remembering, in_turns());
}
