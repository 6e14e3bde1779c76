// SPDX-License-Identifier: GPL-2.0

//! What a read may return.
//!
//! Writes are made by sides: the CPUs and the devices that see what they see are one, each other
//! device is one of its own. A side knows its own writes, and those of another that a hand-over has
//! brought: one that began when the write had been made, and was over when the reader looked. A
//! write is superseded for a reader who knows a later one to the same byte, made by a side that knew
//! the earlier. What is not superseded may be read: the last write, or one of several that race.

use crate::script::{Class, Op, Script, DEVICES};

/// The CPUs, and each device.
const SIDES: usize = 1 + DEVICES;

/// The CPUs' side.
const CPU: usize = 0;

type Numbers = [u8; SIDES];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Write {
    byte: usize,
    value: u8,
    side: usize,
    /// Counted from 1 for each side.
    number: u8,
    /// How many writes of each side its side knew.
    known: Numbers,
}

/// Everything that was written, and who knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Oracle {
    writes: Vec<Write>,
    /// How many writes each side has made.
    made: Numbers,
    /// How many of the CPUs' are in the cache.
    visible: u8,
    /// How many writes of each side each side knows.
    known: [Numbers; SIDES],
}

/// What had been written when an operation began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Start(Numbers);

fn raise(one: &mut u8, other: u8) {
    *one = (*one).max(other);
}

impl Oracle {
    fn side(script: &Script, device: usize) -> usize {
        match script.classes[device] {
            Class::Coherent => CPU,
            _ => 1 + device,
        }
    }

    /// How many writes of a side a reader knows; `own` if the reader has some in its store buffer.
    fn knows(&self, reader: usize, side: usize, own: bool) -> u8 {
        match (reader == side, side) {
            (true, CPU) if !own => self.visible,
            (true, _) => self.made[side],
            (false, _) => self.known[reader][side],
        }
    }

    fn write(&mut self, side: usize, byte: usize, value: u8) {
        self.made[side] += 1;
        let mut known = self.known[side];
        known[side] = self.made[side];
        self.writes.push(Write {
            byte,
            value,
            side,
            number: self.made[side],
            known,
        });
    }

    /// A program wrote; `buffered` if nobody else sees it yet.
    pub fn cpu_wrote(&mut self, byte: usize, value: u8, buffered: bool) {
        self.write(CPU, byte, value);
        if !buffered {
            self.visible = self.made[CPU];
        }
    }

    /// The oldest store of the buffer became visible.
    pub fn drained(&mut self) {
        self.visible += 1;
    }

    /// A device wrote.
    pub fn device_wrote(&mut self, script: &Script, device: usize, byte: usize, value: u8) {
        let side = Self::side(script, device);
        self.write(side, byte, value);
        if side == CPU {
            self.visible = self.made[CPU];
        }
    }

    /// Whether a program may read that; `own` if it has stores in its buffer.
    pub fn cpu_may_read(&self, byte: usize, value: u8, own: bool) -> bool {
        self.may_read(CPU, byte, value, own)
    }

    /// Whether a device may read that.
    pub fn device_may_read(&self, script: &Script, device: usize, byte: usize, value: u8) -> bool {
        self.may_read(Self::side(script, device), byte, value, false)
    }

    fn may_read(&self, reader: usize, byte: usize, value: u8, own: bool) -> bool {
        let here = || self.writes.iter().filter(|write| write.byte == byte);
        let supersedes = |later: &Write, number: u8, side: usize| {
            later.number <= self.knows(reader, later.side, own) && number <= later.known[side]
        };
        match here().find(|write| write.value == value) {
            Some(read) => !here().any(|later| {
                let other = (later.side, later.number) != (read.side, read.number);
                other && supersedes(later, read.number, read.side)
            }),
            // What was there from the beginning everybody knows.
            None => value == 0 && !here().any(|later| supersedes(later, 0, CPU)),
        }
    }

    /// An operation begins; `own` if the agent has stores in its buffer.
    pub fn start(&self, own: bool) -> Start {
        let mut made = self.made;
        if !own {
            made[CPU] = self.visible;
        }
        Start(made)
    }

    /// An operation that began then is over.
    pub fn end(&mut self, script: &Script, op: Op, start: Start) {
        let Start(made) = start;
        let devices = 1..SIDES;
        match op {
            // It sees what everybody wrote.
            Op::BeginDevice { device } => return self.learn(Self::side(script, device), made),
            // The CPUs see what it wrote, and others when they begin.
            Op::EndDevice { device, access } if access.of_device().has_from_device() => {
                let side = Self::side(script, device);
                return raise(&mut self.known[CPU][side], made[side]);
            }
            _ => {}
        }
        if !matches!(
            op,
            Op::Begin(_) | Op::End(_) | Op::Map { .. } | Op::Unmap { .. }
        ) {
            return;
        }
        // Each hand-over orders two devices of which one has a shadow.
        let has_shadow = |side: usize| script.classes[side - 1] == Class::Shadow;
        for one in devices.clone() {
            for other in devices.clone() {
                if one != other && (has_shadow(one) || has_shadow(other)) {
                    raise(&mut self.known[one][other], made[other]);
                }
            }
        }
        match op {
            Op::Begin(_) => {
                for side in devices {
                    raise(&mut self.known[CPU][side], made[side]);
                }
            }
            Op::End(_) => {
                for side in devices {
                    raise(&mut self.known[side][CPU], made[CPU]);
                }
            }
            Op::Map { device, .. } => {
                self.learn(Self::side(script, device), made);
            }
            Op::Unmap { device } => {
                let side = Self::side(script, device);
                raise(&mut self.known[CPU][side], made[side]);
            }
            _ => {}
        }
    }

    /// A side knows what had been written by then.
    fn learn(&mut self, side: usize, made: Numbers) {
        for (known, made) in self.known[side].iter_mut().zip(made) {
            raise(known, made);
        }
    }
}
