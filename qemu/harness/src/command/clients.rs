// SPDX-License-Identifier: GPL-2.0

//! `clients`: programs of Debian use the driver in a guest, as an ordinary user.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use protocol::Driver;

use crate::{
    boot::{Boot, Task},
    command::virtio_gpu,
    installed::System,
    kernel::{Flavour, Further, Kernel},
    layout::{Layout, missing},
    machine::{Machine, X86Direct},
    nested,
    qemu::{Pace, Share},
    report::{Area, Report},
    steps::{self, Plan},
    usage::refuse,
};

/// The machine on which they run: theirs are programs for x86-64.
const MACHINE: &dyn Machine = &X86Direct;

/// QEMU has a guest of its own for a guest in it: its steps are those of `virtio-gpu`.
const QEMU: &str = "qemu";

/// The other clients, which [`HOST`] knows, with what has to be in their root for them.
const CLIENTS: &[Client] = &[
    Client {
        name: "lavapipe",
        needs: "usr/lib/x86_64-linux-gnu/libvulkan_lvp.so",
    },
    Client {
        name: "dma-buf",
        needs: "usr/bin/setpriv",
    },
    Client {
        name: "libcamera",
        needs: "usr/share/libcamera/pipeline/virtual",
    },
    Client {
        name: "gstreamer",
        needs: "usr/bin/weston",
    },
    Client {
        name: "kwin",
        needs: "usr/bin/kwin_wayland",
    },
    Client {
        name: "tracers",
        needs: "usr/bin/bpftrace",
    },
];

/// The suite of Debian that has the newest programs.
const NEWEST: &str = "sid";

/// The suite whose programs are the same every day: nothing of ours depends on what was uploaded last.
const STABLE: &str = "trixie";

/// The areas of the run that is a part of all tests: those whose root is made soon.
pub const QUICK: &[&str] = &["lavapipe", "dma-buf", "tracers", BOOT];

/// What runs them in the guest, and our own ones.
const HOST: &str = "client-host";
const OWN_STATIC: &[&str] = &["client-dma-buf"];
const OWN_DYNAMIC: &[&str] = &["client-vulkan"];

/// How long a client may take, with all of its steps; each bounds its own programs.
const TIME_LIMIT: Duration = Duration::from_secs(900);

/// Memory of the guest, in GiB.
const MEMORY: u32 = 4;

/// What the area of the boot is called.
const BOOT: &str = "boot";

/// A client.
struct Client {
    name: &'static str,
    needs: &'static str,
}

/// The arguments of `clients`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The driver behind /dev/udmabuf: rust or c.
    #[arg(long, default_value_t = Driver::Rust)]
    driver: Driver,
    /// Runs only clients with this text in their names.
    #[arg(long)]
    only: Option<String>,
    /// Prints QEMU's command line and stops.
    #[arg(long)]
    show_command: bool,
}

/// The area of a client, or of the boot.
pub fn area(name: &str) -> Area {
    Area::new("clients", "", name)
}

/// Runs every client, or those that were asked for, and tells about each step.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let only = arguments.only.as_deref().unwrap_or_default();
    let chosen: Vec<_> = CLIENTS
        .iter()
        .filter(|client| client.name.contains(only))
        .collect();
    let qemu = QEMU.contains(only);
    if chosen.is_empty() && !qemu {
        refuse!("no client has '{only}' in its name");
    }
    let root = root(&layout, NEWEST);
    // Before minutes are spent on the others.
    if qemu && !nested::qemu_in(&root).exists() {
        refuse!("no QEMU in {}: run ci/setup.d/clients", root.display());
    }
    let driver = arguments.driver;
    let mut report = Report::open(&layout, "clients")?;
    if !chosen.is_empty() {
        // Our driver is there as its users have it; the other one is in every kernel.
        let system = match driver {
            Driver::Rust => Some(System::prepare(&layout)?),
            Driver::C => None,
        };
        let own;
        let kernel = match &system {
            Some(system) => &system.kernel,
            None => {
                own = Kernel::find(&layout, MACHINE, Flavour::usual()?)?;
                &own
            }
        };
        let guest = Guest {
            system: system.as_ref(),
            ..Guest::prepare(&layout, kernel, NEWEST, &driver.to_string(), chosen)?
        };
        let boot = Boot {
            show_command: arguments.show_command,
            ..guest.boot(driver)?
        };
        if arguments.show_command {
            boot.run(|_| {})?;
            return Ok(ExitCode::SUCCESS);
        }
        println!("level 1   booting: {}", boot.machine.about());
        guest.watch(&mut report, &boot, Some(driver))?;
        let results = layout.short(&guest.results);
        println!("screens and what clients said: {}", results.display());
    }
    if qemu {
        let areas = [area(QEMU), area("qemu-boot")];
        virtio_gpu::run_in_root(&layout, &mut report, &root, driver, areas)?;
    }
    Ok(report.finish())
}

