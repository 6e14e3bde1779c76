// SPDX-License-Identifier: GPL-2.0

//! How each case is measured.

use std::hint::black_box;

use protocol::bench::Case;
use protocol::bench::Contender;
use protocol::bench::Record;
use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Mapping;
use selftests::Mode;
use selftests::Model;
use selftests::PAGE;
use selftests::abi;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::machine;
use selftests::outcome;
use selftests::outcome::Stop;
use selftests::sys::clock;

use crate::contender::Contenders;
use crate::contender::Maker;
use crate::crowd::Crowd;
use crate::memory;
use crate::step::Step;
use crate::subject::Subject;
use crate::team;

/// Repetitions that count.
const REPETITIONS: usize = 5;

/// Work of one repetition, in bytes of buffers: what is small is done several times.
const WORK: usize = 16 << 20;

/// As many, where each takes long.
const FEW: usize = 2;

/// Most times that something is done in one repetition. Ticks of the clock fall into some.
const MOST: usize = 64;

/// The device that buffers are mapped for.
pub const DEVICE: u32 = 0;

/// Measures one step: a record for each contender.
pub fn step(step: &Step, subject: &Subject, contenders: &Contenders) -> Result<Vec<Record>, Stop> {
    let pieces = contenders.pieces(subject)?;
    let wanted = step.shape.pieces as u64;
    if wanted > 0 {
        outcome::equal("pieces", pieces, wanted)?;
    }
    let mut records = Vec::new();
    for maker in contenders.for_step(step) {
        records.push(Record {
            case: step.case,
            contender: maker.contender(),
            machine: String::new(),
            pages: step.shape.pages,
            items: step.shape.items as u32,
            bytes: step.shape.bytes as u64,
            attachments: step.attachments,
            coherent: machine::devices_snoop()?,
            others: step.others,
            threads: step.threads,
            waits: None,
            pieces: match maker {
                Maker::Driver(..) => pieces,
                Maker::Heap(_) | Maker::Floor(_) => wanted,
            },
            instructions: Vec::new(),
            memory: None,
            maintenance: None,
        });
    }
    if step.case == Case::Memory {
        for (maker, record) in contenders.for_step(step).zip(&mut records) {
            record.memory = Some(memory::of_each(maker, subject)?);
        }
        return Ok(records);
    }
    // Others may run out of bounce buffers: of who cannot there is no figure. We have to.
    let may_fail = |maker: &Maker| {
        step.maps() && !matches!(maker.contender(), Contender::Rust | Contender::Floor)
    };
    let mut turns: Vec<_> = contenders.for_step(step).zip(&mut records).collect();
    // Before all that counts, each does it once: what is allocated once is there then.
    for repetition in 0..=repetitions(step) {
        let mut able = Vec::new();
        for (maker, record) in turns {
            let watched = (repetition == 0).then_some(&*record);
            match once(step, maker, subject, watched) {
                Ok(took) => {
                    if repetition > 0 {
                        record.instructions.push(took);
                    }
                    able.push((maker, record));
                }
                Err(error) if may_fail(maker) => {
                    eprintln!("{}: {error}", record.name());
                    record.instructions.clear();
                }
                Err(error) => return Err(error),
            }
        }
        able.reverse();
        turns = able;
    }
    for (maker, record) in turns.into_iter().filter(|_| step.case == Case::Threads) {
        record.waits = Some(team::waits(maker, subject, step.threads)?);
    }
    Ok(records)
}

/// How many repetitions of a step count.
fn repetitions(step: &Step) -> usize {
    match step.case {
        Case::CloseAll if step.others > 1000 => FEW,
        _ => REPETITIONS,
    }
}

