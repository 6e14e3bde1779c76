// SPDX-License-Identifier: GPL-2.0

//! Who may look at which byte, and what is there: one owner at a time.
//!
//! A [`Frame`] is a page of memory; memfds and buffers show it. For each of its cells it is known what
//! was written last, and who is sure to see that: the CPU, or a device through one page of one
//! buffer, which is a [`View`]. Only who sees a cell may read it, or write it; who writes is the only
//! one to see it until a hand-over, START, END, map or unmap of a buffer, shows it to others. What is
//! promised of each is in uapi/README.md, and nothing more is taken for granted here: a hand-over too
//! many, by whomever, changes nothing.

use crate::cells::ALL;
use crate::cells::CELLS;
use crate::cells::Grid;
use crate::cells::Piece;
use crate::cells::Version;

use selftests::PAGE;

/// A page of memory.
#[derive(Clone, Debug)]
struct Frame {
    versions: [Version; CELLS],
    /// Cells that the CPU sees.
    cpu: u8,
    /// Cells that a device reads at the moment.
    busy: u8,
}

/// A buffer: its size, and those of its pages that are watched, with their frames.
#[derive(Clone, Debug)]
struct Buffer {
    pages: usize,
    watched: Vec<(usize, usize)>,
    /// Whether it is only for devices that see what the CPU sees.
    coherent: bool,
}

/// What a device sees of a buffer while it is mapped there, by watched page.
#[derive(Clone, Debug)]
struct View {
    buffer: usize,
    device: usize,
    mappings: usize,
    sees: Vec<u8>,
}

/// What makes data change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// START: the CPU is to see what devices wrote.
    Start,
    /// END: devices are to see what the CPU wrote.
    End,
    /// Map and unmap: everybody is to see everything.
    Map,
}

/// Who accesses cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    Cpu,
    /// A device, through a watched page of a buffer.
    Device {
        view: usize,
        watched: usize,
    },
}

/// All memory.
#[derive(Clone, Debug)]
pub struct Memory {
    grid: Grid,
    frames: Vec<Frame>,
    buffers: Vec<Buffer>,
    views: Vec<View>,
    last: Version,
}

impl Memory {
    pub fn new(grid: Grid) -> Memory {
        Memory {
            grid,
            frames: Vec::new(),
            buffers: Vec::new(),
            views: Vec::new(),
            last: Version::default(),
        }
    }

    /// A page of zeroes.
    pub fn frame(&mut self) -> usize {
        self.frames.push(Frame {
            versions: [Version::default(); CELLS],
            cpu: ALL,
            busy: 0,
        });
        self.frames.len() - 1
    }

    /// A buffer of so many pages, of which some are watched; perhaps only for devices that see what
    /// the CPU sees.
    pub fn buffer(&mut self, pages: usize, watched: Vec<(usize, usize)>, coherent: bool) -> usize {
        self.buffers.push(Buffer {
            pages,
            watched,
            coherent,
        });
        self.buffers.len() - 1
    }

    /// Whether a buffer is only for devices that see what the CPU sees.
    pub fn is_coherent(&self, buffer: usize) -> bool {
        self.buffers[buffer].coherent
    }

    /// The size of a buffer, in pages.
    pub fn pages(&self, buffer: usize) -> usize {
        self.buffers[buffer].pages
    }

    /// Which of the watched pages of a buffer this page is.
    pub fn watched(&self, buffer: usize, page: usize) -> Option<usize> {
        let mut watched = self.buffers[buffer].watched.iter();
        watched.position(|(at, _)| *at == page)
    }

    /// The pages of a buffer that are watched.
    pub fn watched_pages(&self, buffer: usize) -> impl Iterator<Item = usize> {
        self.buffers[buffer].watched.iter().map(|(at, _)| *at)
    }

    /// The frame of a watched page.
    pub fn frame_of(&self, buffer: usize, watched: usize) -> usize {
        self.buffers[buffer].watched[watched].1
    }

    /// Cells that the party sees, of a frame.
    pub fn sees(&self, party: Party, frame: usize) -> u8 {
        match party {
            Party::Cpu => self.frames[frame].cpu,
            Party::Device { view, watched } => self.views[view].sees[watched],
        }
    }

    /// Cells that the party may write: those that it sees, and that nobody reads at the moment.
    pub fn may_write(&self, party: Party, frame: usize) -> u8 {
        self.sees(party, frame) & !self.frames[frame].busy
    }

    /// A device reads these cells for a while, or not any more.
    pub fn reads(&mut self, frame: usize, cells: u8, yes: bool) {
        match yes {
            true => self.frames[frame].busy |= cells,
            false => self.frames[frame].busy &= !cells,
        }
    }

