// SPDX-License-Identifier: GPL-2.0

//! What a flow plays on: watched pages, a buffer of them, and the devices.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Heap;
use selftests::Item;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Model;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::hugepage;
use selftests::importer;
use selftests::importer::Edu;
use selftests::model::Scope;
use selftests::model::Watch;
use selftests::outcome::fail;
use selftests::outcome::skip;

/// The first, second and third page of a buffer.
pub const FIRST: Window = Window { at: 0, len: PAGE };
pub const SECOND: Window = Window {
    at: PAGE,
    len: PAGE,
};
pub const THIRD: Window = Window {
    at: 2 * PAGE,
    len: PAGE,
};

/// Both devices in both roles: device 0 is the one that has it difficult.
pub const BOTH_WAYS: [(u32, u32); 2] = [(0, 1), (1, 0)];

/// What all flows share.
pub struct Stage {
    /// What the driver under test is called; part of the names of scopes.
    pub label: String,
    /// Whether buffers are the system heap's.
    pub heap: bool,
    pub model: Model,
    /// How long a flow that goes on for a while does so.
    pub duration: Duration,
    /// What chance starts from.
    pub seed: u64,
    /// What is known of the flow that is played.
    playing: RefCell<Playing>,
}

/// A flow that is played, and what is found in it beside what went wrong.
#[derive(Default)]
pub struct Playing {
    flow: &'static str,
    pub refusals: Vec<Refusal>,
    /// The most bytes of cache lines that may be maintained where they are counted.
    pub allowed: Option<usize>,
}

/// A device that was refused, as it should be.
#[derive(Debug)]
pub struct Refusal {
    pub device: u32,
    /// What was refused to it.
    pub call: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "edu {} at {}", self.device, self.call)
    }
}

/// The part of a flow in which cache maintenance is counted.
const COUNTED: &str = "/counted";

impl Stage {
    pub fn new(label: String, heap: bool, duration: Duration, seed: u64) -> Outcome<Stage> {
        let model = match Model::open() {
            Err(Errno::NOENT) => fail(format_args!("{}: load edu_importer.ko", importer::DEVICE)),
            model => Ok(model?),
        }?;
        Ok(Stage {
            label,
            heap,
            model,
            duration,
            seed,
            playing: RefCell::default(),
        })
    }

    /// A flow begins.
    pub fn enter(&self, flow: &'static str) {
        self.playing.replace(Playing {
            flow,
            ..Playing::default()
        });
    }

    /// It is over.
    pub fn leave(&self) -> Playing {
        self.playing.take()
    }

    /// Lets what follows count for the flow, or for a part of it.
    pub fn scope(&self, part: &str) -> Outcome<Scope<'_>> {
        let name = format!("{}/{}{part}", self.label, self.playing.borrow().flow);
        Ok(self.model.scope(&name)?)
    }

    /// A device was refused, as it should be.
    pub fn refused(&self, device: u32, call: &'static str) {
        let refusal = Refusal { device, call };
        self.playing.borrow_mut().refusals.push(refusal);
    }

    /// Does something that may maintain no more than so many bytes of cache lines.
    pub fn counted<T>(&self, bytes: usize, body: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        self.playing.borrow_mut().allowed = Some(bytes);
        let counted = self.scope(COUNTED)?;
        let result = body();
        drop(counted);
        // The end of a scope is that of all: the flow's begins once more, and ends as it would have.
        std::mem::forget(self.scope("")?);
        result
    }

    /// Edu device `number`.
    pub fn edu(&self, number: u32) -> Outcome<Edu> {
        match Edu::open(number) {
            Err(Errno::NODEV) => fail(format_args!(
                "no edu device {number}: start QEMU with one more"
            )),
            edu => Ok(edu?),
        }
    }

    /// So many base pages, watched, of a memfd of their own, or of a buffer of the heap.
    pub fn pages(&self, count: usize) -> Outcome<Pages<'_>> {
        let size = count * PAGE;
        if self.heap {
            return self.allocated(size);
        }
        self.range(Memfd::new(size)?, 0, size)
    }

    /// As [`Stage::pages`], with a buffer for whose sake the pages have been allocated.
    pub fn fresh_pages(&self, count: usize) -> Outcome<(Pages<'_>, Buffer)> {
        let size = count * PAGE;
        let (pages, dma_buf) = if self.heap {
            let pages = self.allocated(size)?;
            let dma_buf = pages.source.dma_buf(pages.whole())?;
            (pages, dma_buf)
        } else {
            let memfd = Memfd::new(size)?;
            let dma_buf = Udmabuf::open()?.create(memfd.whole())?;
            (self.range(memfd, 0, size)?, dma_buf)
        };
        Ok((pages, Buffer::new(dma_buf)?))
    }

    fn allocated(&self, size: usize) -> Outcome<Pages<'_>> {
        let dma_buf = Heap::open()?.allocate(size)?;
        Ok(Pages {
            memory: dma_buf.map(Access::ReadWrite)?,
            _watch: self.model.watch_buffer(&dma_buf)?,
            source: Source::Heap(dma_buf),
        })
    }

    /// One huge page as so many base pages, watched.
    pub fn huge_page(&self, backing: Backing) -> Outcome<Pages<'_>> {
        if backing == Backing::Huge && hugepage::free()? == 0 {
            return skip("a free huge page");
        }
        let memfd = match Memfd::builder(HUGE_PAGE).backing(backing).create() {
            Err(Errno::NOSYS) => return skip("CONFIG_TRANSPARENT_HUGEPAGE"),
            memfd => memfd?,
        };
        if backing == Backing::Transparent && !memfd.has_transparent_huge_pages()? {
            return skip("a transparent huge page: memory is too fragmented");
        }
        self.range(memfd, 0, HUGE_PAGE)
    }

    /// A range of a memfd, watched.
    pub fn range(&self, memfd: Memfd, offset: usize, size: usize) -> Outcome<Pages<'_>> {
        let memory = Mapping::shared(&memfd, offset as u64, size, Access::ReadWrite)?;
        let watch = self.model.watch(&memory)?;
        Ok(Pages {
            memory,
            _watch: watch,
            source: Source::Memfd { memfd, offset },
        })
    }
}

