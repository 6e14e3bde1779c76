// SPDX-License-Identifier: GPL-2.0

//! Buffers that say what it takes to be coherent: devices that do not have it are refused, and with
//! the others nobody needs a bracket.

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Memfd;
use selftests::Mode;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::fallback;
use selftests::fallback::Instead;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::outcome::fail;
use selftests::outcome::offered;
use selftests::outcome::rule;

use crate::flow::Flow;
use crate::stage::Buffer;
use crate::stage::FIRST;
use crate::stage::Pages;
use crate::stage::SECOND;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "cpu_coherent",
        title: "buffer for coherent devices alone, no bracket",
        controls: &["modes-not-enforced"],
        heap: false,
        refuses: true,
        run: cpu_coherent,
    },
    Flow {
        name: "atomic_coherent",
        title: "buffer for devices with atomics alone, no bracket",
        controls: &["modes-not-enforced"],
        heap: false,
        refuses: true,
        run: atomic_coherent,
    },
    Flow {
        name: "fallback",
        title: "coherent where that can be, else brackets, or a copy",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        heap: false,
        refuses: false,
        run: fallback,
    },
];

/// Across two pages.
const ACROSS: Window = Window {
    at: PAGE - 99,
    len: 2000,
};

/// A buffer of these pages in a mode.
fn in_mode(pages: &Pages<'_>, mode: Mode) -> Outcome<Buffer> {
    let Some(item) = pages.item() else {
        return fail("the heap has no modes");
    };
    let made = Udmabuf::open()?.create_in(mode, &[item]);
    Buffer::new(offered("a mode", made)?)
}

/// Nothing if the device is refused, which is noted.
fn unless_refused<T>(
    stage: &Stage,
    device: u32,
    call: &'static str,
    result: Result<T, Errno>,
) -> Outcome<Option<T>> {
    match result {
        Err(Errno::OPNOTSUPP) => {
            stage.refused(device, call);
            Ok(None)
        }
        result => Ok(Some(result?)),
    }
}

/// CPU and device in turns with no bracket; and one that is made all the same does nothing.
fn unbracketed(stage: &Stage, buffer: &Buffer, mapping: &DeviceMapping<'_>) -> Outcome {
    let (ours, theirs) = (Pattern::new(1), Pattern::new(2));
    ACROSS.fill(&buffer.memory, ours);
    ACROSS.device_sees(mapping, ours)?;
    SECOND.device_writes(mapping, theirs)?;
    SECOND.holds(&buffer.memory, theirs)?;
    stage.counted(0, || {
        buffer.dma_buf.begin(Access::ReadWrite)?.end()?;
        Ok(())
    })
}

fn cpu_coherent(stage: &Stage) -> Outcome {
    for device in [0, 1] {
        let edu = stage.edu(device)?;
        let pages = stage.pages(2)?;
        let buffer = in_mode(&pages, Mode::CpuCoherent)?;
        let attachment = edu.attach(&buffer.dma_buf);
        let Some(attachment) = unless_refused(stage, device, "attach", attachment)? else {
            continue;
        };
        let mapping = attachment.map(Direction::Bidirectional);
        let Some(mapping) = unless_refused(stage, device, "map", mapping)? else {
            continue;
        };
        unbracketed(stage, &buffer, &mapping)?;
    }
    Ok(())
}

/// No device has atomics unless its driver says so.
fn atomic_coherent(stage: &Stage) -> Outcome {
    for device in [0, 1] {
        let edu = stage.edu(device)?;
        let pages = stage.pages(2)?;
        let buffer = in_mode(&pages, Mode::AtomicCoherent)?;
        let attachment = edu.attach(&buffer.dma_buf);
        let Some(attachment) = unless_refused(stage, device, "attach", attachment)? else {
            continue;
        };
        let early = attachment.map(Direction::Bidirectional).map(drop);
        let what = "a device without atomics is refused";
        rule(what, early == Err(Errno::OPNOTSUPP))?;
        attachment.declare_atomics()?;
        let mapping = attachment.map(Direction::Bidirectional);
        let Some(mapping) = unless_refused(stage, device, "map", mapping)? else {
            continue;
        };
        unbracketed(stage, &buffer, &mapping)?;
    }
    Ok(())
}

/// What a program does that wants it coherent, and works with any device.
fn fallback(stage: &Stage) -> Outcome {
    let other = |size| Udmabuf::open()?.create(Memfd::new(size)?.whole());
    for (device, instead) in [
        (0, Instead::Brackets),
        (0, Instead::Copy(&other)),
        (1, Instead::Brackets),
    ] {
        let edu = stage.edu(device)?;
        let pages = stage.pages(2)?;
        let Some(item) = pages.item() else {
            return fail("the heap has no modes");
        };
        let driver = Udmabuf::open()?;
        offered("a mode", driver.create_in(Mode::CpuCoherent, &[item]))?;
        let shared = fallback::share(&driver, Mode::CpuCoherent, &[item], instead, |buffer| {
            taken(&edu, buffer)
        })?;
        let attachment = edu.attach(&shared.buffer)?;
        let mapping = attachment.map(Direction::Bidirectional)?;
        let (ours, theirs) = (Pattern::new(1), Pattern::new(2));
        shared.start(Access::Write)?;
        pages.whole().fill(&pages.memory, ours);
        shared.finish(Access::Write)?;
        ACROSS.device_sees(&mapping, ours)?;
        FIRST.device_writes(&mapping, theirs)?;
        shared.start(Access::Read)?;
        FIRST.holds(&pages.memory, theirs)?;
        SECOND.holds(&pages.memory, ours)?;
        shared.finish(Access::Read)?;
    }
    Ok(())
}

/// Whether the device takes the buffer.
fn taken(edu: &Edu, buffer: &DmaBuf) -> Result<(), Errno> {
    let attachment = edu.attach(buffer)?;
    attachment.map(Direction::Bidirectional).map(drop)
}
