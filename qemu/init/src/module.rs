// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading of kernel modules.

use std::{
    ffi::{CStr, CString},
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::{Context, Result};
use protocol::{FURTHER_MODULES, Module, TEXT_MARK};
use rustix::system::{delete_module, finit_module};

use crate::kmsg;

/// Loads a module from `/modules`, and says in the kernel log where its code is.
pub fn load(module: &Module) -> Result<()> {
    let path = format!("/modules/{}.ko", module.file);
    let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    let parameters = CString::new(module.parameters.as_str())
        .with_context(|| format!("parameters of module {}", module.file))?;
    insert(&file, &parameters, &module.file)?;
    // A kernel that does not tell is no reason to stop: it is for those who ask what was executed.
    let sections = format!("/sys/module/{}/sections/.text", module.name);
    if let Ok(address) = fs::read_to_string(sections) {
        kmsg::mark(&format!("{TEXT_MARK}{}: {}", module.name, address.trim()));
    }
    Ok(())
}

/// Loads what the archive has of the kernel's own modules, in the order of their names. They stay.
pub fn load_further() -> Result<()> {
    let directory = Path::new(FURTHER_MODULES);
    let context = || format!("cannot read {}", directory.display());
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(context)?,
    };
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()
        .with_context(context)?;
    paths.sort();
    for path in paths {
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        insert(&file, c"", &path.to_string_lossy())?;
    }
    Ok(())
}

fn insert(file: &File, parameters: &CStr, name: &str) -> Result<()> {
    finit_module(file, parameters, 0)
        .with_context(|| format!("cannot load module {name} (the kernel log says why)"))
}

/// Unloads a module; never waits for somebody to let go of it.
pub fn unload(module: &Module) -> Result<()> {
    /// `O_NONBLOCK`, the flag that rmmod passes too.
    const NO_WAIT: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let name = CString::new(module.name.as_str()).context("module name")?;
    delete_module(&name, NO_WAIT).with_context(|| format!("cannot unload {}", module.file))
}
