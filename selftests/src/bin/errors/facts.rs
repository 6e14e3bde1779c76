// SPDX-License-Identifier: GPL-2.0

//! What UDMABUF_QUERY says of a buffer, beside what can be seen otherwise.

use selftests::Backing;
use selftests::DmaBuf;
use selftests::HUGE_PAGE;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::hugepage;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::ours;
use crate::ours::Class;
use crate::query::text;

pub const TESTS: &[Test] = tests![
    query_says_what_memory_there_is,
    query_of_huge_pages,
    query_counts_mappings,
    query_counts_mappings_of_a_narrow_device,
    query_of_several_devices,
    query_generation,
    query_changes_nothing,
];

const SYNCS: u32 = abi::UDMABUF_STATE_SYNCS;
const MAY_SYNC: u32 = abi::UDMABUF_STATE_MAY_SYNC;

const DIRECTIONS: [Direction; 3] = [
    Direction::Bidirectional,
    Direction::ToDevice,
    Direction::FromDevice,
];

/// Lengths of the runs of frames that follow each other.
fn runs(frames: &[u64]) -> Vec<usize> {
    frames
        .chunk_by(|one, next| one + 1 == *next)
        .map(<[u64]>::len)
        .collect()
}

/// Compares what is said of the memory with the frames that an importer is shown.
fn memory(device: &Udmabuf, edu: &Edu, what: &str, buffer: &DmaBuf) -> Outcome {
    let query = device.query(buffer)?;
    let frames = edu.frames(buffer)?;
    let runs = runs(&frames);
    let largest = runs.iter().max().unwrap_or(&0) * PAGE;
    equal(
        format_args!("{what}: size, extents, largest"),
        [query.size, query.extents, query.largest],
        [frames.len() * PAGE, runs.len(), largest].map(|number| number as u64),
    )
}

fn query_says_what_memory_there_is() -> Outcome {
    let device = ours::device()?;
    let edu = ours::edu(0)?;
    let memfd = Memfd::with_pages_apart(64 * PAGE)?;
    memory(&device, &edu, "apart", &device.create(memfd.whole())?)?;
    memory(&device, &edu, "one", &device.create(memfd.range(0, PAGE))?)?;
    let plain = Memfd::new(512 * PAGE)?;
    memory(&device, &edu, "fresh", &device.create(plain.whole())?)?;
    // A page twice, and pages in reverse.
    let items: Vec<_> = [5, 5, 6, 7, 4, 3, 2, 1]
        .map(|page| plain.range(page * PAGE, PAGE))
        .into();
    memory(&device, &edu, "a list", &device.create_list(&items)?)
}

/// What lies side by side is one piece, whatever items it is from.
fn query_of_huge_pages() -> Outcome {
    let device = ours::device()?;
    let edu = ours::edu(0)?;
    if hugepage::free()? < 2 {
        return skip("2 free huge pages");
    }
    let memfd = Memfd::builder(2 * HUGE_PAGE).backing(Backing::Huge);
    let memfd = memfd.create()?;
    memory(&device, &edu, "whole", &device.create(memfd.whole())?)?;
    let items: Vec<_> = (0..HUGE_PAGE)
        .step_by(16 * PAGE)
        .map(|at| memfd.range(at, 16 * PAGE))
        .collect();
    let list = device.create_list(&items)?;
    memory(&device, &edu, "side by side", &list)?;
    equal("extents", device.query(&list)?.extents, 1)?;
    let middle = device.create(memfd.range(HUGE_PAGE - PAGE, 3 * PAGE))?;
    memory(&device, &edu, "across", &middle)
}

/// How many mappings of each class there are.
fn mappings(query: &abi::udmabuf_query) -> [u32; 4] {
    [
        query.coherent,
        query.cache,
        query.shadow,
        query.own_operations,
    ]
}

/// So many mappings of one class.
fn of_class(class: Class, count: u32) -> [u32; 4] {
    let [mut coherent, mut cache, mut shadow] = [0; 3];
    match class {
        Class::Coherent => coherent = count,
        Class::Cache => cache = count,
        Class::Shadow => shadow = count,
    }
    [coherent, cache, shadow, 0]
}

/// What brackets do while a device of a class is attached, or mapped as well.
fn state(class: Class, mapped: bool) -> u32 {
    match (class, mapped) {
        (Class::Coherent, _) => 0,
        (_, false) => MAY_SYNC,
        (_, true) => SYNCS | MAY_SYNC,
    }
}

/// Whether the costs of START and END are those of mappings of one class.
fn costs(class: Class, writes: bool, query: &abi::udmabuf_query) -> Outcome {
    let (size, costs) = (query.size, [query.start_bytes, query.end_bytes]);
    match class {
        Class::Coherent => equal("bytes, coherent", costs, [0, 0]),
        Class::Cache if writes => equal("bytes, cache", costs, [size, size]),
        Class::Cache => equal("bytes, cache, read only", costs, [0, size]),
        // Pages and copy are gone through, perhaps more than once.
        Class::Shadow => check(
            format_args!("bytes {costs:?}, shadow, of {size}"),
            costs.iter().all(|bytes| *bytes >= size),
        ),
    }
}