/// Where the root with clients of a suite is.
fn root(layout: &Layout, suite: &str) -> PathBuf {
    layout.build().join(format!("root/clients-{suite}"))
}

/// Runs what does not take long, as a part of all tests.
pub fn run_quick(layout: &Layout, report: &mut Report) -> Result<()> {
    let chosen = CLIENTS.iter().filter(|client| QUICK.contains(&client.name));
    let kernel = Kernel::find(layout, MACHINE, Flavour::usual()?)?;
    let guest = Guest::prepare(layout, &kernel, STABLE, "quick", chosen.collect())?;
    guest.watch(report, &guest.boot(Driver::Rust)?, None)
}

/// A guest with the clients' root.
struct Guest<'a> {
    layout: &'a Layout,
    kernel: &'a Kernel,
    /// An installed system, on which the clients find the driver.
    system: Option<&'a System>,
    root: PathBuf,
    clients: Vec<&'static Client>,
    results: PathBuf,
    _claim: File,
}

impl<'a> Guest<'a> {
    /// Puts everything in place. What comes out will go to `build/screens/clients-<name>/`.
    fn prepare(
        layout: &'a Layout,
        kernel: &'a Kernel,
        suite: &str,
        name: &str,
        clients: Vec<&'static Client>,
    ) -> Result<Self> {
        let root = root(layout, suite);
        for client in &clients {
            if !root.join(client.needs).exists() {
                refuse!(
                    "no {} in {}: run ci/setup.d/clients --suite {suite}",
                    client.name,
                    root.display()
                );
            }
        }
        let (lock, claim) = layout.claim("screens", &format!("clients-{name}"), "lock")?;
        Ok(Guest {
            layout,
            kernel,
            system: None,
            root,
            clients,
            results: lock.with_extension(""),
            _claim: claim,
        })
    }

    /// The boot in which every client is a task.
    fn boot(&self, driver: Driver) -> Result<Boot<'_>> {
        let built = self
            .layout
            .programs(MACHINE.board().target, self.kernel.flavour);
        let dynamic = self.layout.build().join("target/release");
        let mut files = Vec::new();
        for (directory, names) in [(&built, OWN_STATIC), (&dynamic, OWN_DYNAMIC)] {
            for name in names {
                let file = directory.join(name);
                missing(&file)?;
                files.push((format!("/programs/{name}"), file));
            }
        }
        let task = |client: &&Client| {
            let words = vec![client.name.to_owned()];
            Task::new(&built.join(HOST), words, Some(TIME_LIMIT))
        };
        let share = |tag, directory: &Path, writable| Share {
            tag,
            directory: directory.to_owned(),
            writable,
        };
        let base = match self.system {
            Some(system) => system.boot(self.layout, MACHINE, None),
            None => Boot {
                unload: true,
                pace: Pace::Real,
                memory: MEMORY,
                huge_memory: 0,
                ..Boot::new(self.layout, MACHINE, self.kernel)
            },
        };
        Ok(Boot {
            name: format!("clients-{driver}"),
            driver,
            tasks: self.clients.iter().map(task).collect::<Result<_>>()?,
            // The fences are vgem's, which is a GPU as well.
            further: vec![Further::HostFiles, Further::Fences],
            files,
            shares: vec![
                share("clients", &self.root, false),
                share("results", &self.results, true),
            ],
            ..base
        })
    }

    /// Boots, and reports every client and the boot itself.
    fn watch(&self, report: &mut Report, boot: &Boot<'_>, tell: Option<Driver>) -> Result<()> {
        // What an earlier boot left must not be taken for what this one makes.
        let directory = &self.results;
        if directory.exists() {
            fs::remove_dir_all(directory)
                .with_context(|| format!("cannot empty {}", directory.display()))?;
        }
        fs::create_dir(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        steps::watch(
            report,
            &Plan {
                boot,
                areas: self
                    .clients
                    .iter()
                    .map(|client| area(client.name))
                    .collect(),
                own: area(BOOT),
                tell,
                hint: &|_| {
                    let results = self.layout.short(directory);
                    Some(format!("what there is of it: {}", results.display()))
                },
            },
        )
    }
}
