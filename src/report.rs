// SPDX-License-Identifier: GPL-2.0

//! What the checker says of something wrong.

use crate::{
    accesses::{
        Process,
        Site,
        Wrong, //
    },
    direction::Direction, //
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
    /// Whether it was to be written.
    pub(crate) is_write: bool,
    /// Where the program was.
    pub(crate) site: Site,
    /// The file that is from, if that is known.
    pub(crate) path: Option<CString>,
    /// What was open there.
    pub(crate) open: Option<Direction>,
    /// How many mappings devices have, and their names, if there was memory for them.
    pub(crate) mapped: usize,
    pub(crate) devices: Option<CString>,
    /// The memfd's page is mapped by somebody, whose accesses cannot be seen.
    pub(crate) has_memfd_mapped: bool,
}

impl Wrong {
    fn description(self, is_write: bool) -> &'static str {
        match self {
            Self::Outside if is_write => "writes it outside of any bracket",
            Self::Outside => "reads it outside of any bracket",
            Self::WritesInRead => "writes in a bracket for reading",
            Self::NotBegun => "END without START",
            Self::EndsAsOther => "END of another access than START",
            Self::NotEnded => "START without END",
            Self::TooMany => "too many START without END: not checked any more",
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
        show(&self.site.program, f)?;
        write!(
            f,
            "[{}/{}] {} at byte {}, instruction {:#x}",
            self.process.0,
            self.site.thread,
            self.wrong.description(self.is_write),
            self.offset,
            self.site.instruction,
        )?;
        if self.site.place != 0 {
            f.write_str(" (")?;
            if let Some(path) = &self.path {
                show(path.to_bytes(), f)?;
            }
            write!(f, "+{:#x})", self.site.place)?;
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