/// Attaches and maps, and looks in between.
fn come_and_go(device: &Udmabuf, edu: &Edu, number: usize) -> Outcome {
    let (_memfd, buffer) = ours::pages(device, 8)?;
    let class = Class::of(edu, number, &buffer)?;
    let nothing = device.query(&buffer)?;
    println!("# {}: {class:?}", edu.name()?);
    let look = |what: &str, count: u32, attached: bool| -> Outcome<abi::udmabuf_query> {
        let query = device.query(&buffer)?;
        equal(
            format_args!("mappings {what}"),
            mappings(&query),
            of_class(class, count),
        )?;
        let expected = match attached {
            true => state(class, count > 0),
            false => 0,
        };
        equal(format_args!("state {what}"), query.state, expected)?;
        if count == 0 {
            equal(
                format_args!("bytes {what}"),
                [query.start_bytes, query.end_bytes],
                [0, 0],
            )?;
        }
        Ok(query)
    };
    look("of a new buffer", 0, false)?;
    for direction in DIRECTIONS {
        let attachment = edu.attach(&buffer)?;
        look("attached", 0, true)?;
        let first = attachment.map(direction)?;
        let writes = direction != Direction::ToDevice;
        costs(class, writes, &look("mapped", 1, true)?)?;
        let second = attachment.map(direction)?;
        look("mapped twice", 2, true)?;
        first.unmap()?;
        look("mapped once again", 1, true)?;
        second.unmap()?;
        look("attached again", 0, true)?;
        attachment.detach()?;
        look("detached", 0, false)?;
    }
    let after = abi::udmabuf_query {
        generation: nothing.generation,
        ..device.query(&buffer)?
    };
    equal("in the end", text(&after), text(&nothing))
}

fn query_counts_mappings() -> Outcome {
    let device = ours::device()?;
    for number in [0, 1] {
        come_and_go(&device, &ours::edu(number)?, number as usize)?;
    }
    Ok(())
}

fn query_counts_mappings_of_a_narrow_device() -> Outcome {
    come_and_go(&ours::device()?, &*ours::narrow(0)?, 0)
}

/// Each counts among those of its class; what they cost adds up.
fn query_of_several_devices() -> Outcome {
    let device = ours::device()?;
    let (narrow, other) = (ours::narrow(0)?, ours::edu(1)?);
    let (_memfd, buffer) = ours::pages(&device, 4)?;
    let classes = [
        Class::of(&narrow, 0, &buffer)?,
        Class::of(&other, 1, &buffer)?,
    ];
    let attachments = [narrow.attach(&buffer)?, other.attach(&buffer)?];
    let query = device.query(&buffer)?;
    equal(
        "state, attached",
        query.state,
        state(classes[0], false) | state(classes[1], false),
    )?;
    let one = attachments[0].map(Direction::Bidirectional)?;
    let alone = device.query(&buffer)?;
    let two = attachments[1].map(Direction::Bidirectional)?;
    let both = device.query(&buffer)?;
    let [first, second] = classes.map(|class| of_class(class, 1));
    let sum: [u32; 4] = std::array::from_fn(|class| first[class] + second[class]);
    equal("mappings", mappings(&both), sum)?;
    equal(
        "state, mapped",
        both.state,
        state(classes[0], true) | state(classes[1], true),
    )?;
    check(
        "two cost no less than one",
        both.start_bytes >= alone.start_bytes && both.end_bytes >= alone.end_bytes,
    )?;
    drop((one, two));
    Ok(())
}

/// Another one wherever the state may have changed, so that whoever has seen the same twice has missed
/// nothing.
fn query_generation() -> Outcome {
    let device = ours::device()?;
    let devices = [ours::edu(0)?, ours::edu(1)?];
    for (number, edu) in devices.iter().enumerate() {
        let (_memfd, buffer) = ours::pages(&device, 4)?;
        let class = Class::of(edu, number, &buffer)?;
        let mut seen = vec![device.query(&buffer)?];
        let mut look = |what: &str| -> Outcome {
            let now = device.query(&buffer)?;
            let last = seen[seen.len() - 1];
            if now.state != last.state {
                check(
                    format_args!(
                        "{what}: generation {} after {}",
                        now.generation, last.generation
                    ),
                    now.generation != last.generation,
                )?;
            }
            // Nothing comes back: a state that was there before has another generation.
            if class != Class::Coherent {
                let again = seen.iter().any(|query| query.generation == now.generation);
                check(
                    format_args!("{what}: generation {} is new", now.generation),
                    !again,
                )?;
            }
            seen.push(now);
            Ok(())
        };
        for _ in 0..2 {
            let attachment = edu.attach(&buffer)?;
            look("attached")?;
            let mapping = attachment.map(Direction::Bidirectional)?;
            look("mapped")?;
            mapping.unmap()?;
            look("unmapped")?;
            attachment.detach()?;
            look("detached")?;
        }
    }
    Ok(())
}

/// Nor do brackets, nor other mappings of the CPU: whoever asks again gets the same answer.
fn query_changes_nothing() -> Outcome {
    let device = ours::device()?;
    let edu = ours::edu(0)?;
    let (_memfd, buffer) = ours::pages(&device, 4)?;
    let attachment = edu.attach(&buffer)?;
    let _mapping = attachment.map(Direction::Bidirectional)?;
    let first = device.query(&buffer)?;
    for access in selftests::Access::ALL {
        buffer.begin(access)?.end()?;
        buffer.map(access)?.touch_every_page();
        equal(
            format_args!("after {access:?}"),
            text(&device.query(&buffer)?),
            text(&first),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn runs_are_of_frames_that_follow_each_other() {
        assert_eq!(runs(&[7, 8, 9, 3, 4, 4, 5, 1]), [3, 2, 2, 1]);
        assert!(runs(&[]).is_empty());
    }
}
