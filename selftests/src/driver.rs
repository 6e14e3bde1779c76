// SPDX-License-Identifier: GPL-2.0

//! Which driver is under test, and its parameters.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::udmabuf;

/// The driver behind `/dev/udmabuf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The kernel's own.
    C,
    /// This project's.
    Rust,
}

impl Driver {
    /// What UDMABUF_DRIVER says (`c` or `rust`); without it, what `/dev/udmabuf` leads to.
    ///
    /// # Panics
    ///
    /// When UDMABUF_DRIVER is set to something else.
    pub fn under_test() -> Driver {
        match env::var("UDMABUF_DRIVER").as_deref() {
            Ok("c") => Driver::C,
            Ok("rust") => Driver::Rust,
            Ok(other) => panic!("UDMABUF_DRIVER={other}: set it to c or rust"),
            Err(_) => match fs::canonicalize(udmabuf::DEVICE) {
                Ok(path) if path.ends_with("udmabuf-rs") => Driver::Rust,
                _ => Driver::C,
            },
        }
    }

    /// The name of the kernel module.
    pub fn module(self) -> &'static str {
        match self {
            Driver::C => "udmabuf",
            Driver::Rust => "udmabuf_rs",
        }
    }

    /// A module parameter of the driver.
    pub fn parameter(self, name: &str) -> Parameter {
        Parameter {
            path: PathBuf::from(format!("/sys/module/{}/parameters/{name}", self.module())),
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::C => "c",
            Driver::Rust => "rust",
        })
    }
}

/// A module parameter that can be changed while the module runs.
#[derive(Debug)]
pub struct Parameter {
    path: PathBuf,
}

impl Parameter {
    /// Where it is in sysfs.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value, as sysfs prints it.
    ///
    /// # Errors
    ///
    /// Those of reading the file.
    pub fn get(&self) -> io::Result<String> {
        Ok(fs::read_to_string(&self.path)?.trim_end().to_owned())
    }

    /// Makes a number at least this large, for good.
    ///
    /// # Errors
    ///
    /// As [`Parameter::set`], and `InvalidData` for a parameter that is no number.
    pub fn raise(&self, least: u32) -> io::Result<()> {
        let now: u32 = self
            .get()?
            .parse()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if now < least {
            fs::write(&self.path, least.to_string())?;
        }
        Ok(())
    }

    /// Sets a value until the guard is dropped, which restores the old one.
    ///
    /// # Errors
    ///
    /// Those of reading and writing the file; EINVAL for a value of the wrong type.
    pub fn set(&self, value: &str) -> io::Result<Changed<'_>> {
        let before = self.get()?;
        fs::write(&self.path, value)?;
        Ok(Changed {
            parameter: self,
            before,
        })
    }

    /// The access mode of the file.
    ///
    /// # Errors
    ///
    /// Those of stat().
    pub fn mode(&self) -> io::Result<u32> {
        use std::os::unix::fs::PermissionsExt;
        Ok(fs::metadata(&self.path)?.permissions().mode() & 0o7777)
    }
}

/// A parameter that has another value for a while.
#[must_use = "the old value comes back when this is dropped"]
#[derive(Debug)]
pub struct Changed<'a> {
    parameter: &'a Parameter,
    before: String,
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        // Fails only when the module is gone, and the parameter with it.
        let _ = fs::write(&self.parameter.path, &self.before);
    }
}