    /// Nobody sees these cells any more: their owner is at work.
    pub fn hide(&mut self, frame: usize, cells: u8) {
        self.frames[frame].cpu &= !cells;
        for view in &mut self.views {
            for (place, sees) in self.buffers[view.buffer].watched.iter().zip(&mut view.sees) {
                if place.1 == frame {
                    *sees &= !cells;
                }
            }
        }
    }

    /// The party has written these cells, and is the only one to see them.
    pub fn written(&mut self, party: Party, frame: usize, cells: u8, version: Version) {
        self.hide(frame, cells);
        for (cell, held) in self.frames[frame].versions.iter_mut().enumerate() {
            if cells & 1 << cell != 0 {
                *held = version;
            }
        }
        match party {
            Party::Cpu => self.frames[frame].cpu |= cells,
            Party::Device { view, watched } => self.views[view].sees[watched] |= cells,
        }
        self.agree();
    }

    /// The CPU, and devices that have coherent buffers mapped, always see the same.
    fn agree(&mut self) {
        let Memory {
            frames,
            buffers,
            views,
            ..
        } = self;
        let coherent = |view: &&mut View| view.mappings > 0 && buffers[view.buffer].coherent;
        for view in views.iter_mut().filter(coherent) {
            let watched = &buffers[view.buffer].watched;
            for ((_, frame), sees) in watched.iter().zip(&view.sees) {
                frames[*frame].cpu |= *sees;
            }
        }
        for view in views.iter_mut().filter(coherent) {
            let watched = &buffers[view.buffer].watched;
            for ((_, frame), sees) in watched.iter().zip(&mut view.sees) {
                *sees = frames[*frame].cpu;
            }
        }
    }

    /// A version that is nowhere yet.
    pub fn fresh(&mut self) -> Version {
        self.last.advance()
    }

    /// What these cells hold, at `at` in what is accessed; or `version` instead.
    pub fn pieces(
        &self,
        frame: usize,
        cells: u8,
        at: usize,
        version: Option<Version>,
    ) -> Vec<Piece> {
        let cells = (0..CELLS).filter(|cell| cells & 1 << cell != 0);
        cells
            .map(|cell| {
                let start = self.grid.start(cell);
                Piece {
                    at: (at + start) as u64,
                    len: (self.grid.start(cell + 1) - start) as u32,
                    position: (frame * PAGE + start) as u64,
                    version: version.unwrap_or(self.frames[frame].versions[cell]),
                }
            })
            .collect()
    }

    /// The view of a device that is about to be mapped, or is already.
    pub fn map(&mut self, buffer: usize, device: usize) -> usize {
        let same =
            |view: &View| view.mappings > 0 && (view.buffer, view.device) == (buffer, device);
        let index = self.views.iter().position(same).unwrap_or_else(|| {
            self.views.push(View {
                buffer,
                device,
                mappings: 0,
                sees: vec![0; self.buffers[buffer].watched.len()],
            });
            self.views.len() - 1
        });
        self.views[index].mappings += 1;
        self.hand_over(buffer, HandOver::Map);
        index
    }

    /// The reverse. Nobody uses the view after the last one.
    pub fn unmap(&mut self, view: usize) {
        self.hand_over(self.views[view].buffer, HandOver::Map);
        self.views[view].mappings -= 1;
        if self.views[view].mappings == 0 {
            self.views[view].sees.fill(0);
        }
    }

    /// All of a buffer changes hands.
    pub fn hand_over(&mut self, buffer: usize, what: HandOver) {
        self.hand_over_part(buffer, what, |_| ALL);
    }

