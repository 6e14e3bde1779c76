// SPDX-License-Identifier: GPL-2.0

//! From virtual to physical addresses, learnt from what the CPUs access.
//!
//! QEMU says which physical address stands behind an access, but cache maintenance is none. So
//! every access teaches its page, and instructions that change translations make forget: this is
//! a TLB, and like one it never has an entry that the architecture does not allow. The kernel's
//! linear map is one offset, which holds for pages never accessed through it as well.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::PAGE_SIZE;

/// The address without a tag in its top byte; bit 55 says which half it is in.
pub fn untag(address: u64) -> u64 {
    if is_upper(address) {
        address | 0xff << 56
    } else {
        address & !(0xff << 56)
    }
}

fn is_upper(address: u64) -> bool {
    address >> 55 & 1 == 1
}

/// Whether an address is in the linear map: the lower half of the kernel's 48 bits.
fn is_linear(address: u64) -> bool {
    address >> 47 == 0x1_fffe
}

/// A page of the linear map that does not lie where the others say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLinear {
    /// Its virtual address.
    pub address: u64,
    /// Where it is.
    pub physical: u64,
}

impl std::fmt::Display for NotLinear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the linear map has {:#x} at {:#x}, against its other pages: \
             from now on only pages that were accessed are known",
            self.address, self.physical
        )
    }
}

/// The kernel's linear map, the same for all CPUs.
#[derive(Default)]
pub struct LinearMap {
    /// Virtual minus physical address, or one of the two values below, which none is.
    offset: AtomicU64,
}

const UNKNOWN: u64 = 0;
const INCONSISTENT: u64 = u64::MAX;

impl LinearMap {
    /// Learns from an access; returns whether it was one through the linear map.
    ///
    /// # Errors
    ///
    /// [`NotLinear`], once, if the access is at odds with an earlier one. Nothing is linear then.
    pub fn learn(&self, address: u64, physical: u64) -> Result<bool, NotLinear> {
        if !is_linear(address) {
            return Ok(false);
        }
        let offset = address - physical;
        match self.offset.load(Ordering::Relaxed) {
            UNKNOWN => self.offset.store(offset, Ordering::Relaxed),
            INCONSISTENT => return Ok(false),
            known if known != offset => {
                self.offset.store(INCONSISTENT, Ordering::Relaxed);
                return Err(NotLinear { address, physical });
            }
            _ => {}
        }
        Ok(true)
    }

    /// The physical address behind one of the linear map.
    pub fn translate(&self, address: u64) -> Option<u64> {
        match self.offset.load(Ordering::Relaxed) {
            UNKNOWN | INCONSISTENT => None,
            offset => is_linear(address).then(|| address - offset),
        }
    }
}

/// Pages that one CPU remembers at a time; two that are this many apart share a place.
const ENTRIES: usize = 4096;

#[derive(Clone, Copy, Default)]
struct Entry {
    page: u64,
    frame: u64,
    /// The epoch of the page's half when it was learnt.
    epoch: u32,
}

/// What one CPU was seen to access.
pub struct Tlb {
    entries: Box<[Entry]>,
    /// Lower and upper half; entries of earlier epochs are forgotten.
    epochs: [u32; 2],
}

impl Default for Tlb {
    fn default() -> Self {
        Tlb {
            entries: vec![Entry::default(); ENTRIES].into(),
            epochs: [1, 1],
        }
    }
}

impl Tlb {
    fn epoch(&self, address: u64) -> u32 {
        self.epochs[usize::from(is_upper(address))]
    }

    /// Learns that a virtual address leads to a physical one.
    pub fn learn(&mut self, address: u64, physical: u64) {
        let page = address / PAGE_SIZE;
        let epoch = self.epoch(address);
        self.entries[page as usize % ENTRIES] = Entry {
            page,
            frame: physical / PAGE_SIZE,
            epoch,
        };
    }

