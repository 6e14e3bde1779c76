// SPDX-License-Identifier: GPL-2.0

//! `virtio-gpu`: a guest in the guest, whose screen goes through the driver.

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use protocol::Driver;

use crate::{
    boot::Boot,
    layout::Layout,
    nested::Nested,
    report::{Area, Report},
    steps::{self, Plan},
};

/// What the inner guest's memory is made of, one run each.
const RAMS: &[&str] = &["memfd", "hugetlb"];

/// The areas of the run that is a part of all tests.
pub const QUICK: &[&str] = &["memfd", BOOT];

/// What the area of the boot is called.
const BOOT: &str = "boot";

/// The arguments of `virtio-gpu`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The driver behind /dev/udmabuf, in both guests: rust or c.
    #[arg(long, default_value_t = Driver::Rust)]
    driver: Driver,
    /// Leaves out what takes long.
    #[arg(long)]
    quick: bool,
    /// Runs only steps with this text in their names, and those that every run needs.
    #[arg(long)]
    only: Option<String>,
    /// Prints the outer QEMU's command line and stops.
    #[arg(long)]
    show_command: bool,
}

/// The area of a run, or of everything about them.
pub fn area(ram: &str) -> Area {
    Area::new("virtio-gpu", "", ram)
}

/// Runs every step with every kind of memory, and tells about each.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let nested = nested(&layout, &arguments.driver.to_string())?;
    let mut words = Vec::new();
    if arguments.quick {
        words.push("--quick");
    }
    words.extend(arguments.only.as_deref());
    let boot = boot(&nested, arguments.driver, RAMS, &words)?;
    if arguments.show_command {
        let boot = Boot {
            show_command: true,
            ..boot
        };
        boot.run(|_| {})?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::open(&layout, "virtio-gpu")?;
    println!("level 1   booting: {}", boot.machine.about());
    watch(
        &mut report,
        &nested,
        &boot,
        areas(RAMS),
        Some(arguments.driver),
    )?;
    let screens = layout.short(nested.results());
    println!("screens and the inner guests' logs: {}", screens.display());
    Ok(report.finish())
}

/// Runs what does not take long, as a part of all tests.
pub fn run_quick(layout: &Layout, report: &mut Report) -> Result<()> {
    let rams = &RAMS[..1];
    // Not in the place of what a full run has left.
    let nested = nested(layout, "quick")?;
    let boot = boot(&nested, Driver::Rust, rams, &["--quick"])?;
    watch(report, &nested, &boot, areas(rams), None)
}

/// Runs what does not take long under the QEMU of another root file system.
pub fn run_in_root(
    layout: &Layout,
    report: &mut Report,
    root: &Path,
    driver: Driver,
    areas: [Area; 2],
) -> Result<()> {
    let nested = nested(layout, &format!("clients-qemu-{driver}"))?.with_root(root)?;
    let boot = boot(&nested, driver, &RAMS[..1], &["--quick"])?;
    let [run, own] = areas;
    watch(report, &nested, &boot, (vec![run], own), Some(driver))
}

fn nested<'a>(layout: &'a Layout, name: &str) -> Result<Nested<'a>> {
    Nested::prepare(layout, name, Nested::kernel(layout)?)
}

/// The boot of the outer guest for these runs.
fn boot<'a>(
    nested: &'a Nested<'_>,
    driver: Driver,
    rams: &[&str],
    words: &[&str],
) -> Result<Boot<'a>> {
    let task = |ram: &&str| nested.task(&[&["--ram", ram], words].concat());
    let tasks = rams.iter().map(task).collect::<Result<_>>()?;
    Ok(Boot {
        driver,
        ..nested.boot(format!("virtio-gpu-{driver}"), tasks)
    })
}

/// The areas of runs, and of their boot.
fn areas(rams: &[&str]) -> (Vec<Area>, Area) {
    (rams.iter().map(|ram| area(ram)).collect(), area(BOOT))
}

/// Boots, and reports every run and the boot itself. With a driver to name, it tells about every
/// step as well.
fn watch(
    report: &mut Report,
    nested: &Nested<'_>,
    boot: &Boot<'_>,
    (areas, own): (Vec<Area>, Area),
    tell: Option<Driver>,
) -> Result<()> {
    nested.clear_results()?;
    steps::watch(
        report,
        &Plan {
            boot,
            areas,
            own,
            tell,
            hint: &|_| {
                let results = boot.layout.short(nested.results());
                Some(format!(
                    "what there is of the inner guest and its QEMU: {}",
                    results.display()
                ))
            },
        },
    )
}
