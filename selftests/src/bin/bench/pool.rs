// SPDX-License-Identifier: GPL-2.0

//! Page frames of which memfds are made that lie in memory as wanted.

use selftests::Backing;
use selftests::Memfd;
use selftests::PAGE;
use selftests::outcome::Stop;
use selftests::pagemap;

/// Pages in a pool: several times as many as are wanted.
const PAGES: usize = 4096;

/// How often it is tried.
const ATTEMPTS: usize = 8;

/// Many pages, cut out of huge ones, of which it is known where they are.
struct Pool {
    memfd: Memfd,
    frames: Vec<u64>,
}

impl Pool {
    fn new() -> Result<Pool, Stop> {
        // Small pages may come from where others were freed that lay apart.
        let backing = Backing::Transparent;
        let memfd = Memfd::builder(PAGES * PAGE).backing(backing).create()?;
        let memory = memfd.map()?;
        let frames = pagemap::frames(&memory)?;
        Ok(Pool { memfd, frames })
    }

    /// A memfd of some of the pages, one after the other: the kernel hands out the page that became
    /// free last.
    fn take(&self, pages: &[usize]) -> Result<Memfd, Stop> {
        let memfd = Memfd::new(pages.len() * PAGE)?;
        let memory = memfd.map()?;
        for (at, page) in pages.iter().enumerate() {
            self.memfd.punch_hole(page * PAGE, PAGE)?;
            memory.write(at * PAGE, &[1]);
        }
        Ok(memfd)
    }
}

/// A memfd whose pages lie in so many contiguous pieces of the same size, no two of which touch.
pub fn memfd(size: usize, pieces: usize) -> Result<Memfd, Stop> {
    for _ in 0..ATTEMPTS {
        let pool = Pool::new()?;
        let Some(pages) = choose(&pool.frames, pieces, size / PAGE / pieces) else {
            continue;
        };
        let wanted: Vec<_> = pages.iter().map(|page| pool.frames[*page]).collect();
        let memfd = pool.take(&pages)?;
        if pagemap::frames(&memfd.map()?)? == wanted {
            return Ok(memfd);
        }
    }
    Err(Stop::Fail(format!(
        "no {size} bytes in {pieces} pieces, after {ATTEMPTS} attempts"
    )))
}

/// The numbers of pages that lie in pieces of `length`, in the order of the pieces, which is not that
/// of memory; none if there are too few.
fn choose(frames: &[u64], pieces: usize, length: usize) -> Option<Vec<usize>> {
    let mut sorted: Vec<_> = frames
        .iter()
        .zip(0..)
        .map(|(frame, page)| (*frame, page))
        .collect();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|(one, _), (next, _)| one + 1 == *next);
    // Behind each piece a page is left out.
    let all = runs.flat_map(|run| run.chunks(length + 1));
    let mut all: Vec<_> = all
        .filter_map(|piece| piece.get(..length))
        .take(pieces)
        .collect();
    fastrand::Rng::with_seed(1).shuffle(&mut all);
    let pages = all.concat().into_iter().map(|(_, page)| page);
    (all.len() == pieces).then(|| pages.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pieces the chosen ones of these frames are in.
    fn pieces(frames: &[u64], pages: &[usize]) -> usize {
        let frames: Vec<_> = pages.iter().map(|page| frames[*page]).collect();
        frames.chunk_by(|one, next| one + 1 == *next).count()
    }

    #[test]
    fn as_many_pieces_are_chosen_as_are_wanted() {
        // Backwards, with gaps.
        let frames: Vec<_> = (0..4000).rev().filter(|frame| frame % 700 != 0).collect();
        for (wanted, length) in [(1, 1), (1, 256), (4, 64), (16, 16), (64, 4), (256, 1)] {
            let pages = choose(&frames, wanted, length).unwrap();
            assert_eq!(pages.len(), wanted * length);
            assert_eq!(pieces(&frames, &pages), wanted, "{wanted} of {length}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_chosen() {
        let apart: Vec<_> = (0..1000).map(|page| page * 2).collect();
        assert!(choose(&apart, 1, 2).is_none());
        assert!(choose(&apart, 1000, 1).is_some() && choose(&apart, 1001, 1).is_none());
        assert!(choose(&[], 1, 1).is_none());
    }
}
