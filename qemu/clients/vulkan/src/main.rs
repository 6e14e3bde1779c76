// SPDX-License-Identifier: GPL-2.0

//! Shares memory between two Vulkan devices of Mesa's software renderer, lavapipe, which makes a
//! dma-buf of it with `/dev/udmabuf`. Every byte is compared on every way that leads to it: the
//! exporting device's mapping, the dma-buf's own, the importing device's, and a copy that the
//! importing device makes.
//!
//! For each size it says what was right; the last line has the totals.

#![deny(unsafe_code)]

mod vulkan;

use std::{env, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};
use selftests::{Access, DmaBuf, PAGE, Pattern};

use crate::vulkan::{Device, Instance};

/// What both drivers call themselves.
const EXPORTER: &str = "udmabuf";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let sizes = env::args().skip(1).map(|size| {
        let bytes = size.parse::<usize>();
        bytes.with_context(|| format!("'{size}' is no size; usage: client-vulkan BYTES..."))
    });
    let sizes = sizes.collect::<Result<Vec<_>>>()?;
    ensure!(!sizes.is_empty(), "no sizes; usage: client-vulkan BYTES...");
    let instance = Instance::new()?;
    let (exporting, importing) = (instance.device()?, instance.device()?);
    println!("{}", exporting.name());
    let mut total = 0;
    for (seed, size) in (1..).step_by(4).zip(&sizes) {
        total +=
            share(&exporting, &importing, *size, seed).with_context(|| format!("{size} bytes"))?;
    }
    println!("{} buffers, {total} pages", sizes.len());
    Ok(())
}

/// Shares memory of that size; how many pages the buffer has.
fn share(exporting: &Device, importing: &Device, size: usize, seed: u64) -> Result<usize> {
    let exported = exporting.allocate(size)?;
    let first = Pattern::new(seed);
    exported.write(0, &first.bytes(0, size));

    let buffer = DmaBuf::from(exported.export()?);
    let exporter = buffer.exporter().context("fdinfo")?;
    ensure!(exporter == EXPORTER, "the dma-buf is one of '{exporter}'");
    let whole = buffer.size().context("size of the dma-buf")?;
    ensure!(whole >= size, "the dma-buf has {whole} bytes only");
    let outside = buffer.map(Access::ReadWrite).context("mapping")?;
    let bracket = buffer.begin(Access::Read).context("SYNC_START")?;
    first
        .check_in(&outside, 0, size)
        .map_err(wrong("dma-buf"))?;
    bracket.end().context("SYNC_END")?;

    let imported = importing.import(size, buffer.duplicate()?.into())?;
    let ways = || -> Result<_> {
        Ok([
            ("export", exported.read()),
            ("import", imported.read()),
            ("device's copy", importing.copy(&imported, size)?),
        ])
    };
    for (way, bytes) in ways()? {
        first.check(0, &bytes).map_err(wrong(way))?;
    }

    // From the importing device to the others.
    let second = Pattern::new(seed + 1);
    imported.write(0, &second.bytes(0, size));
    for (way, bytes) in ways()? {
        second.check(0, &bytes).map_err(wrong(way))?;
    }

    // From outside of Vulkan to both.
    let third = Pattern::new(seed + 2);
    let bracket = buffer.begin(Access::Write).context("SYNC_START")?;
    third.write_to(&outside, 0, size);
    bracket.end().context("SYNC_END")?;
    for (way, bytes) in ways()? {
        third.check(0, &bytes).map_err(wrong(way))?;
    }

    // One wrong byte, anywhere: it is found where it is, or nothing above means anything.
    let place = fastrand::usize(..size);
    exported.write(place, &[!third.bytes(place, 1)[0]]);
    for (way, bytes) in ways()? {
        match third.check(0, &bytes) {
            Err(found) if found.position == place => {}
            found => bail!("a wrong byte at {place} is not found in the {way}: {found:?}"),
        }
    }
    println!("{size} bytes: all as written, and one wrong byte found");
    Ok(whole / PAGE)
}

/// Where the data is wrong.
fn wrong(way: &str) -> impl Fn(selftests::pattern::Mismatch) -> anyhow::Error {
    move |mismatch| anyhow::anyhow!("{way}: {mismatch}")
}
