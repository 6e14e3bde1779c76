// SPDX-License-Identifier: GPL-2.0

//! Memory in one large piece, put together from huge pages.

use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::Backing;
use crate::Errno;
use crate::HUGE_PAGE;
use crate::Item;
use crate::Memfd;
use crate::Outcome;
use crate::PAGE;
use crate::hugepage;
use crate::outcome::skip;
use crate::pagemap;

/// How much is taken at a time.
const CHUNK: usize = 128 << 20;

/// Huge pages that are physically contiguous in the order of the items, and whose first frame is
/// aligned by the size of all: one page table entry of that size could map them.
pub struct Piece {
    memfds: Vec<Memfd>,
    /// Numbers of memfds, with offsets in them.
    places: Vec<(usize, usize)>,
}

impl Piece {
    /// Finds a piece of `size` bytes, a power of two: a single page of that size if such pages are set
    /// aside, or else by taking more and more memory until there is one. The kernel promises nothing
    /// of the kind, but memory that is free is mostly so in large pieces.
    ///
    /// # Errors
    ///
    /// A skipped test when `most` bytes have no such piece, or there is not as much.
    pub fn find(backing: Backing, size: usize, most: usize) -> Outcome<Piece> {
        if backing == Backing::Huge
            && let Ok(memfd) = Memfd::builder(size).in_one_page().create()
        {
            let places = (0..size).step_by(HUGE_PAGE).map(|at| (0, at)).collect();
            let memfds = vec![memfd];
            return Ok(Piece { memfds, places });
        }
        let mut memfds: Vec<Memfd> = Vec::new();
        // By the number of the piece of memory, and by frame.
        let mut found: HashMap<u64, BTreeMap<u64, (usize, usize)>> = HashMap::new();
        while memfds.len() * CHUNK < most {
            if backing == Backing::Huge && hugepage::free()? < CHUNK / HUGE_PAGE {
                break;
            }
            let memfd = match Memfd::builder(CHUNK).backing(backing).create() {
                Err(Errno::NOSYS) => return skip("CONFIG_TRANSPARENT_HUGEPAGE"),
                made => made?,
            };
            let number = memfds.len();
            for (at, frame) in huge_frames(&memfd)? {
                let places = found.entry(frame / (size / PAGE) as u64).or_default();
                places.insert(frame, (number, at));
            }
            memfds.push(memfd);
            let whole = |places: &&BTreeMap<_, _>| places.len() == size / HUGE_PAGE;
            if let Some(places) = found.values().find(whole) {
                let places = places.values().copied().collect();
                return Ok(Piece { memfds, places });
            }
        }
        skip(format!(
            "{} MiB of memory in one aligned piece: {} MiB of {backing:?} pages have none",
            size >> 20,
            (memfds.len() * CHUNK) >> 20
        ))
    }

    /// The huge pages in their physical order, for a list.
    pub fn items(&self) -> Vec<Item> {
        let places = self.places.iter();
        places
            .map(|&(number, at)| self.memfds[number].range(at, HUGE_PAGE))
            .collect()
    }
}

/// The offsets at which the file really has huge pages, with their first frames.
fn huge_frames(memfd: &Memfd) -> Outcome<Vec<(usize, u64)>> {
    let mapping = memfd.map()?;
    let frames = pagemap::frames_every(&mapping, HUGE_PAGE)?;
    let (_rest, mapping) = mapping.split(HUGE_PAGE - PAGE);
    let last_frames = pagemap::frames_every(&mapping, HUGE_PAGE)?;
    let pages = (HUGE_PAGE / PAGE) as u64;
    let both = frames.into_iter().zip(last_frames).enumerate();
    Ok(both
        .filter(|(_, (first, last))| first % pages == 0 && *last == first + pages - 1)
        .map(|(index, (first, _))| (index * HUGE_PAGE, first))
        .collect())
}
