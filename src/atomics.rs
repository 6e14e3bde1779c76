// SPDX-License-Identifier: GPL-2.0

//! Which devices take part in the CPU's atomic operations, by what their bus says.

use kernel::prelude::*;

/// What PCI Express says of a device. Of other buses nothing is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bus {
    /// The device keeps lines of memory in a cache of its own, which is coherent with the CPU's
    /// (CXL.cache, enabled).
    pub(crate) caches: bool,
    /// The device may send atomic operations. Whoever enables that has looked at the bridges on the
    /// way (`pci_enable_atomic_ops_to_root()`).
    pub(crate) requests: bool,
    /// Which of them its root port carries out; not known in a guest that sees no root port, whose
    /// hypervisor has looked then.
    pub(crate) completes: Option<Widths>,
}

/// Widths of atomic operations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Widths {
    pub(crate) four_bytes: bool,
    pub(crate) eight_bytes: bool,
}

impl Bus {
    /// Whether an atomic operation of the device on a word of the CPU's is atomic for both.
    pub(crate) fn has_atomics(&self) -> bool {
        let completed = |widths: Widths| widths.four_bytes && widths.eight_bytes;
        self.caches || (self.requests && self.completes.is_none_or(completed))
    }
}

#[kunit_tests(udmabuf_atomics)]
mod tests {
    use super::*;

    #[test]
    fn all_cases() {
        let bools = [false, true];
        for caches in bools {
            for requests in bools {
                let bus = |completes| Bus {
                    caches,
                    requests,
                    completes,
                };
                assert_eq!(bus(None).has_atomics(), caches || requests);
                for four_bytes in bools {
                    for eight_bytes in bools {
                        let widths = Widths {
                            four_bytes,
                            eight_bytes,
                        };
                        let expected = caches || (requests && four_bytes && eight_bytes);
                        assert_eq!(bus(Some(widths)).has_atomics(), expected);
                    }
                }
            }
        }
    }
}
