// SPDX-License-Identifier: GPL-2.0

//! The cache model outside the machine, as far as a program speaks to it: see
//! [`protocol::channel`]. Where there is none, nobody listens, and nothing else is different.

use std::io;

use protocol::channel;
use protocol::channel::Message;
use rustix::io::Errno;

use crate::DmaBuf;
use crate::Mapping;
use crate::PAGE;
use crate::importer::Edu;
use crate::pagemap;

/// The way to the model: the registers of a device.
#[derive(Debug)]
pub struct Model {
    edu: Edu,
}

impl Model {
    /// Opens the way through device 0.
    ///
    /// # Errors
    ///
    /// As [`Edu::open`].
    pub fn open() -> rustix::io::Result<Model> {
        Ok(Model { edu: Edu::open(0)? })
    }

    /// Lets everything until the end of the returned scope count under this name.
    ///
    /// # Errors
    ///
    /// Those of the importer, `Unsupported` for one that passes on no notes.
    pub fn scope(&self, name: &str) -> io::Result<Scope<'_>> {
        self.tell(&Message::Scope(name.to_owned()))?;
        Ok(Scope { model: self })
    }

    /// Lets the model judge all accesses to the pages of a mapping, which is of the memory of a
    /// buffer from its first page on.
    ///
    /// # Errors
    ///
    /// Those of the importer, and of reading which pages they are.
    pub fn watch(&self, memory: &Mapping) -> io::Result<Watch<'_>> {
        self.watch_frames(&pagemap::frames(memory)?)
    }

    /// As [`Model::watch`], for a buffer whose pages only the kernel knows.
    ///
    /// # Errors
    ///
    /// Those of the importer.
    pub fn watch_buffer(&self, buffer: &DmaBuf) -> io::Result<Watch<'_>> {
        self.watch_frames(&self.edu.frames(buffer)?)
    }

    fn watch_frames(&self, frames: &[u64]) -> io::Result<Watch<'_>> {
        let watch = Watch { model: self };
        // The model has its own idea of a page.
        const PARTS: u64 = (PAGE / channel::PAGE_SIZE) as u64;
        let parts = frames
            .iter()
            .flat_map(|frame| frame * PARTS..(frame + 1) * PARTS);
        for (page, frame) in (0..).zip(parts) {
            self.tell(&Message::Watch { frame, page })?;
        }
        Ok(watch)
    }

    fn tell(&self, message: &Message) -> io::Result<()> {
        self.edu
            .note(&message.encode())
            .map_err(|error| match error {
                Errno::NOTTY => io::Error::new(
                    io::ErrorKind::Unsupported,
                    "edu_importer.ko is too old, it knows no EDU_NOTE: build and load it anew",
                ),
                other => other.into(),
            })
    }
}

/// A scope that ends when it is dropped.
#[must_use = "the scope ends when it is dropped"]
#[derive(Debug)]
pub struct Scope<'a> {
    model: &'a Model,
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        // The beginning was told the same way.
        let _ = self.model.tell(&Message::Scope(String::new()));
    }
}

/// Pages that are watched until this is dropped, which has to be before they are freed: what the
/// kernel does with them then is its own affair.
#[must_use = "the watch ends when it is dropped"]
#[derive(Debug)]
pub struct Watch<'a> {
    model: &'a Model,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // The beginning was told the same way.
        let _ = self.model.tell(&Message::Unwatch);
    }
}
