// SPDX-License-Identifier: GPL-2.0

//! The test machines, one type each. Callers never ask which one they have.

mod arm64;
mod x86_64;

use object::elf;

use crate::usage::Usage;

pub use arm64::{Arm64Coherent, Arm64Mixed, Arm64Noncoherent, Arm64Smmu};
pub use x86_64::{X86Direct, X86Iommu, X86OneNarrow, X86Swiotlb};

/// What machines of one architecture have in common.
pub struct Board {
    /// The QEMU program.
    pub qemu: &'static str,
    /// Board, CPU: the arguments that make the bare machine.
    pub arguments: &'static [&'static str],
    /// The kernel's console on the serial port.
    pub console: &'static str,
    /// The name of the kernel configuration, and of its build directory.
    pub kernel: &'static str,
    /// The kernel image inside that directory.
    pub image: &'static str,
    /// The Rust target of programs for this machine.
    pub target: &'static str,
    /// The ELF machine codes of programs that it can run.
    pub elf: &'static [u16],
}

/// What shows that a sync is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The data: it is wrong.
    Data,
    /// The cache model only: QEMU has no caches, so the data is right.
    Model,
    /// Nothing, for none is needed.
    Nothing,
}

/// Where the kernel learns what the machine is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceTree {
    /// From firmware, or from the device tree that QEMU makes: devices are cache-coherent.
    Stock,
    /// From QEMU's device tree without the words that say that devices are cache-coherent.
    Noncoherent,
}

/// A machine to boot: a board, what is plugged in, what the kernel is told.
pub trait Machine: Sync {
    /// The name that `MACHINE=` takes.
    fn name(&self) -> &'static str;

    /// What is special about it, in one line.
    fn about(&self) -> &'static str;

    /// The board.
    fn board(&self) -> &'static Board;

    /// What shows that a sync is missing.
    fn judge(&self) -> Judge;

    /// What QEMU is told beside the board.
    fn arguments(&self) -> &'static [&'static str] {
        &[]
    }

    /// Where the kernel learns what the machine is made of.
    fn device_tree(&self) -> DeviceTree {
        DeviceTree::Stock
    }

    /// The DMA masks of its edu devices, one per device; the first is the difficult device.
    fn dma_masks(&self) -> &'static [u64] {
        &[u64::MAX, u64::MAX]
    }

    /// Whether each edu device snoops the CPU's caches, where that is not what the device tree
    /// says; further devices are as it says.
    fn coherence(&self) -> &'static [bool] {
        &[]
    }

    /// Whether an IOMMU translates what the devices put on the bus.
    fn has_iommu(&self) -> bool {
        false
    }

    /// Whether each edu device snoops the CPU's caches.
    fn snoops(&self) -> Vec<bool> {
        let stock = self.device_tree() == DeviceTree::Stock;
        let said = |number| self.coherence().get(number).copied().unwrap_or(stock);
        (0..self.dma_masks().len()).map(said).collect()
    }

    /// Whether every device is bounced, even one that reaches all memory.
    fn always_bounces(&self) -> bool {
        self.judge() == Judge::Data && self.dma_masks().iter().all(|mask| *mask == u64::MAX)
    }

    /// The edu devices that do not see the same memory as the CPU.
    fn incoherent(&self) -> Vec<u32> {
        let bounced = |mask| match self.judge() {
            Judge::Data => self.always_bounces() || mask != u64::MAX,
            Judge::Model | Judge::Nothing => false,
        };
        let devices = self.snoops().into_iter().zip(self.dma_masks()).zip(0..);
        devices
            .filter(|((snoops, mask), _)| !snoops || bounced(**mask))
            .map(|(_, number)| number)
            .collect()
    }

    /// What the kernel log says if the machine is what it should be.
    fn evidence(&self) -> Vec<String> {
        let devices = self.dma_masks().iter().zip(self.snoops()).enumerate();
        let mut lines: Vec<_> = devices
            .map(|(number, (mask, snoops))| {
                let bits = mask.count_ones();
                let snoops = if snoops { "snoops" } else { "does not snoop" };
                let iommu = if self.has_iommu() { "an" } else { "no" };
                format!("edu {number}: {bits} address bits, {snoops}, {iommu} IOMMU")
            })
            .collect();
        if self.has_iommu() {
            lines.push("iommu: Default domain type: Translated".into());
        }
        lines
    }

    /// What is added to the kernel's command line.
    fn kernel_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// Parameters of the importer module; it has to know what each edu device can do.
    fn importer_parameters(&self) -> String {
        let masks = self.dma_masks().iter();
        let bits: Vec<_> = masks.map(|mask| mask.count_ones().to_string()).collect();
        let mut parameters = format!("dma_bits={}", bits.join(","));
        if !self.coherence().is_empty() {
            let coherent = self.coherence().iter();
            let coherent: Vec<_> = coherent.map(|is| u8::from(*is).to_string()).collect();
            parameters += &format!(" coherent={}", coherent.join(","));
        }
        parameters
    }
}

