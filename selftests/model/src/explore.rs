// SPDX-License-Identifier: GPL-2.0

//! Every interleaving of the agents of many scripts, for a model checker.

use stateright::{Checker, Model, Path, Property};

use crate::{
    oracle::{Oracle, Start},
    run::{self, Found, Next, Rules},
    script::{Choice, Op, Script},
    world::{Change, Step, World, WORDS},
};

/// How far an agent is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Agent {
    /// Choices of which all is over.
    over: usize,
    /// What was chosen of the present one, and how many of its operations are over.
    chosen: Option<(usize, usize)>,
    /// Results of the accesses of the present one.
    results: Vec<u64>,
    start: Start,
    /// What was under the mutex, for an operation that goes on when it has unlocked.
    found: Option<Found>,
}

impl Agent {
    /// What it does, once it has chosen.
    fn op(&self, choices: &[Choice]) -> Option<Op> {
        let (chosen, done) = self.chosen?;
        Some(choices[self.over][chosen][done])
    }

    /// That is over.
    fn go_on(&mut self, choices: &[Choice]) {
        let Some((chosen, done)) = &mut self.chosen else {
            return;
        };
        *done += 1;
        if *done == choices[self.over][*chosen].len() {
            self.over += 1;
            self.chosen = None;
        }
    }
}

/// A state of a script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    script: usize,
    world: World,
    oracle: Oracle,
    agents: Vec<Agent>,
    wrong: bool,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// An agent's next access. If it has to choose, what it chooses.
    Agent {
        number: usize,
        choice: usize,
    },
    /// An agent's oldest store becomes visible.
    Drain(usize),
    /// The CPU fetches a line, or gives one up.
    Fetch(usize),
    Evict(usize),
}

/// Scripts, and the rules that they are run by.
pub struct Exploration {
    pub scripts: Vec<Script>,
    pub rules: Rules,
}

impl Model for Exploration {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let state = |(index, script): (usize, &Script)| State {
            script: index,
            world: World::new(script.agents.len()),
            oracle: Oracle::default(),
            agents: vec![Agent::default(); script.agents.len()],
            wrong: false,
        };
        self.scripts.iter().enumerate().map(state).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let script = &self.scripts[state.script];
        if state.wrong {
            return;
        }
        let mut working = false;
        for (number, agent) in state.agents.iter().enumerate() {
            if let Some(choice) = script.agents[number].get(agent.over) {
                working = true;
                let choices = match agent.chosen {
                    Some((chosen, _)) => chosen..chosen + 1,
                    None => 0..choice.len(),
                };
                actions.extend(choices.map(|choice| Action::Agent { number, choice }));
            }
            if !state.world.is_drained(number) {
                actions.push(Action::Drain(number));
            }
        }
        if working && script.has_cache() {
            for line in 0..WORDS {
                actions.push(match state.world.is_cached(line) {
                    true => Action::Evict(line),
                    false => Action::Fetch(line),
                });
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let script = &self.scripts[last.script];
        let mut state = last.clone();
        match action {
            Action::Agent { number, choice } => {
                state.agents[number].chosen.get_or_insert((choice, 0));
                state.advance(script, self.rules, number)?;
            }
            Action::Drain(agent) => {
                if state.world.drain(agent) {
                    state.oracle.drained();
                }
            }
            Action::Fetch(line) => state.world.fetch(line),
            Action::Evict(line) => state.world.evict(line),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(
            "what is read was not superseded",
            |_, state: &State| !state.wrong,
        )]
    }
}

impl State {
    /// An agent's next access; nothing if it has to wait.
    fn advance(&mut self, script: &Script, rules: Rules, number: usize) -> Option<()> {
        let op = self.agents[number].op(&script.agents[number])?;
        let own = !self.world.is_drained(number);
        let touched = match op {
            Op::Load { byte } | Op::Store { byte, .. } => Some(byte),
            _ => None,
        };
        let is_new = self.agents[number].results.is_empty();
        let has_entry = |byte| self.world.has_entry(number, byte) && is_new;
        match op {
            _ if script.automatic.is_some() && touched.is_some_and(|byte| !has_entry(byte)) => {
                // It faults, and is tried once more.
                return self.operate(script, rules, number, op);
            }
            Op::Load { byte } => {
                let value = self.world.cpu_load(number, byte);
                self.wrong |= !self.oracle.cpu_may_read(byte, value, own);
            }
            Op::Store { byte, value } => {
                self.world.cpu_store(number, byte, value, script.buffered);
                self.oracle.cpu_wrote(byte, value, script.buffered);
            }
            Op::DeviceLoad { device, byte } => {
                let value = self.world.device_load(script, device, byte);
                self.wrong |= !self.oracle.device_may_read(script, device, byte, value);
            }
            Op::DeviceStore {
                device,
                byte,
                value,
            } => {
                self.world.device_store(script, device, byte, value);
                self.oracle.device_wrote(script, device, byte, value);
            }
            Op::Begin(_)
            | Op::End(_)
            | Op::Map { .. }
            | Op::Unmap { .. }
            | Op::MapInVain { .. }
            | Op::BeginDevice { .. }
            | Op::EndDevice { .. } => {
                if is_new {
                    self.agents[number].start = self.oracle.start(own);
                }
                return self.operate(script, rules, number, op);
            }
        }
        self.agents[number].go_on(&script.agents[number]);
        Some(())
    }

