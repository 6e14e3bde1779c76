// SPDX-License-Identifier: GPL-2.0

//! What the checker says of something wrong.

use crate::{
    accesses::{
        Process,
        Wrong, //
    },
    direction::Direction,
    ffi::task::Place, //
};
use kernel::{
    fmt,
    str::CString, //
};

/// Something that a program did wrong with a buffer.
pub(crate) struct Report {
    /// The buffer, by its inode number.
    pub(crate) inode: u64,
    pub(crate) wrong: Wrong,
    /// What was touched, or begun, or ended: its first byte in the buffer.
    pub(crate) offset: usize,
    pub(crate) process: Process,
    pub(crate) thread: i32,
    /// The thread's name.
    pub(crate) program: [u8; 16],
    /// Where the program was, in its address space.
    pub(crate) instruction: usize,
    /// The file that is from, and where in it.
    pub(crate) place: Option<Place>,
    /// What was open there.
    pub(crate) open: Option<Direction>,
    /// How many mappings devices have, and their names, if there was memory for them.
    pub(crate) mapped: usize,
    pub(crate) devices: Option<CString>,
    /// The memfd's page is mapped by somebody, whose accesses cannot be seen.
    pub(crate) has_memfd_mapped: bool,
}

impl Wrong {
    fn description(self) -> &'static str {
        match self {
            Self::Outside => "touches it outside of any bracket",
            Self::WritesInRead => "writes in a bracket for reading",
            Self::NotBegun => "END without START",
            Self::EndsAsOther => "END of another access than START",
            Self::NotEnded => "START without END",
        }
    }
}

/// Shows what a program has chosen, up to a zero: nothing that a terminal takes for a command.
fn show(text: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &byte in text.iter().take_while(|&&byte| byte != 0) {
        let shown = match byte {
            b' '..=b'~' => char::from(byte),
            _ => '?',
        };
        write!(f, "{shown}")?;
    }
    Ok(())
}

/// In one line, without the end of it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udmabuf {}: ", self.inode)?;
        show(&self.program, f)?;
        write!(
            f,
            "[{}/{}] {} at byte {}, instruction {:#x}",
            self.process.0,
            self.thread,
            self.wrong.description(),
            self.offset,
            self.instruction,
        )?;
        if let Some(place) = &self.place {
            f.write_str(" (")?;
            show(place.path.to_bytes(), f)?;
            write!(f, "+{:#x})", place.offset)?;
        }
        write!(
            f,
            "; open: {}; mapped: {}",
            match self.open {
                None => "nothing",
                Some(Direction::FromDevice) => "reading",
                Some(Direction::ToDevice) => "writing",
                Some(Direction::Bidirectional) => "reading and writing",
            },
            self.mapped,
        )?;
        if let Some(devices) = self
            .devices
            .as_deref()
            .and_then(|names| names.to_str().ok())
        {
            write!(f, "{devices}")?;
        }
        match self.has_memfd_mapped {
            true => write!(f, "; the memfd is mapped, too, which cannot be checked"),
            false => Ok(()),
        }
    }
}
