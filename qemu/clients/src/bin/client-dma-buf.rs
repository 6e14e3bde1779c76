// SPDX-License-Identifier: GPL-2.0

//! The crate `dma-buf` on descriptors of `/dev/udmabuf`: it maps them and brackets its accesses.
//! Every byte is compared, both ways. Carelessly, it then reads a byte of each buffer outside of any
//! bracket.

#![forbid(unsafe_code)]

use std::{env, error::Error, os::fd::OwnedFd, process::ExitCode};

use anyhow::{Context, Result, anyhow, bail, ensure};
use dma_buf::{DmaBuf, MappedDmaBuf};
use selftests::{Access, Memfd, PAGE, Pattern, Udmabuf};

const USAGE: &str = "usage: client-dma-buf [--carelessly] PAGES...";

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
    let mut counts = Vec::new();
    let mut carelessly = false;
    for word in env::args().skip(1) {
        match word.as_str() {
            "--carelessly" => carelessly = true,
            count => counts.push(
                count
                    .parse::<usize>()
                    .with_context(|| format!("'{count}' is no number; {USAGE}"))?,
            ),
        }
    }
    ensure!(!counts.is_empty(), "no sizes; {USAGE}");
    for (seed, pages) in (1..).step_by(2).zip(&counts) {
        share(pages * PAGE, seed, carelessly).with_context(|| format!("{pages} pages"))?;
        println!("{pages} pages: all as written, and one wrong byte found");
    }
    let total: usize = counts.iter().sum();
    println!("{} buffers, {total} pages", counts.len());
    Ok(())
}

/// Shares a memfd of that size with the crate.
fn share(size: usize, seed: u64, carelessly: bool) -> Result<()> {
    let memfd = Memfd::new(size).context("memfd")?;
    let memory = memfd.map().context("mapping of the memfd")?;
    let first = Pattern::new(seed);
    first.write_to(&memory, 0, size);
    let device = Udmabuf::open().context("/dev/udmabuf")?;
    let own = device.create(memfd.whole()).context("UDMABUF_CREATE")?;
    let buffer = OwnedFd::from(own.duplicate()?);
    let mut mapped = DmaBuf::from(buffer).memory_map().context("mapping")?;
    check(&mapped, first)?;

    let second = Pattern::new(seed + 1);
    let draw = |bytes: &mut [u8], _: Option<()>| {
        second.fill(0, bytes);
        Ok(())
    };
    let written = mapped.write(draw, None);
    written.map_err(|error| anyhow!("writing: {error}"))?;
    second
        .check_in(&memory, 0, size)
        .map_err(|wrong| anyhow!("memfd: {wrong}"))?;

    if carelessly {
        own.map(Access::Read)?.touch(fastrand::usize(..size));
    }

    // One wrong byte, anywhere: it is found, or nothing above means anything.
    let place = fastrand::usize(..size);
    memory.write(place, &[!second.bytes(place, 1)[0]]);
    match check(&mapped, second) {
        Ok(()) => bail!("a wrong byte at {place:#x} is not found"),
        Err(found) if format!("{found:#}").contains(&format!("from {place:#x} on")) => Ok(()),
        Err(other) => Err(other),
    }
}

/// Compares all bytes, as the crate reads them.
fn check(mapped: &MappedDmaBuf, pattern: Pattern) -> Result<()> {
    let compare = |bytes: &[u8], _: Option<()>| {
        let same = pattern.check(0, bytes);
        same.map_err(|wrong| Box::<dyn Error>::from(wrong.to_string()))
    };
    mapped
        .read(compare, None)
        .map_err(|error| anyhow!("{error}"))
}
