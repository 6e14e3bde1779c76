// SPDX-License-Identifier: GPL-2.0

//! Everything at once, at random, for a while: two threads of the CPU with brackets of all kinds,
//! one that maps and unmaps, one that lets a device read and write. Each owns pages of its own, and
//! every byte is compared with what its owner put there.
//!
//! What stays undefined, and is therefore not done here: a device that writes while a write bracket
//! is open anywhere on the buffer. What it writes may be lost, for the pages are the CPU's then.
//! So write brackets hold a gate that the device's writes wait for. All the rest happens whenever
//! it happens: read brackets while the device writes, mapping and unmapping inside brackets of all
//! kinds, brackets inside each other.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::RwLock;
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
use selftests::outcome::Stop;
use selftests::pattern::Mismatch;

use crate::flow::Flow;
use crate::flow::unless_refused;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[Flow {
    name: "random",
    title: "four threads at random",
    controls: &["brackets-unknown"],
    run: random,
}];

/// Bytes that belong to one owner.
const SLICE: usize = 4 * PAGE;

/// Owners: two threads of the CPU, and the device.
const CPU_OWNERS: usize = 2;
const DEVICE_OWNER: usize = CPU_OWNERS;
const OWNERS: usize = CPU_OWNERS + 1;

const DIRECTIONS: [Direction; 3] = [
    Direction::Bidirectional,
    Direction::ToDevice,
    Direction::FromDevice,
];

/// What the threads share.
struct Arena<'a> {
    dma_buf: &'a DmaBuf,
    /// Shared by open write brackets, exclusive for a device that writes, or reads what is not
    /// its own.
    gate: RwLock<()>,
    /// What each slice holds when the gate is held exclusively.
    slices: [Mutex<Vec<u8>>; OWNERS],
    deadline: Instant,
    /// Why the first thread that failed did.
    failure: Mutex<Option<Stop>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random(stage: &Stage) -> Outcome {
    eprintln!("random: --seed {}", stage.seed);
    let pages = stage.pages(OWNERS * SLICE / PAGE)?;
    let buffer = pages.buffer()?;
    let (edu, other_handle) = (stage.edu(0)?, stage.edu(0)?);
    let arena = Arena {
        dma_buf: &buffer.dma_buf,
        gate: RwLock::new(()),
        slices: [const { Mutex::new(Vec::new()) }; OWNERS],
        deadline: Instant::now() + stage.duration,
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
        let (rng, edu) = (seeds.fork(), &edu);
        scope.spawn(move || arena.run(rng, |rng| come_and_go(arena, rng, edu)));
        let (rng, edu, memory) = (seeds.fork(), &other_handle, &buffer.memory);
        scope.spawn(move || arena.run(rng, |rng| device(arena, rng, edu, memory)));
    });
    match lock(&arena.failure).take() {
        Some(stop) => Err(stop),
        None => Ok(()),
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

/// One bracket of the CPU, or two.
fn cpu(arena: &Arena<'_>, rng: &mut Rng, owner: usize, memory: &Mapping) -> Outcome {
    let kind = rng.u8(0..4);
    if kind == 0 {
        let reading = arena.dma_buf.begin(Access::Read)?;
        arena.compare(owner, memory)?;
        reading.end()?;
        return Ok(());
    }
    // What is in `slices` has been handed over when the gate is free again.
    let open = arena.gate.read().unwrap_or_else(PoisonError::into_inner);
    let access = [Access::Write, Access::ReadWrite][usize::from(kind > 1)];
    let writing = arena.dma_buf.begin(access)?;
    if access == Access::ReadWrite {
        arena.compare(owner, memory)?;
    }
    arena.scribble(owner, memory, rng);
    if kind == 3 {
        let reading = arena.dma_buf.begin(Access::Read)?;
        arena.compare(owner, memory)?;
        reading.end()?;
        arena.scribble(owner, memory, rng);
    }
    if access == Access::ReadWrite {
        // Time for others to do harm in.
        thread::yield_now();
        arena.compare(owner, memory)?;
    }
    writing.end()?;
    drop(open);
    Ok(())
}

/// One attachment, mapped for a moment by a device that touches nothing.
fn come_and_go(arena: &Arena<'_>, rng: &mut Rng, edu: &Edu) -> Outcome {
    let attachment = edu.attach(arena.dma_buf)?;
    let mut mappings = Vec::new();
    for _ in 0..rng.usize(1..3) {
        // Refused beside the other thread's, where two writers are one too many.
        mappings.extend(map(&attachment, rng)?);
        thread::sleep(Duration::from_micros(rng.u64(0..3000)));
    }
    for mapping in mappings {
        mapping.unmap()?;
    }
    Ok(())
}

fn map<'a>(attachment: &'a Attachment<'_>, rng: &mut Rng) -> Outcome<Option<DeviceMapping<'a>>> {
    unless_refused(attachment.map(DIRECTIONS[rng.usize(0..DIRECTIONS.len())]))
}

/// One mapping, and some transfers by it.
fn device(arena: &Arena<'_>, rng: &mut Rng, edu: &Edu, memory: &Mapping) -> Outcome {
    let attachment = edu.attach(arena.dma_buf)?;
    let direction = DIRECTIONS[rng.usize(0..DIRECTIONS.len())];
    let Some(mapping) = unless_refused(attachment.map(direction))? else {
        thread::sleep(Duration::from_millis(1));
        return Ok(());
    };
    for _ in 0..rng.usize(1..4) {
        if direction == Direction::FromDevice || (direction != Direction::ToDevice && rng.bool()) {
            device_writes(arena, rng, &mapping)?;
            let reading = arena.dma_buf.begin(Access::Read)?;
            arena.compare(DEVICE_OWNER, memory)?;
            reading.end()?;
        } else {
            device_reads(arena, rng, &mapping)?;
        }
        // A while without the gate.
        thread::sleep(Duration::from_millis(rng.u64(0..20)));
    }
    mapping.unmap()?;
    let reading = arena.dma_buf.begin(Access::Read)?;
    arena.compare(DEVICE_OWNER, memory)?;
    reading.end()?;
    Ok(())
}

fn device_writes(arena: &Arena<'_>, rng: &mut Rng, mapping: &DeviceMapping<'_>) -> Outcome {
    let (at, len) = place(rng);
    let _alone = arena.gate.write().unwrap_or_else(PoisonError::into_inner);
    let mut slice = lock(&arena.slices[DEVICE_OWNER]);
    rng.fill(&mut slice[at..at + len]);
    mapping.device_writes(DEVICE_OWNER * SLICE + at, &slice[at..at + len])?;
    Ok(())
}

/// The device's own slice whenever it likes, that of the CPU only when it has been handed over.
fn device_reads(arena: &Arena<'_>, rng: &mut Rng, mapping: &DeviceMapping<'_>) -> Outcome {
    let (at, len) = place(rng);
    let owner = rng.usize(0..OWNERS);
    let _alone =
        (owner != DEVICE_OWNER).then(|| arena.gate.write().unwrap_or_else(PoisonError::into_inner));
    let mut seen = vec![0; len];
    mapping.device_reads(owner * SLICE + at, &mut seen)?;
    let slice = lock(&arena.slices[owner]);
    Mismatch::first(owner * SLICE + at, &seen, &slice[at..at + len])?;
    Ok(())
}
