// SPDX-License-Identifier: GPL-2.0

//! Attaching, mapping and unmapping, for each class of devices. What failed once works when it is
//! tried again.
//!
//! No machine whose kernel can have memory fail has a graphics device to import into (PRIME). To an
//! exporter it is the same:
//! `drm_gem_prime_import_dev()` attaches and maps, both ways, and `drm_prime_gem_destroy()` unmaps and
//! detaches (drivers/gpu/drm/drm_prime.c).

use rustix::fs::SealFlags;

use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::outcome::fail;
use selftests::statistics;
use selftests::tests;

use crate::devices::DIRECTIONS;
use crate::devices::PAGES;
use crate::devices::buffer;
use crate::devices::edu;
use crate::devices::holds;
use crate::devices::narrow;
use crate::devices::reads;
use crate::devices::writes;
use crate::devices::wrote;
use crate::site::SHORT;
use crate::site::Site;
use crate::sweep::Sweep;

pub const TESTS: &[Test] = tests![
    attach_and_detach,
    map_and_unmap,
    map_and_unmap_of_bounced,
    map_one_page_bounced,
    import_and_destroy,
    import_and_destroy_bounced,
    shadow_that_gets_a_writer,
    two_buffers_over_the_same_pages,
];

fn attach_and_detach() -> Outcome {
    let edu = edu(0)?;
    let buffer = buffer(Pattern::new(1))?;
    Sweep::over("attach_and_detach").run(|site| {
        if let Some(attachment) = site.within("attach", SHORT, || edu.attach(&buffer))? {
            site.within("detach", SHORT, || attachment.detach())?;
        }
        Ok(())
    })
}

/// What a device reads is what is in the buffer, and what it writes is there afterwards. Where it
/// could not be mapped, nothing has changed.
fn maps_and_unmaps(edu: &Edu, names: [&'static str; 3]) -> Outcome {
    let (pattern, written) = (Pattern::new(2), Pattern::new(3));
    for (direction, name) in DIRECTIONS.into_iter().zip(names) {
        Sweep::over(name).run(|site| {
            let buffer = buffer(pattern)?;
            let attachment = edu.attach(&buffer)?;
            let Some(device) = site.within("map", SHORT, || attachment.map(direction))? else {
                attachment.map(direction)?.unmap()?;
                return holds(&buffer, pattern);
            };
            if direction != Direction::FromDevice {
                reads(&device, pattern)?;
            }
            if direction != Direction::ToDevice {
                writes(&device, written)?;
            }
            unmaps(site, device)?;
            match direction {
                Direction::ToDevice => holds(&buffer, pattern),
                _ => wrote(&buffer, written, pattern),
            }
        })?;
    }
    Ok(())
}

/// Unmaps, by another attempt where the first one failed.
fn unmaps(site: &Site, device: DeviceMapping<'_>) -> Outcome {
    site.within("unmap", SHORT, || device.unmap()).map(drop)
}

fn map_and_unmap() -> Outcome {
    let names = ["map_both_ways", "map_to_device", "map_from_device"];
    maps_and_unmaps(&edu(0)?, names)
}

fn map_and_unmap_of_bounced() -> Outcome {
    let names = [
        "map_both_ways_bounced",
        "map_to_device_bounced",
        "map_from_device_bounced",
    ];
    maps_and_unmaps(&*narrow(0)?, names)
}

/// A copy of one page has no smaller pieces to be made of.
fn map_one_page_bounced() -> Outcome {
    let edu = narrow(0)?;
    let memfd = Memfd::new(PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    Sweep::over("map_one_page_bounced").run(|site| {
        let attachment = edu.attach(&buffer)?;
        let map = || attachment.map(Direction::Bidirectional);
        match site.within("map", SHORT, map)? {
            Some(device) => unmaps(site, device),
            None => Ok(()),
        }
    })
}

/// As the importer of another driver does it; what fails ends it.
fn imports(edu: &Edu, name: &'static str) -> Outcome {
    let buffer = buffer(Pattern::new(4))?;
    Sweep::over(name).run(|site| {
        let Some(attachment) = site.within("attach", SHORT, || edu.attach(&buffer))? else {
            return Ok(());
        };
        let map = || attachment.map(Direction::Bidirectional);
        if let Some(device) = site.within("map", SHORT, map)? {
            unmaps(site, device)?;
        }
        site.within("detach", SHORT, || attachment.detach())?;
        Ok(())
    })
}

fn import_and_destroy() -> Outcome {
    imports(&edu(0)?, "import_and_destroy")
}

fn import_and_destroy_bounced() -> Outcome {
    imports(&*narrow(0)?, "import_and_destroy_bounced")
}

/// The copy is of a device that only reads, until another importer lets it write.
fn shadow_that_gets_a_writer() -> Outcome {
    let edu = narrow(0)?;
    let (pattern, written) = (Pattern::new(5), Pattern::new(6));
    Sweep::over("shadow_that_gets_a_writer").run(|site| {
        let buffer = buffer(pattern)?;
        let (first, second) = (edu.attach(&buffer)?, edu.attach(&buffer)?);
        let reader = first.map(Direction::ToDevice)?;
        if statistics::counter("shadows")?.is_some_and(|shadows| shadows != 1) {
            return fail("the device works on no copy");
        }
        let map = || second.map(Direction::Bidirectional);
        let Some(writer) = site.within("map", SHORT, map)? else {
            reads(&reader, pattern)?;
            return holds(&buffer, pattern);
        };
        writes(&writer, written)?;
        unmaps(site, writer)?;
        wrote(&buffer, written, pattern)
    })
}

/// Each of the two has its own devices, which see the same pages.
fn two_buffers_over_the_same_pages() -> Outcome {
    let edu = edu(0)?;
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let node = Udmabuf::open()?;
    Sweep::over("two_buffers_over_the_same_pages").run(|site| {
        let mut buffers = Vec::new();
        for item in [memfd.whole(), memfd.range(PAGE, 2 * PAGE)] {
            match site.within("create", SHORT, || node.create(item))? {
                Some(buffer) => buffers.push(buffer),
                None => return Ok(()),
            }
        }
        let mut attachments = Vec::new();
        for buffer in &buffers {
            let attached = site.within("attach", SHORT, || edu.attach(buffer))?;
            attachments.extend(attached);
        }
        let mut devices = Vec::new();
        for attachment in &attachments {
            let map = || attachment.map(Direction::Bidirectional);
            devices.extend(site.within("map", SHORT, map)?);
        }
        devices
            .into_iter()
            .try_for_each(|device| unmaps(site, device))
    })?;
    Ok(memfd.add_seals(SealFlags::WRITE)?)
}
