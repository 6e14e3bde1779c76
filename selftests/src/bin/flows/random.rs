// SPDX-License-Identifier: GPL-2.0

//! Everything at once, at random, for a while: two threads of the CPU with brackets of all kinds,
//! paired or not, and without any; one that maps and unmaps, one that lets a device read and write.
//! Each owns pages of its own, and so does each device; every byte is compared with what its owner
//! put there.
//!
//! A device reads what the CPU owns only when it has been handed over: writing holds a gate that
//! such reads wait for. All the rest happens whenever it happens: devices write inside brackets of
//! all kinds, and are mapped and unmapped there; brackets are inside each other.
//!
//! What device 0 wrote device 1 leaves alone, and the other way round, for nothing has handed that
//! over.

use std::fmt;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Mapping;
use selftests::Outcome;
use selftests::PAGE;
use selftests::importer::Attachment;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::limit::Limit;
use selftests::outcome::Stop;
use selftests::outcome::fail;
use selftests::pattern::Mismatch;

use crate::flow::Flow;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[Flow {
    name: "random",
    title: "four threads at random",
    controls: &["whole-copies", "invalidate-alone"],
    heap: true,
    refuses: false,
    run: random,
}];

/// Bytes that belong to one owner.
const SLICE: usize = 4 * PAGE;

/// Owners: two threads of the CPU, and two devices.
const CPU_OWNERS: usize = 2;
const DEVICES: usize = 2;
const OWNERS: usize = CPU_OWNERS + DEVICES;

/// The owner that a device is.
const fn owner_of(device: usize) -> usize {
    CPU_OWNERS + device
}

const DIRECTIONS: [Direction; 3] = [
    Direction::Bidirectional,
    Direction::ToDevice,
    Direction::FromDevice,
];

/// What the threads share.
struct Arena<'a> {
    dma_buf: &'a DmaBuf,
    /// Shared by a CPU that writes, until it has handed over; exclusive for a device that reads
    /// what is not its own.
    gate: RwLock<()>,
    /// What each slice holds when the gate is held exclusively.
    slices: [Mutex<Vec<u8>>; OWNERS],
    deadline: Instant,
    work: Work,
    /// Write brackets of either thread.
    open_writers: AtomicUsize,
    /// Why the first thread that failed did.
    failure: Mutex<Option<Stop>>,
}

/// A count that threads share.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What has been done.
#[derive(Default)]
struct Work {
    /// Transfers, by device.
    reads: [Count; DEVICES],
    writes: [Count; DEVICES],
    /// Mappings, by device.
    maps: [Count; DEVICES],
    /// Read brackets inside a write bracket of the same thread.
    nested: Count,
    /// Write brackets that were opened while another thread's was open.
    overlapping: Count,
    /// Writes outside all brackets of the thread.
    unbracketed: Count,
    /// Brackets that began twice, or ended otherwise than they had begun.
    unpaired: Count,
}

impl Work {
    /// Each count, what it is called, and how many there have to be in ten seconds: a
    /// third of what the slowest machine does, or less.
    fn counts(&self) -> [(&str, usize, usize); 10] {
        [
            ("reads of device 0", self.reads[0].get(), 5),
            ("reads of device 1", self.reads[1].get(), 5),
            ("writes of device 0", self.writes[0].get(), 2),
            ("writes of device 1", self.writes[1].get(), 2),
            ("mappings for device 0", self.maps[0].get(), 10),
            ("mappings for device 1", self.maps[1].get(), 5),
            ("nested brackets", self.nested.get(), 10),
            ("overlapping brackets", self.overlapping.get(), 10),
            ("writes without a bracket", self.unbracketed.get(), 10),
            ("unpaired brackets", self.unpaired.get(), 10),
        ]
    }

