// SPDX-License-Identifier: GPL-2.0

//! What the harness on the host and init in the guest say to each other.
//!
//! The two share one virtio-serial port, named [`PORT`]. The harness sends one
//! [`Job`]; init answers with [`Event`]s in the order in which things happened
//! and ends with [`Event::Done`]. A guest that falls silent without it has died.

#![forbid(unsafe_code)]

pub mod bench;
pub mod channel;
mod event;
mod frame;
mod job;
pub mod log;
pub mod port;
pub mod trace;

pub use event::{Event, Outcome, Stream};
pub use frame::{LONGEST, receive, send};
pub use job::{Driver, Exporter, Job, Module, Program, UnknownDriver};

/// The name of the virtio-serial port, as it shows up in the guest's sysfs.
pub const PORT: &str = "udmabuf.events";

/// How the line begins that init writes into the kernel log when it puts an exporter in place.
pub const EXPORTER_MARK: &str = "exporter: ";

/// How the line begins, in the same log, that says where a module's `.text` is: name and address follow.
pub const TEXT_MARK: &str = "text of ";

/// The driver under test, and the object that it is loaded from.
pub const DRIVER_MODULE: &str = "udmabuf_rs";

/// The importer that lets a program start real DMA.
pub const IMPORTER_MODULE: &str = "edu_importer";

/// What the kernel itself takes for a driver's work, for measurements.
pub const FLOOR_MODULE: &str = "udmabuf_floor";

/// Where the guest has modules that belong to its kernel, and that init loads first of all.
pub const FURTHER_MODULES: &str = "/modules/further";
