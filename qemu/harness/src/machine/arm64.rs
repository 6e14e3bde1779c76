// SPDX-License-Identifier: GPL-2.0

//! The arm64 machines. QEMU has no caches: what a missing sync does to a device that does not
//! snoop, only the cache model can tell.

use object::elf;

use super::{Board, DeviceTree, Judge, Machine};

const BOARD: Board = Board {
    qemu: "qemu-system-aarch64",
    arguments: &["-machine", "virt,gic-version=3", "-cpu", "cortex-a72"],
    console: "ttyAMA0",
    kernel: "arm64",
    image: "arch/arm64/boot/Image",
    target: "aarch64-unknown-linux-gnu",
    elf: &[elf::EM_AARCH64],
};

/// Devices snoop the CPU's caches.
pub struct Arm64Coherent;

impl Machine for Arm64Coherent {
    fn name(&self) -> &'static str {
        "arm64-coherent"
    }

    fn about(&self) -> &'static str {
        "arm64, devices snoop the caches"
    }

    fn board(&self) -> &'static Board {
        &BOARD
    }

    fn judge(&self) -> Judge {
        Judge::Nothing
    }
}

/// No device snoops.
pub struct Arm64Noncoherent;

impl Machine for Arm64Noncoherent {
    fn name(&self) -> &'static str {
        "arm64-noncoherent"
    }

    fn about(&self) -> &'static str {
        "arm64, no device snoops the caches"
    }

    fn board(&self) -> &'static Board {
        &BOARD
    }

    fn judge(&self) -> Judge {
        Judge::Model
    }

    fn device_tree(&self) -> DeviceTree {
        DeviceTree::Noncoherent
    }
}

/// No device snoops, and all are behind an IOMMU.
pub struct Arm64Smmu;

impl Machine for Arm64Smmu {
    fn name(&self) -> &'static str {
        "arm64-smmu"
    }

    fn about(&self) -> &'static str {
        "arm64, no device snoops the caches, behind an SMMUv3 that translates"
    }

    fn board(&self) -> &'static Board {
        &BOARD
    }

    fn judge(&self) -> Judge {
        Judge::Model
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["-machine", "iommu=smmuv3"]
    }

    fn has_iommu(&self) -> bool {
        true
    }

    fn device_tree(&self) -> DeviceTree {
        DeviceTree::Noncoherent
    }

    fn kernel_parameters(&self) -> &'static [&'static str] {
        &["iommu.passthrough=0", "iommu.strict=1"]
    }
}

/// One device that does not snoop beside one that does.
pub struct Arm64Mixed;

impl Machine for Arm64Mixed {
    fn name(&self) -> &'static str {
        "arm64-mixed"
    }

    fn about(&self) -> &'static str {
        "arm64, one device that does not snoop the caches beside one that does"
    }

    fn board(&self) -> &'static Board {
        &BOARD
    }

    fn judge(&self) -> Judge {
        Judge::Model
    }

    fn device_tree(&self) -> DeviceTree {
        DeviceTree::Noncoherent
    }

    fn coherence(&self) -> &'static [bool] {
        &[false, true]
    }
}
