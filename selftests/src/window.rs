// SPDX-License-Identifier: GPL-2.0

//! The part of a buffer that a test looks at.

use std::ops::Range;
use std::panic::Location;

use crate::Access;
use crate::DmaBuf;
use crate::Mapping;
use crate::Outcome;
use crate::Pattern;
use crate::importer::DeviceMapping;
use crate::outcome::Stop;
use crate::pattern::Mismatch;

/// A piece of a buffer; a device moves 4096 bytes of it at a time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Offset in the buffer, in bytes.
    pub at: usize,
    /// Length in bytes.
    pub len: usize,
}

impl Window {
    /// The same as a range of bytes.
    pub fn range(self) -> Range<usize> {
        self.at..self.at + self.len
    }

    /// Lets the device read the window and compares what it got.
    ///
    /// # Errors
    ///
    /// The first wrong byte, and the errors of the importer.
    #[track_caller]
    pub fn device_sees(self, mapping: &DeviceMapping<'_>, pattern: Pattern) -> Outcome {
        let wrong = wrong_in(Location::caller());
        let mut bytes = vec![0; self.len];
        mapping.device_reads(self.at, &mut bytes)?;
        pattern.check(self.at, &bytes).map_err(wrong)
    }

    /// Lets the device write the window.
    ///
    /// # Errors
    ///
    /// Those of the importer.
    pub fn device_writes(self, mapping: &DeviceMapping<'_>, pattern: Pattern) -> Outcome {
        mapping.device_writes(self.at, &pattern.bytes(self.at, self.len))?;
        Ok(())
    }

    /// Lets the CPU read the window in a bracket of `buffer`, through a mapping of it or of its
    /// memfd, and compares what it got.
    ///
    /// # Errors
    ///
    /// The first wrong byte, and the errors of the exporter.
    #[track_caller]
    pub fn cpu_sees(self, buffer: &DmaBuf, memory: &Mapping, pattern: Pattern) -> Outcome {
        let wrong = wrong_in(Location::caller());
        let reading = buffer.begin(Access::Read)?;
        let result = self.holds(memory, pattern).map_err(wrong);
        reading.end()?;
        result
    }

    /// Lets the CPU write the window in a bracket of `buffer`.
    ///
    /// # Errors
    ///
    /// Those of the exporter.
    pub fn cpu_writes(self, buffer: &DmaBuf, memory: &Mapping, pattern: Pattern) -> Outcome {
        let writing = buffer.begin(Access::Write)?;
        self.fill(memory, pattern);
        writing.end()?;
        Ok(())
    }

    /// Compares the window as it is, without a bracket.
    ///
    /// # Errors
    ///
    /// The first wrong byte.
    pub fn holds(self, memory: &Mapping, pattern: Pattern) -> Result<(), Mismatch> {
        pattern.check_in(memory, self.at, self.len)
    }

    /// Fills the window without a bracket.
    pub fn fill(self, memory: &Mapping, pattern: Pattern) {
        pattern.write_to(memory, self.at, self.len);
    }
}

/// Says where wrong data was found: the place of the caller, not one in this file.
fn wrong_in(place: &'static Location<'static>) -> impl Fn(Mismatch) -> Stop {
    move |mismatch| Stop::Wrong { mismatch, place }
}
