// SPDX-License-Identifier: GPL-2.0

//! The main job, told step by step: pages of memfds become one buffer, a real device reads and
//! writes it, the CPU sees the right bytes, and everything is given back.
//!
//! The last line is PASS or FAIL, and the exit code says the same.

use std::process::ExitCode;

use selftests::Access;
use selftests::Errno;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::bufinfo;
use selftests::driver::Driver;
use selftests::importer;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::outcome;
use selftests::pins::Pins;
use selftests::statistics;

fn main() -> ExitCode {
    let (code, verdict) = match story() {
        Ok(()) => (ExitCode::SUCCESS, "PASS"),
        Err(stop) => {
            println!("\n{stop}");
            (ExitCode::FAILURE, "FAIL")
        }
    };
    println!("\n{verdict}");
    code
}

/// Prints one aligned line.
fn say(step: &str, text: impl std::fmt::Display) {
    println!("  {step:<14}{text}");
}

fn story() -> Outcome {
    let pins_before = Pins::now()?;
    let buffers_before = bufinfo::count()?;
    let device = Udmabuf::open()?;
    let edu = match Edu::open(0) {
        Err(Errno::NOENT) => {
            return outcome::fail(format!(
                "{} is missing: load edu_importer.ko",
                importer::DEVICE
            ));
        }
        edu => edu?,
    };
    println!(
        "Driver: {} ({})",
        Driver::under_test(),
        Driver::under_test().module()
    );
    println!("Device: {}, {} address bits", edu.name()?, edu.dma_bits()?);

    println!("\nOne page of one memfd");
    let memfd = Memfd::new(PAGE)?;
    one_buffer(&device, &edu, &[memfd.whole()], 1)?;

    println!("\nSixteen pages, in pieces of two memfds");
    let (first, second) = (Memfd::new(16 * PAGE)?, Memfd::new(8 * PAGE)?);
    let items = [
        first.range(12 * PAGE, 4 * PAGE),
        second.whole(),
        first.range(0, 4 * PAGE),
    ];
    one_buffer(&device, &edu, &items, 2)?;

    println!("\nGiven back");
    let pins = Pins::now()?;
    let acquired = pins.acquired - pins_before.acquired;
    let released = pins.released - pins_before.released;
    say(
        "pins",
        format_args!("{acquired} acquired, {released} released"),
    );
    outcome::equal("pages still pinned", pins.held(), pins_before.held())?;
    let left = bufinfo::count()?;
    say("dma-bufs", format_args!("{} left", left - buffers_before));
    outcome::equal("dma-bufs", left, buffers_before)
}

/// Makes a buffer and moves data through it both ways.
fn one_buffer(device: &Udmabuf, edu: &Edu, items: &[Item], seed: u64) -> Outcome {
    let size: u64 = items.iter().map(|item| item.size).sum();
    let size = size as usize;

    let extents_before = statistics::counter("extents")?;
    let buffer = device.create_list(items)?;
    outcome::equal("size of the buffer", buffer.size()?, size)?;
    say(
        "created",
        format_args!("{size} bytes, exporter \"{}\"", buffer.exporter()?),
    );
    if let (Some(before), Some(after)) = (extents_before, statistics::counter("extents")?) {
        say(
            "extents",
            format_args!("{} for {} pages", after - before, size / PAGE),
        );
    }

    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    say(
        "mapped",
        format_args!("{} segments on the device", mapping.segments()),
    );

    let ours = Pattern::new(seed);
    let bracket = buffer.begin(Access::Write)?;
    ours.write_to(&memory, 0, size);
    bracket.end()?;
    say(
        "CPU wrote",
        format_args!("{size} bytes, {}", start_of(ours)),
    );

    let mut bytes = vec![0; size];
    mapping.device_reads(0, &mut bytes)?;
    ours.check(0, &bytes)?;
    say("device read", format_args!("{size} bytes, the same"));

    let theirs = Pattern::new(seed + 1000);
    mapping.device_writes(0, &theirs.bytes(0, size))?;
    say(
        "device wrote",
        format_args!("{size} bytes, {}", start_of(theirs)),
    );

    let bracket = buffer.begin(Access::Read)?;
    theirs.check_in(&memory, 0, size)?;
    bracket.end()?;
    say("CPU saw", format_args!("{size} bytes, the same"));

    mapping.unmap()?;
    Ok(())
}

/// The first bytes of a pattern, so that a reader sees that they differ.
fn start_of(pattern: Pattern) -> String {
    let start: Vec<String> = pattern
        .bytes(0, 4)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{} ...", start.join(" "))
}
