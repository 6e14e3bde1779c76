// SPDX-License-Identifier: GPL-2.0

//! The least that the kernel does it for, whoever asks.

use protocol::bench::Case;
use protocol::bench::Pages;
use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Heap;
use selftests::Mapping;
use selftests::Memfd;
use selftests::PAGE;
use selftests::floor::Floor;
use selftests::floor::Ticks;
use selftests::hugepage;
use selftests::machine;
use selftests::outcome;
use selftests::outcome::Stop;
use selftests::pagemap;
use selftests::sys::clock;

use crate::measure::repeat;
use crate::step::Step;
use crate::subject::Subject;

/// Largest mapping whose floor is measured, in bytes.
pub const LARGEST: usize = 1 << 30;

/// What the floor stands on.
pub struct Ground {
    floor: Floor,
    frames: Option<Frames>,
    /// A buffer for requests that are refused.
    buffer: DmaBuf,
    /// Whether devices snoop the CPU's caches.
    snooped: bool,
}

/// Memory in one piece.
struct Frames {
    first: u64,
    // Keeps them.
    _memory: Mapping,
}

impl Frames {
    /// None if there are too few huge pages, or they do not lie side by side; then it says so.
    fn new() -> Result<Option<Frames>, Stop> {
        // One more page, to begin where no huge entry can be made.
        const SIZE: usize = LARGEST + HUGE_PAGE;

        if hugepage::free()? * HUGE_PAGE < SIZE {
            eprintln!("no floor of mappings: too few huge pages");
            return Ok(None);
        }
        let memory = Memfd::builder(SIZE)
            .backing(Backing::Huge)
            .create()?
            .map()?;
        let frames = pagemap::frames(&memory)?;
        if !frames.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            eprintln!("no floor of mappings: huge pages do not lie side by side");
            return Ok(None);
        }
        Ok(Some(Frames {
            first: frames[0],
            _memory: memory,
        }))
    }
}

impl Ground {
    pub fn new() -> Result<Ground, Stop> {
        let floor = Floor::open().map_err(|error| {
            Stop::Fail(format!(
                "{}: {error}; load udmabuf_floor.ko",
                selftests::floor::DEVICE
            ))
        })?;
        Ok(Ground {
            floor,
            frames: Frames::new()?,
            buffer: Heap::open()?.allocate(PAGE)?,
            snooped: machine::devices_snoop()?,
        })
    }

    /// Whether anything is known of the step.
    pub fn has(&self, step: &Step) -> bool {
        match step.case {
            Case::Create | Case::Close => true,
            // Where caches have to be maintained, the lines are the floor.
            Case::BeginEnd => step.attachments == 0 || self.snooped,
            Case::FirstTouch | Case::EveryPage | Case::ScatteredTouch | Case::Munmap => {
                self.frames.is_some() && step.shape.items == 1 && step.shape.bytes <= LARGEST
            }
            Case::CreateExt | Case::CreateCoherent | Case::BeginEndPage => false,
            Case::MapUnmap | Case::Vmap | Case::PageTouched | Case::Checked => false,
            Case::CloseAll | Case::Threads | Case::Memory => false,
        }
    }

    /// Pins the pages, as the drivers do, and unpins them.
    pub fn pin(&self, subject: &Subject) -> Result<Ticks, Stop> {
        let mut sum = Ticks {
            pin: 0,
            unpin: 0,
            folios: 0,
        };
        for item in &subject.items {
            let Ticks { pin, unpin, folios } = self.floor.pin(*item)?;
            sum.pin += pin;
            sum.unpin += unpin;
            sum.folios += folios;
        }
        Ok(sum)
    }

    /// A fresh mapping of as many pages, made of entries of the same size. Nothing is looked up for
    /// it: the offset in the file is the page frame.
    pub fn map(&self, step: &Step) -> Result<Mapping, Stop> {
        let Some(frames) = &self.frames else {
            return outcome::fail("no floor of mappings");
        };
        let first = match step.shape.pages {
            Pages::Base | Pages::Apart | Pages::Pieces => frames.first + 1,
            Pages::Thp | Pages::Hugetlb => frames.first,
        };
        let access = Access::ReadWrite;
        Ok(self.floor.map(first, step.shape.bytes, access, HUGE_PAGE)?)
    }

    /// Two requests that are refused as soon as they are read.
    pub fn refusals(&self, times: usize) -> Result<u64, Stop> {
        const NONSENSE: u64 = u64::MAX;

        repeat(times, || {
            let refused = || [self.buffer.sync(NONSENSE), self.buffer.sync(NONSENSE)];
            let (results, took) = clock::time(refused);
            outcome::equal("refused", results, [Err(Errno::INVAL); 2])?;
            Ok(took)
        })
    }
}