/// One repetition. With a record, the cache model counts it under the record's name.
fn once(
    step: &Step,
    maker: &Maker,
    subject: &Subject,
    watched: Option<&Record>,
) -> Result<u64, Stop> {
    let times = (WORK / step.shape.bytes).clamp(1, MOST);
    if let Maker::Floor(ground) = maker
        && matches!(step.case, Case::Create | Case::Close | Case::BeginEnd)
    {
        return match step.case {
            Case::Create => repeat(times, || Ok(ground.pin(subject)?.pin)),
            Case::Close => repeat(times, || Ok(ground.pin(subject)?.unpin)),
            _ => ground.refusals(MOST),
        };
    }
    match step.case {
        Case::Create => repeat(times, || {
            let (buffer, took) = clock::time(|| maker.make(subject));
            drop(buffer?);
            Ok(took)
        }),
        Case::CreateExt | Case::CreateCoherent => {
            let mode = match step.case {
                Case::CreateExt => Mode::DmaApi,
                _ => Mode::CpuCoherent,
            };
            repeat(times, || {
                let (buffer, took) = clock::time(|| maker.make_in(subject, mode, 0));
                drop(buffer?);
                Ok(took)
            })
        }
        Case::Close => repeat(times, || {
            let buffer = maker.make(subject)?;
            Ok(clock::time(|| drop(buffer)).1)
        }),
        Case::MapUnmap => {
            let buffer = maker.make(subject)?;
            let edu = Edu::open(DEVICE)?;
            let attachment = edu.attach(&buffer)?;
            repeat(times, || {
                let map = || attachment.map(Direction::Bidirectional)?.unmap();
                let (done, took) = clock::time(map);
                done?;
                Ok(took)
            })
        }
        Case::FirstTouch => touched(step, maker, subject, times, |mapping| {
            mapping.touch(step.shape.bytes / 2);
        }),
        Case::EveryPage => touched(step, maker, subject, times, Mapping::touch_every_page),
        Case::ScatteredTouch => {
            // The same places for everybody.
            let mut random = fastrand::Rng::with_seed(1);
            let places = (0..step.shape.bytes).step_by(HUGE_PAGE);
            let places: Vec<_> = places.map(|at| at + random.usize(0..HUGE_PAGE)).collect();
            touched(step, maker, subject, times, |mapping| {
                for &at in &places {
                    mapping.touch(at);
                }
            })
        }
        Case::Munmap => mapped(step, maker, subject, times, |mapping| {
            mapping.touch_every_page();
            clock::time(|| drop(mapping)).1
        }),
        Case::Vmap => {
            let buffer = maker.make(subject)?;
            let edu = Edu::open(DEVICE)?;
            let mut byte = [0];
            repeat(times, || {
                let (done, took) = clock::time(|| edu.vmap_read(&buffer, 0, &mut byte));
                done?;
                Ok(took)
            })
        }
        Case::BeginEnd | Case::BeginEndPage => {
            let middle = step.shape.bytes / 2;
            let bracket = |buffer: &DmaBuf| match step.case {
                Case::BeginEnd => buffer.begin(Access::ReadWrite)?.end(),
                _ => maker.bracket(buffer, middle..middle + PAGE),
            };
            let buffer = maker.make(subject)?;
            let edu = Edu::open(DEVICE)?;
            let mut attachments = Vec::new();
            for _ in 0..step.attachments {
                attachments.push(edu.attach(&buffer)?);
            }
            let mut mappings = Vec::new();
            for attachment in &attachments {
                mappings.push(attachment.map(Direction::Bidirectional)?);
            }
            // The first bracket of the C driver makes its table.
            buffer.begin(Access::ReadWrite)?.end()?;
            if let Some(record) = watched {
                let model = Model::open()?;
                let _watch = model.watch(&subject.memory)?;
                let scope = model.scope(&record.name())?;
                bracket(&buffer)?;
                drop(scope);
            }
            // Where caches are maintained it takes long, and always as long.
            let times = if machine::devices_snoop()? {
                MOST
            } else {
                times
            };
            repeat(times, || {
                let (done, took) = clock::time(|| bracket(&buffer));
                done?;
                Ok(took)
            })
        }
        Case::PageTouched => {
            let buffer = maker.make_with(subject, abi::UDMABUF_FLAGS_AUTO_SYNC)?;
            let edu = Edu::open(DEVICE)?;
            let attachment = edu.attach(&buffer)?;
            let mapping = attachment.map(Direction::Bidirectional)?;
            let memory = buffer.map_aligned(Access::ReadWrite)?;
            let at = step.shape.bytes / 2;
            let both = Direction::Bidirectional;
            let by_itself = || {
                memory.write(at, &[1]);
                mapping.begin_access(both)?;
                mapping.end_access(both)
            };
            let in_bracket = || {
                let bracket = buffer.begin(Access::ReadWrite)?;
                memory.write(at, &[1]);
                bracket.end()
            };
            let turn: &dyn Fn() -> Result<(), Errno> = match maker.contender() {
                Contender::Rust => &by_itself,
                _ => &in_bracket,
            };
            // What was never handed over is, once.
            turn()?;
            if let Some(record) = watched {
                let model = Model::open()?;
                let _watch = model.watch(&subject.memory)?;
                let scope = model.scope(&record.name())?;
                turn()?;
                drop(scope);
            }
            repeat(times, || {
                let (done, took) = clock::time(turn);
                done?;
                Ok(took)
            })
        }
        Case::Checked => {
            let buffer = maker.make_with(subject, abi::UDMABUF_FLAGS_CHECK)?;
            let memory = buffer.map_aligned(Access::ReadWrite)?;
            let at = step.shape.bytes / 2;
            repeat(MOST, || {
                let (done, took) = clock::time(|| {
                    let bracket = buffer.begin(Access::ReadWrite)?;
                    memory.write(at, &[1]);
                    bracket.end()
                });
                done?;
                Ok(took)
            })
        }
        Case::CloseAll => Ok(Crowd::new(maker, step.others)?.close()),
        Case::Threads => team::work(maker, subject, step.threads),
        Case::Memory => unreachable!("not counted in instructions"),
    }
}

/// The mean of several times.
pub fn repeat(times: usize, mut action: impl FnMut() -> Result<u64, Stop>) -> Result<u64, Stop> {
    let mut sum = 0;
    for _ in 0..times {
        sum += action()?;
    }
    Ok(sum / times as u64)
}

/// Touches pages of a fresh mapping each time.
fn touched(
    step: &Step,
    maker: &Maker,
    subject: &Subject,
    times: usize,
    touch: impl Fn(&Mapping),
) -> Result<u64, Stop> {
    mapped(step, maker, subject, times, |mapping| {
        clock::time(|| touch(black_box(&mapping))).1
    })
}

/// Does something with a fresh mapping each time, and says how long it took.
fn mapped(
    step: &Step,
    maker: &Maker,
    subject: &Subject,
    times: usize,
    action: impl Fn(Mapping) -> u64,
) -> Result<u64, Stop> {
    let buffer = match maker {
        Maker::Floor(_) => None,
        _ => Some(maker.make(subject)?),
    };
    repeat(times, || {
        let mapping = match (maker, &buffer) {
            (Maker::Floor(ground), _) => ground.map(step)?,
            (_, Some(buffer)) => buffer.map_aligned(Access::ReadWrite)?,
            (_, None) => return outcome::fail("no buffer"),
        };
        Ok(action(mapping))
    })
}
