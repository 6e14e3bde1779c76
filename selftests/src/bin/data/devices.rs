// SPDX-License-Identifier: GPL-2.0

//! Two devices on one buffer, and devices that cannot reach all memory.

use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Ledger;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::importer::Narrow;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![
    two_devices_read,
    two_devices_in_turn,
    one_device_writes_another_reads,
    two_buffers_over_the_same_pages,
    narrow_device,
    narrow_device_beside_wide_one,
    narrow_devices_that_write,
    narrowed_between_mappings,
    too_much_for_a_narrow_device,
    mapped_several_times,
];

fn eight_pages() -> Result<DmaBuf, Errno> {
    Udmabuf::open()?.create(Memfd::new(8 * PAGE)?.whole())
}

/// Both are mapped all the time; one bracket hands over to both.
fn two_devices_read() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    let buffer = eight_pages()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let (first, second) = (one.attach(&buffer)?, two.attach(&buffer)?);
    let mappings = [
        first.map(Direction::ToDevice)?,
        second.map(Direction::ToDevice)?,
    ];
    let window = Window {
        at: 5 * PAGE - 7,
        len: 4000,
    };
    for seed in [80, 81] {
        let pattern = Pattern::new(seed);
        let bracket = buffer.begin(Access::Write)?;
        pattern.write_to(&memory, 0, memory.len());
        bracket.end()?;
        for mapping in &mappings {
            window.device_sees(mapping, pattern)?;
        }
    }
    Ok(())
}

/// Both are attached, but only one is mapped at a time: each unmap hands over to the next map.
fn two_devices_in_turn() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    let buffer = eight_pages()?;
    let (first, second) = (one.attach(&buffer)?, two.attach(&buffer)?);
    let window = Window {
        at: PAGE + 3,
        len: 4093,
    };
    let mut last = None;
    for (seed, attachment) in [(82, &first), (83, &second), (84, &first)] {
        let mapping = attachment.map(Direction::Bidirectional)?;
        if let Some(last) = last {
            window.device_sees(&mapping, last)?;
        }
        let pattern = Pattern::new(seed);
        window.device_writes(&mapping, pattern)?;
        mapping.unmap()?;
        last = Some(pattern);
    }
    Pattern::new(84).check_in(&buffer.map(Access::Read)?, window.at, window.len)?;
    Ok(())
}

/// Both are mapped all the time. The CPU's bracket takes from the one and gives to the other.
fn one_device_writes_another_reads() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    let buffer = eight_pages()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let (first, second) = (one.attach(&buffer)?, two.attach(&buffer)?);
    let writer = first.map(Direction::FromDevice)?;
    let reader = second.map(Direction::ToDevice)?;
    let window = Window {
        at: 2 * PAGE,
        len: 4096,
    };
    for seed in [85, 86] {
        let pattern = Pattern::new(seed);
        window.device_writes(&writer, pattern)?;
        let bracket = buffer.begin(Access::ReadWrite)?;
        pattern.check_in(&memory, window.at, window.len)?;
        bracket.end()?;
        window.device_sees(&reader, pattern)?;
    }
    Ok(())
}

/// One device writes through one buffer, another reads through another buffer. They know nothing
/// of each other, so the hand-over is unmap and map.
fn two_buffers_over_the_same_pages() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    for backing in [Backing::Base, Backing::Huge] {
        let device = Udmabuf::open()?;
        let memfd = setup::memfd(backing, 16 * PAGE)?;
        let lower = device.create(memfd.range(0, 12 * PAGE))?;
        let upper = device.create(memfd.range(4 * PAGE, 12 * PAGE))?;
        let (first, second) = (one.attach(&lower)?, two.attach(&upper)?);
        let pattern = Pattern::new(87);
        let writer = first.map(Direction::FromDevice)?;
        Window {
            at: 9 * PAGE,
            len: 4096,
        }
        .device_writes(&writer, pattern)?;
        writer.unmap()?;
        let reader = second.map(Direction::ToDevice)?;
        let mut bytes = vec![0; 4096];
        reader.device_reads(5 * PAGE, &mut bytes)?;
        pattern.check(9 * PAGE, &bytes)?;
    }
    Ok(())
}

/// A device with 32 address bits at most, until dropped. Memory above 4 GiB, where the kernel allocates
/// first, is out of its reach.
fn narrow(number: u32) -> Outcome<Narrow> {
    let edu = setup::edu(number)?;
    let bits = edu.dma_bits()?.min(32);
    let narrow = Narrow::new(edu, 32)?;
    equal("address bits", narrow.dma_bits()?, bits)?;
    Ok(narrow)
}

fn narrow_device() -> Outcome {
    let narrow = narrow(0)?;
    let buffer = eight_pages()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = narrow.attach(&buffer)?;
    let window = Window {
        at: 3 * PAGE - 50,
        len: 4096,
    };
    for direction in [Direction::ToDevice, Direction::Bidirectional] {
        let mapping = attachment.map(direction)?;
        let pattern = Pattern::new(88);
        let bracket = buffer.begin(Access::Write)?;
        pattern.write_to(&memory, 0, memory.len());
        bracket.end()?;
        window.device_sees(&mapping, pattern)?;
    }
    for direction in [Direction::FromDevice, Direction::Bidirectional] {
        let mapping = attachment.map(direction)?;
        let pattern = Pattern::new(89);
        window.device_writes(&mapping, pattern)?;
        let bracket = buffer.begin(Access::Read)?;
        pattern.check_in(&memory, window.at, window.len)?;
        bracket.end()?;
    }
    Ok(())
}

