// SPDX-License-Identifier: GPL-2.0

//! Operations of importers.

use std::fs;

use selftests::Errno;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Window;
use selftests::importer::Direction;

use crate::operation::Needs;
use crate::operation::Operation;
use crate::stage::Hand;

/// Where drivers are given devices and lose them.
const DRIVER: &str = "/sys/bus/pci/drivers/edu_importer";

/// What everything of a device fails with that has lost its driver.
const UNBOUND: (&str, Errno) = ("unbind", Errno::NODEV);

pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "attach",
        run: attach,
        errors: &[UNBOUND],
        needs: Needs::Devices,
        in_processes: false,
    },
    Operation {
        name: "detach",
        run: detach,
        errors: &[UNBOUND],
        needs: Needs::Devices,
        in_processes: false,
    },
    Operation {
        name: "map",
        run: map,
        errors: &[UNBOUND],
        needs: Needs::Devices,
        in_processes: true,
    },
    Operation {
        name: "unmap",
        run: unmap,
        errors: &[UNBOUND],
        needs: Needs::Devices,
        in_processes: true,
    },
    Operation {
        name: "dma",
        run: dma,
        errors: &[UNBOUND],
        needs: Needs::Devices,
        in_processes: false,
    },
    Operation {
        name: "vmap",
        run: vmap,
        errors: &[],
        needs: Needs::Devices,
        in_processes: true,
    },
    Operation {
        name: "unbind",
        run: unbind,
        errors: &[("unbind", Errno::NODEV), ("unbind", Errno::BUSY)],
        needs: Needs::Devices,
        in_processes: false,
    },
];

fn attach(hand: &mut Hand<'_>) -> Outcome {
    let (device, buffer) = (hand.device(), hand.either());
    let attachment = hand.may_fail(hand.devices[device].attach(buffer))?;
    hand.pause.here();
    drop(attachment);
    Ok(())
}

/// The last importer of one device goes, while those of another are still there.
fn detach(hand: &mut Hand<'_>) -> Outcome {
    let buffer = hand.either();
    let all: Result<Vec<_>, _> = hand.devices.iter().map(|edu| edu.attach(buffer)).collect();
    for attachment in hand.may_fail(all)?.into_iter().flatten() {
        hand.pause.here();
        drop(attachment);
    }
    Ok(())
}

fn map(hand: &mut Hand<'_>) -> Outcome {
    let (device, buffer, direction) = (hand.device(), hand.either(), hand.direction());
    let attachment = hand.devices[device].attach(buffer);
    let Some(attachment) = hand.may_fail(attachment)? else {
        return Ok(());
    };
    hand.pause.here();
    if let Some(mapping) = hand.may_fail(attachment.map(direction))? {
        hand.pause.here();
        hand.may_fail(mapping.unmap())?;
    }
    hand.intact(&hand.stage.mapping)
}

/// Two mappings of one device, one after the other.
fn unmap(hand: &mut Hand<'_>) -> Outcome {
    let (device, buffer) = (hand.device(), hand.either());
    let directions = [hand.direction(), hand.direction()];
    let attachment = hand.devices[device].attach(buffer);
    let Some(attachment) = hand.may_fail(attachment)? else {
        return Ok(());
    };
    for mapping in directions.map(|direction| attachment.map(direction)) {
        if let Some(mapping) = hand.may_fail(mapping)? {
            hand.pause.here();
            hand.may_fail(mapping.unmap())?;
        }
    }
    hand.intact(&hand.stage.mapping)
}

/// A device writes a page that the CPU reads when it has it back. It takes its time.
fn dma(hand: &mut Hand<'_>) -> Outcome {
    let (device, buffer, memory) = (hand.device(), &hand.stage.fixed, &hand.stage.mapping);
    let (window, pattern) = hand.fresh();
    window.cpu_writes(buffer, memory, pattern)?;
    let page = Window {
        len: PAGE,
        ..window
    };
    memory.write(page.at, &[0; PAGE]);
    let attachment = hand.may_fail(hand.devices[device].attach(buffer))?;
    if let Some(attachment) = &attachment {
        hand.pause.here();
        if let Some(mapping) = hand.may_fail(attachment.map(Direction::Bidirectional))? {
            let bytes = pattern.bytes(page.at, page.len);
            let written = {
                let _one = hand.stage.one_transfer();
                hand.may_fail(mapping.device_writes(page.at, &bytes))?
            };
            hand.pause.here();
            if hand.may_fail(mapping.unmap())?.and(written).is_some() {
                return hand.intact(memory);
            }
        }
    }
    // The device is gone.
    page.fill(memory, pattern);
    Ok(())
}

/// As the CPU does it in the kernel.
fn vmap(hand: &mut Hand<'_>) -> Outcome {
    let ((window, pattern), buffer) = (hand.fresh(), hand.either());
    let device = &hand.devices[0];
    device.vmap_write(buffer, window.at, &pattern.bytes(window.at, window.len))?;
    hand.pause.here();
    let mut bytes = vec![0; window.len];
    device.vmap_read(buffer, window.at, &mut bytes)?;
    pattern.check(window.at, &bytes)?;
    hand.intact(&hand.stage.mapping)
}

/// The last device loses its driver, and gets it back.
fn unbind(hand: &mut Hand<'_>) -> Outcome {
    hand.may_fail(write("unbind", &hand.last_device))?;
    hand.pause.here();
    hand.may_fail(write("bind", &hand.last_device))?;
    Ok(())
}

fn write(file: &str, device: &str) -> Result<(), Errno> {
    let result = fs::write(format!("{DRIVER}/{file}"), device);
    result.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
