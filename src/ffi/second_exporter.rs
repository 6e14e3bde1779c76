// SPDX-License-Identifier: GPL-2.0

//! A second exporter, for tests: its buffers are one page, of its own, and whoever maps gets a table of that,
//! at an address made up. It has nothing of what this driver does with pages and devices, and of
//! [`dma_buf_ops`](super::dma_buf_ops) only what core asks for.

use super::{
    device::Device,
    dma_buf::Buffer,
    dma_buf_ops::{
        operations,
        Exporter,
        Mapped, //
    },
    dma_resv::Held,
    helpers, //
};
use crate::direction::Direction;
use core::{
    convert::Infallible,
    mem::ManuallyDrop,
    ptr, //
};
use kernel::{
    bindings,
    error::to_result,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

/// Where every device sees the page.
const ADDRESS: bindings::dma_addr_t = 0x1234_0000;

/// How often its callbacks were called.
struct Calls {
    maps: Atomic<usize>,
    unmaps: Atomic<usize>,
    releases: Atomic<usize>,
}

impl Calls {
    fn all(&self) -> (usize, usize, usize) {
        (
            self.maps.load(Relaxed),
            self.unmaps.load(Relaxed),
            self.releases.load(Relaxed),
        )
    }
}

/// The exporter.
struct OnePage(Arc<Calls>);

operations!(OnePage);

#[vtable]
impl Exporter for OnePage {
    const NAME: &'static CStr = c"one page";

    type Memory = Page;
    type Mapping = Table;
    type Vmap<'a> = Infallible;

    fn map(
        &self,
        buffer: Buffer<'_, Page>,
        _: &Device,
        _: Direction,
        _: &Held<'_>,
    ) -> Result<Table> {
        self.0.maps.fetch_add(1, Relaxed);
        Table::new(buffer.memory())
    }

    fn unmap(&self, _: Buffer<'_, Page>, _: Table, _: &Held<'_>) {
        self.0.unmaps.fetch_add(1, Relaxed);
    }

    fn release(&self, _: &Page) {
        self.0.releases.fetch_add(1, Relaxed);
    }
}

/// A table of one page.
///
/// # Invariants
///
/// It is allocated.
struct Table(KBox<bindings::sg_table>);

impl Table {
    fn new(page: &Page) -> Result<Self> {
        let mut table = KBox::new(bindings::sg_table::default(), GFP_KERNEL)?;
        let raw = ptr::from_mut::<bindings::sg_table>(&mut table);
        // SAFETY: It is memory for a table.
        to_result(unsafe { bindings::sg_alloc_table(raw, 1, bindings::GFP_KERNEL) })?;
        // CAST: A page is shorter.
        let len = PAGE_SIZE as u32;
        // SAFETY: The table has an entry, and the page lives as long as the buffer.
        unsafe { helpers::sg_set_page(table.sgl, page.as_ptr(), len, 0) };
        // SAFETY: As above.
        unsafe { helpers::sg_set_dma(table.sgl, ADDRESS, len) };
        // INVARIANT: Just allocated.
        Ok(Self(table))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::sg_free_table(&mut *self.0) };
    }
}

// SAFETY: The table is of no task.
unsafe impl Send for Table {}

// SAFETY: Nobody else has the table, which is where it was until it comes back.
unsafe impl Mapped for Table {
    fn into_table(self) -> *mut bindings::sg_table {
        let mut this = ManuallyDrop::new(self);
        ptr::from_mut::<bindings::sg_table>(&mut this.0)
    }

    unsafe fn from_table(table: *mut bindings::sg_table) -> Self {
        // INVARIANT: It came from there.
        // SAFETY: It is what the box was of.
        Self(unsafe { KBox::from_raw(table) })
    }
}

#[kunit_tests(udmabuf_second_exporter)]
mod tests {
    use super::{
        super::dma_buf::DmaBuf,
        *, //
    };
    use crate::exporter::Udmabuf;
    use kernel::{
        device::Bound,
        error::from_err_ptr,
        faux, //
    };

    /// A buffer, and what is called for it.
    fn export() -> Result<(DmaBuf, Arc<Calls>)> {
        let none = Calls {
            maps: Atomic::new(0),
            unmaps: Atomic::new(0),
            releases: Atomic::new(0),
        };
        let calls = Arc::new(none, GFP_KERNEL)?;
        let exporter = OnePage(calls.clone());
        let page = Page::alloc_page(GFP_KERNEL)?;
        Ok((DmaBuf::export::<OnePage>(page, 1, exporter)?, calls))
    }

    #[test]
    fn its_buffers_are_not_the_drivers() -> Result {
        let (buffer, calls) = export()?;
        let pages = buffer
            .exported_by::<OnePage>()
            .map(|exported| exported.buffer().whole().pages());
        let drivers = buffer.exported_by::<Udmabuf>().map(|_| ()).err();
        drop(buffer);
        // SAFETY: No lock is held. A kernel thread's references go later, and the module's with them.
        unsafe { bindings::flush_delayed_fput() };
        assert_eq!(pages, Ok(0..1));
        assert_eq!(drivers, Some(EINVAL));
        assert_eq!(calls.all(), (0, 0, 1));
        Ok(())
    }

    #[test]
    fn an_importer_gets_its_table() -> Result {
        let (buffer, calls) = export()?;
        let registration = faux::Registration::new(c"udmabuf-kunit-importer", None)?;
        let faux: &faux::Device<Bound> = registration.as_ref();
        let device: &kernel::device::Device<Bound> = faux.as_ref();
        // A transparent wrapper.
        let device = ptr::from_ref(device).cast_mut().cast();
        let direction = Direction::Bidirectional.as_raw();
        // SAFETY: Buffer and device are live.
        let attachment =
            from_err_ptr(unsafe { bindings::dma_buf_attach(buffer.as_raw(), device) })?;
        // SAFETY: The attachment is valid, and the reservation lock not held.
        let table = from_err_ptr(unsafe {
            bindings::dma_buf_map_attachment_unlocked(attachment, direction)
        });
        let seen = table.map(|table| {
            // SAFETY: It has an entry, which is mapped.
            let (address, len) = unsafe {
                let entry = (*table).sgl;
                (bindings::sg_dma_address(entry), bindings::sg_dma_len(entry))
            };
            // SAFETY: Mapped so.
            unsafe { bindings::dma_buf_unmap_attachment_unlocked(attachment, table, direction) };
            (address, len)
        });
        // SAFETY: The buffer is live, and nothing is mapped.
        unsafe { bindings::dma_buf_detach(buffer.as_raw(), attachment) };
        // It cannot be mapped into the kernel, nor has it anything to do for the CPU.
        let mut map = bindings::iosys_map::default();
        // SAFETY: The buffer is live, and the lock not held.
        let vmap = unsafe { bindings::dma_buf_vmap_unlocked(buffer.as_raw(), &mut map) };
        // SAFETY: The buffer is live.
        let begin = unsafe { bindings::dma_buf_begin_cpu_access(buffer.as_raw(), direction) };
        drop(buffer);
        drop(registration);
        // SAFETY: As above.
        unsafe { bindings::flush_delayed_fput() };
        assert_eq!(seen.ok(), Some((ADDRESS, PAGE_SIZE as u32)));
        assert_eq!((vmap, begin), (EINVAL.to_errno(), 0));
        assert_eq!(calls.all(), (1, 1, 1));
        Ok(())
    }
}
