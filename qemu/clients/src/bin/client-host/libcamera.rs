// SPDX-License-Identifier: GPL-2.0

//! libcamera: its program `cam` captures from a camera that is none, and writes what it captured
//! to files. The buffers come from a heap of the kernel's where there is one, else from
//! `/dev/udmabuf`. The frames are the same in every run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use selftests::{PAGE, driver::Driver, heap};

use crate::{
    checked, node,
    stage::{self, Expected, Stage},
    steps::{Client, Step},
    user::{self, Groups},
};

pub const CLIENT: Client = Client {
    name: "libcamera",
    steps: &[
        Step {
            name: "frames_as_from_the_heap",
            run: as_from_the_heap,
        },
        Step {
            name: "frames_as_from_the_c_driver",
            run: as_from_the_c_driver,
        },
        Step {
            name: "checked",
            run: checked,
        },
        Step {
            name: "control_one_wrong_byte",
            run: one_wrong_byte,
        },
        Step {
            name: "control_without_the_device",
            run: without_the_device,
        },
    ],
};

/// Where the camera that is none is described, and how.
const CONFIGURATION: &str = "/usr/share/libcamera/pipeline/virtual";
const CAMERAS: &str = "\
%YAML 1.1
---
\"Bars\":
  supported_formats:
  - width: 640
    height: 480
    frame_rates:
    - 30
  test_pattern: \"bars\"
";

/// A frame in NV12, and how many are captured.
const FRAME: usize = 640 * 480 * 3 / 2;
const FRAMES: usize = 8;

/// How many buffers the camera has at a time, at least.
const BUFFERS: usize = 4;

/// How long it may take. The library comes over 9p.
const LIMIT: Duration = Duration::from_secs(120);

/// Where the heaps are.
const HEAPS: &str = "/dev/dma_heap";

