// SPDX-License-Identifier: GPL-2.0

//! The job from its first step to its last.

use anyhow::Result;
use protocol::Event;

use crate::{device, huge_pages, kmsg, leaks, module, port::Port, program};

/// Receives the job and carries it out, reporting as it goes.
pub fn run(port: &Port) -> Result<()> {
    let job = port.job()?;
    // Before the modules, so that they may rely on it and nothing is fragmented yet.
    huge_pages::reserve(job.huge_pages)?;
    if job.find_leaks {
        leaks::forget()?;
    }
    for wanted in &job.modules {
        module::load(wanted)?;
    }
    device::link(job.driver)?;
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    port.report(&Event::Ready { kernel: release });

    for (number, wanted) in job.programs.iter().enumerate() {
        let number = number as u32;
        kmsg::mark(&format!("start of {}", wanted.command_line()));
        port.report(&Event::Started { program: number });
        let outcome = program::run(port, number, wanted, job.driver);
        kmsg::mark(&format!("end of {}: {outcome}", wanted.command_line()));
        port.report(&Event::Ended {
            program: number,
            outcome,
        });
    }

    if job.unload {
        kmsg::mark("unloading modules");
        for loaded in job.modules.iter().rev() {
            let error = module::unload(loaded)
                .err()
                .map(|error| format!("{error:#}"));
            port.report(&Event::Unloaded {
                module: loaded.name.clone(),
                error,
            });
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
