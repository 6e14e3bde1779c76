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
//!
//! Device 0 does all the writing. Device 1 comes and goes, for writing too, but it only reads: what a
//! device that snoops writes between the cleaning and the invalidation of the lines for one that
//! does not is lost, and the two are not one step. What device 0 wrote it leaves alone, for no end
//! of a bracket has handed that over.

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
use selftests::outcome::Stop;
use selftests::outcome::fail;
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
    reads: [Count; 2],
    writes: Count,
    /// Mappings, by device.
    maps: [Count; 2],
    /// Mappings for writing that were refused.
    refused: Count,
    /// Read brackets inside a write bracket of the same thread.
    nested: Count,
    /// Write brackets that were opened while another thread's was open.
    overlapping: Count,
}

impl Work {
    /// Each count, what it is called, and how many there have to be in ten seconds: a
    /// third of what the slowest machine does, or less.
    fn counts(&self) -> [(&str, usize, usize); 7] {
        [
            ("reads of device 0", self.reads[0].get(), 5),
            ("reads of device 1", self.reads[1].get(), 5),
            ("writes of device 0", self.writes.get(), 2),
            ("mappings for device 0", self.maps[0].get(), 10),
            ("mappings for device 1", self.maps[1].get(), 5),
            ("nested brackets", self.nested.get(), 20),
            ("overlapping brackets", self.overlapping.get(), 20),
        ]
    }

    /// Fails when chance, or a driver that refuses everything, has left out a kind of work.
    fn check(&self, duration: Duration) -> Outcome {
        for (what, count, floor) in self.counts() {
            let floor = floor * duration.as_secs() as usize / 10;
            if count < floor {
                return fail(format_args!("did too little: {count} {what}, not {floor}"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count, _) in self.counts() {
            write!(f, "{count} {what}, ")?;
        }
        write!(f, "{} refused", self.refused.get())
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
        let (rng, guests) = (seeds.fork(), &guests);
        let mut turns = (0..guests.len()).cycle();
        scope.spawn(move || {
            arena.run(rng, |rng| {
                let number = turns.next().unwrap_or_default();
                come_and_go(arena, rng, number, &guests[number])
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
    if arena.open_writers.fetch_add(1, Ordering::Relaxed) > 0 {
        arena.work.overlapping.add();
    }
    if access == Access::ReadWrite {
        arena.compare(owner, memory)?;
    }
    arena.scribble(owner, memory, rng);
    if kind == 3 {
        let reading = arena.dma_buf.begin(Access::Read)?;
        arena.compare(owner, memory)?;
        reading.end()?;
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
    drop(open);
    Ok(())
}

/// One attachment, mapped for a moment. Device 0 touches nothing: its memory is in use by the
/// other thread.
fn come_and_go(arena: &Arena<'_>, rng: &mut Rng, number: usize, edu: &Edu) -> Outcome {
    let attachment = edu.attach(arena.dma_buf)?;
    let mut mappings = Vec::new();
    for _ in 0..rng.usize(1..3) {
        let direction = DIRECTIONS[rng.usize(0..DIRECTIONS.len())];
        if let Some(mapping) = map(arena, number, &attachment, direction)? {
            if number != 0 && direction != Direction::FromDevice {
                let owner = rng.usize(0..CPU_OWNERS);
                device_reads(arena, rng, (number, owner), &mapping)?;
            }
            mappings.push(mapping);
        }
        thread::sleep(Duration::from_micros(rng.u64(0..3000)));
    }
    for mapping in mappings {
        mapping.unmap()?;
    }
    Ok(())
}

/// A reader is never refused, a writer where one of two would be bounced.
fn map<'a>(
    arena: &Arena<'_>,
    number: usize,
    attachment: &'a Attachment<'_>,
    direction: Direction,
) -> Outcome<Option<DeviceMapping<'a>>> {
    let mapping = match direction {
        Direction::ToDevice => Some(attachment.map(direction)?),
        _ => unless_refused(attachment.map(direction))?,
    };
    match mapping {
        Some(_) => arena.work.maps[number].add(),
        None => arena.work.refused.add(),
    }
    Ok(mapping)
}

/// One mapping, and some transfers by it.
fn device(arena: &Arena<'_>, rng: &mut Rng, edu: &Edu, memory: &Mapping) -> Outcome {
    let attachment = edu.attach(arena.dma_buf)?;
    let direction = DIRECTIONS[rng.usize(0..DIRECTIONS.len())];
    let Some(mapping) = map(arena, 0, &attachment, direction)? else {
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
            let owner = rng.usize(0..OWNERS);
            device_reads(arena, rng, (0, owner), &mapping)?;
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
    arena.work.writes.add();
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
        (owner != DEVICE_OWNER).then(|| arena.gate.write().unwrap_or_else(PoisonError::into_inner));
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
            let both = work.reads.iter().chain(&work.maps);
            both.chain([&work.writes, &work.nested])
                .for_each(Count::add);
        }
        assert!(work.check(ten).is_err(), "nothing overlapped");
        (0..20).for_each(|_| work.overlapping.add());
        assert!(work.check(ten).is_ok());
        assert!(work.check(10 * ten).is_err());
    }
}
