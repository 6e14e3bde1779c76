// SPDX-License-Identifier: GPL-2.0

//! What the driver's tracepoints say, drawn: who had which buffer when, and what it cost.
//!
//! Text ([`source`]) becomes events ([`recording`]), and these what happened to each buffer
//! ([`history`], of [`buffer`]s with [`lane`]s of [`bracket`]s and mappings). A reader gets that as a
//! [`picture`], a table of [`costs`], and a list of [`violation`]s.

pub mod bracket;
pub mod buffer;
pub mod call;
pub mod costs;
pub mod history;
mod ink;
pub mod lane;
mod legend;
mod pen;
pub mod picture;
pub mod recording;
mod scale;
pub mod selection;
pub mod source;
mod strip;
pub mod time;
pub mod violation;

#[cfg(test)]
pub mod tests;
