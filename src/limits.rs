// SPDX-License-Identifier: GPL-2.0

//! What a request may ask for.

use crate::abi::Item;
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
};

/// The module parameters, read once per request.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Most items in a list.
    pub(crate) list: u32,
    /// Most memory in a buffer, in MiB.
    pub(crate) size_mb: u32,
    /// Whether pages count as locked by the user who has them pinned.
    pub(crate) memlock: bool,
}

impl Limits {
    /// Most memory in a buffer, in pages.
    fn pages(self) -> u64 {
        (u64::from(self.size_mb) << 20) >> PAGE_SHIFT
    }

    /// Checks the number of items in a list.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are too many.
    pub(crate) fn check_count(self, count: u32) -> Result {
        if count > self.list {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Checks sizes and offsets, and returns the size of the buffer, in pages.
    ///
    /// As the C driver's `udmabuf_create()`: before any descriptor is looked at, and an empty
    /// item is allowed among others (it fails later, when it is to be pinned).
    ///
    /// # Errors
    ///
    /// `EINVAL` for an offset or size that is not page-aligned, an empty request, or more memory
    /// than allowed.
    pub(crate) fn check_items(self, items: &[Item]) -> Result<usize> {
        const IN_PAGE: u64 = PAGE_SIZE as u64 - 1;

        let mut pages: u64 = 0;
        for item in items {
            if (item.offset | item.size) & IN_PAGE != 0 {
                return Err(EINVAL);
            }
            // Never wraps: each term has at most 52 bits, and the sum so far is within the limit.
            pages += item.size >> PAGE_SHIFT;
            if pages > self.pages() {
                return Err(EINVAL);
            }
        }
        if pages == 0 {
            return Err(EINVAL);
        }
        Ok(usize::try_from(pages)?)
    }
}

#[kunit_tests(udmabuf_limits)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;
    const ONE_MB: Limits = Limits {
        list: 2,
        size_mb: 1,
        memlock: false,
    };

    fn item(offset: u64, size: u64) -> Item {
        Item {
            memfd: 0,
            pad: 0,
            offset,
            size,
        }
    }

    fn pages(limits: Limits, items: &[Item]) -> core::result::Result<usize, i32> {
        limits.check_items(items).map_err(|e| e.to_errno())
    }

    const INVALID: core::result::Result<usize, i32> = Err(-(kernel::bindings::EINVAL as i32));

    #[test]
    fn count_at_and_above_the_limit() {
        assert!(ONE_MB.check_count(0).is_ok());
        assert!(ONE_MB.check_count(2).is_ok());
        assert!(ONE_MB.check_count(3).is_err());
        assert!(ONE_MB.check_count(u32::MAX).is_err());
    }

    #[test]
    fn size_at_and_above_the_limit() {
        let most = (1 << 20) / PAGE;
        assert_eq!(pages(ONE_MB, &[item(0, 1 << 20)]), Ok(most as usize));
        assert_eq!(pages(ONE_MB, &[item(0, (1 << 20) + PAGE)]), INVALID);
        assert_eq!(pages(ONE_MB, &[item(0, 1 << 20), item(0, PAGE)]), INVALID);
    }

    #[test]
    fn nothing_asked_for() {
        assert_eq!(pages(ONE_MB, &[]), INVALID);
        assert_eq!(pages(ONE_MB, &[item(0, 0), item(PAGE, 0)]), INVALID);
        assert_eq!(pages(ONE_MB, &[item(0, 0), item(0, PAGE)]), Ok(1));
    }

    #[test]
    fn alignment() {
        assert_eq!(pages(ONE_MB, &[item(1, PAGE)]), INVALID);
        assert_eq!(pages(ONE_MB, &[item(0, PAGE - 1)]), INVALID);
        assert_eq!(pages(ONE_MB, &[item(0, PAGE + 1)]), INVALID);
        assert_eq!(pages(ONE_MB, &[item(PAGE / 2, PAGE)]), INVALID);
    }

    #[test]
    fn zero_and_huge_limits() {
        let none = Limits {
            size_mb: 0,
            ..ONE_MB
        };
        assert_eq!(pages(none, &[item(0, PAGE)]), INVALID);

        let all = Limits {
            list: u32::MAX,
            size_mb: u32::MAX,
            ..ONE_MB
        };
        let most = u64::from(u32::MAX) << 20;
        assert_eq!(pages(all, &[item(0, most)]), Ok((most / PAGE) as usize));
        assert_eq!(pages(all, &[item(0, 0u64.wrapping_sub(PAGE))]), INVALID);
    }
}
