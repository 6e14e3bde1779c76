// SPDX-License-Identifier: GPL-2.0

//! What is looked at after each start of the system. What a phase changes, the next one finds.

use anyhow::{Context, Result};
use selftests::steps::Report;

use crate::{names, package, rights};

/// One step: what it finds, or what is wrong.
type Step = (&'static str, fn() -> Result<String>);

/// The phases, with their steps in order.
const PHASES: &[(&str, &[Step])] = &[
    (
        "as-installed",
        &[
            ("loaded_at_start", package::is_loaded),
            ("both_drivers_have_their_names", names::side_by_side),
            ("who_may_open_it", || rights::check("/dev/udmabuf-rs")),
            ("old_kernel_is_skipped", package::old_kernel_is_skipped),
            ("taken_name_is_refused", names::taken_name_is_refused),
            ("switch_on", names::switch_on),
        ],
    ),
    (
        "switched",
        &[
            ("loaded_at_start", package::is_loaded),
            ("has_the_common_name", names::exchanged),
            ("who_may_open_it", || rights::check("/dev/udmabuf")),
            ("switch_off", names::switch_off),
        ],
    ),
    (
        "switched-back",
        &[
            ("both_drivers_have_their_names", names::side_by_side),
            ("upgrade", package::upgrade),
            ("purge_leaves_nothing", package::purge),
            ("install_and_use_at_once", package::install),
        ],
    ),
];

/// Runs a phase; whether all is well.
///
/// # Errors
///
/// When there is none of that name.
pub fn run(name: &str) -> Result<bool> {
    let phase = PHASES.iter().find(|(phase, _)| *phase == name);
    let (_, steps) = phase.with_context(|| format!("no phase is called '{name}'"))?;
    let mut report = Report::begin();
    report.plan(steps.len());
    for (name, step) in *steps {
        report.next(name);
        report.result(name, step());
    }
    Ok(report.end())
}
