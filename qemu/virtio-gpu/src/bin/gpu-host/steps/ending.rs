// SPDX-License-Identifier: GPL-2.0

//! What is left when it is over.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use selftests::Held;
use virtio_gpu::{Gpu, Memory, Picture, Request};

use super::SMALL;
use crate::stage::Stage;

/// How long it flips before it is killed.
const A_WHILE: Duration = Duration::from_millis(500);

/// Nothing in the inner guest's kernel log that no healthy kernel says, and no word of QEMU's.
pub fn inner_log(stage: &mut Stage) -> Result<String> {
    let complaints = stage.complaints_inside()?;
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok("no complaints".to_owned())
}

/// QEMU is killed while the inner guest flips: everything that it held is given back. As a
/// control, a buffer that this process still holds is found before it is let go.
pub fn kill(stage: &mut Stage) -> Result<String> {
    stage.show(Gpu::Blob, Memory::Dumb, &Picture::new(SMALL, 10))?;
    stage.ask(&Request::FlipForEver)?;
    thread::sleep(A_WHILE);
    let during = Held::now()?;
    let bytes = SMALL.bytes();
    ensure!(
        during.count(bytes) == 2,
        "not two framebuffers in turn: {during}"
    );
    let held = stage.machine.process().buffers()?.pop();
    let held = held.context("QEMU has no descriptor of a framebuffer")?;
    stage.machine.process().kill()?;

    let before = &stage.before;
    let one_more = |now: &Held| now.buffers.len() == before.buffers.len() + 1;
    let found = Held::wait_until(one_more)?;
    ensure!(
        one_more(&found) && found.count(bytes) == 1 && found.pinned > before.pinned,
        "one buffer is still held, but what is left is {found}"
    );
    drop(held);
    let after = Held::wait_until(|now| now == before)?;
    ensure!(after == *before, "left behind: {after}; before: {before}");
    Ok(format!(
        "{during}; killed; {found} while one is held; then {after}"
    ))
}
