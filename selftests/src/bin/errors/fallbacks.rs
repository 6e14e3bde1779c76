// SPDX-License-Identifier: GPL-2.0

//! What programs do instead of what was refused, and whether that is good for anything.

use std::cell::Cell;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Heap;
use selftests::Item;
use selftests::Memfd;
use selftests::Mode;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::driver::Driver;
use selftests::fallback::Accesses;
use selftests::fallback::Instead;
use selftests::fallback::Shared;
use selftests::fallback::share;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::tests;

use crate::ours;
use crate::ours::Class;

pub const TESTS: &[Test] = tests![
    fallback_to_brackets,
    fallback_to_a_copy,
    fallback_of_a_narrow_device,
    fallback_from_what_is_not_offered,
    fallback_passes_other_errors_on,
    fallback_that_is_refused_as_well,
];

const PAGES: usize = 3;

/// The middle page.
const PAGE_LOOKED_AT: Window = Window {
    at: PAGE,
    len: PAGE,
};

/// The name of what accesses take.
fn name(accesses: &Accesses) -> &'static str {
    match accesses {
        Accesses::Coherent => "nothing",
        Accesses::Bracketed => "brackets",
        Accesses::Copied(..) => "copies",
    }
}

/// A buffer of the system heap, or ENOENT.
fn of_heap(size: usize) -> Result<DmaBuf, Errno> {
    Heap::open()?.allocate(size)
}

/// What the CPU writes arrives at the device, and back, whatever that takes.
fn shared_with(edu: &Edu, number: usize, mode: Mode, instead: Instead<'_>) -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let memory = memfd.map()?;
    let [before, ours, theirs] = [1, 2, 3].map(Pattern::new);
    before.write_to(&memory, 0, memory.len());
    let shared = share(&device, mode, &[memfd.whole()], instead, |buffer| {
        let attachment = edu.attach(buffer)?;
        attachment.map(Direction::Bidirectional)?.unmap()?;
        Ok(attachment)
    })?;

    let class = Class::of(edu, number, &device.create(memfd.whole())?)?;
    let coherent = class == Class::Coherent && mode == Mode::CpuCoherent;
    let expected = match instead {
        _ if coherent && Driver::under_test() == Driver::Rust => "nothing",
        _ if mode == Mode::DmaApi => "brackets",
        Instead::Brackets => "brackets",
        Instead::Copy(_) => "copies",
    };
    equal("what accesses take", name(&shared.accesses), expected)?;

    let mapping = shared.used.map(Direction::Bidirectional)?;
    let page = PAGE_LOOKED_AT;
    page.device_sees(&mapping, before)?;
    shared.start(Access::Write)?;
    page.fill(&memory, ours);
    shared.finish(Access::Write)?;
    page.device_sees(&mapping, ours)?;
    page.device_writes(&mapping, theirs)?;
    shared.start(Access::Read)?;
    page.holds(&memory, theirs)?;
    shared.finish(Access::Read)?;
    let rest = Window { at: 0, len: PAGE };
    rest.holds(&memory, before)?;
    rest.device_sees(&mapping, before)
}

fn on_each_device(instead: Instead<'_>) -> Outcome {
    for mode in Mode::ALL {
        for number in [0, 1] {
            shared_with(&ours::edu(number)?, number as usize, mode, instead)?;
        }
    }
    Ok(())
}

fn fallback_to_brackets() -> Outcome {
    on_each_device(Instead::Brackets)
}

fn fallback_to_a_copy() -> Outcome {
    if let Err(Errno::NOENT) = Heap::open() {
        return skip("the system heap: CONFIG_DMABUF_HEAPS_SYSTEM");
    }
    on_each_device(Instead::Copy(&of_heap))
}

fn fallback_of_a_narrow_device() -> Outcome {
    let narrow = ours::narrow(0)?;
    for mode in Mode::ALL {
        shared_with(&narrow, 0, mode, Instead::Brackets)?;
    }
    Ok(())
}

/// Shares memory with somebody who answers so, and counts how often.
fn attempt(
    device: &Udmabuf,
    mode: Mode,
    item: Item,
    tried: &Cell<u32>,
    answer: Result<(), Errno>,
) -> Result<Shared<()>, Errno> {
    share(device, mode, &[item], Instead::Brackets, |_| {
        tried.set(tried.get() + 1);
        answer
    })
}

/// Whoever asks for a mode that does not exist has no buffer to be refused.
fn fallback_from_what_is_not_offered() -> Outcome {
    let device = ours::device()?;
    let memfd = Memfd::new(PAGE)?;
    let tried = Cell::new(0);
    let shared = attempt(&device, Mode::MemoryCoherent, memfd.whole(), &tried, Ok(()))?;
    equal("how often it was tried", tried.get(), 1)?;
    equal(
        "mode",
        device.query(&shared.buffer)?.mode,
        Mode::DmaApi.number(),
    )
}

fn fallback_passes_other_errors_on() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let tried = Cell::new(0);
    let mode = Mode::CpuCoherent;
    for error in [Errno::NOMEM, Errno::INVAL, Errno::BUSY] {
        let shared = attempt(&device, mode, memfd.whole(), &tried, Err(error));
        errno("shared", shared.map(drop), error)?;
    }
    equal("how often it was tried", tried.get(), 3)?;
    let beyond = memfd.range(PAGE, PAGE);
    let shared = attempt(&device, mode, beyond, &tried, Ok(()));
    errno("beyond the end", shared.map(drop), Errno::INVAL)?;
    check("nothing was tried", tried.get() == 3)
}

fn fallback_that_is_refused_as_well() -> Outcome {
    let device = ours::device()?;
    let memfd = Memfd::new(PAGE)?;
    let tried = Cell::new(0);
    let refused = Err(Errno::OPNOTSUPP);
    let shared = attempt(&device, Mode::CpuCoherent, memfd.whole(), &tried, refused);
    errno("shared", shared.map(drop), Errno::OPNOTSUPP)?;
    equal("how often it was tried", tried.get(), 2)
}