    /// The physical address behind a virtual one, if its page is remembered.
    pub fn translate(&self, address: u64) -> Option<u64> {
        let page = address / PAGE_SIZE;
        let entry = self.entries[page as usize % ENTRIES];
        (entry.page == page && entry.epoch == self.epoch(address))
            .then(|| entry.frame * PAGE_SIZE + address % PAGE_SIZE)
    }

    /// Forgets the lower half: another process has it.
    pub fn forget_user(&mut self) {
        self.epochs[0] += 1;
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.epochs = self.epochs.map(|epoch| epoch + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINEAR: u64 = 0xffff_0000_0012_3000;
    const USER: u64 = 0x0000_aaaa_bbbb_c010;
    const VMALLOC: u64 = 0xffff_8000_8123_4010;

    #[test]
    fn one_access_teaches_the_linear_map() {
        let map = LinearMap::default();
        assert_eq!(map.translate(LINEAR), None);
        assert_eq!(map.learn(LINEAR, 0x4012_3000), Ok(true));
        assert_eq!(map.translate(0xffff_0000_3fff_ffc0), Some(0x7fff_ffc0));
        assert_eq!(map.learn(LINEAR + 0x5000, 0x4012_8000), Ok(true));
    }

    #[test]
    fn only_the_linear_map_is_linear() {
        let map = LinearMap::default();
        map.learn(LINEAR, 0x4012_3000).unwrap();
        for other in [USER, VMALLOC, 0xffff_8000_0000_0000, 0xfffe_ffff_ffff_f000] {
            assert_eq!(map.learn(other, 0x4000_0000), Ok(false), "{other:#x}");
            assert_eq!(map.translate(other), None, "{other:#x}");
        }
        assert_eq!(map.translate(0xffff_7fff_ffff_ffff), Some(0x8000_3fff_ffff));
    }

    #[test]
    fn a_map_that_is_not_linear_is_given_up() {
        let map = LinearMap::default();
        map.learn(LINEAR, 0x4012_3000).unwrap();
        let odd = NotLinear {
            address: LINEAR + 0x1000,
            physical: 0x4000_0000,
        };
        assert_eq!(map.learn(odd.address, odd.physical), Err(odd));
        assert_eq!(map.translate(LINEAR), None);
        assert_eq!(map.learn(odd.address, odd.physical), Ok(false));
    }

    #[test]
    fn pages_are_remembered() {
        let mut tlb = Tlb::default();
        tlb.learn(USER, 0x4567_8010);
        assert_eq!(tlb.translate(USER | 0xfff), Some(0x4567_8fff));
        assert_eq!(tlb.translate(USER + PAGE_SIZE), None);
        // The latest mapping wins.
        tlb.learn(USER, 0x5000_0010);
        assert_eq!(tlb.translate(USER), Some(0x5000_0010));
        // A page in the same place is another page.
        let far = USER + ENTRIES as u64 * PAGE_SIZE;
        assert_eq!(tlb.translate(far), None);
        tlb.learn(far, 0x6000_0010);
        assert_eq!(tlb.translate(USER), None);
    }

    #[test]
    fn nothing_is_known_at_first() {
        assert_eq!(Tlb::default().translate(0), None);
        assert_eq!(Tlb::default().translate(u64::MAX), None);
    }

    #[test]
    fn another_process_is_another_lower_half() {
        let mut tlb = Tlb::default();
        tlb.learn(USER, 0x4567_8010);
        tlb.learn(VMALLOC, 0x4999_9010);
        tlb.forget_user();
        assert_eq!(tlb.translate(USER), None);
        assert_eq!(tlb.translate(VMALLOC), Some(0x4999_9010));
        tlb.learn(USER, 0x4567_8010);
        tlb.forget();
        assert_eq!(tlb.translate(USER), None);
        assert_eq!(tlb.translate(VMALLOC), None);
    }

    #[test]
    fn tags_are_no_part_of_an_address() {
        assert_eq!(untag(0x5a00_aaaa_bbbb_c010), USER);
        assert_eq!(untag(USER), USER);
        assert_eq!(untag(0x5aff_8000_8123_4010), VMALLOC);
        assert_eq!(untag(LINEAR), LINEAR);
    }
}
