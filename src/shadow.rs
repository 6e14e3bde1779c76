// SPDX-License-Identifier: GPL-2.0

//! The copy of a buffer that one device works on, and the twin beside it.
//!
//! The twin is there as soon as the device may write: until then, everything in the shadow comes
//! from the pages.

use crate::{
    attach::Shadow,
    ffi::{
        device::Device,
        device_memory::DeviceMemory,
        kvmalloc::Zeroes,
        shared_pages::SharedPages,
        signal::check_killed,
        trace,
        words::WORDS, //
    },
    merge::{
        self,
        Stands,
        Word, //
    },
    span::Span,
    stats::STATS, //
};
use kernel::{
    alloc::flags::{
        __GFP_NOWARN,
        GFP_KERNEL_ACCOUNT, //
    },
    page::PAGE_SHIFT,
    prelude::*,
};

/// Pages of a twin that are allocated at once: 2 MiB, so that a process that is being killed does not
/// wait for all of it.
const BLOCK: usize = 0x20_0000 >> PAGE_SHIFT;

/// What page and shadow held at the last hand-over.
struct Twin(KVVec<Zeroes>);

impl Twin {
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if the process is being killed.
    fn new(pages: usize) -> Result<Self> {
        let flags = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
        let mut blocks = KVVec::with_capacity(pages.div_ceil(BLOCK), flags)?;
        let mut left = pages;
        while left > 0 {
            let size = left.min(BLOCK);
            blocks.push(Zeroes::new(size * WORDS)?, flags)?;
            check_killed()?;
            left -= size;
        }
        Ok(Self(blocks))
    }

    /// The words of a page.
    fn page(&mut self, page: usize) -> &mut [Word] {
        let block = self.0.get_mut(page / BLOCK);
        let start = page % BLOCK * WORDS;
        block
            .and_then(|block| block.as_mut_slice().get_mut(start..start + WORDS))
            .unwrap_or_default()
    }
}

/// What a device has instead of the pages.
pub(crate) struct DeviceShadow {
    memory: DeviceMemory,
    twin: Option<Twin>,
    /// Whether there is anything in the memory that a twin could be made of.
    filled: bool,
    pages: SharedPages,
}

impl DeviceShadow {
    /// Makes room for a shadow of `pages`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if the process is being killed.
    pub(crate) fn new(device: Device, pages: SharedPages) -> Result<Self> {
        let memory = DeviceMemory::new(device, pages.extents().pages())?;
        STATS.shadows.add(1);
        STATS.shadow_pages.add(memory.pages());
        Ok(Self {
            memory,
            twin: None,
            filled: false,
            pages,
        })
    }

    pub(crate) fn memory(&self) -> &DeviceMemory {
        &self.memory
    }
}

impl Shadow for DeviceShadow {
    fn is_scarce(&self) -> bool {
        self.memory.is_scarce()
    }

    fn is_in_reach(&self) -> bool {
        self.memory.is_in_reach()
    }

    fn fill(&mut self) {
        let Self { memory, twin, .. } = self;
        let whole = Span::whole(memory.pages());
        self.pages.for_each_page(whole, |page, words| {
            if let Some(shadow) = memory.words(page) {
                let twin = twin.as_mut().map(|twin| twin.page(page));
                merge::fill(words, &shadow, WORDS, twin);
            }
        });
        self.filled = true;
    }

    fn allow_writing(&mut self) -> Result {
        if self.twin.is_some() {
            return Ok(());
        }
        let mut twin = Twin::new(self.memory.pages())?;
        if self.filled {
            for page in 0..self.memory.pages() {
                if let Some(shadow) = self.memory.words(page) {
                    merge::remember(&shadow, twin.page(page));
                }
            }
        }
        self.twin = Some(twin);
        Ok(())
    }

    fn may_write(&self) -> bool {
        self.twin.is_some()
    }

    fn collect(&mut self, span: Span, stands: Stands) -> usize {
        let Self { memory, twin, .. } = self;
        // What its device does not write has not changed.
        let Some(twin) = twin else { return 0 };
        let taken = trace::collect(&self.pages, memory.device(), span, || {
            let mut taken = 0;
            self.pages.for_each_page(span, |page, words| {
                memory.fetch(page);
                if let Some(shadow) = memory.words(page) {
                    let part = span.words_of(page);
                    taken += merge::collect(words, &shadow, twin.page(page), part, stands);
                }
            });
            taken
        });
        STATS.collected.add(taken);
        taken
    }

    fn publish(&mut self, span: Span) -> usize {
        let Self { memory, twin, .. } = self;
        let taken = trace::publish(&self.pages, memory.device(), span, || {
            let mut taken = 0;
            self.pages.for_each_page(span, |page, words| {
                if let Some(shadow) = memory.words(page) {
                    let part = span.words_of(page);
                    taken += match twin {
                        Some(twin) => merge::publish(words, &shadow, twin.page(page), part),
                        None => merge::refresh(words, &shadow, part),
                    };
                }
            });
            taken
        });
        STATS.published.add(taken);
        taken
    }
}

impl Drop for DeviceShadow {
    fn drop(&mut self) {
        STATS.shadows.sub(1);
        STATS.shadow_pages.sub(self.memory.pages());
    }
}
