// SPDX-License-Identifier: GPL-2.0

//! The beginning or the end of an access.

use protocol::trace::Event;

/// One call, and what it moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it began.
    pub from: u64,
    /// When it was over.
    pub to: u64,
    /// The bytes that it wrote back, dropped or copied.
    pub moved: u64,
    /// 0, or an errno: then it did not happen.
    pub error: i64,
}

impl Call {
    /// The call that an event tells of. Its field is what the driver measured, its time when it was over.
    pub fn of(event: &Event) -> Self {
        let bytes = ["cleaned", "invalidated", "collected", "published"];
        let bytes = bytes.iter().filter_map(|name| event.number(name));
        Call {
            from: began(event),
            to: event.nanoseconds,
            moved: bytes.filter_map(|bytes| u64::try_from(bytes).ok()).sum(),
            error: event.number("error").unwrap_or(0),
        }
    }

    /// How long it took, in nanoseconds.
    pub fn cost(&self) -> u64 {
        self.to - self.from
    }
}

/// When that began of which an event is the end.
pub fn began(event: &Event) -> u64 {
    let duration = event.number("duration").unwrap_or(0);
    let duration = u64::try_from(duration).unwrap_or(0);
    event.nanoseconds.saturating_sub(duration)
}