/// Watched pages.
pub struct Pages<'a> {
    /// The memfd's own mapping; of the heap's buffer, where there is no memfd.
    pub memory: Mapping,
    // Ends before the pages are freed with what is behind.
    _watch: Watch<'a>,
    source: Source,
}

/// What pages are from.
enum Source {
    /// A range of a file.
    Memfd { memfd: Memfd, offset: usize },
    /// A buffer, which is all that there is of them.
    Heap(DmaBuf),
}

impl Source {
    fn dma_buf(&self, window: Window) -> Outcome<DmaBuf> {
        match self {
            Source::Memfd { .. } => self.list(&[window]),
            Source::Heap(dma_buf) if window.at == 0 && window.len == dma_buf.size()? => {
                Ok(dma_buf.duplicate()?)
            }
            Source::Heap(_) => fail("the heap makes no buffers of parts"),
        }
    }

    fn list(&self, windows: &[Window]) -> Outcome<DmaBuf> {
        let Source::Memfd { memfd, offset } = self else {
            return fail("the heap makes no buffers of parts");
        };
        let item = |window: &Window| memfd.range(offset + window.at, window.len);
        let items: Vec<Item> = windows.iter().map(item).collect();
        let driver = Udmabuf::open()?;
        Ok(match items[..] {
            [item] => driver.create(item)?,
            _ => driver.create_list(&items)?,
        })
    }
}

impl Pages<'_> {
    /// All of them.
    pub fn whole(&self) -> Window {
        Window {
            at: 0,
            len: self.memory.len(),
        }
    }

    /// A buffer of all of them.
    pub fn buffer(&self) -> Outcome<Buffer> {
        self.part(self.whole())
    }

    /// A buffer of some of them.
    pub fn part(&self, window: Window) -> Outcome<Buffer> {
        Buffer::new(self.source.dma_buf(window)?)
    }

    /// What a buffer of all of them is made from; nothing where they are a buffer themselves.
    pub fn item(&self) -> Option<Item> {
        match &self.source {
            Source::Memfd { memfd, offset } => Some(memfd.range(*offset, self.memory.len())),
            Source::Heap(_) => None,
        }
    }

    /// A buffer of some of them in this order.
    pub fn list(&self, windows: &[Window]) -> Outcome<Buffer> {
        Buffer::new(self.source.list(windows)?)
    }
}

/// A dma-buf, mapped by the CPU.
pub struct Buffer {
    pub memory: Mapping,
    pub dma_buf: DmaBuf,
}

impl Buffer {
    pub fn new(dma_buf: DmaBuf) -> Outcome<Buffer> {
        Ok(Buffer {
            memory: dma_buf.map(Access::ReadWrite)?,
            dma_buf,
        })
    }

    /// All of it.
    pub fn whole(&self) -> Window {
        Window {
            at: 0,
            len: self.memory.len(),
        }
    }

    /// Writes in a bracket for writing.
    pub fn write(&self, window: Window, pattern: Pattern) -> Outcome {
        window.cpu_writes(&self.dma_buf, &self.memory, pattern)
    }

    /// Compares in a bracket for reading.
    #[track_caller]
    pub fn see(&self, window: Window, pattern: Pattern) -> Outcome {
        window.cpu_sees(&self.dma_buf, &self.memory, pattern)
    }
}
