// SPDX-License-Identifier: GPL-2.0

//! What the tests need, or the reason why they cannot run.

use selftests::Backing;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::Window;
use selftests::hugepage;
use selftests::importer;
use selftests::importer::Edu;
use selftests::machine;
use selftests::outcome::skip;

/// Edu device `number`.
pub fn edu(number: u32) -> Outcome<Edu> {
    match Edu::open(number) {
        Err(Errno::NOENT) => skip(format!("{}: load edu_importer.ko", importer::DEVICE)),
        Err(Errno::NODEV) => skip(format!("edu device {number}: start QEMU with one more")),
        edu => Ok(edu?),
    }
}

/// Address bits, and bytes that are more than a device of so many reaches: 256 MiB, of `bytes`. Both are
/// less where the copy that another device gets of all of them takes the time of many other tests.
pub fn out_of_reach(bytes: usize) -> Outcome<(u32, usize)> {
    const BITS: u32 = 28;
    let size = machine::scaled(bytes, bytes)?;
    Ok((BITS - (bytes / size).ilog2(), size))
}

/// A memfd that is entirely made of such pages.
pub fn memfd(backing: Backing, size: usize) -> Outcome<Memfd> {
    let size = size.next_multiple_of(backing.page_size());
    let builder = Memfd::builder(size).backing(backing);
    match backing {
        Backing::Base => Ok(builder.create()?),
        Backing::Transparent => {
            let memfd = match builder.create() {
                Err(Errno::NOSYS) => return skip("CONFIG_TRANSPARENT_HUGEPAGE"),
                memfd => memfd?,
            };
            if memfd.has_transparent_huge_pages()? {
                Ok(memfd)
            } else {
                skip(format!("{} MiB of transparent huge pages", size >> 20))
            }
        }
        Backing::Huge => {
            let (needed, free) = (size / backing.page_size(), hugepage::free()?);
            if free < needed {
                return skip(format!("{needed} free huge pages; there are {free}"));
            }
            Ok(builder.create()?)
        }
    }
}

/// Pieces of a buffer for a slow device: its start, its end, and around each place where two
/// ranges meet. Odd lengths and offsets, as a device may have them.
pub fn windows(size: usize, seams: &[usize]) -> Vec<Window> {
    let mut windows = vec![Window {
        at: 0,
        len: 4096.min(size),
    }];
    windows.extend(seams.iter().map(|seam| Window {
        at: seam - 1001,
        len: 2003,
    }));
    if size > 4096 {
        windows.push(Window {
            at: size - 3001,
            len: 3001,
        });
    }
    windows
}
