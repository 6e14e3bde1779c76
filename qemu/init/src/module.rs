// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading of kernel modules.

use std::{ffi::CString, fs::File};

use anyhow::{Context, Result};
use protocol::Module;
use rustix::system::{delete_module, finit_module};

/// Loads a module from `/modules`.
pub fn load(module: &Module) -> Result<()> {
    let path = format!("/modules/{}.ko", module.file);
    let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    let parameters = CString::new(module.parameters.as_str())
        .with_context(|| format!("parameters of module {}", module.file))?;
    finit_module(&file, &parameters, 0).with_context(|| {
        format!(
            "cannot load module {} (the kernel log says why)",
            module.file
        )
    })
}

/// Unloads a module; never waits for somebody to let go of it.
pub fn unload(module: &Module) -> Result<()> {
    /// `O_NONBLOCK`, the flag that rmmod passes too.
    const NO_WAIT: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let name = CString::new(module.name.as_str()).context("module name")?;
    delete_module(&name, NO_WAIT).with_context(|| format!("cannot unload {}", module.file))
}