/// A reader that is bounced and one that is not, mapped together.
fn narrow_device_beside_wide_one() -> Outcome {
    let (narrow, wide) = (narrow(0)?, setup::edu(1)?);
    let buffer = eight_pages()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let (first, second) = (narrow.attach(&buffer)?, wide.attach(&buffer)?);
    let mappings = [
        first.map(Direction::ToDevice)?,
        second.map(Direction::ToDevice)?,
    ];
    let window = Window {
        at: 6 * PAGE - 1,
        len: 4096,
    };
    for seed in [90, 91] {
        let pattern = Pattern::new(seed);
        let bracket = buffer.begin(Access::Write)?;
        pattern.write_to(&memory, 0, memory.len());
        bracket.end()?;
        for mapping in &mappings {
            window.device_sees(mapping, pattern)?;
        }
    }
    Ok(())
}

/// Both are out of reach of the memory, and both write.
fn narrow_devices_that_write() -> Outcome {
    let (one, two) = (narrow(0)?, narrow(1)?);
    let buffer = eight_pages()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let (first, second) = (one.attach(&buffer)?, two.attach(&buffer)?);
    let below = Window {
        at: 0,
        len: PAGE + 77,
    };
    let above = Window {
        at: below.len,
        len: PAGE,
    };
    for direction in [Direction::FromDevice, Direction::Bidirectional] {
        let mappings = (first.map(direction)?, second.map(direction)?);
        for seed in [94, 95] {
            let theirs = Pattern::new(seed);
            below.device_writes(&mappings.0, theirs)?;
            above.device_writes(&mappings.1, theirs)?;
            let reading = buffer.begin(Access::Read)?;
            below.holds(&memory, theirs)?;
            above.holds(&memory, theirs)?;
            reading.end()?;
        }
    }
    Ok(())
}

/// A device that is given fewer address bits while it is attached and not mapped, when a mapping before
/// had needed none, or a copy that it does not reach any more.
fn narrowed_between_mappings() -> Outcome {
    let edu = setup::edu(0)?;
    let bits = edu.dma_bits()?;
    let buffer = eight_pages()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let (first, second) = (edu.attach(&buffer)?, edu.attach(&buffer)?);
    let window = Window {
        at: PAGE - 77,
        len: PAGE,
    };
    let works = |mapping: &DeviceMapping<'_>, seed| -> Outcome {
        window.cpu_writes(&buffer, &memory, Pattern::new(seed))?;
        window.device_sees(mapping, Pattern::new(seed))?;
        window.device_writes(mapping, Pattern::new(seed + 1))?;
        window.cpu_sees(&buffer, &memory, Pattern::new(seed + 1))
    };
    works(&first.map(Direction::Bidirectional)?, 1)?;
    first.detach()?;
    edu.set_dma_bits(bits.min(32))?;
    let narrow = second
        .map(Direction::Bidirectional)
        .map_err(Into::into)
        .and_then(|mapping| works(&mapping, 3));
    drop(second);
    edu.set_dma_bits(bits)?;
    narrow
}

/// A device reaches half as much, of which others have a part: what does not fit is an error, after which
/// nothing is lost, and what does fit still works.
fn too_much_for_a_narrow_device() -> Outcome {
    let (bits, size) = setup::out_of_reach(512 << 20)?;
    let edu = match Narrow::new(setup::edu(0)?, bits) {
        // No memory at all lies that low.
        Err(Errno::IO) => return Ok(()),
        edu => edu?,
    };
    let memfd = Memfd::new(size)?;
    let memory = memfd.map()?;
    let windows = setup::windows(size, &[size / 2]);
    let ours = Pattern::new(96);
    for window in &windows {
        window.fill(&memory, ours);
    }
    let before = Ledger::now()?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let attachment = edu.attach(&buffer)?;
    match attachment.map(Direction::Bidirectional) {
        // Behind an IOMMU it reaches everything.
        Ok(mapping) => windows[1].device_sees(&mapping, ours)?,
        // The second is what the C driver says.
        Err(Errno::NOMEM | Errno::IO) => {}
        Err(other) => return Err(other.into()),
    }
    buffer.begin(Access::ReadWrite)?.end()?;
    for window in &windows {
        window.holds(&memory, ours)?;
    }
    drop(attachment);
    drop(buffer);
    equal("at the end", Ledger::now()?, before)?;

    let small = Udmabuf::open()?.create(memfd.range(0, 8 * PAGE))?;
    let attachment = edu.attach(&small)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    windows[0].device_sees(&mapping, ours)
}

/// One attachment, mapped more than once at a time.
fn mapped_several_times() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = eight_pages()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let window = Window {
        at: 4 * PAGE,
        len: 4096,
    };
    let first = attachment.map(Direction::ToDevice)?;
    let second = attachment.map(Direction::ToDevice)?;
    let pattern = Pattern::new(92);
    let bracket = buffer.begin(Access::Write)?;
    pattern.write_to(&memory, 0, memory.len());
    bracket.end()?;
    window.device_sees(&first, pattern)?;
    window.device_sees(&second, pattern)?;
    first.unmap()?;
    let pattern = Pattern::new(93);
    let bracket = buffer.begin(Access::Write)?;
    pattern.write_to(&memory, 0, memory.len());
    bracket.end()?;
    window.device_sees(&second, pattern)
}
