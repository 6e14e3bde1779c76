// SPDX-License-Identifier: GPL-2.0

//! What is behind `/dev/udmabuf` now, and how it is exchanged for something else.

use anyhow::{Context, Result};
use protocol::{Driver, Exporter, Module};

use crate::{device, kmsg, module};

/// The exporter in place.
pub struct Current {
    exporter: Exporter,
    /// The module that is loaded for it; none while an exchange went wrong.
    loaded: Option<Module>,
}

impl Current {
    /// Puts the first one in place.
    pub fn new(exporter: &Exporter) -> Result<Self> {
        let mut current = Current {
            exporter: exporter.clone(),
            loaded: None,
        };
        current.load()?;
        Ok(current)
    }

    /// The driver that programs see.
    pub fn driver(&self) -> Driver {
        self.exporter.driver()
    }

    /// Replaces it by another; nothing happens if that is in place already. The mark in the
    /// kernel log tells whose every later line is.
    pub fn exchange(&mut self, exporter: &Exporter) -> Result<()> {
        let stays = !matches!(exporter, Exporter::Module(_));
        if self.exporter == *exporter && (self.loaded.is_some() || stays) {
            return Ok(());
        }
        self.unload()
            .context("what was there before is still in use")?;
        self.exporter = exporter.clone();
        self.load()
    }

    /// The module that is loaded now.
    pub fn module(&self) -> Option<&Module> {
        self.loaded.as_ref()
    }

    /// Unloads the module, if there is one.
    pub fn unload(&mut self) -> Result<()> {
        if let Some(loaded) = &self.loaded {
            module::unload(loaded)?;
            self.loaded = None;
        }
        Ok(())
    }

    fn load(&mut self) -> Result<()> {
        kmsg::mark(&format!("{}{}", protocol::EXPORTER_MARK, self.exporter));
        if let Exporter::Module(wanted) = &self.exporter {
            module::load(wanted)?;
            self.loaded = Some(wanted.clone());
        }
        if self.exporter == Exporter::Installed && device::has_the_name()? {
            return Ok(());
        }
        device::link(self.exporter.driver())
    }
}
