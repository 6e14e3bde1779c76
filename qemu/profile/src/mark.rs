// SPDX-License-Identifier: GPL-2.0

//! The instructions that begin and end what is counted: see `selftests::sys::clock`.

/// A mark in the guest's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Counting begins.
    Start,
    /// Counting ends.
    Stop,
}

/// x86-64: `nopl disp32(%rax)` with a displacement that no compiler uses to fill a gap.
const X86: [(&[u8], Mark); 2] = [
    (&[0x0f, 0x1f, 0x80, 0x01, b'm', b'a', b'r'], Mark::Start),
    (&[0x0f, 0x1f, 0x80, 0x02, b'm', b'a', b'r'], Mark::Stop),
];

/// arm64: `movz xzr, #0x6d01` and `movz xzr, #0x6d02`.
const ARM64: [(&[u8], Mark); 2] = [
    (&0xd28d_a03f_u32.to_le_bytes(), Mark::Start),
    (&0xd28d_a05f_u32.to_le_bytes(), Mark::Stop),
];

impl Mark {
    /// The mark that an instruction's bytes are, if any.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut marks = X86.iter().chain(&ARM64);
        marks
            .find(|(mark, _)| *mark == bytes)
            .map(|(_, mark)| *mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_from_other_instructions() {
        let start = [0x0f, 0x1f, 0x80, 0x01, 0x6d, 0x61, 0x72];
        assert_eq!(Mark::decode(&start), Some(Mark::Start));
        assert_eq!(Mark::decode(&[0x0f, 0x1f, 0x80, 0, 0, 0, 0]), None);
        assert_eq!(Mark::decode(&start[..6]), None);
        assert_eq!(Mark::decode(&[0x5f, 0xa0, 0x8d, 0xd2]), Some(Mark::Stop));
    }
}
