// SPDX-License-Identifier: GPL-2.0

//! A process that does as it is told, with several threads, and perhaps more as they like.

use std::io;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;

use rustix::process;
use rustix::process::Signal;

use selftests::Memfd;

use crate::noise;
use crate::order::Order;
use crate::order::Reply;
use crate::tools::Limits;
use crate::tools::Tools;
use crate::world::Setting;

/// Threads of a process that do as they like.
const NOISY: u64 = 2;

/// What the threads have in common.
#[derive(Debug)]
pub struct Shared {
    pub tools: Tools,
    pub setting: Setting,
    /// Calls of the threads that do as they like, and what went wrong there.
    pub noise: AtomicU32,
    pub trouble: Mutex<Option<String>>,
}

/// What a process is made of.
pub struct Equipment<'a> {
    pub setting: &'a Setting,
    pub memfds: &'a Arc<Vec<Memfd>>,
    pub limits: &'a Limits,
    /// Where threads do as they like.
    pub noise: Option<u64>,
}

/// Serves until the other ends are closed; the result is the exit code. The first thread is this one.
pub fn run(equipment: &Equipment<'_>, streams: Vec<UnixStream>) -> i32 {
    match try_run(equipment, streams) {
        Ok(()) => 0,
        Err(error) => {
            println!("# a process cannot go on: {error}");
            1
        }
    }
}

fn try_run(equipment: &Equipment<'_>, streams: Vec<UnixStream>) -> io::Result<()> {
    // Nobody else would end it.
    process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let (memfds, limits) = (equipment.memfds.clone(), equipment.limits.clone());
    let shared = Arc::new(Shared {
        tools: Tools::new(equipment.setting, memfds, limits)?,
        setting: equipment.setting.clone(),
        noise: AtomicU32::new(0),
        trouble: Mutex::default(),
    });
    let single = streams.len() == 1;
    let mut streams = streams.into_iter();
    let first = streams.next().ok_or(io::ErrorKind::InvalidInput)?;
    for stream in streams {
        let shared = shared.clone();
        thread::spawn(move || serve(&shared, &stream));
    }
    if let Some(seed) = equipment.noise.filter(|_| !single) {
        for number in 0..NOISY {
            let shared = shared.clone();
            thread::spawn(move || noise::make(&shared, seed.wrapping_add(number)));
        }
    }
    serve(&shared, &first)
}

fn serve(shared: &Shared, stream: &UnixStream) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut output = stream;
    while let Some(order) = protocol::receive::<Order>(&mut input)? {
        let (result, wrong) = shared.tools.perform(&order);
        let trouble = shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let reply = Reply {
            result: result.map_err(selftests::Errno::raw_os_error),
            wrong,
            noise: shared.noise.swap(0, Ordering::Relaxed),
            trouble,
        };
        protocol::send(&mut output, &reply)?;
    }
    Ok(())
}
