// SPDX-License-Identifier: GPL-2.0

//! What the two of a pair share, and what each has in its hands.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::sys::descriptor;

use crate::operation::Operation;
use crate::pause::Pause;

/// Bytes that belong to one of the two.
const SLICE: usize = 8 * PAGE;
/// Pages that each has, in a buffer of both.
const SIZE: usize = 2 * SLICE;

/// How many devices are used, if there are any.
const DEVICES: u32 = 2;

/// The devices, or none where the test importer is missing.
pub fn devices() -> Result<Vec<Edu>, Errno> {
    match Edu::open(0) {
        Err(Errno::NOENT) => Ok(Vec::new()),
        _ => (0..DEVICES).map(Edu::open).collect(),
    }
}

/// What the two share.
pub struct Stage {
    pub device: Udmabuf,
    memfd: Memfd,
    /// A buffer that stays.
    pub fixed: DmaBuf,
    /// All of it.
    pub mapping: Mapping,
    /// Another one, of which little has been touched.
    fresh: Mutex<Arc<Mapping>>,
    /// A descriptor of a buffer of the same pages, which is another one from time to time.
    pub place: DmaBuf,
    /// A file that is sealed, grown and emptied.
    victim: Mutex<Arc<Memfd>>,
    /// Held by whoever has bytes in the memory of a device, on their way.
    on_the_way: Mutex<()>,
}

impl Stage {
    pub fn new() -> Outcome<Stage> {
        let device = Udmabuf::open()?;
        // Two buffers over scattered pages: as much work as there can be for so few.
        let memfd = Memfd::with_pages_apart(SIZE)?;
        let fixed = device.create(memfd.whole())?;
        Ok(Stage {
            mapping: fixed.map(Access::ReadWrite)?,
            fresh: Mutex::new(Arc::new(fixed.map(Access::ReadWrite)?)),
            place: device.create(memfd.whole())?,
            victim: Mutex::new(Arc::new(Memfd::new(SIZE)?)),
            on_the_way: Mutex::new(()),
            fixed,
            memfd,
            device,
        })
    }

    /// Another buffer of the pages.
    pub fn buffer(&self) -> Result<DmaBuf, Errno> {
        self.device.create(self.memfd.whole())
    }

    /// Closes the buffer that is in the place for this one.
    pub fn replace(&self, by: &DmaBuf) -> Outcome {
        Ok(descriptor::replace(&self.place, by)?)
    }

    pub fn fresh_mapping(&self) -> Arc<Mapping> {
        get(&self.fresh)
    }

    /// From now on there is a mapping of which nothing has been touched.
    pub fn map_again(&self) -> Outcome {
        set(&self.fresh, self.fixed.map(Access::ReadWrite)?);
        Ok(())
    }

    /// A transfer takes two calls, and what is on its way is in the device's memory in between.
    pub fn one_transfer(&self) -> MutexGuard<'_, ()> {
        self.on_the_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub fn victim(&self) -> Arc<Memfd> {
        get(&self.victim)
    }

    /// Nothing more can be done with the file that there was.
    pub fn next_victim(&self) -> Outcome {
        set(&self.victim, Memfd::new(SIZE)?);
        Ok(())
    }
}

fn get<T>(shared: &Mutex<Arc<T>>) -> Arc<T> {
    let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.clone()
}

fn set<T>(shared: &Mutex<Arc<T>>, value: T) {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let old = std::mem::replace(&mut *shared, Arc::new(value));
    // What it was goes away when nobody waits for it.
    drop(shared);
    drop(old);
}

/// What one of the two has.
pub struct Hand<'a> {
    pub stage: &'a Stage,
    pub pause: Pause,
    /// Which one of the two it is.
    who: usize,
    /// None where there are no devices.
    pub devices: Vec<Edu>,
    /// The name of the last one.
    pub last_device: String,
    /// Errors that the operation may end with beside the other one.
    errors: Vec<Errno>,
    window: Window,
    pattern: Pattern,
    seed: u64,
}

impl<'a> Hand<'a> {
    /// For number `who` of two, which does `own` while the other one does `other`.
    pub fn new(
        stage: &'a Stage,
        who: usize,
        seed: u64,
        [own, other]: [&Operation; 2],
    ) -> Outcome<Self> {
        let devices = devices()?;
        let last_device = devices.last().map_or(Ok(String::new()), Edu::name)?;
        let window = Window {
            at: who * SLICE,
            len: SLICE,
        };
        let pattern = Pattern::new(seed);
        window.cpu_writes(&stage.fixed, &stage.mapping, pattern)?;
        Ok(Hand {
            stage,
            pause: Pause::new(seed),
            who,
            devices,
            last_device,
            errors: own.errors_beside(other),
            window,
            pattern,
            seed,
        })
    }

    /// What a call returned, or nothing if it failed as it may.
    #[track_caller]
    pub fn may_fail<T>(&self, result: Result<T, Errno>) -> Outcome<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if self.errors.contains(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Any device.
    pub fn device(&mut self) -> usize {
        self.pause.chance().usize(..self.devices.len())
    }

    /// Any access of the CPU.
    pub fn access(&mut self) -> Access {
        Access::ALL[self.pause.chance().usize(..Access::ALL.len())]
    }

    /// Any direction of a mapping.
    pub fn direction(&mut self) -> Direction {
        const ALL: [Direction; 3] = [
            Direction::Bidirectional,
            Direction::ToDevice,
            Direction::FromDevice,
        ];
        ALL[self.pause.chance().usize(..ALL.len())]
    }

    /// The buffer that stays, or the one in the place.
    pub fn either(&mut self) -> &'a DmaBuf {
        match self.pause.chance().bool() {
            true => &self.stage.fixed,
            false => &self.stage.place,
        }
    }

    /// Other data for what is this one's own.
    pub fn fresh(&mut self) -> (Window, Pattern) {
        self.seed += 2;
        self.pattern = Pattern::new(self.seed);
        (self.window, self.pattern)
    }

    /// Whether what is this one's own is as it was left, as `mapping` shows it.
    #[track_caller]
    pub fn intact(&self, mapping: &Mapping) -> Outcome {
        Ok(self.window.holds(mapping, self.pattern)?)
    }

    /// The same, as the file and a device see it that is handed the buffer. Two processes come here at once,
    /// so each has a device of its own: what is on its way is in the device's memory between two calls.
    pub fn intact_everywhere(&self, with_device: bool) -> Outcome {
        self.intact(&self.stage.mapping)?;
        self.intact(&self.stage.memfd.map()?)?;
        if let Some(device) = self.devices.get(self.who).filter(|_| with_device) {
            let attachment = device.attach(&self.stage.fixed)?;
            let mapping = attachment.map(Direction::ToDevice)?;
            let page = Window {
                len: PAGE,
                ..self.window
            };
            page.device_sees(&mapping, self.pattern)?;
        }
        Ok(())
    }
}