    /// Fails when chance has left out a kind of work.
    fn check(&self, duration: Duration) -> Outcome {
        let ten = Limit::seconds(10).here()?.as_secs() as usize;
        for (what, count, floor) in self.counts() {
            let floor = floor * duration.as_secs() as usize / ten;
            if count < floor {
                return fail(format_args!("did too little: {count} {what}, not {floor}"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (what, count, _)) in self.counts().into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {what}")?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random(stage: &Stage) -> Outcome {
    eprintln!("random: --seed {}", stage.seed);
    let pages = stage.pages(OWNERS * SLICE / PAGE)?;
    let buffer = pages.buffer()?;
    let guests = [stage.edu(0)?, stage.edu(1)?];
    let edu = stage.edu(0)?;
    let arena = Arena {
        dma_buf: &buffer.dma_buf,
        gate: RwLock::new(()),
        slices: [const { Mutex::new(Vec::new()) }; OWNERS],
        deadline: Instant::now() + stage.duration,
        work: Work::default(),
        open_writers: AtomicUsize::new(0),
        failure: Mutex::new(None),
    };
    for slice in &arena.slices {
        *lock(slice) = vec![0; SLICE];
    }

    let mut seeds = Rng::with_seed(stage.seed);
    thread::scope(|scope| {
        let arena = &arena;
        for (owner, memory) in [&buffer.memory, &pages.memory].into_iter().enumerate() {
            let rng = seeds.fork();
            scope.spawn(move || arena.run(rng, |rng| cpu(arena, rng, owner, memory)));
        }
        let (rng, guests, memory) = (seeds.fork(), &guests, &buffer.memory);
        let mut turns = (0..guests.len()).cycle();
        scope.spawn(move || {
            arena.run(rng, |rng| {
                let number = turns.next().unwrap_or_default();
                come_and_go(arena, rng, (number, &guests[number]), memory)
            })
        });
        let (rng, edu, memory) = (seeds.fork(), &edu, &buffer.memory);
        scope.spawn(move || arena.run(rng, |rng| device(arena, rng, edu, memory)));
    });
    eprintln!("random: {}", arena.work);
    match lock(&arena.failure).take() {
        Some(stop) => Err(stop),
        None => arena.work.check(stage.duration),
    }
}

impl Arena<'_> {
    /// Repeats `step` until the time is over or any thread has failed.
    fn run(&self, mut rng: Rng, mut step: impl FnMut(&mut Rng) -> Outcome) {
        while Instant::now() < self.deadline && lock(&self.failure).is_none() {
            if let Err(stop) = step(&mut rng) {
                lock(&self.failure).get_or_insert(stop);
            }
        }
    }

    /// Compares an owner's slice with what it put there. Its own thread may always do so in a
    /// bracket, for nobody else changes it.
    fn compare(&self, owner: usize, memory: &Mapping) -> Outcome {
        let mut found = vec![0; SLICE];
        memory.read(owner * SLICE, &mut found);
        Mismatch::first(owner * SLICE, &found, &lock(&self.slices[owner]))?;
        Ok(())
    }

    /// Writes something new to some places of a CPU's slice.
    fn scribble(&self, owner: usize, memory: &Mapping, rng: &mut Rng) {
        let mut slice = lock(&self.slices[owner]);
        for _ in 0..rng.usize(1..4) {
            let (at, len) = place(rng);
            rng.fill(&mut slice[at..at + len]);
            memory.write(owner * SLICE + at, &slice[at..at + len]);
        }
    }
}

/// A part of a slice, as long as what a device moves at once, or shorter.
fn place(rng: &mut Rng) -> (usize, usize) {
    let len = rng.usize(1..=PAGE);
    (rng.usize(0..=SLICE - len), len)
}

/// What a thread of the CPU does at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Looks, in a bracket for reading.
    Read,
    /// Writes, in a bracket for writing.
    Write,
    /// Looks and writes, in a bracket for both.
    Both,
    /// The same with another bracket inside.
    Nested,
    /// Writes, and has it handed over by a bracket that comes later.
    Unbracketed,
    /// Looks and writes in a bracket that begins twice and ends once, for something else.
    Unpaired,
}

const KINDS: [Kind; 6] = [
    Kind::Read,
    Kind::Write,
    Kind::Both,
    Kind::Nested,
    Kind::Unbracketed,
    Kind::Unpaired,
];

/// One bracket of the CPU, or two, or less.
fn cpu(arena: &Arena<'_>, rng: &mut Rng, owner: usize, memory: &Mapping) -> Outcome {
    let kind = KINDS[rng.usize(0..KINDS.len())];
    if kind == Kind::Read {
        return compare_in_bracket(arena, owner, memory);
    }
    // What is in `slices` has been handed over when the gate is free again.
    let open = arena.gate.read().unwrap_or_else(PoisonError::into_inner);
    match kind {
        Kind::Unbracketed => {
            arena.scribble(owner, memory, rng);
            thread::yield_now();
            arena.compare(owner, memory)?;
            arena.work.unbracketed.add();
            compare_in_bracket(arena, owner, memory)?;
        }
        Kind::Unpaired => {
            for _ in 0..2 {
                arena.dma_buf.start(any_access(rng))?;
                arena.compare(owner, memory)?;
                arena.scribble(owner, memory, rng);
            }
            arena.dma_buf.finish(any_access(rng))?;
            arena.work.unpaired.add();
        }
        _ => in_write_bracket(arena, rng, owner, memory, kind)?,
    }
    drop(open);
    Ok(())
}

fn any_access(rng: &mut Rng) -> Access {
    Access::ALL[rng.usize(0..Access::ALL.len())]
}

fn compare_in_bracket(arena: &Arena<'_>, owner: usize, memory: &Mapping) -> Outcome {
    let reading = arena.dma_buf.begin(Access::Read)?;
    arena.compare(owner, memory)?;
    reading.end()?;
    Ok(())
}

fn in_write_bracket(
    arena: &Arena<'_>,
    rng: &mut Rng,
    owner: usize,
    memory: &Mapping,
    kind: Kind,
) -> Outcome {
    let access = if kind == Kind::Write {
        Access::Write
    } else {
        Access::ReadWrite
    };
    let writing = arena.dma_buf.begin(access)?;
    if arena.open_writers.fetch_add(1, Ordering::Relaxed) > 0 {
        arena.work.overlapping.add();
    }
    if access == Access::ReadWrite {
        arena.compare(owner, memory)?;
    }
    arena.scribble(owner, memory, rng);
    if kind == Kind::Nested {
        compare_in_bracket(arena, owner, memory)?;
        arena.work.nested.add();
        arena.scribble(owner, memory, rng);
    }
    if access == Access::ReadWrite {
        // Time for others to do harm in.
        thread::yield_now();
        arena.compare(owner, memory)?;
    }
    arena.open_writers.fetch_sub(1, Ordering::Relaxed);
    writing.end()?;
    Ok(())
}

/// One attachment or two, mapped for a moment each. Device 0 touches nothing: its memory is in use by the
/// other thread.
fn come_and_go(
    arena: &Arena<'_>,
    rng: &mut Rng,
    (number, edu): (usize, &Edu),
    memory: &Mapping,
) -> Outcome {
    let attachments = (0..rng.usize(1..3)).map(|_| edu.attach(arena.dma_buf));
    let attachments: Vec<_> = attachments.collect::<Result<_, _>>()?;
    let mut mappings = Vec::new();
    for attachment in &attachments {
        let direction = DIRECTIONS[rng.usize(0..DIRECTIONS.len())];
        let mapping = map(arena, number, attachment, direction)?;
        if number != 0 {
            if direction != Direction::FromDevice {
                let owner = rng.usize(0..CPU_OWNERS);
                device_reads(arena, rng, (number, owner), &mapping)?;
            }
            if direction != Direction::ToDevice {
                device_writes(arena, rng, number, &mapping)?;
                if rng.bool() {
                    compare_in_bracket(arena, owner_of(number), memory)?;
                }
            }
        }
        mappings.push(mapping);
        thread::sleep(Duration::from_micros(rng.u64(0..3000)));
    }
    for mapping in mappings {
        mapping.unmap()?;
    }
    if number != 0 {
        compare_in_bracket(arena, owner_of(number), memory)?;
    }
    Ok(())
}

fn map<'a>(
    arena: &Arena<'_>,
    number: usize,
    attachment: &'a Attachment<'_>,
    direction: Direction,
) -> Outcome<DeviceMapping<'a>> {
    let mapping = attachment.map(direction)?;
    arena.work.maps[number].add();
    Ok(mapping)
}

