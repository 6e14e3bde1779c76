// SPDX-License-Identifier: GPL-2.0

//! The x86-64 machines. DMA is coherent here, so only bouncing shows a missing sync.

use object::elf;

use super::{Board, Judge, Machine};

const BOARD: Board = Board {
    qemu: "qemu-system-x86_64",
    // Without five-level page tables: identify_cpu() clears the feature for a moment, and if an
    // interrupt comes just then, KASAN takes the kernel's own addresses for wild ones.
    // Without fast string instructions too: the kernel and the C library use them for all copies
    // then, and TCG takes longer for each of their steps than for an instruction.
    arguments: &[
        "-machine",
        "q35",
        "-cpu",
        "max,la57=off,erms=off,fsrm=off,fsrs=off,fzrm=off",
    ],
    console: "ttyS0",
    kernel: "x86_64",
    image: "arch/x86/boot/bzImage",
    target: "x86_64-unknown-linux-gnu",
    elf: &[elf::EM_X86_64, elf::EM_386],
};

/// Devices reach all memory directly.
pub struct X86Direct;

impl Machine for X86Direct {
    fn name(&self) -> &'static str {
        "x86_64-direct"
    }

    fn about(&self) -> &'static str {
        "x86-64, devices reach all memory directly"
    }

    fn judge(&self) -> Judge {
        Judge::Nothing
    }

    fn board(&self) -> &'static Board {
        &BOARD
    }
}

/// Every mapping is bounced.
pub struct X86Swiotlb;

impl Machine for X86Swiotlb {
    fn name(&self) -> &'static str {
        "x86_64-swiotlb"
    }

    fn about(&self) -> &'static str {
        "x86-64, every mapping is bounced (swiotlb=force)"
    }

    fn judge(&self) -> Judge {
        Judge::Data
    }

    fn board(&self) -> &'static Board {
        &BOARD
    }

    fn kernel_parameters(&self) -> &'static [&'static str] {
        &["swiotlb=force"]
    }
}

/// Devices see addresses that an IOMMU translates.
pub struct X86Iommu;

impl Machine for X86Iommu {
    fn name(&self) -> &'static str {
        "x86_64-iommu"
    }

    fn about(&self) -> &'static str {
        "x86-64, behind an IOMMU that translates"
    }

    fn judge(&self) -> Judge {
        Judge::Nothing
    }

    fn board(&self) -> &'static Board {
        &BOARD
    }

    fn arguments(&self) -> &'static [&'static str] {
        // Before all devices that it is to translate for.
        &["-device", "intel-iommu"]
    }

    fn has_iommu(&self) -> bool {
        true
    }

    fn kernel_parameters(&self) -> &'static [&'static str] {
        &["intel_iommu=on", "iommu.passthrough=0", "iommu.strict=1"]
    }
}

/// One device reaches 256 MiB only, which is less than where the memory is; the other all.
pub struct X86OneNarrow;

impl Machine for X86OneNarrow {
    fn name(&self) -> &'static str {
        "x86_64-28bit"
    }

    fn about(&self) -> &'static str {
        "x86-64, one device of 28 address bits, whose mappings are bounced, beside one of 64"
    }

    fn judge(&self) -> Judge {
        Judge::Data
    }

    fn board(&self) -> &'static Board {
        &BOARD
    }

    fn arguments(&self) -> &'static [&'static str] {
        // The pool of bounce buffers lies below 4 GiB, and with this all that lies there is in reach.
        // What programs get is taken from above 4 GiB, where the rest of the memory is.
        &["-machine", "max-ram-below-4g=256M"]
    }

    fn dma_masks(&self) -> &'static [u64] {
        &[(1 << 28) - 1, u64::MAX]
    }
}