    /// A part of a buffer changes hands: `part` says which cells of a page.
    pub fn hand_over_part(&mut self, buffer: usize, what: HandOver, part: impl Fn(usize) -> u8) {
        let Memory {
            frames,
            buffers,
            views,
            ..
        } = self;
        let watched = &buffers[buffer].watched;
        let mut views: Vec<&mut View> = views
            .iter_mut()
            .filter(|view| view.mappings > 0 && view.buffer == buffer)
            .collect();
        // A page may be in the buffer twice. What a device sees of it in one place, all do: of the
        // part.
        for &(_, frame) in watched {
            let same = || (0..watched.len()).filter(|&other| watched[other].1 == frame);
            let devices = same().fold(0, |cells, place| {
                let part = part(watched[place].0);
                views
                    .iter()
                    .fold(cells, |cells, view| cells | view.sees[place] & part)
            });
            if what != HandOver::End {
                frames[frame].cpu |= devices;
            }
            let cpu = match what {
                HandOver::Start => 0,
                HandOver::End | HandOver::Map => frames[frame].cpu,
            };
            for view in &mut views {
                for place in same() {
                    view.sees[place] |= (devices | cpu) & part(watched[place].0);
                }
            }
        }
        self.agree();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> (Memory, usize, usize) {
        let mut memory = Memory::new(Grid { whole_lines: false });
        let frame = memory.frame();
        let buffer = memory.buffer(2, vec![(0, frame), (1, frame)], false);
        (memory, frame, buffer)
    }

    #[test]
    fn who_writes_is_alone_until_a_hand_over() {
        let (mut memory, frame, buffer) = memory();
        let view = memory.map(buffer, 0);
        let [here, there] = [0, 1].map(|watched| Party::Device { view, watched });
        assert_eq!(memory.sees(there, frame), ALL);
        memory.written(here, frame, 0b11, Version(1));
        assert_eq!(memory.sees(there, frame), !0b11);
        assert_eq!(memory.sees(Party::Cpu, frame), !0b11);
        memory.hand_over(buffer, HandOver::End);
        assert_eq!(memory.sees(there, frame), ALL);
        assert_eq!(memory.sees(Party::Cpu, frame), !0b11);
        memory.hand_over(buffer, HandOver::Start);
        assert_eq!(memory.sees(Party::Cpu, frame), ALL);
        memory.written(Party::Cpu, frame, 0b1, Version(2));
        memory.hand_over(buffer, HandOver::Start);
        assert_eq!(memory.sees(here, frame), !0b1);
        memory.hand_over(buffer, HandOver::End);
        assert_eq!(memory.sees(here, frame), ALL);
    }

    #[test]
    fn another_buffer_of_the_same_page_is_another_matter() {
        let (mut memory, frame, buffer) = memory();
        let other = memory.buffer(1, vec![(0, frame)], false);
        let view = memory.map(buffer, 0);
        let party = Party::Device { view, watched: 0 };
        memory.written(party, frame, ALL, Version(1));
        memory.hand_over(other, HandOver::Map);
        assert_eq!(memory.sees(Party::Cpu, frame), 0);
        memory.unmap(view);
        assert_eq!(memory.sees(Party::Cpu, frame), ALL);
    }

    #[test]
    fn a_part_leaves_the_rest_where_it_is() {
        let (mut memory, frame, buffer) = memory();
        let view = memory.map(buffer, 0);
        let [here, there] = [0, 1].map(|watched| Party::Device { view, watched });
        memory.written(here, frame, 0b1111, Version(1));
        let part = |page| if page == 0 { 0b0011 } else { 0 };
        memory.hand_over_part(buffer, HandOver::Start, part);
        assert_eq!(memory.sees(Party::Cpu, frame), !0b1100);
        // The same frame in another place of the buffer is another part.
        assert_eq!(memory.sees(there, frame), !0b1111);
        memory.written(Party::Cpu, frame, 0b0011, Version(2));
        memory.hand_over_part(buffer, HandOver::End, |_| 0b0001);
        assert_eq!(memory.sees(here, frame), !0b0010);
    }

    #[test]
    fn who_shares_a_coherent_buffer_sees_everything_at_once() {
        let (mut memory, frame, other) = memory();
        let buffer = memory.buffer(1, vec![(0, frame)], true);
        let view = memory.map(buffer, 0);
        let party = Party::Device { view, watched: 0 };
        memory.written(party, frame, 0b11, Version(1));
        assert_eq!(memory.sees(Party::Cpu, frame), ALL);
        memory.written(Party::Cpu, frame, 0b1, Version(2));
        assert_eq!(memory.sees(party, frame), ALL);
        // What another device has is not there yet.
        let slow = memory.map(other, 1);
        let away = Party::Device {
            view: slow,
            watched: 0,
        };
        memory.written(away, frame, 0b1, Version(3));
        assert_eq!(memory.sees(party, frame), !0b1);
        memory.hand_over(other, HandOver::Start);
        assert_eq!(memory.sees(party, frame), ALL);
        memory.unmap(view);
        memory.written(Party::Cpu, frame, 0b1, Version(4));
        assert_eq!(memory.sees(party, frame), 0);
    }

    #[test]
    fn pieces_have_what_was_written_last() {
        let (mut memory, frame, _) = memory();
        memory.written(Party::Cpu, frame, 0b10, Version(5));
        let pieces = memory.pieces(frame, 0b11, 0, None);
        assert_eq!(
            [pieces[0].version, pieces[1].version],
            [Version(0), Version(5)]
        );
        assert_eq!(pieces[0].at + u64::from(pieces[0].len), pieces[1].at);
    }
}