    /// The next access of an operation of the module.
    fn operate(&mut self, script: &Script, rules: Rules, number: usize, op: Op) -> Option<()> {
        let next = self.next(script, rules, number, op);
        let Some(step) = next.step else {
            // There was nothing to do.
            self.finish(script, number, op);
            return Some(());
        };
        let result = self.world.step(number, step, script.buffered)?;
        let goes_on = self.world.holds(number);
        match step {
            Step::Lock if goes_on => self.agents[number].found = Some(Found::new(&self.world)),
            Step::Unlock => {
                self.world.twins = next.twins;
                self.commit(number, op, next.change, next.opens);
            }
            Step::Release => self.world.noted = next.noted,
            _ => {}
        }
        self.agents[number].results.push(result);
        // Unlocking is the last thing that any of them does, unless it has the other mutex as well.
        let over = (step == Step::Unlock && !goes_on)
            || self.next(script, rules, number, op).step.is_none();
        if over {
            self.finish(script, number, op);
        }
        Some(())
    }

    /// An operation of the module is over. A touch that faulted is yet to be done.
    fn finish(&mut self, script: &Script, number: usize, op: Op) {
        let agent = &mut self.agents[number];
        self.oracle.end(script, op, agent.start);
        *agent = Agent {
            over: agent.over,
            chosen: agent.chosen,
            ..Agent::default()
        };
        if !matches!(op, Op::Load { .. } | Op::Store { .. }) {
            agent.go_on(&script.agents[number]);
        }
    }

    fn next(&self, script: &Script, rules: Rules, number: usize, op: Op) -> Next {
        let agent = &self.agents[number];
        run::next(
            script,
            rules,
            &self.world,
            op,
            &agent.results,
            agent.found.as_ref(),
        )
    }

    /// What was changed under the mutex.
    fn commit(&mut self, number: usize, op: Op, change: Option<Change>, opens: bool) {
        self.world.history.extend(change);
        if opens {
            self.world.open.push(number);
        }
        if matches!(op, Op::End(access) if access.of_cpu().has_to_device()) {
            let open = &mut self.world.open;
            if let Some(at) = open.iter().position(|opener| *opener == number) {
                open.remove(at);
            }
        }
    }
}

/// What came of an exploration.
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// The machine and what leads to a wrong read, if anything does.
    pub wrong: Option<String>,
}

/// Explores all of it, or until something is wrong.
pub fn explore(scripts: Vec<Script>, rules: Rules) -> Explored {
    let checker = Exploration { scripts, rules }.checker();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = checker.threads(threads).spawn_bfs().join();
    let wrong = checker
        .discoveries()
        .into_values()
        .next()
        .map(|path| told(checker.model(), path));
    Explored {
        states: checker.unique_state_count(),
        wrong,
    }
}

/// What happens on the way, with each agent's operations, of which some are of many accesses.
fn told(model: &Exploration, path: Path<State, Action>) -> String {
    let machine = &model.scripts[path.last_state().script];
    let steps = path.into_vec().into_iter().filter_map(|(state, action)| {
        let action = action?;
        let Action::Agent { number, choice } = action else {
            return Some(format!("{action:?}"));
        };
        let mut agent = state.agents[number].clone();
        agent.chosen.get_or_insert((choice, 0));
        let op = agent.op(&machine.agents[number])?;
        Some(format!("{number}: {op:?}"))
    });
    let steps = steps.collect::<Vec<_>>().join(", ");
    let Script {
        classes, automatic, ..
    } = machine;
    format!("{classes:?}, automatic {automatic:?}: {steps}")
}
