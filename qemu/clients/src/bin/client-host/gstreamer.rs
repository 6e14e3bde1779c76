// SPDX-License-Identifier: GPL-2.0

//! GStreamer: `waylandsink` hands pictures to a compositor as dma-bufs, which it makes with
//! `/dev/udmabuf`. Weston draws them; pictures of its screen are compared with what GStreamer
//! writes into a file when it is asked for the same.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use selftests::PAGE;

use crate::{
    checked, node,
    picture::Picture,
    running::Running,
    stage::{self, Expected, Stage},
    steps::{Client, Step},
    user::Groups,
    weston::{HEIGHT, WIDTH, Weston},
};

pub const CLIENT: Client = Client {
    name: "gstreamer",
    steps: &[
        Step {
            name: "pictures_are_equal",
            run: pictures_are_equal,
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

/// The program.
const PROGRAM: &str = "/usr/bin/gst-launch-1.0";

/// The plugins that it takes, and where they are. It would look through all of them, for minutes.
const PLUGINS: &[&str] = &[
    "coreelements",
    "videotestsrc",
    "videoconvertscale",
    "waylandsink",
];
const PLUGIN_DIRECTORY: &str = "/usr/lib/x86_64-linux-gnu/gstreamer-1.0";

/// A picture in which every pixel has a colour of its own, in two of its variants.
const SOURCE: &[&str] = &["videotestsrc", "pattern=colors"];

/// How long GStreamer may take in all, and until its picture is on the screen.
const LIFE: Duration = Duration::from_secs(500);
const SHOWN: Duration = Duration::from_secs(120);

/// How many buffers it has at least: one is on the screen, another is drawn into.
const BUFFERS: usize = 2;

/// Adds what makes a command start soon.
fn prepare(stage: &Stage, command: &mut Command) -> Result<()> {
    let plugins = stage.places.home.join("plugins");
    if !plugins.exists() {
        fs::create_dir(&plugins).context("cannot make a directory for plugins")?;
        for name in PLUGINS {
            let file = format!("libgst{name}.so");
            let from = PathBuf::from(PLUGIN_DIRECTORY).join(&file);
            std::os::unix::fs::symlink(from, plugins.join(file)).context("cannot link a plugin")?;
        }
    }
    command.env("GST_PLUGIN_SYSTEM_PATH_1_0", &plugins);
    Ok(())
}

/// The format of the picture.
fn format() -> String {
    format!("video/x-raw,format=BGRx,width={WIDTH},height={HEIGHT},framerate=2/1")
}

/// What has to be on the screen: the same picture, written to a file.
fn expected(stage: &Stage) -> Result<Picture> {
    let file = stage.places.home.join("frame.raw");
    let mut command = stage.user.command(PROGRAM, Groups::None, LIFE);
    prepare(stage, &mut command)?;
    command
        .args(SOURCE)
        .args(["num-buffers=1", "!", &format(), "!", "filesink"])
        .arg(format!("location={}", file.display()));
    stage::succeed(&mut command)?;
    let bytes = fs::read(&file).context("GStreamer has written nothing")?;
    let picture = Picture::from_bgrx(WIDTH, HEIGHT, &bytes)?;
    let colours = picture.colours();
    ensure!(
        colours == picture.pixels(),
        "the picture has {colours} colours only: places could be mixed up"
    );
    Ok(picture)
}

/// Starts GStreamer in a window of the compositor's.
fn play(stage: &Stage, weston: &Weston) -> Result<Running> {
    let mut command = weston.client(stage, PROGRAM, LIFE);
    prepare(stage, &mut command)?;
    command
        .args(SOURCE)
        .args(["!", &format(), "!", "waylandsink", "fullscreen=true"]);
    Running::start(stage, "gstreamer", command)
}

/// Waits until the picture is on the screen, as a picture of it in shared memory shows.
fn shown(
    stage: &Stage,
    weston: &mut Weston,
    player: &mut Running,
    expected: &Picture,
) -> Result<Picture> {
    let deadline = Instant::now() + SHOWN;
    loop {
        player.must_run()?;
        let screen = weston.screenshot(stage, "shm")?;
        let wrong = screen.differences(expected)?;
        if wrong == 0 {
            return Ok(screen);
        }
        if Instant::now() > deadline {
            screen.save(&stage.places.results.join("gstreamer-wrong.png"))?;
            bail!("{wrong} pixels are wrong; see gstreamer-wrong.png");
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// The picture on the screen is the one that was asked for, and both ways of taking a picture of
/// it, into shared memory and into a dma-buf, give that. One wrong pixel is found.
fn pictures_are_equal(stage: &Stage) -> Result<String> {
    let expected = expected(stage)?;
    let mut weston = Weston::start(stage)?;
    let pages = (WIDTH as usize * HEIGHT as usize * 4).div_ceil(PAGE);
    let ((mut player, screen), made) = stage.watch(|| {
        let mut player = play(stage, &weston)?;
        let screen = shown(stage, &mut weston, &mut player, &expected)?;
        Ok((player, screen))
    })?;
    let least = |buffers| Expected {
        buffers,
        pages: buffers * pages,
    };
    stage.expect(&made, least(BUFFERS))?;
    screen.save(&stage.places.results.join("gstreamer-shm.png"))?;

    let (through_dma_buf, shot) = stage.watch(|| weston.screenshot(stage, "dmabuf"))?;
    player.must_run()?;
    stage.expect(&shot, least(1))?;
    through_dma_buf.save(&stage.places.results.join("gstreamer-dmabuf.png"))?;
    let wrong = through_dma_buf.differences(&screen)?;
    ensure!(
        wrong == 0,
        "{wrong} pixels differ; see gstreamer-dmabuf.png"
    );

    let mut spoilt = screen.clone();
    spoilt.spoil(fastrand::usize(..screen.pixels()));
    let found = spoilt.differences(&through_dma_buf)?;
    ensure!(found == 1, "one wrong pixel is found as {found}");
    Ok(format!(
        "0 of {} pixels wrong, one spoilt is found; {made}; screenshot: {shot}",
        screen.pixels()
    ))
}

/// The same while every buffer is checked.
fn checked(stage: &Stage) -> Result<String> {
    checked::again(stage, CLIENT.name, pictures_are_equal)
}

/// Without the device the picture is the same, but no dma-buf is made for it: what the driver
/// counted was GStreamer's. And there is no screenshot in a dma-buf.
fn without_the_device(stage: &Stage) -> Result<String> {
    let _hidden = node::hide()?;
    let expected = expected(stage)?;
    let (said, made) = stage.watch(|| {
        let mut weston = Weston::start(stage)?;
        let mut player = play(stage, &weston)?;
        shown(stage, &mut weston, &mut player, &expected)?;
        match weston.screenshot(stage, "dmabuf") {
            Ok(_) => bail!("there is a screenshot in a dma-buf"),
            Err(error) => Ok(format!("{error:#}")),
        }
    })?;
    stage.expect_nothing(&made)?;
    let refusal = "udmabuf not supported";
    ensure!(said.contains(refusal), "another failure: {said}");
    Ok(format!(
        "the same picture without the driver; screenshooter: {refusal}"
    ))
}