/// One mapping, and some transfers by it.
fn device(arena: &Arena<'_>, rng: &mut Rng, edu: &Edu, memory: &Mapping) -> Outcome {
    let attachment = edu.attach(arena.dma_buf)?;
    let direction = DIRECTIONS[rng.usize(0..DIRECTIONS.len())];
    let mapping = map(arena, 0, &attachment, direction)?;
    for _ in 0..rng.usize(1..4) {
        if direction == Direction::FromDevice || (direction != Direction::ToDevice && rng.bool()) {
            device_writes(arena, rng, 0, &mapping)?;
            compare_in_bracket(arena, owner_of(0), memory)?;
        } else {
            let owner = rng.usize(0..=owner_of(0));
            device_reads(arena, rng, (0, owner), &mapping)?;
        }
        // A while without the gate.
        thread::sleep(Duration::from_millis(rng.u64(0..20)));
    }
    mapping.unmap()?;
    compare_in_bracket(arena, owner_of(0), memory)
}

fn device_writes(
    arena: &Arena<'_>,
    rng: &mut Rng,
    number: usize,
    mapping: &DeviceMapping<'_>,
) -> Outcome {
    let (at, len) = place(rng);
    let owner = owner_of(number);
    let mut slice = lock(&arena.slices[owner]);
    rng.fill(&mut slice[at..at + len]);
    mapping.device_writes(owner * SLICE + at, &slice[at..at + len])?;
    arena.work.writes[number].add();
    Ok(())
}

/// The device's own slice whenever it likes, that of the CPU only when it has been handed over.
fn device_reads(
    arena: &Arena<'_>,
    rng: &mut Rng,
    (number, owner): (usize, usize),
    mapping: &DeviceMapping<'_>,
) -> Outcome {
    let (at, len) = place(rng);
    let _alone =
        (owner < CPU_OWNERS).then(|| arena.gate.write().unwrap_or_else(PoisonError::into_inner));
    let mut seen = vec![0; len];
    mapping.device_reads(owner * SLICE + at, &mut seen)?;
    arena.work.reads[number].add();
    let slice = lock(&arena.slices[owner]);
    Mismatch::first(owner * SLICE + at, &seen, &slice[at..at + len])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_work_is_noticed() {
        let work = Work::default();
        let ten = Duration::from_secs(10);
        assert!(work.check(ten).is_err());
        for _ in 0..20 {
            let all = work.reads.iter().chain(&work.maps).chain(&work.writes);
            all.chain([&work.nested, &work.unbracketed, &work.unpaired])
                .for_each(Count::add);
        }
        assert!(work.check(ten).is_err(), "nothing overlapped");
        (0..20).for_each(|_| work.overlapping.add());
        assert!(work.check(ten).is_ok());
        assert!(work.check(10 * ten).is_err());
    }
}
