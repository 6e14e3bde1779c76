// SPDX-License-Identifier: GPL-2.0

//! Whether the cells of a machine are as they should be, and prove something.
//!
//! With the driver under test every flow has to be ok, and where it is about devices that are refused,
//! just those have to be that are not coherent. What the driver in the kernel and the system
//! heap do is shown as measured and judged by nobody. A right cell proves something only if the flow can also go wrong on that machine: each
//! of its controls has to turn it red. Where a missing sync cannot show, there is nothing to prove.

use super::{
    cell::Cell,
    column::Column,
    cost,
    flows::{COST, Flow},
    plan::{Control, RUST, Selection, controls_of},
};
use crate::{
    ktap::{Test, Verdict},
    machine::Judge,
};

/// What a right cell is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing can go wrong on the machine, so there is nothing to prove.
    Needless,
    /// The flow goes red when the driver is broken.
    Proven,
    /// It stays as it is.
    Nothing,
}

/// What one control says about a flow.
struct Evidence<'a> {
    control: &'a str,
    verdict: Verdict,
}

/// What the controls of a flow say, one by one.
fn evidence<'a>(column: &Column, flow: &'a Flow, controls: &[Control]) -> Vec<Evidence<'a>> {
    let judge = |control| {
        let Some(cell) = column.cell(control, &flow.name) else {
            return Verdict::Failed(vec!["the control was not run".into()]);
        };
        match cell {
            cell if cell.is_red() => Verdict::Passed,
            cell if cell.is_right() => {
                Verdict::Failed(vec![format!("proves nothing: with {control} it is {cell}")])
            }
            other => Verdict::Failed(vec![format!("with {control}: {other}")]),
        }
    };
    controls_of(flow, column.machine, controls)
        .into_iter()
        .map(|control| Evidence {
            control,
            verdict: judge(control),
        })
        .collect()
}

/// What a right cell of that flow is worth on that machine.
pub fn proof(column: &Column, flow: &Flow, controls: &[Control]) -> Proof {
    let evidence = evidence(column, flow, controls);
    if column.machine.judge() == Judge::Nothing && evidence.is_empty() {
        return Proof::Needless;
    }
    let red = |e: &Evidence<'_>| e.verdict == Verdict::Passed;
    if !evidence.is_empty() && evidence.iter().all(red) {
        Proof::Proven
    } else {
        Proof::Nothing
    }
}

/// Controls that went red, and all that should have.
pub fn controls_red(column: &Column, flows: &[Flow], controls: &[Control]) -> (usize, usize) {
    let evidence = flows
        .iter()
        .flat_map(|flow| evidence(column, flow, controls));
    evidence.fold((0, 0), |(red, all), e| {
        (red + usize::from(e.verdict == Verdict::Passed), all + 1)
    })
}

/// The tests that a machine's cells are.
pub fn tests(
    column: &Column,
    flows: &[Flow],
    controls: &[Control],
    selection: Selection,
) -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |path: &[&str], verdict| {
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        tests.push(Test { path, verdict });
    };
    for flow in flows {
        let name = flow.name.as_str();
        if selection.rust {
            let missing = Cell::Missing {
                detail: "it was not run".into(),
            };
            let cell = column.cell(RUST, name).unwrap_or(&missing);
            add(&[name], own(cell, &refused(column, flow)));
        }
        if selection.controls {
            let evidence = evidence(column, flow, controls);
            if column.machine.judge() != Judge::Nothing && evidence.is_empty() {
                let why = "proves nothing: no control of it can go red on this machine";
                add(&[name, "control"], Verdict::Failed(vec![why.into()]));
            }
            for Evidence { control, verdict } in evidence {
                add(&[name, control], verdict);
            }
        }
    }
    if let Some(cost) = column.cell(RUST, COST) {
        add(&[COST], own(cost, &[]));
        let uneven = cost::uneven(&cost::rows(column), &column.machine.snoops());
        add(
            &[COST, "of many devices"],
            match uneven.is_empty() {
                true => Verdict::Passed,
                false => Verdict::Failed(uneven),
            },
        );
    }
    tests.extend(column.health.iter().cloned());
    tests
}

/// The devices that have to be refused in a flow.
fn refused(column: &Column, flow: &Flow) -> Vec<u32> {
    match flow.refuses {
        true => column.machine.incoherent(),
        false => Vec::new(),
    }
}

