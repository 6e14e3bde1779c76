// SPDX-License-Identifier: GPL-2.0

//! The job from its first step to its last.

use anyhow::Result;
use protocol::{Event, Module, Outcome, Program};

use crate::{exporter::Current, huge_pages, kmsg, leaks, module, port::Port, program};

/// Receives the job and carries it out, reporting as it goes.
pub fn run(port: &Port) -> Result<()> {
    let job = port.job()?;
    // Before the modules, so that they may rely on it and nothing is fragmented yet.
    huge_pages::reserve(job.huge_memory)?;
    if job.find_leaks {
        leaks::forget()?;
    }
    module::load_further()?;
    let mut exporter = Current::new(&job.exporter)?;
    for wanted in &job.modules {
        module::load(wanted)?;
    }
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    port.report(&Event::Ready { kernel: release });

    for (number, wanted) in job.programs.iter().enumerate() {
        let number = number as u32;
        port.report(&Event::Started { program: number });
        let outcome = run_program(port, number, wanted, &mut exporter);
        kmsg::mark(&format!("end of {}: {outcome}", wanted.command_line()));
        port.report(&Event::Ended {
            program: number,
            outcome,
        });
    }

    if job.unload {
        kmsg::mark("unloading modules");
        for loaded in job.modules.iter().rev() {
            report_unloaded(port, loaded, module::unload(loaded));
        }
        if let Some(loaded) = exporter.module().cloned() {
            report_unloaded(port, &loaded, exporter.unload());
        }
    }
    // Last, so that what an unloaded module left behind counts as leaked.
    if job.find_leaks
        && let Some(found) = leaks::find()?
    {
        port.report(&Event::Leaks(found));
    }
    Ok(())
}

/// Runs a program with the exporter that it wants.
fn run_program(port: &Port, number: u32, wanted: &Program, exporter: &mut Current) -> Outcome {
    if let Some(other) = &wanted.exporter
        && let Err(error) = exporter.exchange(other)
    {
        return Outcome::NotStarted(format!("{error:#}"));
    }
    kmsg::mark(&format!("start of {}", wanted.command_line()));
    program::run(port, number, wanted, exporter.driver())
}

fn report_unloaded(port: &Port, module: &Module, result: Result<()>) {
    port.report(&Event::Unloaded {
        module: module.file.clone(),
        error: result.err().map(|error| format!("{error:#}")),
    });
}
