// SPDX-License-Identifier: GPL-2.0

//! Framebuffers that come and go.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use selftests::{Held, bufinfo, driver::Driver, statistics};
use virtio_gpu::{Gpu, Memory, Picture, Request};

use super::SMALL;
use crate::stage::Stage;

/// How many, and how many are asked for at a time, so that an answer does not take long.
const COUNT: u32 = 1000;
const AT_A_TIME: u32 = 50;

/// Every one is a dma-buf while it lives, and none is left afterwards.
pub fn come_and_go(stage: &mut Stage) -> Result<String> {
    let picture = Picture::new(SMALL, 7);
    stage.show(Gpu::Blob, Memory::Dumb, &picture)?;
    let before = Held::now()?;
    let made_before = made(stage)?;

    let over = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&over));
        let asked = churn(stage);
        over.store(true, Ordering::Relaxed);
        let most = watcher.join().ok().context("the watcher died")?;
        asked.and(most)
    })?;

    let after = Held::wait_until(|now| *now == before)?;
    ensure!(after == before, "{after} instead of {before}");
    ensure!(
        most > before.buffers.len() + 1,
        "no more than {most} dma-bufs were seen at a time"
    );
    let mut found = format!("{COUNT} framebuffers, up to {most} dma-bufs seen at a time");
    if let (Some(before), Some(after)) = (made_before, made(stage)?) {
        let made = after - before;
        ensure!(
            made == COUNT as usize,
            "{made} buffers made for {COUNT} framebuffers"
        );
        found += &format!(", {made} made");
    }
    // What was on the screen all the time is still there.
    stage.expect(Gpu::Blob, &picture)?;
    Ok(format!("{found}; then {after}, as before"))
}

fn churn(stage: &mut Stage) -> Result<()> {
    for seed in 0..COUNT / AT_A_TIME {
        stage.ask(&Request::Churn {
            count: AT_A_TIME,
            seed: seed.into(),
        })?;
    }
    Ok(())
}

/// The most dma-bufs that exist at a time until it is over.
fn watch(over: &AtomicBool) -> Result<usize> {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(bufinfo::count()?);
        thread::sleep(Duration::from_millis(20));
    }
    Ok(most)
}

/// How many buffers the driver has made, if it counts them.
fn made(stage: &Stage) -> Result<Option<usize>> {
    match stage.driver {
        Driver::C => Ok(None),
        Driver::Rust => {
            let created = statistics::counter("created")?;
            Ok(Some(created.context("no statistics")?))
        }
    }
}
