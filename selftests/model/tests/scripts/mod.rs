// SPDX-License-Identifier: GPL-2.0

//! What scripts are made of.

use model::{
    explore::explore,
    run::Rules,
    script::{Access, Class, Op, Script, DEVICES},
};

/// Two bytes of one word, and one of another.
pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 8;

/// Every sequence of `length` of the alphabet.
pub fn sequences<T: Clone>(alphabet: &[T], length: usize) -> Vec<Vec<T>> {
    let mut all = vec![Vec::new()];
    for _ in 0..length {
        all = all
            .iter()
            .flat_map(|sequence: &Vec<T>| {
                alphabet
                    .iter()
                    .map(move |next| [sequence.as_slice(), std::slice::from_ref(next)].concat())
            })
            .collect();
    }
    all
}

/// Gives each write a value of its own.
fn numbered(agents: Vec<Vec<Op>>) -> Vec<Vec<Op>> {
    let mut last = 0;
    let mut number = |op| {
        last += 1;
        match op {
            Op::Store { byte, .. } => Op::Store { byte, value: last },
            Op::DeviceStore { device, byte, .. } => Op::DeviceStore {
                device,
                byte,
                value: last,
            },
            other => other,
        }
    };
    let agents = agents.into_iter();
    agents
        .map(|ops| ops.into_iter().map(&mut number).collect())
        .collect()
}

pub fn script(classes: [Class; DEVICES], agents: Vec<Vec<Op>>) -> Script {
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
        let number = scripts.len();
        let began = std::time::Instant::now();
        let explored = explore(scripts, Rules::Real);
        println!(
            "{name:18} {number:6} scripts {:9} states {:5.1} s",
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
