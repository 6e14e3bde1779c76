// SPDX-License-Identifier: GPL-2.0

//! From virtual to physical addresses, for operands of cache maintenance.
//!
//! QEMU says which physical address stands behind a load or a store, but maintenance is neither.
//! Nearly all of it goes through the kernel's linear map, which is one offset: any access through
//! it teaches that. For other addresses the page tables are walked, as the MMU does.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// The address without a tag in its top byte; bit 55 says which half it is in.
pub fn untag(address: u64) -> u64 {
    if is_upper(address) {
        address | 0xff << 56
    } else {
        address & !(0xff << 56)
    }
}

/// Whether an address is in the half that is the kernel's.
pub fn is_upper(address: u64) -> bool {
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

impl fmt::Display for NotLinear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the linear map has {:#x} at {:#x}, against its other pages: \
             from now on no operand of cache maintenance is known",
            self.address, self.physical
        )
    }
}

/// The kernel's linear map.
#[derive(Default)]
pub struct LinearMap {
    /// Virtual minus physical address, or one of the two values below, which none is.
    offset: AtomicU64,
}

const UNKNOWN: u64 = 0;
const INCONSISTENT: u64 = u64::MAX;

impl LinearMap {
    /// Learns from an access.
    ///
    /// # Errors
    ///
    /// [`NotLinear`], once, if the access is at odds with an earlier one. Nothing is linear then.
    pub fn learn(&self, address: u64, physical: u64) -> Result<(), NotLinear> {
        if !is_linear(address) {
            return Ok(());
        }
        let offset = address - physical;
        match self.offset.load(Ordering::Relaxed) {
            UNKNOWN => self.offset.store(offset, Ordering::Relaxed),
            known if known != offset && known != INCONSISTENT => {
                self.offset.store(INCONSISTENT, Ordering::Relaxed);
                return Err(NotLinear { address, physical });
            }
            _ => {}
        }
        Ok(())
    }

    fn offset(&self) -> Option<u64> {
        let offset = self.offset.load(Ordering::Relaxed);
        (offset != UNKNOWN && offset != INCONSISTENT).then_some(offset)
    }

    /// The physical address behind one of the linear map.
    pub fn physical(&self, address: u64) -> Option<u64> {
        self.offset()
            .filter(|_| is_linear(address))
            .map(|offset| address - offset)
    }

    /// The virtual address that the linear map gives a physical one.
    pub fn address(&self, physical: u64) -> Option<u64> {
        let address = physical.checked_add(self.offset()?)?;
        is_linear(address).then_some(address)
    }
}

/// The registers that say where a CPU's page tables are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// TTBR0_EL1: of the lower half.
    pub lower: u64,
    /// TTBR1_EL1: of the upper half.
    pub upper: u64,
    /// TCR_EL1: their shape.
    pub control: u64,
}

/// What is behind a virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The physical address.
    pub physical: u64,
    /// Whether a store to it is allowed; one that is not traps, and changes nothing.
    pub writable: bool,
}

/// Page tables that cannot be read now, or not by this walker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Bits of a descriptor.
mod descriptor {
    pub const VALID: u64 = 1;
    /// A table, or at the last level a page; else a block.
    pub const TABLE: u64 = 2;
    pub const READ_ONLY: u64 = 1 << 7;
    pub const ACCESSED: u64 = 1 << 10;
    /// The hardware makes it writable at the first store.
    pub const DIRTY_BIT_MODIFIER: u64 = 1 << 51;
    /// The physical address in it.
    pub const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
}

/// The page tables of one half of the addresses.
struct Half {
    /// The physical address of the first table.
    base: u64,
    /// Bits of an address that count.
    bits: u32,
    /// Those of them that are an offset in a page.
    page_bits: u32,
}

impl Tables {
    /// The half that an address is in.
    fn half(&self, address: u64) -> Result<Half, Unreadable> {
        const DS: u64 = 1 << 59;
        const FOUR_KIB: u32 = 12;
        const SIXTEEN_KIB: u32 = 14;

        let control = self.control;
        let (base, size, page_bits) = if is_upper(address) {
            let page_bits = match control >> 30 & 3 {
                0b10 => FOUR_KIB,
                0b01 => SIXTEEN_KIB,
                _ => return Err(Unreadable),
            };
            (self.upper, control >> 16, page_bits)
        } else {
            let page_bits = match control >> 14 & 3 {
                0b00 => FOUR_KIB,
                0b10 => SIXTEEN_KIB,
                _ => return Err(Unreadable),
            };
            (self.lower, control, page_bits)
        };
        let bits = 64 - (size & 0x3f) as u32;
        // The kernels here have up to four levels of tables.
        if control & DS != 0 || !(page_bits + 1..=48).contains(&bits) {
            return Err(Unreadable);
        }
        Ok(Half {
            // Besides the address there are an ASID above and a flag below.
            base: base & 0x0000_ffff_ffff_fffe,
            bits,
            page_bits,
        })
    }

