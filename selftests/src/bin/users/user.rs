// SPDX-License-Identifier: GPL-2.0

//! The two users, and what each of them may have.

use rustix::process;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Uid;
use rustix::thread;
use rustix::thread::CpuSet;

use selftests::Outcome;

/// What a user may lock, in bytes: what `ulimit -l` often is.
pub const LOCKABLE: usize = 8 << 20;

/// Who runs a process.
#[derive(Clone, Copy)]
pub enum User {
    Honest,
    Hostile,
}

impl User {
    /// Lives on as this user.
    pub fn become_one(self) -> Outcome {
        limit(Resource::Memlock, LOCKABLE as u64)?;
        self.have_a_cpu()?;
        let user = Uid::from_raw(match self {
            User::Honest => 1000,
            User::Hostile => 1001,
        });
        Ok(thread::set_thread_res_uid(user, user, user)?)
    }

    /// Lives on where only this user computes: each has a CPU, so that neither waits for the other
    /// to leave it. What is left to wait for is what they share inside the kernel. Beside [`OneCpu`]
    /// both stay on that.
    pub fn have_a_cpu(self) -> Outcome {
        if thread::sched_getaffinity(None)?.count() == 1 {
            return Ok(());
        }
        let mut cpus = CpuSet::new();
        cpus.set(match self {
            User::Honest => 1,
            User::Hostile => 0,
        });
        Ok(thread::sched_setaffinity(None, &cpus)?)
    }
}

/// One CPU for both users while it lives.
///
/// Where QEMU counts instructions, CPUs take turns of up to 100 ms (`TCG_KICK_PERIOD`). Who finds a
/// lock taken by somebody on another CPU spins, which ends his turn, and it is 100 ms until he looks
/// again, when it is perhaps taken once more. On one CPU nobody spins, and the kernel says whose turn it
/// is.
pub struct OneCpu(CpuSet);

impl OneCpu {
    pub fn new() -> Outcome<OneCpu> {
        let before = thread::sched_getaffinity(None)?;
        let mut one = CpuSet::new();
        one.set(0);
        thread::sched_setaffinity(None, &one)?;
        Ok(OneCpu(before))
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        // It was allowed before.
        let _ = thread::sched_setaffinity(None, &self.0);
    }
}

/// Sets both the soft and the hard limit.
pub fn limit(resource: Resource, most: u64) -> Outcome {
    let most = Some(most);
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    Ok(process::setrlimit(resource, limit)?)
}
