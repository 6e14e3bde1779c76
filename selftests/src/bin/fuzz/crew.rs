// SPDX-License-Identifier: GPL-2.0

//! The processes, as whoever gives orders sees them.

use std::io;
use std::io::BufReader;
use std::os::unix::net::UnixStream;

use selftests::limit::Limit;
use selftests::sys::fork::Child;

use crate::order::Order;
use crate::order::Reply;
use crate::process;
use crate::process::Equipment;
use crate::world::PROCESSES;
use crate::world::THREADS;

/// How long an order may take. One that takes longer hangs.
const PATIENCE: Limit = Limit::seconds(30);

/// Our ends of the streams of a process, by thread.
type Ends = Vec<BufReader<UnixStream>>;

/// A process and our ends of its threads' streams.
struct Hand {
    // Closed before the child is waited for, which ends with them.
    threads: Ends,
    child: Child,
}

/// All processes.
pub struct Crew<'a> {
    equipment: Equipment<'a>,
    hands: Vec<Option<Hand>>,
}

impl<'a> Crew<'a> {
    /// Starts all of them.
    pub fn new(equipment: Equipment<'a>) -> io::Result<Crew<'a>> {
        let hands = (0..PROCESSES).map(|_| None).collect();
        let mut crew = Crew { equipment, hands };
        for process in 0..PROCESSES {
            crew.start(process)?;
        }
        Ok(crew)
    }

    fn start(&mut self, process: usize) -> io::Result<()> {
        let pairs = (0..THREADS[process]).map(|_| UnixStream::pair());
        let (ours, theirs): (Vec<_>, Vec<_>) =
            pairs.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        let patience = PATIENCE.here()?;
        for stream in &ours {
            stream.set_read_timeout(Some(patience))?;
        }
        let threads: Ends = ours.into_iter().map(BufReader::new).collect();
        // Ends that are not its own would keep others waiting for orders.
        let (equipment, hands) = (&self.equipment, &mut self.hands);
        let (mut theirs, mut threads) = (Some(theirs), Some(threads));
        let child = Child::run(|| {
            hands
                .iter_mut()
                .flatten()
                .for_each(|hand| hand.threads.clear());
            drop(threads.take());
            process::run(equipment, theirs.take().unwrap_or_default())
        })?;
        self.hands[process] = threads.map(|threads| Hand { threads, child });
        Ok(())
    }

    fn hand(&mut self, process: usize) -> io::Result<&mut Hand> {
        self.hands[process]
            .as_mut()
            .ok_or(io::ErrorKind::NotFound.into())
    }

    /// The number of a process.
    pub fn pid(&self, process: usize) -> i32 {
        let hand = self.hands[process].as_ref();
        hand.and_then(|hand| hand.child.pid())
            .map_or(0, |pid| pid.as_raw_nonzero().get())
    }

    /// Gives an order.
    pub fn tell(&mut self, process: usize, thread: usize, order: &Order) -> io::Result<()> {
        protocol::send(self.hand(process)?.threads[thread].get_mut(), order)
    }

    /// Waits for the answer to the last one.
    pub fn hear(&mut self, process: usize, thread: usize) -> io::Result<Reply> {
        let reply = protocol::receive(&mut self.hand(process)?.threads[thread]);
        match reply {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(io::Error::other("a process has died")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::other(
                format!("a call hangs for {:?}", PATIENCE.here()?),
            )),
            Err(error) => Err(error),
        }
    }

    /// Kills a process and starts another in its place.
    pub fn replace(&mut self, process: usize) -> io::Result<()> {
        if let Some(hand) = self.hands[process].take() {
            hand.child.kill()?;
        }
        self.start(process)
    }

    /// Ends all of them.
    pub fn dismiss(self) -> io::Result<()> {
        for hand in self.hands.into_iter().flatten() {
            hand.child.kill()?;
        }
        Ok(())
    }
}