/// A file system over a directory, until this is dropped.
struct Over(&'static str);

impl Over {
    fn new(directory: &'static str) -> Result<Self> {
        mount(
            "tmpfs",
            directory,
            "tmpfs",
            MountFlags::empty(),
            c"mode=0755",
        )
        .with_context(|| format!("cannot cover {directory}"))?;
        Ok(Over(directory))
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        // A client that still looks into it would have been left behind, which is found out.
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

/// A directory with frames.
struct Frames(PathBuf);

impl Frames {
    /// The command that captures into a new directory of that name.
    fn capture(stage: &Stage, name: &str) -> Result<(Self, Command)> {
        let directory = stage.places.home.join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
        }
        fs::create_dir(&directory).with_context(|| directory.display().to_string())?;
        user::give(&directory)?;
        let mut command = stage.user.command("/usr/bin/cam", Groups::Device, LIMIT);
        command
            .args([
                "--camera=1",
                "--stream=width=640,height=480,pixelformat=NV12",
            ])
            .arg(format!("--capture={FRAMES}"))
            .arg(format!("--file={}/frame-#.bin", directory.display()));
        Ok((Frames(directory), command))
    }

    /// The frames in order, all of which have to be there.
    fn read(&self) -> Result<Vec<Vec<u8>>> {
        let entries = fs::read_dir(&self.0).context("no directory with frames")?;
        let files = entries.map(|entry| Ok(entry?.path()));
        let mut files = files.collect::<Result<Vec<_>>>()?;
        files.sort();
        let read = |file: &PathBuf| fs::read(file).context("cannot read a frame");
        let frames = files.iter().map(read).collect::<Result<Vec<_>>>()?;
        ensure!(
            frames.len() == FRAMES,
            "{} frames of {FRAMES}",
            frames.len()
        );
        for frame in &frames {
            ensure!(frame.len() == FRAME, "a frame has {} bytes", frame.len());
        }
        // What does not move, or has one colour, would be equal to anything of that kind.
        let moves = frames.windows(2).all(|pair| pair[0] != pair[1]);
        ensure!(moves, "two frames in turn are equal");
        Ok(frames)
    }
}

/// Captures through the driver under test, no heap being there.
fn through_driver(stage: &Stage) -> Result<(Vec<Vec<u8>>, String)> {
    let _hidden = Over::new(HEAPS)?;
    let _cameras = cameras()?;
    let (frames, mut command) = Frames::capture(stage, "udmabuf")?;
    let (_, made) = stage.watch(|| stage::succeed(&mut command))?;
    let pages = FRAME.div_ceil(PAGE);
    let least = Expected {
        buffers: BUFFERS,
        pages: BUFFERS * pages,
    };
    stage.expect(&made, least)?;
    Ok((frames.read()?, made.to_string()))
}

fn cameras() -> Result<Over> {
    let over = Over::new(CONFIGURATION)?;
    let file = Path::new(CONFIGURATION).join("virtual.yaml");
    fs::write(&file, CAMERAS).with_context(|| file.display().to_string())?;
    Ok(over)
}

/// No byte differs from what the same program captures into memory of the system heap, which no
/// udmabuf driver has anything to do with.
fn as_from_the_heap(stage: &Stage) -> Result<String> {
    let (frames, made) = through_driver(stage)?;
    let reference = {
        let _cameras = cameras()?;
        node::give(heap::DEVICE, &stage.user)?;
        let (frames, mut command) = Frames::capture(stage, "heap")?;
        let (_, made) = stage.watch(|| stage::succeed(&mut command))?;
        stage.expect_nothing(&made)?;
        frames.read()?
    };
    compare(&frames, &reference)?;
    Ok(format!("{FRAMES} frames, 0 bytes differ; {made}"))
}

/// No byte differs from what it captures into memory of the driver in the kernel.
fn as_from_the_c_driver(stage: &Stage) -> Result<String> {
    let (frames, made) = through_driver(stage)?;
    let (reference, _) = match stage.driver {
        // Twice through the same one.
        Driver::C => through_driver(stage)?,
        Driver::Rust => {
            let _other = node::other_driver(&stage.user)?;
            let _hidden = Over::new(HEAPS)?;
            let _cameras = cameras()?;
            let (frames, mut command) = Frames::capture(stage, "c")?;
            let (_, made) = stage.watch(|| stage::succeed(&mut command))?;
            ensure!(
                made.counted == Some(0) && made.most > 0,
                "the driver in the kernel was not used: {made}"
            );
            (frames.read()?, made.to_string())
        }
    };
    compare(&frames, &reference)?;
    Ok(format!("{FRAMES} frames, 0 bytes differ; {made}"))
}

/// The same while every buffer is checked.
fn checked(stage: &Stage) -> Result<String> {
    checked::again(stage, CLIENT.name, as_from_the_heap)
}

/// A byte that is wrong somewhere is found.
fn one_wrong_byte(stage: &Stage) -> Result<String> {
    let (frames, _) = through_driver(stage)?;
    let mut wrong = frames.clone();
    let (number, place) = (fastrand::usize(..FRAMES), fastrand::usize(..FRAME));
    wrong[number][place] ^= 1;
    let expected = difference(number, place);
    match compare(&wrong, &frames) {
        Err(found) if found.to_string() == expected => Ok(expected),
        found => bail!("not found: {expected}, but {found:?}"),
    }
}

/// Without the device and without a heap there are no buffers, and the program says so.
fn without_the_device(stage: &Stage) -> Result<String> {
    let _heaps = Over::new(HEAPS)?;
    let _cameras = cameras()?;
    let _device = node::hide()?;
    let (frames, mut command) = Frames::capture(stage, "nothing")?;
    let (said, made) = stage.watch(|| stage::run_to_end(&mut command))?;
    stage.expect_nothing(&made)?;
    ensure!(frames.read().is_err(), "there are frames without a device");
    let refusal = "Could not open any dma-buf provider";
    ensure!(said.contains(refusal), "another failure: {said}");
    Ok(refusal.to_owned())
}

fn compare(frames: &[Vec<u8>], reference: &[Vec<u8>]) -> Result<()> {
    for (number, (frame, other)) in frames.iter().zip(reference).enumerate() {
        let mut pairs = frame.iter().zip(other);
        if let Some(place) = pairs.position(|(byte, other)| byte != other) {
            bail!(difference(number, place));
        }
    }
    Ok(())
}

fn difference(frame: usize, byte: usize) -> String {
    format!("frame {frame} differs from byte {byte} on")
}
