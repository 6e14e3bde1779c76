// SPDX-License-Identifier: GPL-2.0

//! What the calls of a user take.

use std::time::Duration;
use std::time::Instant;

use rustix::io::Errno;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::machine;
use selftests::outcome::check;

/// How many times as long as alone a call may take.
const TIMES: u32 = 10;

/// What is not long, however little a call takes alone, in milliseconds. Where QEMU counts
/// instructions, the CPUs of the guest take turns, so that any call may last a turn of the other one's
/// longer: some milliseconds, as the kernel's tick ends it (`icount_percpu_budget()` in QEMU). It is
/// several turns where the other one has a lock of the kernel's when its turn ends, or an interrupt
/// comes in between. A kernel that checks itself does so under locks that all share, such as those of
/// lockdep and kmemleak.
const FLOOR: usize = 20;
const FLOOR_OF_CHECKS: usize = 100;

/// The time below which no call is slow.
pub fn floor() -> Outcome<Duration> {
    let floor = machine::scaled(FLOOR, FLOOR_OF_CHECKS)?;
    Ok(Duration::from_millis(floor as u64))
}

/// A kind of call.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    Create,
    Map,
    Touch,
    Begin,
    End,
    Attach,
    MapForDevice,
    UnmapForDevice,
    Close,
    /// A begin and an end of a buffer that both users have.
    SyncOfBoth,
    /// The other one's buffer for a device of the caller's own, and back.
    DeviceOfBoth,
}

impl Call {
    const ALL: [Call; 11] = [
        Call::Create,
        Call::Map,
        Call::Touch,
        Call::Begin,
        Call::End,
        Call::Attach,
        Call::MapForDevice,
        Call::UnmapForDevice,
        Call::Close,
        Call::SyncOfBoth,
        Call::DeviceOfBoth,
    ];
}

/// The slowest call of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs([Duration; Call::ALL.len()]);

impl Costs {
    /// Makes a call.
    pub fn time<T>(&mut self, call: Call, action: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = action();
        let slowest = &mut self.0[call as usize];
        *slowest = start.elapsed().max(*slowest);
        result
    }

    /// For each kind of call, the one in the middle.
    pub fn median<const N: usize>(all: [Costs; N]) -> Costs {
        Costs(std::array::from_fn(|call| {
            let mut each = all.map(|costs| costs.0[call]);
            each.sort_unstable();
            each[N / 2]
        }))
    }

    /// Fails where a call took too much longer than alone. Says what each took, for whoever starts
    /// the test by itself.
    pub fn check_beside(&self, alone: &Costs) -> Outcome {
        let floor = floor()?;
        for call in Call::ALL {
            let (beside, alone) = (self.0[call as usize], alone.0[call as usize]);
            let what = format!("{call:?} takes {beside:?}, and {alone:?} alone");
            println!("{what}");
            check(
                format_args!("{what}: at most {TIMES} times as long, or {floor:?}"),
                beside <= floor.max(TIMES * alone),
            )?;
        }
        Ok(())
    }
}

/// Memory through which a child says what its calls took.
pub struct Slate(Mapping);

impl Slate {
    pub fn new() -> Result<Slate, Errno> {
        Ok(Slate(Memfd::new(selftests::PAGE)?.map()?))
    }

    pub fn write(&self, costs: &Costs) {
        for (index, cost) in costs.0.iter().enumerate() {
            // CAST: Nothing here takes centuries.
            self.0
                .write(8 * index, &(cost.as_nanos() as u64).to_ne_bytes());
        }
    }

    pub fn read(&self) -> Costs {
        Costs(std::array::from_fn(|index| {
            let mut nanoseconds = [0; 8];
            self.0.read(8 * index, &mut nanoseconds);
            Duration::from_nanos(u64::from_ne_bytes(nanoseconds))
        }))
    }
}
