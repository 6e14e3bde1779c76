// SPDX-License-Identifier: GPL-2.0

//! What a program does when an importer refuses a buffer whose coherency is stated.
//!
//! [`share`] makes a buffer in the mode that is asked for and lets the caller use it: attach it, map
//! it, hand it to another process, whatever may end in EOPNOTSUPP. If it does, the same pages become a
//! buffer in DMA_API mode, or their contents go to a buffer of another kind, as the caller says.
//! In either case [`Shared::start`] and [`Shared::finish`] do what the accesses of the CPU take.

use rustix::io::Errno;
use rustix::io::Result;

use crate::Access;
use crate::DmaBuf;
use crate::Item;
use crate::Mapping;
use crate::Mode;
use crate::Udmabuf;

/// Bytes that are copied at a time.
const STEP: usize = 64 << 10;

/// What the caller can do with, where its buffer is refused.
#[derive(Clone, Copy)]
pub enum Instead<'a> {
    /// The same pages, and brackets around accesses.
    Brackets,
    /// A copy in a buffer of so many bytes that the importer takes.
    Copy(&'a dyn Fn(usize) -> Result<DmaBuf>),
}

/// What it takes to access the pages of a [`Shared`].
#[derive(Debug)]
pub enum Accesses {
    /// Nothing.
    Coherent,
    /// Brackets.
    Bracketed,
    /// Brackets, and copies between the pages, which are mapped first, and the buffer, behind them.
    Copied(Mapping, Mapping),
}

/// Pages that the CPU and an importer share.
#[derive(Debug)]
pub struct Shared<T> {
    /// The buffer that the importer has taken.
    pub buffer: DmaBuf,
    /// What the caller has made of it.
    pub used: T,
    /// What accesses take.
    pub accesses: Accesses,
}

/// Shares `items` in a mode, or otherwise if `use_it` says that this is not supported.
///
/// # Errors
///
/// As [`Udmabuf::create_in`] and [`Udmabuf::create_list`], those of mmap(), and those of `use_it` and
/// of making the copy; EOPNOTSUPP only if what was done instead is refused as well.
pub fn share<T>(
    device: &Udmabuf,
    mode: Mode,
    items: &[Item],
    instead: Instead<'_>,
    mut use_it: impl FnMut(&DmaBuf) -> Result<T>,
) -> Result<Shared<T>> {
    match device.create_in(mode, items) {
        // A driver without modes has one of them, which everybody accepts; a mode may be none of ours.
        Err(Errno::NOTTY | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error),
        Ok(buffer) => match use_it(&buffer) {
            Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
            Ok(used) => {
                let accesses = match mode.is_coherent() {
                    true => Accesses::Coherent,
                    false => Accesses::Bracketed,
                };
                return Ok(Shared {
                    buffer,
                    used,
                    accesses,
                });
            }
        },
    }
    let pages = match *items {
        [item] => device.create(item),
        _ => device.create_list(items),
    }?;
    let Instead::Copy(allocate) = instead else {
        return Ok(Shared {
            used: use_it(&pages)?,
            buffer: pages,
            accesses: Accesses::Bracketed,
        });
    };
    let buffer = allocate(pages.size()?)?;
    let (from, to) = (
        pages.map(Access::ReadWrite)?,
        buffer.map(Access::ReadWrite)?,
    );
    bracketed(&buffer, Access::Write, || copy(&from, &to))?;
    Ok(Shared {
        used: use_it(&buffer)?,
        buffer,
        accesses: Accesses::Copied(from, to),
    })
}

impl<T> Shared<T> {
    /// From now on the CPU may access the pages, and finds what devices wrote. Where there is a copy,
    /// this takes all of it, so no device may be writing.
    ///
    /// # Errors
    ///
    /// Those of the exporter.
    pub fn start(&self, access: Access) -> Result<()> {
        match &self.accesses {
            Accesses::Coherent => Ok(()),
            Accesses::Bracketed => self.buffer.start(access),
            // A program that only writes may leave bytes as they are.
            Accesses::Copied(pages, buffer) => {
                bracketed(&self.buffer, Access::Read, || copy(buffer, pages))
            }
        }
    }

    /// The CPU has accessed the pages, and devices find what it wrote.
    ///
    /// # Errors
    ///
    /// Those of the exporter.
    pub fn finish(&self, access: Access) -> Result<()> {
        match &self.accesses {
            Accesses::Coherent => Ok(()),
            Accesses::Bracketed => self.buffer.finish(access),
            Accesses::Copied(..) if access == Access::Read => Ok(()),
            Accesses::Copied(pages, buffer) => {
                bracketed(&self.buffer, Access::Write, || copy(pages, buffer))
            }
        }
    }
}

fn bracketed(buffer: &DmaBuf, access: Access, body: impl FnOnce()) -> Result<()> {
    let bracket = buffer.begin(access)?;
    body();
    bracket.end()
}

/// Copies all of a mapping to another one of the same size.
fn copy(from: &Mapping, to: &Mapping) {
    let mut bytes = vec![0; STEP.min(from.len())];
    for at in (0..from.len()).step_by(STEP) {
        let piece = &mut bytes[..STEP.min(from.len() - at)];
        from.read(at, piece);
        to.write(at, piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pattern;

    #[test]
    fn copy_is_the_whole() {
        let [from, to] = [0, 1].map(|_| Mapping::memory(STEP + 4096).unwrap());
        let pattern = Pattern::new(1);
        pattern.write_to(&from, 0, from.len());
        copy(&from, &to);
        assert_eq!(pattern.check_in(&to, 0, to.len()), Ok(()));
    }
}
