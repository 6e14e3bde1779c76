// SPDX-License-Identifier: GPL-2.0

//! Statistics that several threads change.

use std::fmt;

use loom::thread;

use crate::{
    debugfs::Writer,
    stats::{Stats, STATS},
};

/// What the file in debugfs says.
struct Shown(&'static Stats);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)
    }
}

/// Two buffers come, of which one goes again.
pub fn buffers_come_and_go() {
    STATS.buffers.add(0);
    let other = thread::spawn(|| {
        STATS.buffers.add(1);
        STATS.buffers.sub(1);
    });
    STATS.buffers.add(1);
    other.join().unwrap();
    let shown = Shown(&STATS).to_string();
    assert!(
        shown.starts_with("buffers 1\n"),
        "a buffer is lost: {shown}"
    );
}
