// SPDX-License-Identifier: GPL-2.0

//! The inner guest: its job, and what it is asked for.

use std::{
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use protocol::{DRIVER_MODULE, Event, Exporter, Job, Module, Program, Stream};
use selftests::driver::Driver;
use virtio_gpu::{Reply, Request};

use crate::machine::{Lines, Machine};

/// How long the inner guest may take to boot, and to answer. Emulated twice it is slow, the more
/// so on a busy host.
const BOOT: Duration = Duration::from_secs(240);
const ANSWER: Duration = Duration::from_secs(120);

/// The program that draws.
const PROGRAM: &str = "/bin/gpu-guest";

/// What is known of the inner guest from init's events.
#[derive(Default)]
struct News {
    /// The kernel that runs.
    kernel: Option<String>,
    /// Whether the program was started.
    started: bool,
    /// Why there is nothing to hope for.
    trouble: Option<String>,
    /// What the program wrote last.
    said: String,
}

/// The inner guest.
pub struct Guest {
    requests: UnixStream,
    news: Arc<Mutex<News>>,
}

impl Guest {
    /// Gives the inner guest its job, once it asks for it, and waits until the program runs.
    /// `/dev/udmabuf` leads there to the same driver as here.
    pub fn boot(machine: &mut Machine, lines: Lines, driver: Driver) -> Result<Self> {
        let job = job(driver);
        protocol::send(&mut &lines.events, &job).context("cannot send the job")?;
        lines.requests.set_read_timeout(Some(ANSWER))?;
        let news = Arc::new(Mutex::new(News::default()));
        let hear = Arc::clone(&news);
        // Ends by itself: without QEMU there is no other side.
        thread::spawn(move || listen(&lines.events, &hear));
        let guest = Guest {
            requests: lines.requests,
            news,
        };
        let deadline = Instant::now() + BOOT;
        while !guest.news().started {
            machine.process().must_run()?;
            if let Some(trouble) = &guest.news().trouble {
                bail!("the inner guest: {trouble}");
            }
            if Instant::now() > deadline {
                bail!("the inner guest did not boot within {} s", BOOT.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(guest)
    }

    /// The inner guest's kernel.
    pub fn kernel(&self) -> String {
        self.news().kernel.clone().unwrap_or_default()
    }

    /// Has something done; pixels come back for requests that want some. An inner guest that did
    /// not answer in time is not asked again.
    pub fn ask(&self, request: &Request) -> Result<Vec<u8>> {
        if let Some(trouble) = &self.news().trouble {
            bail!("the inner guest is lost: {trouble}");
        }
        protocol::send(&mut &self.requests, request).context("cannot ask the inner guest")?;
        let mut pixels = Vec::new();
        loop {
            let trouble = match protocol::receive(&mut &self.requests) {
                Ok(Some(Reply::Done)) => return Ok(pixels),
                Ok(Some(Reply::Pixels(more))) => {
                    pixels.extend(more);
                    continue;
                }
                Ok(Some(Reply::Failed(why))) => bail!("the inner guest: {why}"),
                Ok(None) => "it is gone".to_owned(),
                Err(error) => format!("no answer within {} s ({error})", ANSWER.as_secs()),
            };
            let mut news = self.news();
            let trouble = news.trouble.get_or_insert(trouble);
            bail!("the inner guest is lost: {trouble}");
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        lock(&self.news)
    }
}

fn lock(news: &Mutex<News>) -> MutexGuard<'_, News> {
    news.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program, and what is behind `/dev/udmabuf` for it.
fn job(driver: Driver) -> Job {
    let module = Module {
        name: DRIVER_MODULE.to_owned(),
        file: DRIVER_MODULE.to_owned(),
        parameters: String::new(),
    };
    Job {
        huge_memory: 0,
        exporter: match driver {
            Driver::C => Exporter::C,
            Driver::Rust => Exporter::Module(module),
        },
        modules: Vec::new(),
        programs: vec![Program {
            path: PROGRAM.to_owned(),
            arguments: Vec::new(),
            time_limit: None,
            on_console: false,
            exporter: None,
        }],
        unload: false,
        find_leaks: false,
    }
}

/// Takes in events until there are no more.
fn listen(mut events: &UnixStream, news: &Mutex<News>) {
    while let Ok(Some(event)) = protocol::receive::<Event>(&mut events) {
        let mut news = lock(news);
        match event {
            Event::Ready { kernel } => news.kernel = Some(kernel),
            Event::Started { .. } => news.started = true,
            Event::Failed(why) => news.trouble = Some(why),
            Event::Output {
                stream: Stream::Stderr,
                bytes,
                ..
            } => news.said = String::from_utf8_lossy(&bytes).trim().to_owned(),
            Event::Ended { outcome, .. } => {
                news.trouble = Some(format!("{PROGRAM}: {outcome}: {}", news.said));
            }
            _ => {}
        }
    }
}
