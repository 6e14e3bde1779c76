// SPDX-License-Identifier: GPL-2.0

//! The x86-64 machines. DMA is coherent here, so only bouncing shows a missing sync.

use object::elf;

use super::{Board, Machine};

const BOARD: Board = Board {
    qemu: "qemu-system-x86_64",
    // Without five-level page tables: identify_cpu() clears the feature for a moment, and if an
    // interrupt comes just then, KASAN takes the kernel's own addresses for wild ones.
    arguments: &["-machine", "q35", "-cpu", "max,la57=off"],
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

    fn board(&self) -> &'static Board {
        &BOARD
    }

    fn kernel_parameters(&self) -> &'static [&'static str] {
        &["swiotlb=force"]
    }
}
