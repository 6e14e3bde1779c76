// SPDX-License-Identifier: GPL-2.0

//! What the tests of calls need that the in-tree driver does not have.

use std::fs;
use std::path::Path;

use selftests::DmaBuf;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::importer;
use selftests::importer::Edu;
use selftests::importer::Narrow;
use selftests::machine;
use selftests::outcome::skip;
use selftests::statistics;

/// The device of a driver that has these calls.
pub fn device() -> Outcome<Udmabuf> {
    if Driver::under_test() == Driver::C {
        return skip("a driver whose buffers can be asked");
    }
    Ok(Udmabuf::open()?)
}

/// Edu device `number`.
pub fn edu(number: u32) -> Outcome<Edu> {
    match Edu::open(number) {
        Err(Errno::NOENT) => skip(format!("{}: load edu_importer.ko", importer::DEVICE)),
        Err(Errno::NODEV) => skip(format!("edu device {number}: start QEMU with one more")),
        edu => Ok(edu?),
    }
}

/// Address bits of a device that does not reach what lies above 4 GiB, where programs get their
/// memory from first.
pub const FEW: u32 = 32;

/// Edu device `number` with fewer address bits than memory has, until dropped.
pub fn narrow(number: u32) -> Outcome<Narrow> {
    let edu = edu(number)?;
    let bits = edu.dma_bits()?.min(FEW);
    Ok(Narrow::new(edu, bits)?)
}

/// How data changes hands between the CPU and a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Coherent,
    Cache,
    Shadow,
}

impl Class {
    /// What is to be expected of a device with a buffer, by what can be seen of the machine: where
    /// the memory is, whether everything is bounced, what translates and who snoops.
    pub fn of(edu: &Edu, number: usize, buffer: &DmaBuf) -> Outcome<Class> {
        let reach = match edu.dma_bits()? {
            64.. => u64::MAX,
            bits => 1 << bits,
        };
        let last = edu.frames(buffer)?.into_iter().max().unwrap_or(0);
        let in_reach = (last + 1) * PAGE as u64 <= reach;
        let reaches = is_translated(&edu.name()?)? || in_reach && !machine::always_bounces()?;
        Ok(match (reaches, snoops(number)?) {
            (false, _) => Class::Shadow,
            (true, true) => Class::Coherent,
            (true, false) => Class::Cache,
        })
    }
}

/// Whether an IOMMU is in between that does not let addresses through as they are.
fn is_translated(name: &str) -> Outcome<bool> {
    let kind = format!("/sys/bus/pci/devices/{name}/iommu_group/type");
    if !Path::new(&kind).exists() {
        return Ok(false);
    }
    Ok(fs::read_to_string(kind)?.trim() != "identity")
}

/// Whether a device snoops the CPU's caches: what the importer was told, or what all do.
fn snoops(number: usize) -> Outcome<bool> {
    let told = fs::read_to_string("/sys/module/edu_importer/parameters/coherent")?;
    match told.trim().split(',').nth(number) {
        Some("Y") => Ok(true),
        Some("N") => Ok(false),
        _ => Ok(machine::devices_snoop()?),
    }
}

/// How often accesses began or ended that took something.
pub fn syncs() -> Outcome<Option<[usize; 2]>> {
    Ok(statistics::counters([
        "synced_for_cpu",
        "synced_for_device",
    ])?)
}

/// A buffer of as many pages, which lie apart.
pub fn pages(device: &Udmabuf, count: usize) -> Outcome<(Memfd, DmaBuf)> {
    let memfd = Memfd::with_pages_apart(count * PAGE)?;
    let buffer = device.create(memfd.whole())?;
    Ok((memfd, buffer))
}
