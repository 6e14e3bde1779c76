// SPDX-License-Identifier: GPL-2.0

//! What is run on a machine, and which controls have to go red there.

use std::time::Duration;

use anyhow::{Result, bail};
use object::elf;
use protocol::Driver;

use super::flows::{COST, Flow};
use crate::{
    machine::{Judge, Machine},
    variant::Patch,
};

/// The label of runs with the driver under test.
pub const RUST: &str = "rust";

/// The label of runs with the driver in the kernel, which is a control for some flows too.
pub const C: &str = "c";

/// The label of the run with the system heap, which is what users would have instead.
pub const HEAP: &str = "heap";

/// How long the program may take in the guest, whatever it runs (chance alone gets a minute), and
/// for each flow.
const BASE: Duration = Duration::from_secs(180);
const EACH: Duration = Duration::from_secs(10);

/// The header line of a patch that says where it is noticed.
const NOTICED_BY: &str = "noticed-by";

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The driver under test.
    pub rust: bool,
    /// The driver in the kernel.
    pub c: bool,
    /// The system heap.
    pub heap: bool,
    /// The controls.
    pub controls: bool,
}

impl Selection {
    /// Everything.
    pub const ALL: Selection = Selection {
        rust: true,
        c: true,
        heap: true,
        controls: true,
    };
}

/// Where a control can be noticed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// Wherever a missing sync can.
    Everywhere,
    /// Only where that is in the data.
    Data,
    /// Only where that is in the model.
    Model,
}

/// A variant of the module that breaks what some flows prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// How to make it.
    pub patch: Patch,
    place: Where,
}

impl Control {
    /// The control that a patch is. It may say in its header that it is one on some machines only:
    /// "# noticed-by: data" where a missing sync shows in the data, "# noticed-by: model" where it
    /// does in the cache model.
    pub fn new(patch: Patch) -> Result<Self> {
        let place = match patch.header(NOTICED_BY).next() {
            None => Where::Everywhere,
            Some("data") => Where::Data,
            Some("model") => Where::Model,
            Some(other) => bail!(
                "{}: '# {NOTICED_BY}: {other}' should say data or model",
                patch.file.display()
            ),
        };
        Ok(Control { patch, place })
    }

    fn applies(&self, machine: &dyn Machine) -> bool {
        match (machine.judge(), self.place) {
            (Judge::Nothing, _) => false,
            (_, Where::Everywhere) => true,
            (judge, Where::Data) => judge == Judge::Data,
            (judge, Where::Model) => judge == Judge::Model,
        }
    }
}

/// The controls that flows name, each once; `c` is none of the patches.
pub fn controls(flows: &[Flow], patches: &[Patch]) -> Result<Vec<Control>> {
    let mut all: Vec<Control> = Vec::new();
    for flow in flows {
        for name in flow.controls.iter().filter(|name| *name != C) {
            if all.iter().any(|control| control.patch.name == *name) {
                continue;
            }
            let Some(patch) = patches.iter().find(|patch| patch.name == *name) else {
                bail!(
                    "flow {} names the control {name}, and there is no selftests/mutants/{name}.patch",
                    flow.name
                );
            };
            all.push(Control::new(patch.clone())?);
        }
    }
    Ok(all)
}

/// Whether there is anything to sync for the misc device of the driver in the kernel, so that
/// the driver is a control here. No device tree calls that device coherent, and it reaches all
/// memory: it is synced on arm64, even where all real devices snoop, and where every device is
/// bounced.
pub fn pseudo_device_needs_syncing(machine: &dyn Machine) -> bool {
    match machine.judge() {
        Judge::Nothing | Judge::Model => has_model(machine),
        Judge::Data => machine.always_bounces(),
    }
}

/// The controls of a flow that have to go red on a machine.
pub fn controls_of<'a>(
    flow: &'a Flow,
    machine: &dyn Machine,
    controls: &[Control],
) -> Vec<&'a str> {
    let applies = |name: &&str| match *name {
        C => pseudo_device_needs_syncing(machine),
        // A sync that is missing cannot show where none is needed.
        name => {
            machine.judge() != Judge::Nothing
                && controls
                    .iter()
                    .any(|control| control.patch.name == name && control.applies(machine))
        }
    };
    flow.controls
        .iter()
        .map(String::as_str)
        .filter(applies)
        .collect()
}

/// What makes the buffers of a run of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A driver.
    Driver(Driver),
    /// The system heap.
    Heap,
    /// The variant of that name.
    Control(String),
}

/// One run of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What its results are filed under.
    pub label: String,
    /// What it is about.
    pub subject: Subject,
    /// Its flows.
    pub flows: Vec<String>,
}

impl Run {
    fn new(label: &str, subject: Subject, flows: Vec<String>) -> Self {
        Run {
            label: label.to_owned(),
            subject,
            flows,
        }
    }

    /// How long it may take.
    pub fn limit(&self) -> Duration {
        BASE + EACH * self.flows.len() as u32
    }
}

/// Whether the cache model understands the machine: it knows the cache operations of arm64 only.
/// Others have none that a driver would use for DMA.
pub fn has_model(machine: &dyn Machine) -> bool {
    machine.board().elf.contains(&elf::EM_AARCH64)
}

/// Has each driver's cost measured after its flows.
pub fn add_cost(runs: &mut Vec<Run>) {
    let mut with = Vec::new();
    for run in runs.drain(..) {
        let cost = match run.subject {
            Subject::Driver(_) => Some(vec![COST.to_owned()]),
            Subject::Heap | Subject::Control(_) => None,
        };
        let cost = cost.map(|cost| Run::new(&run.label, run.subject.clone(), cost));
        with.push(run);
        with.extend(cost);
    }
    *runs = with;
}

