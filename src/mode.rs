// SPDX-License-Identifier: GPL-2.0

//! What it takes to keep a buffer coherent, as was asked for when it was made.

use crate::{
    abi,
    coherency::Coherency, //
};
use core::ffi::CStr;
use kernel::prelude::*;

/// Mode of a buffer (`UDMABUF_MODE_*`).
///
/// `UDMABUF_MODE_MEMORY_COHERENT` is none of them: it is about memory that no cache holds, and a
/// memfd has cached mappings of its own, which nobody can take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Whatever the DMA API can do: any device, and CPU accesses are bracketed.
    DmaApi,
    /// Devices see the same memory as the CPU, and nobody brackets.
    CpuCoherent,
    /// And they take part in the CPU's atomic operations.
    AtomicCoherent,
}

impl Mode {
    /// All of them.
    pub(crate) const OFFERED: [Self; 3] = [Self::DmaApi, Self::CpuCoherent, Self::AtomicCoherent];

    /// Which one a program asks for by that number, if it is one of these.
    pub(crate) fn offered(number: u32) -> Option<Self> {
        Self::OFFERED
            .into_iter()
            .find(|mode| mode.number() == number)
    }

    /// Its number in the ABI.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::DmaApi => abi::MODE_DMA_API,
            Self::CpuCoherent => abi::MODE_CPU_COHERENT,
            Self::AtomicCoherent => abi::MODE_ATOMIC_COHERENT,
        }
    }

    /// What the documentation calls it.
    pub(crate) fn name(self) -> &'static CStr {
        match self {
            Self::DmaApi => c"DMA_API",
            Self::CpuCoherent => c"CPU_COHERENT",
            Self::AtomicCoherent => c"ATOMIC_COHERENT",
        }
    }

    /// Whether a device of that coherency may be attached. Whether it takes part in atomic
    /// operations need not be known yet.
    pub(crate) fn may_attach(self, coherency: Coherency) -> bool {
        self == Self::DmaApi || coherency == Coherency::Coherent
    }

    /// Whether such a device may be mapped; `atomics` tells whether it takes part in atomic operations,
    /// which need be known of a buffer for those only.
    pub(crate) fn may_map(self, coherency: Coherency, atomics: bool) -> bool {
        self.may_attach(coherency) && (self != Self::AtomicCoherent || atomics)
    }
}

#[kunit_tests(udmabuf_mode)]
mod tests {
    use super::*;
    use Coherency::*;
    use Mode::*;

    #[test]
    fn numbers_lead_back() {
        for mode in Mode::OFFERED {
            assert_eq!(Mode::offered(mode.number()), Some(mode));
        }
        assert_eq!(Mode::offered(abi::MODE_MEMORY_COHERENT), None);
        assert_eq!(Mode::offered(u32::MAX), None);
    }

    #[test]
    fn who_may_attach_and_map() {
        for (mode, coherency, attach, map, with_atomics) in [
            (DmaApi, Coherent, true, true, true),
            (DmaApi, Cache, true, true, true),
            (DmaApi, Shadow, true, true, true),
            (CpuCoherent, Coherent, true, true, true),
            (CpuCoherent, Cache, false, false, false),
            (CpuCoherent, Shadow, false, false, false),
            (AtomicCoherent, Coherent, true, false, true),
            (AtomicCoherent, Cache, false, false, false),
            (AtomicCoherent, Shadow, false, false, false),
        ] {
            assert_eq!(mode.may_attach(coherency), attach);
            assert_eq!(mode.may_map(coherency, false), map);
            assert_eq!(mode.may_map(coherency, true), with_atomics);
        }
    }
}