/// The verdict on a cell of the driver under test; `refused` are those that have to be.
fn own(cell: &Cell, refused: &[u32]) -> Verdict {
    match cell {
        Cell::Ok if refused.is_empty() => Verdict::Passed,
        Cell::Refused { devices, .. } if devices == refused => Verdict::Passed,
        Cell::Ok | Cell::Refused { .. } => Verdict::Failed(vec![format!(
            "{cell}; the devices to be refused are {refused:?}"
        )]),
        other => Verdict::Failed(vec![other.to_string()]),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            cell::tests::{error, wrong},
            column::tests::column,
            plan::{self, tests::flow},
        },
        *,
    };
    use crate::variant::Patch;

    fn controls(flows: &[Flow]) -> Vec<Control> {
        let names = flows.iter().flat_map(|flow| &flow.controls);
        let patches: Vec<_> = names
            .map(|name| Patch::for_tests(name, "# control:\n--- a/x\n"))
            .collect();
        plan::controls(flows, &patches).unwrap()
    }

    /// Names of the tests that failed.
    fn failed(column: &Column, flows: &[Flow]) -> Vec<String> {
        let tests = super::tests(column, flows, &controls(flows), Selection::ALL);
        let failed = |test: &&Test| matches!(test.verdict, Verdict::Failed(_));
        tests.iter().filter(failed).map(Test::name).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_right_cell_with_red_controls_passes() {
        let flows = [flow("a", &["x", "y"])];
        let cells = [
            ("rust", "a", Cell::Ok),
            ("x", "a", wrong()),
            ("y", "a", wrong()),
        ];
        let column = column("swiotlb", &cells);
        assert_eq!(failed(&column, &flows), NONE);
        assert_eq!(proof(&column, &flows[0], &controls(&flows)), Proof::Proven);
        assert_eq!(controls_red(&column, &flows, &controls(&flows)), (2, 2));
    }

    #[test]
    fn a_green_control_fails_the_run() {
        let flows = [flow("a", &["x", "y"])];
        let cells = [
            ("rust", "a", Cell::Ok),
            ("x", "a", wrong()),
            ("y", "a", Cell::Ok),
        ];
        let column = column("swiotlb", &cells);
        assert_eq!(failed(&column, &flows), ["a.y"]);
        assert_eq!(proof(&column, &flows[0], &controls(&flows)), Proof::Nothing);
        assert_eq!(controls_red(&column, &flows, &controls(&flows)), (1, 2));
    }

    #[test]
    fn a_control_that_did_not_run_or_failed_otherwise_is_not_red() {
        let flows = [flow("a", &["x", "y"])];
        let cells = [("rust", "a", Cell::Ok), ("x", "a", error())];
        let column = column("swiotlb", &cells);
        assert_eq!(failed(&column, &flows), ["a.x", "a.y"]);
    }

    #[test]
    fn a_flow_without_a_control_proves_nothing() {
        let flows = [flow("a", &[])];
        let cells = [("rust", "a", Cell::Ok)];
        assert_eq!(failed(&column("swiotlb", &cells), &flows), ["a.control"]);
        // The C driver is a control only where its pseudo-device needs syncing.
        let flows = [flow("a", &["c"])];
        let cells = [("rust", "a", Cell::Ok), ("c", "a", wrong())];
        assert_eq!(failed(&column("swiotlb", &cells), &flows), NONE);
        assert_eq!(failed(&column("28bit", &cells), &flows), ["a.control"]);
    }

    #[test]
    fn where_nothing_can_go_wrong_no_control_is_needed() {
        let flows = [flow("a", &["x"])];
        let column = column("direct", &[("rust", "a", Cell::Ok)]);
        assert_eq!(failed(&column, &flows), NONE);
        assert_eq!(
            proof(&column, &flows[0], &controls(&flows)),
            Proof::Needless
        );
    }

    #[test]
    fn a_sync_too_many_shows_where_devices_snoop() {
        let flows = [flow("a", &["c"])];
        let cells = |c| [("rust", "a", Cell::Ok), ("c", "a", c)];
        let column = |c| column("arm64-coherent", &cells(c));
        assert_eq!(failed(&column(wrong()), &flows), NONE);
        assert_eq!(failed(&column(Cell::Ok), &flows), ["a.c"]);
    }

    #[test]
    fn everything_but_ok_fails_and_so_does_what_was_not_run() {
        let flows = [flow("a", &[])];
        let detail = String::from("why");
        for cell in [wrong(), error(), Cell::Missing { detail }] {
            let column = column("direct", &[("rust", "a", cell)]);
            assert_eq!(failed(&column, &flows), ["a"]);
        }
        assert_eq!(failed(&column("direct", &[]), &flows), ["a"]);
    }

    #[test]
    fn just_the_devices_are_refused_that_have_to_be() {
        let flows = [Flow {
            refuses: true,
            ..flow("a", &[])
        }];
        let refused = |devices: &[u32]| Cell::Refused {
            devices: devices.into(),
            detail: "why".into(),
        };
        let passes = |machine, cell| {
            let column = column(machine, &[("rust", "a", cell)]);
            let tests = super::tests(&column, &flows, &[], Selection::ALL);
            tests[0].verdict == Verdict::Passed
        };
        assert!(passes("direct", Cell::Ok) && !passes("direct", refused(&[0])));
        assert!(passes("mixed", refused(&[0])) && !passes("mixed", refused(&[1])));
        assert!(!passes("mixed", Cell::Ok) && !passes("mixed", refused(&[0, 1])));
        let absent = Cell::Absent {
            detail: "why".into(),
        };
        assert!(!passes("direct", absent));
    }

    #[test]
    fn others_than_the_driver_under_test_never_fail_the_run() {
        let flows = [flow("a", &[])];
        let cells = [
            ("rust", "a", Cell::Ok),
            ("c", "a", wrong()),
            ("heap", "a", error()),
        ];
        assert_eq!(failed(&column("direct", &cells), &flows), NONE);
    }

    #[test]
    fn health_is_part_of_the_verdict() {
        let flows = [flow("a", &[])];
        let mut column = column("direct", &[("rust", "a", Cell::Ok)]);
        column.health.push(Test {
            path: vec!["cache model".into()],
            verdict: Verdict::Failed(vec!["its report is not whole".into()]),
        });
        assert_eq!(failed(&column, &flows), ["cache model"]);
    }
}
