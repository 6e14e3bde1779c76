// SPDX-License-Identifier: GPL-2.0

//! Device, memfd, dma-buf, mapping and attachment, closed in every order.

use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Ledger;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::hugepage;
use selftests::importer;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    every_order,
    every_order_of_huge_pages,
    every_order_with_a_device,
    importer_closed_with_everything,
    importer_that_forgets,
];

/// Every order of `count` things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for _ in 0..count {
        orders = orders
            .into_iter()
            .flat_map(|order| {
                (0..count)
                    .filter(|next| !order.contains(next))
                    .map(|next| {
                        let mut longer = order.clone();
                        longer.push(next);
                        longer
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    orders
}

/// Everything that a program without a device has open for a buffer.
struct Open {
    device: Option<Udmabuf>,
    memfd: Option<Memfd>,
    buffer: Option<DmaBuf>,
    mapping: Option<Mapping>,
}

impl Open {
    fn new(backing: Backing, size: usize) -> Result<Open, Errno> {
        let device = Udmabuf::open()?;
        let memfd = Memfd::builder(size).backing(backing).create()?;
        let buffer = device.create(memfd.whole())?;
        let mapping = buffer.map_aligned(Access::ReadWrite)?;
        Ok(Open {
            device: Some(device),
            memfd: Some(memfd),
            buffer: Some(buffer),
            mapping: Some(mapping),
        })
    }

    /// Closes one of the four.
    fn close(&mut self, which: usize) {
        match which {
            0 => drop(self.device.take()),
            1 => drop(self.memfd.take()),
            2 => drop(self.buffer.take()),
            _ => drop(self.mapping.take()),
        }
    }

    /// Whether something is left that keeps the buffer alive.
    fn needs_buffer(&self) -> bool {
        self.buffer.is_some() || self.mapping.is_some()
    }
}

fn every_order_of(backing: Backing, size: usize) -> Outcome {
    let before = Ledger::now()?;
    let pattern = Pattern::new(1);
    for order in orders(4) {
        let mut open = Open::new(backing, size)?;
        if let Some(mapping) = &open.mapping {
            pattern.write_to(mapping, 0, size);
        }
        for which in &order {
            open.close(*which);
            let now = Ledger::now()?;
            let what = format!("order {order:?}, after {which}");
            equal(
                format_args!("{what}: a buffer"),
                now.buffers - before.buffers,
                open.needs_buffer().into(),
            )?;
            check(
                format_args!("{what}: pages pinned while needed"),
                (now.pinned > before.pinned) == open.needs_buffer(),
            )?;
            for mapping in open
                .mapping
                .iter()
                .chain(&open.memfd.as_ref().map(Memfd::map).transpose()?)
            {
                pattern.check_in(mapping, 0, size)?;
            }
        }
        equal(
            format_args!("order {order:?}, at the end"),
            Ledger::now()?,
            before,
        )?;
    }
    Ok(())
}

fn every_order() -> Outcome {
    every_order_of(Backing::Base, 5 * PAGE)
}

fn every_order_of_huge_pages() -> Outcome {
    let free = hugepage::free()?;
    if free == 0 {
        return skip("a free huge page");
    }
    every_order_of(Backing::Huge, HUGE_PAGE)?;
    equal("free huge pages", hugepage::free()?, free)
}

/// The first edu device.
/// The first device, if there is one.
pub fn edu() -> Outcome<Edu> {
    match Edu::open(0) {
        Err(Errno::NOENT | Errno::NODEV) => {
            skip(format!("an edu device behind {}", importer::DEVICE))
        }
        edu => Ok(edu?),
    }
}

/// The device goes on reading when the program has closed what it can.
fn every_order_with_a_device() -> Outcome {
    let edu = edu()?;
    let before = Ledger::now()?;
    let pattern = Pattern::new(2);
    for order in orders(3) {
        let memfd = Memfd::new(2 * PAGE)?;
        pattern.write_to(&memfd.map()?, 0, memfd.size());
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        drop(memfd);
        let attachment = edu.attach(&buffer)?;
        let mut by_device = Some(attachment.map(Direction::ToDevice)?);
        let mut by_cpu = Some(buffer.map(Access::Read)?);
        let mut buffer = Some(buffer);
        for which in &order {
            match which {
                0 => drop(buffer.take()),
                1 => drop(by_cpu.take()),
                _ => drop(by_device.take()),
            }
            if let Some(mapping) = &by_device {
                let mut bytes = vec![0; 64];
                mapping.device_reads(PAGE - 32, &mut bytes)?;
                pattern.check(PAGE - 32, &bytes)?;
            }
            if let Some(mapping) = &by_cpu {
                pattern.check_in(mapping, 0, 2 * PAGE)?;
            }
            // The attachment itself is held until the end.
            check("pages pinned", Ledger::now()?.pinned > before.pinned)?;
        }
        drop((by_device, by_cpu, buffer));
        drop(attachment);
        equal(
            format_args!("order {order:?}, at the end"),
            Ledger::now()?,
            before,
        )?;
    }
    Ok(())
}

/// Memory that others take, in bytes: more than is free on the lists of a CPU.
const OTHERS: usize = 1024 * PAGE;

/// A driver that gives its reference back while its device still accesses the buffer: the pages are there
/// until it has unmapped them, and nobody else's.
fn importer_that_forgets() -> Outcome {
    if Driver::under_test() == Driver::C {
        return skip("the C driver frees what its device still accesses");
    }
    let pattern = Pattern::new(24);
    let size = 4 * PAGE;
    let edu = edu()?;
    let before = Ledger::now()?;
    for ways in [1, 2] {
        let memfd = Memfd::new(size)?;
        let memory = memfd.map()?;
        pattern.write_to(&memory, 0, size);
        drop(memory);
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        let attachment = edu.attach(&buffer)?;
        errno(
            "forgotten without a mapping",
            attachment.forget(),
            Errno::INVAL,
        )?;
        let mut mappings = Vec::new();
        for _ in 0..ways {
            mappings.push(attachment.map(Direction::ToDevice)?);
        }
        attachment.forget()?;
        drop((memfd, buffer));
        // Whatever is free may be somebody else's.
        let other = Memfd::new(OTHERS)?;
        let memory = other.map()?;
        Pattern::new(25).write_to(&memory, 0, OTHERS);
        drop(memory);
        for mapping in mappings {
            check("pages pinned", Ledger::now()?.pinned > before.pinned)?;
            let mut bytes = vec![0; size];
            mapping.device_reads(0, &mut bytes)?;
            pattern.check(0, &bytes)?;
            mapping.unmap()?;
        }
        drop(other);
        equal("at the end", Ledger::now()?, before)?;
    }
    Ok(())
}

/// A program that dies unmaps and detaches nothing by itself.
fn importer_closed_with_everything() -> Outcome {
    drop(edu()?);
    let before = Ledger::now()?;
    let memfd = Memfd::new(2 * PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let edu = edu()?;
    let attachment = edu.attach(&buffer)?;
    std::mem::forget(attachment.map(Direction::Bidirectional)?);
    // Not for writing too: where that is bounced, only one mapping may.
    std::mem::forget(attachment.map(Direction::ToDevice)?);
    std::mem::forget(attachment);
    std::mem::forget(edu.attach(&buffer)?);
    drop((memfd, buffer));
    check("pages pinned", Ledger::now()?.pinned > before.pinned)?;
    drop(edu);
    equal("at the end", Ledger::now()?, before)
}