/// Every machine there is.
pub const ALL: &[&dyn Machine] = &[
    &X86Direct,
    &X86Swiotlb,
    &X86Iommu,
    &X86OneNarrow,
    &Arm64Coherent,
    &Arm64Noncoherent,
    &Arm64Smmu,
    &Arm64Mixed,
];

/// The machine of that name; what follows the architecture in a name is enough.
///
/// # Errors
///
/// [`Usage`] when there is none, naming those there are.
pub fn find(name: &str) -> Result<&'static dyn Machine, Usage> {
    let matches = |machine: &&&dyn Machine| {
        machine.name() == name
            || machine.name().strip_prefix(machine.board().kernel) == Some(&format!("-{name}"))
    };
    ALL.iter().find(matches).copied().ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|machine| machine.name()).collect();
        Usage(format!(
            "unknown machine '{name}': say one of {}",
            names.join(", ")
        ))
    })
}

/// The name of an ELF machine code, for messages.
pub fn elf_name(code: u16) -> String {
    match code {
        elf::EM_X86_64 => "x86-64".into(),
        elf::EM_386 => "i386".into(),
        elf::EM_AARCH64 => "arm64".into(),
        other => format!("machine {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_found_by_full_and_short_name() {
        for machine in ALL {
            assert_eq!(find(machine.name()).unwrap().name(), machine.name());
        }
        assert_eq!(find("swiotlb").unwrap().name(), "x86_64-swiotlb");
        let message = find("vax").err().unwrap().to_string();
        assert!(
            message.contains("'vax'") && message.contains("x86_64-direct"),
            "{message}"
        );
    }

    #[test]
    fn every_machine_says_what_its_log_has_to_show() {
        let lines = |name| find(name).unwrap().evidence().join("\n");
        assert_eq!(
            lines("28bit"),
            "edu 0: 28 address bits, snoops, no IOMMU\nedu 1: 64 address bits, snoops, no IOMMU"
        );
        assert_eq!(
            lines("mixed"),
            "edu 0: 64 address bits, does not snoop, no IOMMU\n\
             edu 1: 64 address bits, snoops, no IOMMU"
        );
        assert!(lines("smmu").contains("does not snoop, an IOMMU\niommu: Default domain"));
    }

    #[test]
    fn devices_are_incoherent_that_are_bounced_or_do_not_snoop() {
        let expected: [(&str, &[u32]); 8] = [
            ("x86_64-direct", &[]),
            ("x86_64-swiotlb", &[0, 1]),
            ("x86_64-iommu", &[]),
            ("x86_64-28bit", &[0]),
            ("arm64-coherent", &[]),
            ("arm64-noncoherent", &[0, 1]),
            ("arm64-smmu", &[0, 1]),
            ("arm64-mixed", &[0]),
        ];
        for (name, devices) in expected {
            assert_eq!(find(name).unwrap().incoherent(), devices, "{name}");
        }
    }

    #[test]
    fn importer_is_told_what_each_device_can_do() {
        assert_eq!(X86Direct.importer_parameters(), "dma_bits=64,64");
        assert_eq!(X86OneNarrow.importer_parameters(), "dma_bits=28,64");
        assert_eq!(
            Arm64Mixed.importer_parameters(),
            "dma_bits=64,64 coherent=0,1"
        );
    }

    #[test]
    fn make_knows_every_machine() {
        let makefile = include_str!("../../../../Makefile");
        for machine in ALL {
            let mut words = makefile.split_whitespace();
            assert!(words.any(|word| word == machine.name()));
        }
    }

    #[test]
    fn names_begin_with_the_kernel_that_the_machine_boots() {
        for machine in ALL {
            let name = machine.name().strip_prefix(machine.board().kernel);
            assert!(name.is_some_and(|rest| rest.starts_with('-')));
        }
    }
}
