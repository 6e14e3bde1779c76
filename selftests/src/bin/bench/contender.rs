// SPDX-License-Identifier: GPL-2.0

//! Those who make buffers.

use std::ops::Range;

use protocol::bench::Case;
use protocol::bench::Contender;
use protocol::bench::Pages;
use protocol::bench::circumstances;
use rustix::fs::OFlags;
use selftests::Access;
use selftests::DmaBuf;
use selftests::Heap;
use selftests::Item;
use selftests::Mode;
use selftests::Udmabuf;
use selftests::abi;
use selftests::outcome::Stop;
use selftests::statistics;

use crate::ground::Ground;
use crate::step::Shape;
use crate::step::Step;
use crate::subject::Subject;

/// Both drivers at once: init has made room for one beside the other.
const RUST: &str = "/dev/udmabuf-rs";
const C: &str = "/dev/udmabuf-c";

/// Who makes a buffer, and how.
pub enum Maker {
    Driver(Contender, Udmabuf),
    Heap(Heap),
    /// Makes none: what it does instead is the least that the kernel does for anybody.
    Floor(Ground),
}

impl Maker {
    /// A buffer of the subject's memory; the heap's is of its own.
    pub fn make(&self, subject: &Subject) -> Result<DmaBuf, Stop> {
        self.make_of(&subject.items, subject.shape.bytes)
    }

    /// A buffer of some ranges, of so many bytes together.
    pub fn make_of(&self, items: &[Item], bytes: usize) -> Result<DmaBuf, Stop> {
        Ok(match self {
            Maker::Driver(_, driver) => match items {
                [one] => driver.create(*one)?,
                many => driver.create_list(many)?,
            },
            Maker::Heap(heap) => heap.allocate(bytes)?,
            Maker::Floor(_) => return Err(Stop::Fail("there is no buffer on the floor".into())),
        })
    }

    /// The same with flags of our driver's, which the others do not have.
    pub fn make_with(&self, subject: &Subject, flags: u32) -> Result<DmaBuf, Stop> {
        self.make_in(subject, Mode::DmaApi, flags)
    }

    /// The same in a mode as well.
    pub fn make_in(&self, subject: &Subject, mode: Mode, flags: u32) -> Result<DmaBuf, Stop> {
        match self {
            Maker::Driver(Contender::Rust, driver) => {
                let flags = flags | abi::UDMABUF_FLAGS_CLOEXEC;
                Ok(driver.create_ext(mode.number(), &subject.items, flags)?)
            }
            _ => self.make(subject),
        }
    }

    /// Begins and ends an access to a part of a buffer; to all of it where parts cannot be said.
    pub fn bracket(&self, buffer: &DmaBuf, part: Range<usize>) -> rustix::io::Result<()> {
        match self {
            Maker::Driver(Contender::Rust, driver) => {
                driver.start_range(buffer, Access::ReadWrite, part.clone())?;
                driver.finish_range(buffer, Access::ReadWrite, part)
            }
            _ => buffer.begin(Access::ReadWrite)?.end(),
        }
    }

    pub fn contender(&self) -> Contender {
        match self {
            Maker::Driver(contender, _) => *contender,
            Maker::Heap(_) => Contender::Heap,
            Maker::Floor(_) => Contender::Floor,
        }
    }

    fn takes_part(&self, step: &Step, only: &str) -> bool {
        let Step {
            case,
            shape:
                Shape {
                    pages,
                    items,
                    bytes,
                    pieces,
                },
            attachments,
            others,
            threads,
        } = step;
        let circumstances = circumstances(*others, *pieces as u64, *threads);
        let name = format!(
            "{}/{circumstances}{case}/{pages}/{items}/{bytes}/{attachments}",
            self.contender()
        );
        name.contains(only)
            && match self {
                Maker::Driver(..) => true,
                // Whoever has no others stands for those who have.
                Maker::Heap(_) | Maker::Floor(_) if *others > 0 => false,
                // It has one kind of memory, in one piece.
                Maker::Heap(_) => {
                    step.shape.pages == Pages::Base
                        && step.shape.items == 1
                        && step.case != Case::Memory
                }
                Maker::Floor(ground) => ground.has(step),
            }
    }
}

/// Everybody who takes part.
pub struct Contenders {
    makers: Vec<Maker>,
    only: String,
}

impl Contenders {
    pub fn open(only: &str) -> Result<Contenders, Stop> {
        let mut makers = Vec::new();
        for (contender, path) in [(Contender::Rust, RUST), (Contender::C, C)] {
            let device = Udmabuf::open_with(path, OFlags::RDWR | OFlags::CLOEXEC)
                .map_err(|error| Stop::Fail(format!("{path}: {error}; both drivers are needed")))?;
            makers.push(Maker::Driver(contender, device));
        }
        makers.push(Maker::Heap(Heap::open()?));
        makers.push(Maker::Floor(Ground::new()?));
        Ok(Contenders {
            makers,
            only: only.to_owned(),
        })
    }

    /// Those for whom a step makes sense.
    pub fn for_step<'a>(
        &'a self,
        step: &Step,
    ) -> impl DoubleEndedIterator<Item = &'a Maker> + use<'a> {
        let step = *step;
        self.makers
            .iter()
            .filter(move |maker| maker.takes_part(&step, &self.only))
    }

    /// Physically contiguous pieces of the subject, as our driver counts them.
    pub fn pieces(&self, subject: &Subject) -> Result<u64, Stop> {
        let extents = || statistics::counter("extents").map(|count| count.unwrap_or(0));
        let ours = self
            .makers
            .iter()
            .find(|maker| maker.contender() == Contender::Rust);
        let before = extents()?;
        let buffer = ours.map(|maker| maker.make(subject)).transpose()?;
        let after = extents()?;
        drop(buffer);
        Ok((after - before) as u64)
    }
}
