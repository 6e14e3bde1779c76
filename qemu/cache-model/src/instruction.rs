// SPDX-License-Identifier: GPL-2.0

//! A64 instructions that matter here, told by their encoding.

/// What a data cache instruction does to the line at the address in its register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// DC CVAC, CVAP, CVADP.
    Clean,
    /// DC CIVAC.
    CleanInvalidate,
    /// DC IVAC.
    Invalidate,
    /// DC ZVA: a store of zeroes to the whole line.
    Zero,
    /// DC CVAU: the point of unification is above memory, so a device sees no difference.
    CleanToUnification,
    /// DC ISW, CSW, CISW: the register names a set and a way, and no line by its address.
    SetWay,
}

/// An instruction that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// May load or store.
    Access,
    /// Maintains the data cache.
    Maintenance {
        /// How.
        operation: Maintenance,
        /// The number of the register with its operand, 31 for none.
        register: u32,
    },
}

/// SYS with CRn 7, without the fields op1, CRm, op2 and Rt.
const SYS: u32 = 0xd508_7000;
const SYS_MASK: u32 = 0xfff8_f000;

impl Instruction {
    /// The instruction of this encoding, if it matters.
    pub fn decode(word: u32) -> Option<Self> {
        if word & SYS_MASK == SYS {
            return maintenance(word).map(|operation| Instruction::Maintenance {
                operation,
                register: word & 0x1f,
            });
        }
        // The top-level groups: loads and stores are x1x0, SVE is 0010.
        let group = word >> 25 & 0xf;
        (group & 0b0101 == 0b0100 || group == 0b0010).then_some(Instruction::Access)
    }
}

/// The operation of a SYS instruction with CRn 7. Those on allocation tags alone touch no data,
/// those on data and tags do what their elder siblings do.
fn maintenance(word: u32) -> Option<Maintenance> {
    let (op1, crm, op2) = (word >> 16 & 7, word >> 8 & 0xf, word >> 5 & 7);
    match (op1, crm, op2) {
        (3, 10 | 12 | 13, 1 | 5) => Some(Maintenance::Clean),
        (3, 14, 1 | 5) => Some(Maintenance::CleanInvalidate),
        (0, 6, 1 | 5) => Some(Maintenance::Invalidate),
        (3, 4, 1 | 4) => Some(Maintenance::Zero),
        (3, 11, 1) => Some(Maintenance::CleanToUnification),
        (0, 6 | 10 | 14, 2 | 6) => Some(Maintenance::SetWay),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(word: u32) -> Option<Maintenance> {
        match Instruction::decode(word) {
            Some(Instruction::Maintenance {
                operation,
                register,
            }) => {
                assert_eq!(register, word & 0x1f);
                Some(operation)
            }
            _ => None,
        }
    }

    // All words of the tests are what GNU as makes of the instruction in the comment.

    #[test]
    fn maintenance_is_told_by_its_encoding() {
        for (word, expected) in [
            (0xd50b_7a20, Maintenance::Clean),              // dc cvac
            (0xd50b_7c20, Maintenance::Clean),              // dc cvap
            (0xd50b_7d20, Maintenance::Clean),              // dc cvadp
            (0xd50b_7aa0, Maintenance::Clean),              // dc cgdvac
            (0xd50b_7ca0, Maintenance::Clean),              // dc cgdvap
            (0xd50b_7da0, Maintenance::Clean),              // dc cgdvadp
            (0xd50b_7e20, Maintenance::CleanInvalidate),    // dc civac
            (0xd50b_7ea0, Maintenance::CleanInvalidate),    // dc cigdvac
            (0xd508_7620, Maintenance::Invalidate),         // dc ivac
            (0xd508_76a0, Maintenance::Invalidate),         // dc igdvac
            (0xd50b_7420, Maintenance::Zero),               // dc zva
            (0xd50b_7480, Maintenance::Zero),               // dc gzva
            (0xd50b_7b20, Maintenance::CleanToUnification), // dc cvau
            (0xd508_7640, Maintenance::SetWay),             // dc isw
            (0xd508_7a40, Maintenance::SetWay),             // dc csw
            (0xd508_7e40, Maintenance::SetWay),             // dc cisw
            (0xd508_76c0, Maintenance::SetWay),             // dc igdsw
            (0xd508_7ac0, Maintenance::SetWay),             // dc cgdsw
            (0xd508_7ec0, Maintenance::SetWay),             // dc cigdsw
        ] {
            for register in [0, 7, 31] {
                assert_eq!(operation(word | register), Some(expected), "{word:#x}");
            }
        }
    }

    #[test]
    fn lookalikes_are_not_maintenance() {
        for word in [
            0xd50b_7520, // ic ivau
            0xd508_751f, // ic iallu
            0xd508_711f, // ic ialluis
            0xd508_7800, // at s1e1r
            0xd50b_7460, // dc gva: tags only
            0xd508_7660, // dc igvac: tags only
            0xd50b_7a60, // dc cgvac: tags only
            0xd508_7680, // dc igsw: tags only
            0xd52b_7a20, // sysl x0, #3, c7, c10, #1
            0xd50b_fa20, // sys #3, c15, c10, #1
            0xd50c_7a20, // sys #4, c7, c10, #1
            0xd51b_7a20, // msr s3_3_c7_c10_1
            0xd508_831f, // tlbi vmalle1is
            0xd518_7a20, // msr s3_0_c7_c10_1
            0xd503_3f9f, // dsb sy
            0xd503_201f, // nop
            0x8b00_0000, // add
            0x1400_0000, // b
        ] {
            assert_eq!(operation(word), None, "{word:#x}");
            assert_eq!(Instruction::decode(word), None, "{word:#x}");
        }
    }

    #[test]
    fn loads_and_stores_are_told() {
        for word in [
            0xf940_0020, // ldr x0, [x1]
            0xb900_0020, // str w0, [x1]
            0x3940_0020, // ldrb w0, [x1]
            0xa940_0820, // ldp x0, x2, [x1]
            0xa800_0820, // stnp x0, x2, [x1]
            0xad00_0420, // stp q0, q1, [x1]
            0x3c81_0420, // str q0, [x1], #16
            0x4c00_7020, // st1 {v0.16b}, [x1]
            0xc85f_7c20, // ldxr x0, [x1]
            0xc820_7c22, // stxp w0, x2, x31, [x1]
            0xf820_0022, // ldadd x0, x2, [x1]
            0xc8a0_7c22, // cas x0, x2, [x1]
            0x5800_0000, // ldr x0, literal
            0xa400_a020, // ld1b {z0.b}, p0/z, [x1]: SVE
        ] {
            assert_eq!(
                Instruction::decode(word),
                Some(Instruction::Access),
                "{word:#x}"
            );
        }
    }
}
