// SPDX-License-Identifier: GPL-2.0

//! What is tried, step by step, with one client. Steps whose names say `control` take something
//! away: what the others rely upon has to notice.

use anyhow::{Context, Result, bail, ensure};
use selftests::steps::Report;

use crate::{
    arguments::Arguments, dma_buf, gstreamer, kwin, lavapipe, libcamera, stage::Stage, tracers,
};

/// A client.
pub struct Client {
    /// Its name.
    pub name: &'static str,
    /// What is tried with it, in this order.
    pub steps: &'static [Step],
}

/// One step: what it finds, in a line, or what is wrong.
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&Stage) -> Result<String>,
}

/// All of them.
const CLIENTS: &[&Client] = &[
    &lavapipe::CLIENT,
    &dma_buf::CLIENT,
    &libcamera::CLIENT,
    &gstreamer::CLIENT,
    &kwin::CLIENT,
    &tracers::CLIENT,
];

/// Runs what was asked for; whether all is well.
///
/// # Errors
///
/// When there is no client or no step of a name that was asked for, or no stage for them.
pub fn run(arguments: &Arguments) -> Result<bool> {
    let name = &arguments.client;
    let client = CLIENTS.iter().find(|client| client.name == *name);
    let client = client.with_context(|| format!("no client is called '{name}'"))?;
    let chosen = chosen(client, &arguments.only);
    ensure!(!chosen.is_empty(), "no step has such a name");
    let mut stage = Stage::new()?;
    let mut report = Report::begin();
    report.plan(chosen.len());
    for step in chosen {
        report.next(format_args!("{name} {}", step.name));
        report.result(step.name, watched(&mut stage, step));
    }
    Ok(report.end())
}

fn chosen<'a>(client: &'a Client, only: &[String]) -> Vec<&'a Step> {
    let named = |step: &&Step| only.iter().any(|part| step.name.contains(part.as_str()));
    let steps = client.steps.iter();
    steps
        .filter(|step| only.is_empty() || named(step))
        .collect()
}

/// Runs a step; what it leaves behind fails it, and so does a complaint in the kernel log.
fn watched(stage: &mut Stage, step: &Step) -> Result<String> {
    let found = (step.run)(stage);
    let wrong = stage.aftermath()?;
    if !wrong.is_empty() {
        let wrong = wrong.join("\n");
        return match found {
            Ok(_) => bail!(wrong),
            Err(error) => Err(error).context(wrong),
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_clients_and_steps_apart() {
        for client in CLIENTS {
            let same = CLIENTS.iter().filter(|other| other.name == client.name);
            assert_eq!(same.count(), 1, "{}", client.name);
            for step in client.steps {
                let same = client.steps.iter().filter(|other| other.name == step.name);
                assert_eq!(same.count(), 1, "{}", step.name);
            }
        }
    }

    #[test]
    fn every_client_has_a_control() {
        for client in CLIENTS {
            let controls = chosen(client, &["control".to_owned()]);
            assert!(!controls.is_empty(), "{}", client.name);
            assert!(controls.len() < client.steps.len(), "{}", client.name);
        }
    }
}
