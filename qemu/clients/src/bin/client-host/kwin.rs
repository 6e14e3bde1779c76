// SPDX-License-Identifier: GPL-2.0

//! KWin: what a client has drawn into shared memory (`wl_shm`) it makes a dma-buf with
//! `/dev/udmabuf`, to draw from it without a copy. Its screen is a virtual one, its GPU vgem, which
//! has no hardware: Mesa draws with the CPU.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use selftests::{Held, PAGE, held::EXPORTER};

use crate::{
    checked, node,
    running::Running,
    stage::{Expected, Made, Stage},
    steps::{Client, Step},
    user::Groups,
};

pub const CLIENT: Client = Client {
    name: "kwin",
    steps: &[
        Step {
            name: "shared_memory_is_wrapped",
            run: shared_memory_is_wrapped,
        },
        Step {
            name: "checked",
            run: checked,
        },
        Step {
            name: "control_without_the_device",
            run: without_the_device,
        },
    ],
};

/// The name of its socket.
const SOCKET: &str = "wayland-kwin";

/// How long it may take to start, and how long it may run.
const START: Duration = Duration::from_secs(180);
const LIFE: Duration = Duration::from_secs(600);

/// How long it may take to wrap what a client shows, and for how long one that cannot is looked at.
const PATIENCE: Duration = Duration::from_secs(120);
const A_WHILE: Duration = Duration::from_secs(20);

/// A client that draws into shared memory. Its pictures are of whole pages, since the driver takes
/// no others, and not of whole tiles of 64 rows, of which Mesa makes its own: they have a size of
/// their own.
const PROGRAM: &str = "/usr/bin/weston-simple-damage";
const WIDTH: usize = 320;
const HEIGHT: usize = 240;
const BYTES: usize = WIDTH * HEIGHT * 4;

/// What KWin's process is called.
const HOLDER: &str = "kwin_wayland";

/// Where GPUs are.
const GPUS: &str = "/dev/dri";

/// Starts it.
fn start(stage: &Stage) -> Result<Running> {
    let gpus = fs::read_dir(GPUS).context("KWin needs a GPU, such as vgem")?;
    for gpu in gpus {
        let gpu = gpu?.path();
        if !gpu.is_dir() {
            node::give(&gpu.display().to_string(), &stage.user)?;
        }
    }
    let socket = stage.places.home.join(SOCKET);
    let _ = fs::remove_file(&socket);
    let mut command = stage
        .user
        .command("/usr/bin/kwin_wayland", Groups::Device, LIFE);
    command
        .args(["--virtual", "--width=640", "--height=480"])
        .args(["--no-lockscreen", "--no-global-shortcuts"])
        .arg(format!("--socket={SOCKET}"))
        .env("QT_LOGGING_RULES", "kwin_*.debug=true");
    let mut kwin = Running::start(stage, "kwin", command)?;
    wait_for(&socket, &mut kwin)?;
    Ok(kwin)
}

fn wait_for(socket: &Path, kwin: &mut Running) -> Result<()> {
    let deadline = Instant::now() + START;
    while !socket.exists() {
        kwin.must_run()?;
        ensure!(Instant::now() < deadline, "KWin has no socket");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// What became of a client's pictures.
struct Shown {
    /// The udmabufs of their size that there were at a time.
    wrapped: usize,
    /// The programs that had a descriptor of one.
    holders: Vec<String>,
    made: Made,
}

/// Runs the client until one of its pictures is a udmabuf, for that long at most.
fn show(stage: &Stage, kwin: &mut Running, patience: Duration) -> Result<Shown> {
    let ((wrapped, holders), made) = stage.watch(|| {
        let mut command = stage.user.command(PROGRAM, Groups::Device, LIFE);
        command
            .args([format!("--width={WIDTH}"), format!("--height={HEIGHT}")])
            .env("WAYLAND_DISPLAY", SOCKET);
        let mut client = Running::start(stage, "kwin-client", command)?;
        let deadline = Instant::now() + patience;
        let (mut wrapped, mut holders) = (0, Vec::new());
        while Instant::now() < deadline && wrapped == 0 {
            thread::sleep(Duration::from_millis(100));
            wrapped = Held::now()?.count(BYTES);
            holders = holders_of(BYTES)?;
            kwin.must_run()?;
            client.must_run()?;
        }
        Ok((wrapped, holders))
    })?;
    Ok(Shown {
        wrapped,
        holders,
        made,
    })
}

/// The programs that have a descriptor of a udmabuf of that size.
fn holders_of(bytes: usize) -> Result<Vec<String>> {
    let mut holders = Vec::new();
    for process in fs::read_dir("/proc").context("/proc")? {
        let process = process?.path();
        // What is no process, or one that is gone meanwhile, holds nothing.
        let Ok(descriptors) = fs::read_dir(process.join("fdinfo")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            let text = fs::read_to_string(descriptor.path()).unwrap_or_default();
            is_udmabuf(&text, bytes)
        });
        if holds {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            holders.push(name.trim_end().to_owned());
        }
    }
    Ok(holders)
}

/// Whether the kernel describes a descriptor so that it is one of a udmabuf of that size.
fn is_udmabuf(text: &str, bytes: usize) -> bool {
    let value = |name| {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.find_map(|(key, value)| (key == name).then(|| value.trim().to_owned()))
    };
    value("exp_name").as_deref() == Some(EXPORTER) && value("size") == Some(bytes.to_string())
}

/// The client's memory becomes a dma-buf of the driver's.
fn shared_memory_is_wrapped(stage: &Stage) -> Result<String> {
    let mut kwin = start(stage)?;
    let Shown {
        wrapped,
        holders,
        made,
    } = show(stage, &mut kwin, PATIENCE)?;
    ensure!(
        wrapped > 0,
        "no udmabuf has the size of the client's pictures; {made}"
    );
    let least = Expected {
        buffers: wrapped,
        pages: wrapped * BYTES / PAGE,
    };
    stage.expect(&made, least)?;
    ensure!(
        holders == [HOLDER],
        "the udmabuf of the client's pictures is held by {holders:?}"
    );
    Ok(format!(
        "{wrapped} udmabuf of {BYTES} bytes, held by {HOLDER}; {made}"
    ))
}

/// The same while every buffer is checked.
fn checked(stage: &Stage) -> Result<String> {
    checked::again(stage, CLIENT.name, shared_memory_is_wrapped)
}

/// Without the device it copies, and the client does not notice.
fn without_the_device(stage: &Stage) -> Result<String> {
    let _hidden = node::hide()?;
    let mut kwin = start(stage)?;
    let Shown { made, .. } = show(stage, &mut kwin, A_WHILE)?;
    stage.expect_nothing(&made)?;
    Ok("nothing is made, and the client runs".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_known_by_its_exporter_and_size() {
        let text = "pos:\t0\nflags:\t02000002\nsize:\t307200\ncount:\t2\nexp_name:\tudmabuf\n";
        assert!(is_udmabuf(text, 307_200));
        assert!(!is_udmabuf(text, 3_072));
        assert!(!is_udmabuf(&text.replace("udmabuf", "vgem"), 307_200));
        assert!(!is_udmabuf("pos:\t0\n", 307_200));
    }
}
