// SPDX-License-Identifier: GPL-2.0

//! What scripts are made of.

use model::{
    explore::explore,
    run::Rules,
    script::{Access, Choice, Class, Op, Script, DEVICES},
};

/// Two bytes of one word, and one of another.
pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 8;

/// No choice: these.
pub fn these(ops: impl Into<Vec<Op>>) -> Vec<Choice> {
    vec![vec![ops.into()]]
}

/// One operation of the alphabet after the other.
pub fn any(alphabet: &[Op], times: usize) -> Vec<Choice> {
    vec![alphabet.iter().map(|op| vec![*op]).collect(); times]
}

/// Gives each write a value of its own, unless they are alternatives.
fn numbered(mut agents: Vec<Vec<Choice>>) -> Vec<Vec<Choice>> {
    let mut last = 0;
    for choice in agents.iter_mut().flatten() {
        let first = last;
        for ops in choice {
            for (op, number) in ops.iter_mut().zip(first + 1..) {
                if let Op::Store { value, .. } | Op::DeviceStore { value, .. } = op {
                    *value = number;
                }
                last = last.max(number);
            }
        }
    }
    agents
}

pub fn script(classes: [Class; DEVICES], agents: Vec<Vec<Choice>>) -> Script {
    // Behind a choice of nothing, nothing would be explored.
    let mut choices = agents.iter().flatten();
    assert!(choices.all(|choice| !choice.is_empty() && choice.iter().all(|ops| !ops.is_empty())));
    Script {
        classes,
        agents: numbered(agents),
        buffered: false,
        automatic: None,
    }
}

pub fn store(byte: usize) -> Op {
    Op::Store { byte, value: 0 }
}

pub fn load(byte: usize) -> Op {
    Op::Load { byte }
}

pub fn device_store(device: usize, byte: usize) -> Op {
    Op::DeviceStore {
        device,
        byte,
        value: 0,
    }
}

pub fn device_load(device: usize, byte: usize) -> Op {
    Op::DeviceLoad { device, byte }
}

pub fn map(device: usize, access: Access) -> Op {
    Op::Map { device, access }
}

pub fn unmap(device: usize) -> Op {
    Op::Unmap { device }
}

/// The device's byte: beside the CPU's, unless a cache line is the smallest piece.
pub fn beside(classes: [Class; DEVICES]) -> usize {
    match classes.contains(&Class::Cache) {
        true => C,
        false => B,
    }
}

/// The rules hold in all scripts of each family.
pub fn hold(families: Vec<(&'static str, Vec<Script>)>) {
    let mut all = 0;
    for (name, scripts) in families {
        let ways: usize = scripts.iter().map(Script::ways).sum();
        let began = std::time::Instant::now();
        let explored = explore(scripts, Rules::Real);
        println!(
            "{name:18} {ways:6} scripts {:9} states {:5.1} s",
            explored.states,
            began.elapsed().as_secs_f64()
        );
        assert_eq!(explored.wrong, None, "{name}");
        all += explored.states;
    }
    println!("{:18} {:6}         {all:9} states", "all", "");
}

/// Broken rules do not.
pub fn is_wrong(rules: Rules, scripts: Vec<Script>) {
    let explored = explore(scripts, rules);
    let wrong = explored.wrong.expect("the broken rule is noticed");
    println!("{rules:?}: {wrong}");
}
