// SPDX-License-Identifier: GPL-2.0

//! An automatic buffer hands itself over: nobody brackets, and everybody sees what was written last.
//! Devices say when they access it, or are mapped for one access.

// The other tests use the rest.
#[allow(dead_code)]
mod scripts;

use model::{
    run::Rules,
    script::{
        Access::{self, Read, ReadWrite, Write},
        Class, Layout, Op, Script,
    },
};
use scripts::*;

fn automatic(layout: Layout, script: Script) -> Script {
    Script {
        automatic: Some(layout),
        ..script
    }
}

fn begin_device(device: usize) -> Op {
    Op::BeginDevice { device }
}

fn end_device(device: usize, access: Access) -> Op {
    Op::EndDevice { device, access }
}

/// A device that is mapped accesses the buffer, and says so.
fn says(device: usize, op: Op) -> Vec<Op> {
    let access = match op {
        Op::DeviceLoad { .. } => Read,
        _ => ReadWrite,
    };
    vec![begin_device(device), op, end_device(device, access)]
}

/// A device is mapped for one access.
fn once(device: usize, access: Access, op: Op) -> Vec<Op> {
    vec![map(device, access), op, unmap(device)]
}

/// A device that keeps its mapping and a CPU, one after the other, and another device that comes and goes.
fn in_turns(length: usize) -> Vec<Script> {
    let steps = vec![
        vec![store(A)],
        vec![load(A)],
        says(0, device_store(0, A)),
        says(0, device_load(0, A)),
        once(1, ReadWrite, device_store(1, A)),
        once(1, Read, device_load(1, A)),
        // What the CPU does while there are two devices.
        [
            vec![map(1, ReadWrite), store(A)],
            says(1, device_load(1, A)),
            vec![unmap(1)],
        ]
        .concat(),
        vec![Op::MapInVain { device: 1 }],
        vec![Op::Begin(ReadWrite), store(A), Op::End(ReadWrite)],
    ];
    let mut scripts = Vec::new();
    for one in Class::ALL {
        for other in Class::ALL {
            for access in [Read, ReadWrite] {
                // Lines of a device that only reads are not always written back.
                if access == Read && one != Class::Cache {
                    continue;
                }
                let writes = |op: &Op| matches!(op, Op::DeviceStore { device: 0, .. });
                let steps = steps
                    .iter()
                    .filter(|ops| access != Read || !ops.iter().any(writes));
                let choices = [
                    these([store(A), map(0, access)]),
                    vec![steps.cloned().collect(); length],
                    these(says(0, device_load(0, A))),
                    these([load(A), unmap(0), load(C)]),
                ];
                let script = script([one, other], vec![choices.concat()]);
                scripts.push(automatic(Layout::Apart, script));
            }
        }
    }
    scripts
}

/// The same for all layouts, with two words.
fn in_chunks(length: usize) -> Vec<Script> {
    let steps = vec![
        vec![store(A)],
        vec![load(C)],
        says(0, device_store(0, C)),
        says(0, device_load(0, A)),
        vec![Op::Begin(Read), Op::End(Read)],
    ];
    let mut scripts = Vec::new();
    for class in Class::ALL {
        for layout in Layout::ALL {
            let choices = [
                these([map(0, ReadWrite)]),
                vec![steps.clone(); length],
                these(says(0, device_load(0, A))),
                these([load(C), unmap(0)]),
            ];
            let script = script([class, Class::Coherent], vec![choices.concat()]);
            scripts.push(automatic(layout, script));
        }
    }
    scripts
}

/// A CPU beside a device, at the same time, each with a byte of its own.
fn at_once(length: usize) -> Vec<Script> {
    let mut scripts = Vec::new();
    for class in Class::ALL {
        let classes = [class, Class::Coherent];
        let theirs = beside(classes);
        let layouts = match theirs {
            C => &Layout::ALL[..],
            _ => &[Layout::Apart],
        };
        for &layout in layouts {
            let device = [
                vec![map(0, ReadWrite)],
                says(0, device_store(0, theirs)),
                says(0, device_load(0, A)),
                vec![unmap(0)],
            ];
            let device = vec![device.concat(), once(0, ReadWrite, device_store(0, theirs))];
            let cpu = any(&[store(A), load(A), load(theirs)], length);
            let script = script(classes, vec![cpu, vec![device]]);
            scripts.push(automatic(layout, script));
        }
    }
    scripts
}

/// Two processes, each with entries of its own, of which one has the device.
fn two_processes() -> Vec<Script> {
    let mut scripts = Vec::new();
    for class in Class::ALL {
        let classes = [class, Class::Coherent];
        let theirs = beside(classes);
        let first = vec![
            [vec![store(A)], says(0, device_load(0, A))].concat(),
            [says(0, device_store(0, theirs)), vec![load(theirs)]].concat(),
        ];
        let first = [these([map(0, ReadWrite)]), vec![first], these([unmap(0)])];
        let second = vec![
            vec![load(theirs), store(A)],
            vec![Op::Begin(ReadWrite), store(A), Op::End(ReadWrite)],
            vec![Op::Begin(Read), load(theirs), Op::End(Read)],
        ];
        let script = script(classes, vec![first.concat(), vec![second]]);
        scripts.push(automatic(Layout::Apart, script));
    }
    scripts
}