/// The runs on a machine, in order: a broken variant can leave the kernel in any state, so these come last.
pub fn runs(
    machine: &dyn Machine,
    flows: &[Flow],
    controls: &[Control],
    selection: Selection,
) -> Vec<Run> {
    let all = || flows.iter().map(|flow| flow.name.clone()).collect();
    let naming = |name: &str| {
        let flows = flows.iter();
        let flows = flows.filter(|flow| controls_of(flow, machine, controls).contains(&name));
        flows.map(|flow| flow.name.clone()).collect::<Vec<_>>()
    };
    let mut runs = Vec::new();
    if selection.rust {
        runs.push(Run::new(RUST, Subject::Driver(Driver::Rust), all()));
    }
    if selection.c {
        runs.push(Run::new(C, Subject::Driver(Driver::C), all()));
    } else if selection.controls && !naming(C).is_empty() {
        runs.push(Run::new(C, Subject::Driver(Driver::C), naming(C)));
    }
    let heap = flows.iter().filter(|flow| flow.heap);
    let heap: Vec<_> = heap.map(|flow| flow.name.clone()).collect();
    if selection.heap && !heap.is_empty() {
        runs.push(Run::new(HEAP, Subject::Heap, heap));
    }
    if selection.controls {
        for control in controls {
            let name = &control.patch.name;
            let flows = naming(name);
            if !flows.is_empty() {
                runs.push(Run::new(name, Subject::Control(name.clone()), flows));
            }
        }
    }
    runs
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::machine;

    /// A flow with these controls.
    pub fn flow(name: &str, controls: &[&str]) -> Flow {
        Flow {
            name: name.into(),
            title: format!("the flow {name}"),
            heap: false,
            refuses: false,
            controls: controls.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn patch(name: &str, header: &str) -> Patch {
        Patch::for_tests(name, &format!("{header}\n--- a/x\n"))
    }

    fn machine(name: &str) -> &'static dyn Machine {
        machine::find(name).unwrap()
    }

    fn example() -> (Vec<Flow>, Vec<Control>) {
        let flows = vec![
            Flow {
                heap: true,
                ..flow("to_device", &["no-end"])
            },
            flow("unattached", &["c"]),
            flow("bounced", &["two-writers", "no-end"]),
        ];
        let patches = [
            patch("no-end", "# expect: data:x on direct"),
            patch("two-writers", "# noticed-by: data"),
            patch("other", "# control:"),
        ];
        let controls = controls(&flows, &patches).unwrap();
        (flows, controls)
    }

    #[test]
    fn controls_are_those_that_flows_name() {
        let (_, controls) = example();
        let names: Vec<_> = controls.iter().map(|c| c.patch.name.as_str()).collect();
        assert_eq!(names, ["no-end", "two-writers"]);
        assert!(super::controls(&[flow("a", &["nowhere"])], &[]).is_err());
        assert!(Control::new(patch("x", "# noticed-by: chance")).is_err());
    }

    #[test]
    fn controls_are_run_where_they_can_be_noticed() {
        let (flows, controls) = example();
        let labels = |name: &str| {
            let runs = runs(machine(name), &flows, &controls, Selection::ALL);
            let label = |run: Run| format!("{} {}", run.label, run.flows.len());
            runs.into_iter().map(label).collect::<Vec<_>>()
        };
        assert_eq!(labels("x86_64-direct"), ["rust 3", "c 3", "heap 1"]);
        assert_eq!(
            labels("x86_64-swiotlb"),
            ["rust 3", "c 3", "heap 1", "no-end 2", "two-writers 1"]
        );
        assert_eq!(
            labels("arm64-noncoherent"),
            ["rust 3", "c 3", "heap 1", "no-end 2"]
        );
    }

    #[test]
    fn the_c_driver_is_a_control_where_its_pseudo_device_needs_syncing() {
        for (name, is) in [
            ("x86_64-direct", false),
            ("x86_64-swiotlb", true),
            ("x86_64-iommu", false),
            ("x86_64-28bit", false),
            ("arm64-coherent", true),
            ("arm64-noncoherent", true),
            ("arm64-smmu", true),
            ("arm64-mixed", true),
        ] {
            assert_eq!(pseudo_device_needs_syncing(machine(name)), is, "{name}");
        }
    }

    #[test]
    fn cost_is_measured_once_per_driver() {
        let (flows, controls) = example();
        let mut runs = runs(machine("noncoherent"), &flows, &controls, Selection::ALL);
        add_cost(&mut runs);
        let shown: Vec<_> = runs
            .iter()
            .map(|run| (run.label.as_str(), run.flows.len()))
            .collect();
        assert_eq!(
            shown,
            [
                ("rust", 3),
                ("rust", 1),
                ("c", 3),
                ("c", 1),
                ("heap", 1),
                ("no-end", 2)
            ]
        );
        assert_eq!(runs[1].flows, ["cost"]);
    }

    #[test]
    fn a_part_can_be_chosen() {
        let (flows, controls) = example();
        let run = |selection| runs(machine("swiotlb"), &flows, &controls, selection);
        let none = Selection {
            rust: false,
            c: false,
            heap: false,
            controls: false,
        };
        let rust = Selection { rust: true, ..none };
        assert_eq!(run(rust).len(), 1);
        let heap = Selection { heap: true, ..none };
        assert_eq!(run(heap)[0].flows, ["to_device"]);
        let controls = run(Selection {
            controls: true,
            ..none
        });
        let labels: Vec<_> = controls.iter().map(|run| run.label.as_str()).collect();
        assert_eq!(labels, ["c", "no-end", "two-writers"]);
        assert_eq!(controls[0].flows, ["unattached"]);
    }
}
