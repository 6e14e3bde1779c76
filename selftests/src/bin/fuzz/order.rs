// SPDX-License-Identifier: GPL-2.0

//! What a process is told, and what it answers.

use serde::Deserialize;
use serde::Serialize;

use crate::call::Deed;
use crate::cells::Piece;

/// A deed, with what is known only while it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub deed: Deed,
    /// Bytes to compare or to write.
    pub pieces: Vec<Piece>,
    /// Another process that it is about.
    pub pid: i32,
    /// A descriptor or an address there.
    pub number: i64,
}

/// How it went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// A number, where there is one, or errno.
    pub result: Result<i64, i32>,
    /// What was found where something else must be.
    pub wrong: Option<String>,
    /// Calls of the threads that do as they like, since the last answer.
    pub noise: u32,
    /// What went wrong there.
    pub trouble: Option<String>,
}
