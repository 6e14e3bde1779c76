// SPDX-License-Identifier: GPL-2.0

//! What is tried, step by step, in one boot of the inner guest. Steps whose names say `control`
//! make something wrong on purpose: the check that the others rely on has to notice.

mod blobs;
mod camera;
mod checked;
mod ending;
mod flips;
mod pictures;
mod sharing;

use anyhow::{Context, Result, bail, ensure};
use selftests::steps::Report;
use virtio_gpu::{Rectangle, Size};

use crate::{
    arguments::Arguments,
    root::{self, Places},
    stage::Stage,
};

/// The two resolutions.
const SMALL: Size = Size {
    width: 640,
    height: 480,
};
const LARGE: Size = Size {
    width: 1920,
    height: 1080,
};

/// One step: what it finds, in a line, or what is wrong.
struct Step {
    name: &'static str,
    when: When,
    run: fn(&mut Stage) -> Result<String>,
}

/// When a step is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Always: the others mean nothing without it.
    Always,
    /// Unless something else is asked for.
    Usually,
    /// Unless it has to be quick.
    AtLeisure,
}

/// The first step, which makes the stage for the others.
const BOOT: &str = "boots";

const STEPS: &[Step] = &[
    step("picture_640x480", When::Usually, pictures::small),
    step(
        "control_one_wrong_pixel",
        When::Usually,
        pictures::one_wrong_pixel,
    ),
    step(
        "pixels_come_through_udmabuf",
        When::Usually,
        pictures::through_udmabuf,
    ),
    step(
        "memory_is_shared_not_copied",
        When::Usually,
        pictures::one_memory,
    ),
    step("control_copying_gpu", When::Usually, pictures::copying_gpu),
    step("picture_1920x1080", When::Usually, pictures::large),
    step("flips_640x480", When::AtLeisure, flips::small),
    step("flips_1920x1080", When::AtLeisure, flips::large),
    step("blobs_come_and_go", When::AtLeisure, blobs::come_and_go),
    step("guest_memfd", When::Usually, sharing::memfd),
    step("guest_memfd_updates", When::Usually, sharing::updates),
    step("camera_to_screen", When::Usually, camera::to_screen),
    step("checked", When::Usually, checked::again),
    step("kill_in_mid_scanout", When::Always, ending::kill),
    step("inner_kernel_log_is_clean", When::Always, ending::inner_log),
];

const fn step(name: &'static str, when: When, run: fn(&mut Stage) -> Result<String>) -> Step {
    Step { name, when, run }
}

/// Runs what was asked for; whether all is well.
///
/// # Errors
///
/// When there is no step of a name that was asked for, or the host's files are out of reach.
pub fn run(arguments: &Arguments) -> Result<bool> {
    for part in &arguments.only {
        let known = STEPS.iter().any(|step| step.name.contains(part.as_str()));
        ensure!(known, "no step has '{part}' in its name");
    }
    let places = root::enter()?;
    let chosen: Vec<_> = STEPS
        .iter()
        .filter(|step| is_chosen(step, arguments))
        .collect();
    let mut report = Report::begin();
    report.next(format_args!("level 2   booting, {} memory", arguments.ram));
    let stage = match boot(arguments, &places) {
        Ok((stage, found)) => {
            report.plan(1 + chosen.len());
            report.result(BOOT, anyhow::Ok(found));
            Some(stage)
        }
        // One failure says it all: the other steps were not tried.
        Err(error) => {
            report.plan(1);
            report.result(BOOT, Err(error));
            None
        }
    };
    if let Some(mut stage) = stage {
        for step in chosen {
            report.next(format_args!("level 2   {}", step.name));
            report.result(step.name, watched(&mut stage, step));
        }
    }
    Ok(report.end())
}

fn is_chosen(step: &Step, arguments: &Arguments) -> bool {
    let named = |part: &String| step.name.contains(part.as_str());
    match step.when {
        When::Always => true,
        _ if !arguments.only.is_empty() => arguments.only.iter().any(named),
        When::Usually => true,
        When::AtLeisure => !arguments.quick,
    }
}

fn boot(arguments: &Arguments, places: &Places) -> Result<(Stage, String)> {
    let mut stage = Stage::boot(arguments, places)?;
    let version = stage.machine.version()?;
    let (kernel, driver) = (stage.guest.kernel(), stage.driver);
    let found = format!("Linux {kernel}, driver {driver}, QEMU {version}");
    Ok((stage, found))
}

/// Runs a step; a complaint in the outer guest's kernel log fails it.
fn watched(stage: &mut Stage, step: &Step) -> Result<String> {
    stage.step = step.name;
    let found = (step.run)(stage);
    let complaints = stage.complaints()?;
    if !complaints.is_empty() {
        let complaints = format!("kernel log: {}", complaints.join("\n"));
        return match found {
            Ok(_) => bail!(complaints),
            Err(error) => Err(error).context(complaints),
        };
    }
    found
}

/// A part of a picture, of up to that size, anywhere.
fn random_part(random: &mut fastrand::Rng, size: Size, most: Size) -> Rectangle {
    let part = Size {
        width: random.u32(1..=most.width),
        height: random.u32(1..=most.height),
    };
    Rectangle {
        x: random.u32(0..=size.width - part.width),
        y: random.u32(0..=size.height - part.height),
        size: part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(quick: bool, only: &[&str]) -> Arguments {
        Arguments {
            qemu: "/q".into(),
            ram: crate::arguments::Ram::Memfd,
            quick,
            only: only.iter().map(|part| (*part).to_owned()).collect(),
        }
    }

    fn chosen(quick: bool, only: &[&str]) -> Vec<&'static str> {
        let arguments = arguments(quick, only);
        let chosen = STEPS.iter().filter(|step| is_chosen(step, &arguments));
        chosen.map(|step| step.name).collect()
    }

    #[test]
    fn every_run_looks_at_what_is_left() {
        for chosen in [chosen(true, &[]), chosen(false, &["camera"])] {
            let [.., kill, log] = chosen[..] else {
                panic!("{chosen:?}")
            };
            assert_eq!(kill, "kill_in_mid_scanout");
            assert_eq!(log, "inner_kernel_log_is_clean");
        }
    }

    #[test]
    fn what_takes_long_is_left_out_or_asked_for() {
        assert_eq!(chosen(false, &[]).len(), STEPS.len());
        assert!(!chosen(true, &[]).contains(&"blobs_come_and_go"));
        assert!(chosen(true, &["blobs"]).contains(&"blobs_come_and_go"));
        assert!(!chosen(false, &["blobs"]).contains(&"guest_memfd"));
    }

    #[test]
    fn a_step_that_does_not_exist_is_refused() {
        let arguments = Arguments {
            only: vec!["kill".into(), "nosuchstep".into()],
            ..arguments(false, &[])
        };
        let error = run(&arguments).unwrap_err();
        assert_eq!(error.to_string(), "no step has 'nosuchstep' in its name");
    }

    #[test]
    fn parts_lie_inside() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let part = random_part(&mut random, SMALL, SMALL);
            assert!(part.x + part.size.width <= SMALL.width);
            assert!(part.y + part.size.height <= SMALL.height);
        }
    }
}
