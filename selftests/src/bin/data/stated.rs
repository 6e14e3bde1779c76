// SPDX-License-Identifier: GPL-2.0

//! Buffers that say what it takes to be coherent, and importers that ask for more than dma-buf's own
//! calls, where that is about more than the flow of data.

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
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![
    coherent_mode_follows_the_mask,
    one_device_maps_both_modes,
    atomics_have_to_be_declared,
    mapped_by_vecs,
    dynamic_importers_bracket_nothing,
];

const SIZE: usize = 4 * PAGE;

/// Across two pages.
const WINDOW: Window = Window {
    at: PAGE - 50,
    len: 4000,
};

/// A buffer of pages that lie apart, in a mode.
fn in_mode(mode: Mode) -> Outcome<(Memfd, DmaBuf)> {
    let memfd = Memfd::with_pages_apart(SIZE)?;
    match Udmabuf::open()?.create_in(mode, &[memfd.whole()]) {
        Err(Errno::NOTTY) => skip("a driver that has modes"),
        buffer => Ok((memfd, buffer?)),
    }
}

/// CPU and device in turns, and no bracket.
fn unbracketed(buffer: &DmaBuf, mapping: &DeviceMapping<'_>, seed: u64) -> Outcome {
    let memory = buffer.map(Access::ReadWrite)?;
    let (ours, theirs) = (Pattern::new(seed), Pattern::new(seed + 1));
    WINDOW.fill(&memory, ours);
    WINDOW.device_sees(mapping, ours)?;
    WINDOW.device_writes(mapping, theirs)?;
    Ok(WINDOW.holds(&memory, theirs)?)
}

/// A device that reaches the pages when it is attached, and has fewer address bits when it is mapped.
/// What is above 4 GiB, where programs get their memory from first, it does not reach then, unless an
/// IOMMU is in between.
fn coherent_mode_follows_the_mask() -> Outcome {
    for number in [0, 1] {
        let edu = setup::edu(number)?;
        let bits = edu.dma_bits()?;
        let (_memfd, buffer) = in_mode(Mode::CpuCoherent)?;
        let attachment = match edu.attach(&buffer) {
            // Not coherent in any case.
            Err(Errno::OPNOTSUPP) => continue,
            attachment => attachment?,
        };
        edu.set_dma_bits(bits.min(32))?;
        let narrow = match attachment.map(Direction::Bidirectional) {
            Err(Errno::OPNOTSUPP) => Ok(()),
            Ok(mapping) => unbracketed(&buffer, &mapping, 1),
            Err(other) => Err(other.into()),
        };
        drop(attachment);
        edu.set_dma_bits(bits)?;
        narrow?;
        let attachment = edu.attach(&buffer)?;
        unbracketed(&buffer, &attachment.map(Direction::Bidirectional)?, 3)?;
    }
    Ok(())
}

/// Where mappings are noted by address (`CONFIG_DMA_API_DEBUG`), two of the same pages for one device are
/// told apart by their size and direction alone: nothing else about them may differ, whichever goes first.
fn one_device_maps_both_modes() -> Outcome {
    for number in [0, 1] {
        let edu = setup::edu(number)?;
        let (memfd, coherent) = in_mode(Mode::CpuCoherent)?;
        let usual = Udmabuf::open()?.create(memfd.whole())?;
        let attachment = edu.attach(&usual)?;
        let coherent = match edu.attach(&coherent) {
            Err(Errno::OPNOTSUPP) => continue,
            coherent => coherent?,
        };
        for usual_goes_first in [true, false] {
            let one = attachment.map(Direction::Bidirectional)?;
            let other = coherent.map(Direction::Bidirectional)?;
            let (first, last) = match usual_goes_first {
                true => (one, other),
                false => (other, one),
            };
            first.unmap()?;
            unbracketed(&usual, &last, 1)?;
        }
    }
    Ok(())
}

/// A declaration is the attachment's, and goes with it.
fn atomics_have_to_be_declared() -> Outcome {
    for number in [0, 1] {
        let edu = setup::edu(number)?;
        let (_memfd, buffer) = in_mode(Mode::AtomicCoherent)?;
        for seed in [1, 3] {
            let attachment = match edu.attach(&buffer) {
                Err(Errno::OPNOTSUPP) => break,
                attachment => attachment?,
            };
            let early = attachment.map(Direction::ToDevice);
            errno("without atomics", early, Errno::OPNOTSUPP)?;
            attachment.declare_atomics()?;
            unbracketed(&buffer, &attachment.map(Direction::Bidirectional)?, seed)?;
        }
    }
    Ok(())
}

/// Pages that lie apart are as many pieces, and the importer has seen that they are the buffer.
fn mapped_by_vecs() -> Outcome {
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    for (number, seed) in [(0, 1), (1, 3)] {
        let edu = setup::edu(number)?;
        let attachment = edu.attach(&buffer)?;
        let mapping = match attachment.map_vecs(Direction::Bidirectional) {
            Err(Errno::OPNOTSUPP) => return skip("a driver that maps by dma_vec"),
            mapping => mapping?,
        };
        let (ours, theirs) = (Pattern::new(seed), Pattern::new(seed + 1));
        let whole = Window { at: 0, len: SIZE };
        whole.cpu_writes(&buffer, &memory, ours)?;
        whole.device_sees(&mapping, ours)?;
        whole.device_writes(&mapping, theirs)?;
        mapping.unmap()?;
        whole.holds(&memory, theirs)?;
    }
    Ok(())
}

/// Who orders its accesses by fences alone is not to call for each, and says so by how it attaches.
/// Everything else is as for others.
fn dynamic_importers_bracket_nothing() -> Outcome {
    let memfd = Memfd::new(SIZE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let edu = setup::edu(0)?;
    let attachment = edu.attach_dynamic(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let begun = mapping.begin_access(Direction::Bidirectional);
    errno("a begin", begun, Errno::OPNOTSUPP)?;
    let ended = mapping.end_access(Direction::Bidirectional);
    errno("an end", ended, Errno::OPNOTSUPP)?;
    let (ours, theirs) = (Pattern::new(1), Pattern::new(2));
    WINDOW.cpu_writes(&buffer, &memory, ours)?;
    WINDOW.device_sees(&mapping, ours)?;
    WINDOW.device_writes(&mapping, theirs)?;
    mapping.unmap()?;
    Ok(WINDOW.holds(&memory, theirs)?)
}
