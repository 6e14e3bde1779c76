// SPDX-License-Identifier: GPL-2.0

//! The user who wants to work.

use selftests::Access;
use selftests::DmaBuf;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::child::exit_code;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::outcome::equal;
use selftests::sys::fork::Child;

use crate::costs::Call;
use crate::costs::Costs;
use crate::costs::Slate;
use crate::remains;
use crate::user::User;

const SIZE: usize = 16 * PAGE;

/// Calls of each kind of which the slowest counts.
const ROUNDS: usize = 3;

/// How often that is repeated.
const REPEATS: usize = 3;

/// What the calls of an honest user take, who has the buffers `both` with another one: the slowest of
/// some, and of several such the one in the middle. A single slowest call would say what else
/// happened to come in between; a wait that the other user can cause comes again each time.
pub fn costs(both: Option<&DmaBuf>) -> Outcome<Costs> {
    let slate = Slate::new()?;
    in_process("the honest user", || {
        let mut all = [Costs::default(); REPEATS];
        for costs in &mut all {
            for _ in 0..ROUNDS {
                round(costs)?;
                if let Some(buffer) = both {
                    share(costs, buffer)?;
                }
            }
        }
        slate.write(&Costs::median(all));
        Ok(())
    })?;
    Ok(slate.read())
}

/// A step of the honest user in a process of its own. No limit of time: the test has one.
pub fn in_process(what: &str, body: impl FnOnce() -> Outcome) -> Outcome {
    let child = Child::run(|| {
        exit_code(what, || {
            User::Honest.become_one()?;
            body()
        })
    })?;
    equal(what, child.wait()?.exit_status(), Some(0))
}

/// Makes a buffer, uses it and lets go of it: each call once.
fn round(costs: &mut Costs) -> Outcome {
    let device = Udmabuf::open()?;
    let edu = Edu::open(0)?;
    let memfd = Memfd::new(SIZE)?;
    let buffer = costs.time(Call::Create, || device.create(memfd.whole()))?;
    let memory = costs.time(Call::Map, || buffer.map(Access::ReadWrite))?;
    costs.time(Call::Touch, || memory.touch_every_page());
    remains::is_fresh(&memory)?;
    costs.time(Call::Begin, || buffer.start(Access::ReadWrite))?;
    remains::HONEST.write_to(&memory, 0, SIZE);
    costs.time(Call::End, || buffer.finish(Access::ReadWrite))?;
    let attachment = costs.time(Call::Attach, || edu.attach(&buffer))?;
    let mapping = costs.time(Call::MapForDevice, || {
        attachment.map(Direction::Bidirectional)
    })?;
    costs.time(Call::UnmapForDevice, || mapping.unmap())?;
    // Only the pin keeps these pages now.
    memfd.punch_hole(0, SIZE)?;
    remains::HONEST.check_in(&memory, 0, SIZE)?;
    drop(attachment);
    costs.time(Call::Close, || drop((memory, buffer, memfd)));
    Ok(())
}

/// Uses what another user has as well.
fn share(costs: &mut Costs, buffer: &DmaBuf) -> Outcome {
    let edu = Edu::open(0)?;
    costs.time(Call::SyncOfBoth, || {
        buffer.start(Access::ReadWrite)?;
        buffer.finish(Access::ReadWrite)
    })?;
    costs.time(Call::DeviceOfBoth, || {
        edu.attach(buffer)?.map(Direction::ToDevice)?.unmap()
    })?;
    Ok(())
}

/// A device sees what the CPU has written. Not timed: the device takes what it takes.
pub fn device_reads() -> Outcome {
    in_process("the honest user's device", || {
        let edu = Edu::open(0)?;
        let memfd = Memfd::new(SIZE)?;
        let pattern = Pattern::new(300);
        pattern.write_to(&memfd.map()?, 0, SIZE);
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        let attachment = edu.attach(&buffer)?;
        let mut bytes = [0; 256];
        let at = SIZE - bytes.len();
        attachment
            .map(Direction::ToDevice)?
            .device_reads(at, &mut bytes)?;
        Ok(pattern.check(at, &bytes)?)
    })
}
