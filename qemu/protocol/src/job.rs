// SPDX-License-Identifier: GPL-2.0

//! What the guest is asked to do.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Which driver `/dev/udmabuf` leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Driver {
    /// This project's module.
    Rust,
    /// The driver in the kernel tree.
    C,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Rust => "rust",
            Driver::C => "c",
        })
    }
}

/// The name of a driver was neither `rust` nor `c`.
#[derive(Debug)]
pub struct UnknownDriver(String);

impl fmt::Display for UnknownDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown driver '{}': say rust or c", self.0)
    }
}

impl std::error::Error for UnknownDriver {}

impl FromStr for Driver {
    type Err = UnknownDriver;

    fn from_str(name: &str) -> Result<Self, UnknownDriver> {
        match name {
            "rust" => Ok(Driver::Rust),
            "c" => Ok(Driver::C),
            _ => Err(UnknownDriver(name.to_owned())),
        }
    }
}

/// A kernel module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// The name that the kernel knows it by.
    pub name: String,
    /// Loaded from `/modules/<file>.ko`; variants of one module differ in this.
    pub file: String,
    /// The parameters, as on insmod's command line.
    pub parameters: String,
}

/// What `/dev/udmabuf` leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exporter {
    /// The driver in the kernel, always there.
    C,
    /// This module, which is loaded for it.
    Module(Module),
    /// This project's driver, already there: an installed system loads it as it starts, and a kernel
    /// with the series has it built in.
    Installed,
}

impl Exporter {
    /// Which driver that is, or is a variant of.
    pub fn driver(&self) -> Driver {
        match self {
            Exporter::C => Driver::C,
            Exporter::Module(_) | Exporter::Installed => Driver::Rust,
        }
    }
}

impl fmt::Display for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exporter::C => f.write_str("the driver in the kernel"),
            Exporter::Module(module) => write!(f, "module {}", module.file),
            Exporter::Installed => f.write_str("the driver that is there"),
        }
    }
}

/// A program to run in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Where it is in the guest.
    pub path: String,
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// Killed when it runs longer than this; `None` lets it run for ever.
    pub time_limit: Option<Duration>,
    /// Runs on the guest's console as a shell does; its output is no event then.
    pub on_console: bool,
    /// What `/dev/udmabuf` leads to from now on; `None` leaves it as it is.
    pub exporter: Option<Exporter>,
}

impl Program {
    /// What identifies the program in a log: path and arguments.
    pub fn command_line(&self) -> String {
        let mut line = self.path.clone();
        for argument in &self.arguments {
            line.push(' ');
            line.push_str(argument);
        }
        line
    }
}

/// Everything that one boot of the guest does, in the order of the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Memory to set aside in huge pages, in MiB.
    pub huge_memory: u32,
    /// What `/dev/udmabuf` leads to at first.
    pub exporter: Exporter,
    /// Further modules to load, first to last.
    pub modules: Vec<Module>,
    /// Programs to run, one after another.
    pub programs: Vec<Program>,
    /// Unloads all modules after the programs, last to first, which has to succeed.
    pub unload: bool,
    /// Has the kernel look for leaked memory at the end, if it can.
    pub find_leaks: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_names_round_trip() {
        for driver in [Driver::Rust, Driver::C] {
            assert_eq!(driver.to_string().parse::<Driver>().unwrap(), driver);
        }
        for wrong in ["", "Rust", "C", "rust "] {
            assert!(wrong.parse::<Driver>().is_err(), "{wrong:?}");
        }
    }
}