    /// What is behind `address`, if anything is; `read` reads eight bytes of physical memory.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if `read` gives nothing, or for a shape that no kernel here uses.
    pub fn walk(
        &self,
        address: u64,
        read: impl Fn(u64) -> Option<u64>,
    ) -> Result<Option<Target>, Unreadable> {
        let Half {
            base,
            bits,
            page_bits,
        } = self.half(address)?;
        // A table fills a page.
        let level_bits = page_bits - 3;
        let mut table = base;
        // Sign bits that are not all the same belong to neither half.
        let sign = untag(address) >> bits;
        if sign != 0 && sign != u64::MAX >> bits {
            return Ok(None);
        }
        // The lowest bit that the first level takes.
        let mut shift = page_bits + (bits - page_bits - 1) / level_bits * level_bits;
        let mut width = bits - shift;
        loop {
            let index = address >> shift & ((1 << width) - 1);
            let entry = read(table + index * 8).ok_or(Unreadable)?;
            let is_table = entry & descriptor::TABLE != 0;
            if entry & descriptor::VALID == 0 || (shift == page_bits && !is_table) {
                return Ok(None);
            }
            if shift > page_bits && is_table {
                table = entry & descriptor::ADDRESS;
                shift -= level_bits;
                width = level_bits;
                continue;
            }
            let within = (1 << shift) - 1;
            return Ok((entry & descriptor::ACCESSED != 0).then_some(Target {
                physical: entry & descriptor::ADDRESS & !within | address & within,
                writable: entry & descriptor::READ_ONLY == 0
                    || entry & descriptor::DIRTY_BIT_MODIFIER != 0,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const LINEAR: u64 = 0xffff_0000_0012_3000;
    const USER: u64 = 0x0000_aaaa_bbbb_c010;
    const VMALLOC: u64 = 0xffff_8000_8123_4010;

    /// Both halves of 48 bits, pages of 4 KiB, ASID 7 in TTBR1.
    const TABLES: Tables = Tables {
        lower: 0x4000_0001,
        upper: 0x0007_0000_4001_0000,
        control: 16 | 16 << 16 | 0b10 << 30,
    };
    const PAGE: u64 = 0x0040_0000_0000_0f43;

    /// Physical memory with these eight-byte words, and zeroes.
    fn memory(words: &[(u64, u64)]) -> impl Fn(u64) -> Option<u64> + use<> {
        let words: HashMap<u64, u64> = words.iter().copied().collect();
        move |address| Some(words.get(&address).copied().unwrap_or(0))
    }

    /// Four levels of tables from `base` down to a last descriptor of `address`.
    fn page(base: u64, address: u64, last: u64) -> Vec<(u64, u64)> {
        let at = |level: u64| base + 0x1000 * level;
        let index = |shift: u32| (address >> shift & 0x1ff) * 8;
        vec![
            (at(0) + index(39), at(1) | 3),
            (at(1) + index(30), at(2) | 3),
            (at(2) + index(21), at(3) | 3),
            (at(3) + index(12), last),
        ]
    }

    #[test]
    fn one_access_teaches_the_linear_map() {
        let map = LinearMap::default();
        assert_eq!(map.physical(LINEAR), None);
        assert_eq!(map.address(0x4012_3000), None);
        assert_eq!(map.learn(LINEAR, 0x4012_3000), Ok(()));
        assert_eq!(map.physical(0xffff_0000_3fff_ffc0), Some(0x7fff_ffc0));
        assert_eq!(map.address(0x7fff_ffc0), Some(0xffff_0000_3fff_ffc0));
        assert_eq!(map.learn(LINEAR + 0x5000, 0x4012_8000), Ok(()));
        // Below RAM there is no linear map.
        assert_eq!(map.address(0x900_0000), None);
    }

    #[test]
    fn only_the_linear_map_is_linear() {
        let map = LinearMap::default();
        map.learn(LINEAR, 0x4012_3000).unwrap();
        for other in [USER, VMALLOC, 0xffff_8000_0000_0000, 0xfffe_ffff_ffff_f000] {
            assert_eq!(map.learn(other, 0x4000_0000), Ok(()), "{other:#x}");
            assert_eq!(map.physical(other), None, "{other:#x}");
        }
        assert_eq!(map.physical(0xffff_7fff_ffff_ffff), Some(0x8000_3fff_ffff));
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
        assert_eq!(map.physical(LINEAR), None);
        assert_eq!(map.learn(odd.address, odd.physical), Ok(()));
    }

    #[test]
    fn a_walk_finds_a_page() {
        for (base, address) in [(0x4000_0000, USER), (0x4001_0000, VMALLOC)] {
            let read = memory(&page(base, address, 0x4567_8000 | PAGE));
            let target = Target {
                physical: 0x4567_8010,
                writable: true,
            };
            assert_eq!(TABLES.walk(address, &read), Ok(Some(target)));
            assert_eq!(TABLES.walk(address + 0x1000, &read), Ok(None));
            assert_eq!(TABLES.walk(address + (1 << 40), &read), Ok(None));
        }
    }

    #[test]
    fn a_walk_finds_blocks() {
        for (level, shift) in [(1, 30), (2, 21)] {
            let mut words = page(0x4000_0000, USER, 0);
            words[level].1 = (0x8_0000_0000 | PAGE) & !2;
            let within = (1 << shift) - 1;
            assert_eq!(
                TABLES.walk(USER, memory(&words)).unwrap().unwrap().physical,
                0x8_0000_0000 | USER & within
            );
        }
        // At the last level there are none.
        let words = page(0x4000_0000, USER, (0x4567_8000 | PAGE) & !2);
        assert_eq!(TABLES.walk(USER, memory(&words)), Ok(None));
    }

    #[test]
    fn a_smaller_space_has_fewer_levels() {
        // 39 bits: three levels.
        let tables = Tables {
            control: 25 | 25 << 16 | 0b10 << 30,
            ..TABLES
        };
        let address = 0x12_3456_7010;
        let words = page(0x4000_0000 - 0x1000, address, 0x4567_8000 | PAGE);
        let target = tables.walk(address, memory(&words[1..])).unwrap();
        assert_eq!(target.unwrap().physical, 0x4567_8010);
        assert_eq!(
            tables.walk(address | 1 << 39, memory(&words[1..])),
            Ok(None)
        );
        // 42 bits: a first level of eight entries.
        let tables = Tables {
            control: 22 | 22 << 16 | 0b10 << 30,
            ..TABLES
        };
        let address = 0x312_3456_7010;
        let words = page(0x4000_0000, address, 0x4567_8000 | PAGE);
        let target = tables.walk(address, memory(&words)).unwrap();
        assert_eq!(target.unwrap().physical, 0x4567_8010);
    }

    #[test]
    fn pages_of_16_kib_take_more_bits_a_level() {
        let tables = Tables {
            control: 16 | 16 << 16 | 0b10 << 14 | 0b01 << 30,
            ..TABLES
        };
        for (base, address) in [(0x4000_0000, USER), (0x4001_0000, VMALLOC)] {
            let at = |level: u64| base + 0x4000 * level;
            let index = |shift: u32, bits: u32| (address >> shift & ((1 << bits) - 1)) * 8;
            let mut words = vec![
                (at(0) + index(47, 1), at(1) | 3),
                (at(1) + index(36, 11), at(2) | 3),
                (at(2) + index(25, 11), at(3) | 3),
                (at(3) + index(14, 11), 0x4567_8000 | PAGE),
            ];
            let physical = |words: &[_]| {
                let target = tables.walk(address, memory(words)).unwrap();
                target.unwrap().physical
            };
            assert_eq!(physical(&words), 0x4567_8000 | address & 0x3fff);
            words[2].1 = (0x4600_0000 | PAGE) & !2;
            assert_eq!(physical(&words), 0x4600_0000 | address & 0x1ff_ffff);
        }
        // The code of 64 KiB, in either half.
        for (control, address) in [(0b01 << 14, USER), (0b11 << 30, VMALLOC)] {
            let control = 16 | 16 << 16 | control;
            let tables = Tables { control, ..TABLES };
            assert_eq!(tables.walk(address, memory(&[])), Err(Unreadable));
        }
    }

    #[test]
    fn what_traps_is_told() {
        let with = |set: u64, clear: u64| {
            let last = (0x4567_8000 | PAGE | set) & !clear;
            let words = page(0x4000_0000, USER, last);
            TABLES.walk(USER, memory(&words)).unwrap()
        };
        assert_eq!(with(0, 1), None);
        assert_eq!(with(0, descriptor::ACCESSED), None);
        assert!(!with(descriptor::READ_ONLY, 0).unwrap().writable);
        let late = descriptor::READ_ONLY | descriptor::DIRTY_BIT_MODIFIER;
        assert!(with(late, 0).unwrap().writable);
    }

    #[test]
    fn unreadable_tables_are_not_empty_ones() {
        assert_eq!(TABLES.walk(USER, |_| None), Err(Unreadable));
        for control in [
            TABLES.control | 0b01 << 14,
            TABLES.control | 1 << 59,
            TABLES.control & !0x3f | 12,
        ] {
            let tables = Tables { control, ..TABLES };
            assert_eq!(tables.walk(USER, |_| Some(0)), Err(Unreadable));
        }
        let tables = Tables {
            // Pages of 64 KiB in the upper half.
            control: 16 | 16 << 16 | 0b11 << 30,
            ..TABLES
        };
        assert_eq!(tables.walk(VMALLOC, |_| Some(0)), Err(Unreadable));
        assert_eq!(tables.walk(USER, |_| Some(0)), Ok(None));
    }

    #[test]
    fn tags_are_no_part_of_an_address() {
        assert_eq!(untag(0x5a00_aaaa_bbbb_c010), USER);
        assert_eq!(untag(USER), USER);
        assert_eq!(untag(0x5aff_8000_8123_4010), VMALLOC);
        assert_eq!(untag(LINEAR), LINEAR);
    }
}
