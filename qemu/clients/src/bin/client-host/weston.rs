// SPDX-License-Identifier: GPL-2.0

//! Weston, a compositor, without a screen; and what it would show on one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    picture::Picture,
    running::Running,
    stage::{self, Stage},
    user::Groups,
};

/// The size of what it shows.
pub const WIDTH: u32 = 640;
pub const HEIGHT: u32 = 480;

/// The name of its socket.
const SOCKET: &str = "wayland-test";

/// How long it may take to start; its renderer compiles programs for the CPU.
const START: Duration = Duration::from_secs(120);

/// How long it may run, and how long a picture of the screen may take.
const LIFE: Duration = Duration::from_secs(600);
const SHOT: Duration = Duration::from_secs(120);

/// The compositor.
pub struct Weston {
    running: Running,
}

impl Weston {
    /// Starts it, with a client's window all over its screen.
    pub fn start(stage: &Stage) -> Result<Self> {
        let socket = stage.places.home.join(SOCKET);
        let _ = fs::remove_file(&socket);
        let mut command = stage.user.command("/usr/bin/weston", Groups::Device, LIFE);
        command
            // The other software renderer takes no dma-bufs.
            .args(["--backend=headless", "--renderer=gl", "--shell=kiosk"])
            // Pictures of the screen are for debugging only.
            .args(["--no-config", "--debug", "--idle-time=0"])
            .args([format!("--width={WIDTH}"), format!("--height={HEIGHT}")])
            .arg(format!("--socket={SOCKET}"));
        let mut running = Running::start(stage, "weston", command)?;
        let deadline = Instant::now() + START;
        while !socket.exists() {
            running.must_run()?;
            ensure!(Instant::now() < deadline, "weston has no socket");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(Weston { running })
    }

    /// A command of a client of it.
    pub fn client(&self, stage: &Stage, program: &str, limit: Duration) -> Command {
        let mut command = stage.user.command(program, Groups::Device, limit);
        command.env("WAYLAND_DISPLAY", SOCKET);
        command
    }

    /// A picture of the screen, taken into memory of that kind: `shm` or `dmabuf`.
    pub fn screenshot(&mut self, stage: &Stage, kind: &str) -> Result<Picture> {
        self.running.must_run()?;
        // It makes up a name for the file.
        let before = shots(&stage.places.home)?;
        ensure!(before.is_empty(), "there is a picture already");
        let mut command = self.client(stage, "/usr/bin/weston-screenshooter", SHOT);
        stage::succeed(command.arg(format!("--buffer-type={kind}")))?;
        let shots = shots(&stage.places.home)?;
        let [shot] = &shots[..] else {
            bail!("{} pictures of the screen instead of one", shots.len());
        };
        let picture = Picture::read(shot);
        fs::remove_file(shot).context("cannot remove a picture")?;
        picture
    }
}

/// The files that are pictures of the screen.
fn shots(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let files = entries.map(|entry| Ok(entry?.path()));
    let files = files.collect::<Result<Vec<_>>>()?;
    let is_shot = |file: &PathBuf| file.extension().is_some_and(|end| end == "png");
    Ok(files.into_iter().filter(is_shot).collect())
}
