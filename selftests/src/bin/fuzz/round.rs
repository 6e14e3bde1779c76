// SPDX-License-Identifier: GPL-2.0

//! One list of calls, from nothing to nothing.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::SealFlags;

use selftests::Memfd;
use selftests::driver::Driver;

use crate::call::Call;
use crate::call::Deed;
use crate::cells;
use crate::chance::Chance;
use crate::crew::Crew;
use crate::importer::Importer;
use crate::pages::Party;
use crate::plan::Expect;
use crate::plan::Plan;
use crate::process::Equipment;
use crate::series;
use crate::tools;
use crate::tools::Limits;
use crate::watch::Watch;
use crate::world::Setting;
use crate::world::Source;
use crate::world::THREADS;
use crate::world::Work;
use crate::world::World;

/// Where calls come from.
pub enum Calls<'a> {
    /// By chance of that seed, as many, or as many as can be made until then.
    Chance(u64, usize, Option<Instant>),
    List(&'a [Call]),
}

/// How a round went.
#[derive(Debug, Default)]
pub struct Ran {
    /// The calls, in order.
    pub list: Vec<Call>,
    /// Those that made sense, and those of threads that did as they liked.
    pub calls: usize,
    pub noise: usize,
    /// Something that must not be.
    pub failure: Option<String>,
}

/// What rounds have in common.
pub struct Ground {
    pub setting: Setting,
    /// The module's parameters, as they were.
    pub limits: Limits,
}

struct Round<'a> {
    world: World,
    crew: Crew<'a>,
    watch: &'a Watch,
    racing: bool,
    /// Buffers that were perhaps made.
    perhaps: usize,
    ran: Ran,
}

/// Runs a list; with a seed for those who do as they like, if there are any.
pub fn run(ground: &Ground, calls: Calls<'_>, noise: Option<u64>) -> io::Result<Ran> {
    ground.restore()?;
    let what = match calls {
        Calls::Chance(seed, ..) => format!("--seed {seed}"),
        Calls::List(list) => format!("with {} calls of a list", list.len()),
    };
    let ours = ground.setting.source == Source::Udmabuf { ours: true };
    let watch = Watch::begin(&what, ours)?;
    let setting = &ground.setting;
    let memfds: Option<Vec<Memfd>> = setting
        .backings
        .iter()
        .enumerate()
        .map(|(index, backing)| Ok(tools::memfd(*backing, setting.pages(index))?))
        .collect::<io::Result<_>>()?;
    let memfds = Arc::new(memfds.ok_or_else(|| io::Error::other("there are no huge pages left"))?);
    let equipment = Equipment {
        setting,
        memfds: &memfds,
        limits: &ground.limits,
        noise,
    };
    let mut round = Round {
        world: World::new(setting.clone()),
        crew: Crew::new(equipment)?,
        watch: &watch,
        racing: noise.is_some(),
        perhaps: 0,
        ran: Ran::default(),
    };
    let failure = round.play(calls);
    let Round {
        world,
        crew,
        perhaps,
        mut ran,
        racing,
        ..
    } = round;
    crew.dismiss()?;
    let mut failure = failure;
    if failure.is_none() {
        // Nothing is pinned any more, and nobody may write through a mapping.
        let sealed = memfds.iter().map(|memfd| memfd.add_seals(SealFlags::WRITE));
        failure = sealed
            .filter_map(Result::err)
            .next()
            .map(|error| format!("in the end, F_SEAL_WRITE: {error:?}"));
    }
    drop(memfds);
    let most = (!racing).then_some(world.created + perhaps);
    let left = watch.end((world.created, most))?;
    ran.failure = failure.or(left);
    Ok(ran)
}

impl Ground {
    /// Sets what rounds change as it was.
    pub fn restore(&self) -> io::Result<()> {
        if self.setting.source != Source::Heap {
            let driver = Driver::under_test();
            for (name, value) in &self.limits {
                std::fs::write(driver.parameter(name).path(), value)?;
            }
        }
        if let Ok(importer) = Importer::open() {
            for (device, bits) in self.setting.bits.iter().enumerate() {
                importer.set_bits(device as u8, *bits)?;
            }
        }
        Ok(())
    }
}