/// Two devices of every two classes, each with a byte of its own, and a CPU.
fn two_devices() -> Vec<Script> {
    let mut scripts = Vec::new();
    for one in Class::ALL {
        for other in Class::ALL {
            let classes = [one, other];
            let theirs = beside(classes);
            let first = [
                vec![map(0, ReadWrite), store(A)],
                says(0, device_load(0, A)),
                vec![load(theirs), unmap(0)],
            ];
            let second = vec![
                once(1, Write, device_store(1, theirs)),
                once(1, Read, device_load(1, A)),
                vec![Op::MapInVain { device: 1 }],
            ];
            let together = script(classes, vec![these(first.concat()), vec![second]]);
            scripts.push(automatic(Layout::Apart, together));
            let turns = [
                vec![map(0, ReadWrite), map(1, ReadWrite)],
                says(0, device_store(0, A)),
                vec![load(C)],
                says(1, device_load(1, A)),
                vec![load(A)],
                says(1, device_store(1, A)),
                says(0, device_load(0, A)),
                vec![load(A), unmap(1), store(A)],
                says(0, device_load(0, A)),
                vec![unmap(0)],
            ];
            let to_a_reader = [
                vec![map(0, ReadWrite), map(1, Read)],
                says(0, device_store(0, A)),
                says(1, device_load(1, A)),
                vec![unmap(0), unmap(1)],
            ];
            let alone = vec![turns.concat(), to_a_reader.concat()];
            let alone = script(classes, vec![vec![alone]]);
            scripts.push(automatic(Layout::Apart, alone));
        }
        // A coherent device need not say anything, as the CPU does not.
        let silent = [
            vec![map(0, ReadWrite), map(1, ReadWrite)],
            says(0, device_store(0, A)),
            vec![device_load(1, A), device_store(1, A)],
            says(0, device_load(0, A)),
            vec![unmap(0), unmap(1)],
        ];
        let script = script([one, Class::Coherent], vec![these(silent.concat())]);
        scripts.push(automatic(Layout::Apart, script));
    }
    scripts
}

/// A device that is mapped, or begins an access, with stores that are still in the CPU's store buffer.
fn buffered() -> Vec<Script> {
    let mut scripts = Vec::new();
    for class in Class::ALL {
        let device = vec![
            once(0, Read, device_load(0, A)),
            [
                vec![map(0, Read)],
                says(0, device_load(0, A)),
                vec![unmap(0)],
            ]
            .concat(),
        ];
        let cpu = these([store(A), store(A)]);
        let script = script([class, Class::Coherent], vec![cpu, vec![device]]);
        scripts.push(Script {
            buffered: true,
            ..automatic(Layout::Apart, script)
        });
    }
    scripts
}

#[test]
fn the_rules_hold() {
    hold(vec![
        ("in turns", in_turns(3)),
        ("in chunks", in_chunks(4)),
        ("at once", at_once(3)),
        ("two processes", two_processes()),
        ("two devices", two_devices()),
        ("buffered", buffered()),
    ]);
}

#[test]
fn a_fault_brings_home() {
    is_wrong(Rules::NotBroughtHome, in_chunks(2));
}

#[test]
fn what_gets_an_entry_is_noted() {
    is_wrong(Rules::NotNoted, in_chunks(2));
}

#[test]
fn an_entry_is_made_under_the_mutex() {
    is_wrong(Rules::EnteredLate, at_once(2));
}

#[test]
fn entries_go_when_a_device_begins() {
    is_wrong(Rules::EntriesKept, in_chunks(2));
}

#[test]
fn entries_go_when_a_device_is_mapped() {
    is_wrong(Rules::EntriesKeptAtMap, in_turns(2));
}

#[test]
fn entries_go_before_the_hand_over() {
    is_wrong(Rules::ForgottenLate, at_once(2));
}

#[test]
fn entries_go_before_the_mapping() {
    is_wrong(Rules::ForgottenLateAtMap, at_once(2));
}

#[test]
fn what_is_noted_is_given() {
    is_wrong(Rules::ClearedAlone, in_chunks(2));
}

#[test]
fn a_mapping_that_fails_leaves_what_is_noted() {
    is_wrong(Rules::ClearedInVain, in_turns(2));
}

#[test]
fn one_of_several_gets_everything() {
    is_wrong(Rules::GivenNotedAlone, two_devices());
}

#[test]
fn one_of_several_leaves_everything() {
    is_wrong(Rules::TakenNotedAlone, two_devices());
}

#[test]
fn what_is_noted_comes_home_when_a_device_ends() {
    is_wrong(Rules::NothingTaken, at_once(2));
}