impl Round<'_> {
    /// Makes the calls; says what went wrong, if anything.
    fn play(&mut self, calls: Calls<'_>) -> Option<String> {
        match calls {
            Calls::List(list) => list.iter().find_map(|call| self.step(call)),
            Calls::Chance(seed, count, end) => {
                let mut chance = Chance::new(seed);
                for _ in 0..count {
                    if end.is_some_and(|end| Instant::now() > end) {
                        break;
                    }
                    let call = chance.call(&self.world);
                    if let Some(wrong) = self.step(&call) {
                        return Some(wrong);
                    }
                }
                let wrong = self.finish(|_| true);
                let mut looks = series::last_looks(&self.world).into_iter();
                wrong.or_else(|| looks.find_map(|call| self.step(&call)))
            }
        }
        .or_else(|| self.finish(|_| true))
    }

    fn step(&mut self, call: &Call) -> Option<String> {
        for work in &mut self.world.works {
            work.left = work.left.saturating_sub(1);
        }
        let over = self.finish(|work| work.left == 0);
        if over.is_some() {
            return over;
        }
        self.ran.list.push(call.clone());
        match self.execute(call) {
            Ok(None) => None,
            Ok(Some(wrong)) => Some(format!("{}: {wrong}", text(call))),
            Err(error) => Some(format!("{}: {error}", text(call))),
        }
    }

    /// Waits for devices; says what they found wrong, if anything.
    fn finish(&mut self, which: impl Fn(&Work) -> bool) -> Option<String> {
        while let Some(index) = self.world.works.iter().position(&which) {
            let work = self.world.works.remove(index);
            let heard = self.crew.hear(work.process, THREADS[work.process] - 1);
            let wrong = match heard {
                Err(error) => Some(error.to_string()),
                Ok(reply) => {
                    self.ran.noise += reply.noise as usize;
                    let failed = Expect::Success.check(reply.result);
                    reply.trouble.or(reply.wrong).or(failed)
                }
            };
            if let Some(wrong) = wrong {
                let way = if work.writes.is_some() {
                    "writes"
                } else {
                    "reads"
                };
                return Some(format!("device {} {way}: {wrong}", work.device));
            }
            self.world.worked(&work);
        }
        None
    }

    fn execute(&mut self, call: &Call) -> io::Result<Option<String>> {
        let process = usize::from(call.process);
        let over = match call.deed {
            // One transfer at a time: of a device, and of a thread.
            Deed::Dma { transfer, .. } => {
                let transfer = self.world.transfers.get(usize::from(transfer));
                let device = transfer
                    .and_then(Option::as_ref)
                    .map(|transfer| transfer.device);
                self.finish(|work| work.process == process || Some(work.device) == device)
            }
            Deed::Unmap { .. } | Deed::Detach { .. } | Deed::Rebind { .. } | Deed::Kill { .. } => {
                self.finish(|_| true)
            }
            _ => None,
        };
        if over.is_some() {
            return Ok(over);
        }
        match &call.deed {
            Deed::Kill { during } => {
                self.kill(process, during.as_deref())?;
                return Ok(None);
            }
            // Those who do as they like have buffers, too.
            Deed::Count if self.racing => return Ok(None),
            Deed::Count => {
                self.ran.calls += 1;
                let (buffers, transfers) =
                    (self.world.buffers_alive(), self.world.transfers_alive());
                return self.watch.miscounted(buffers, transfers);
            }
            Deed::Lie { memfd, page, cell } => {
                self.lie((*memfd).into(), (*page).into(), cells::mask(*cell, 1));
                return Ok(None);
            }
            _ => {}
        }
        let Some(mut plan) = self.world.plan(call) else {
            return Ok(None);
        };
        self.ran.calls += 1;
        self.address(&call.deed, &mut plan);
        self.crew.tell(process, call.thread.into(), &plan.order)?;
        if plan.expect == Expect::Success && matches!(call.deed, Deed::Dma { .. }) {
            self.world.begin(call, &plan);
            return Ok(None);
        }
        let reply = self.crew.hear(process, call.thread.into())?;
        self.ran.noise += reply.noise as usize;
        let wrong = reply
            .trouble
            .or(reply.wrong)
            .or_else(|| plan.expect.check(reply.result));
        // By chance, garbage may make sense.
        if matches!(call.deed, Deed::Broken { .. }) && reply.result.is_ok() {
            self.world.created += 1;
        }
        if wrong.is_none() {
            self.world.done(call, &plan, reply.result);
        }
        Ok(wrong)
    }

    /// Says which process an order names.
    fn address(&self, deed: &Deed, plan: &mut Plan) {
        if let Some(other) = self.world.other_process(deed) {
            plan.order.pid = self.crew.pid(other);
        }
    }

    fn kill(&mut self, process: usize, during: Option<&Deed>) -> io::Result<()> {
        self.ran.calls += 1;
        let call = during.map(|deed| Call {
            process: process as u8,
            thread: 0,
            deed: deed.clone(),
        });
        // What is known does not change by a call that perhaps never happened.
        let before = self.world.clone();
        if let Some(mut plan) = call.and_then(|call| self.world.plan(&call)) {
            let makes = matches!(
                plan.order.deed,
                Deed::Create { .. } | Deed::CreateIn { .. } | Deed::Broken { .. }
            );
            self.perhaps += usize::from(makes);
            self.address(&plan.order.deed.clone(), &mut plan);
            self.crew.tell(process, 0, &plan.order)?;
            thread::sleep(MOMENT);
            self.world = before;
            self.world.interrupted(&plan);
        }
        self.crew.replace(process)?;
        self.world.killed(process);
        Ok(())
    }

    /// Expects something that nobody has written.
    fn lie(&mut self, memfd: usize, page: usize, cells: u8) {
        let frame = self
            .world
            .memfds
            .get(memfd)
            .and_then(|memfd| memfd.frames.get(page));
        if let Some(&frame) = frame {
            let version = self.world.memory.fresh();
            self.world.memory.written(Party::Cpu, frame, cells, version);
        }
    }
}

/// How long a call goes on before the process is killed in it, or perhaps behind it.
const MOMENT: Duration = Duration::from_micros(100);

/// A call on a line of its own.
pub fn text(call: &Call) -> String {
    serde_json::to_string(call).unwrap_or_else(|error| error.to_string())
}
