//! Smallest scenario and tape with the same failure, and the reports about them.

mod document;
mod edits;
mod report;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sandhog_lab::replay::{Replay, replay_with};
use sandhog_lab::search::{Failure, Shrunk, shrink_until};
use sandhog_lab::setup::Setup;
use sandhog_lab::tape::{Fault, Tape};
use toml::Table;

use crate::scenario::{Client, DEFAULT_SEED};
use crate::{Detail, RunError, RunOptions, Scenario};

pub use document::{Document, NAME};
pub use report::{sentence, story, test};

/// Largest number of runs of the search for a smaller scenario. A run takes a few milliseconds.
const MAX_RUNS: u64 = 2_000;

/// A shrunk scenario with its tape.
#[derive(Clone, Debug)]
pub struct ShrunkScenario<'a> {
    /// The scenario. Its title is the sentence of the failure.
    pub document: Document<'a>,
    /// The tape. It names the scenario [`NAME`].
    pub tape: Tape,
    /// The failure of the tape with this scenario.
    pub failure: Failure,
    /// The shrunk tape of the whole scenario.
    pub whole: Shrunk,
    /// Number of runs.
    pub runs: u64,
}

/// Shrinks a tape, and then the scenario: hosts, links, events, expected results, steps and keys that the failure does not
/// need are removed, and times, numbers and sizes become smaller. `None` if the tape does not fail.
///
/// # Errors
///
/// The scenario cannot run, or the tape does not fit it.
pub fn shrink_scenario<'a>(
    document: &Document<'a>,
    tape: &Tape,
) -> Result<Option<ShrunkScenario<'a>>, RunError> {
    shrink_scenario_until(document, tape, &mut || ControlFlow::Continue(()))
}

/// As [`shrink_scenario`]. `on_run` is called before each candidate, and can end the search early. The result is then the
/// smallest scenario and tape so far.
///
/// # Errors
///
/// As [`shrink_scenario`].
pub fn shrink_scenario_until<'a>(
    document: &Document<'a>,
    tape: &Tape,
    on_run: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Option<ShrunkScenario<'a>>, RunError> {
    let Some(whole) = shrink_until(&document.scenario().setup(), tape, None, on_run)? else {
        return Ok(None);
    };
    let mut search = Search {
        document: document.clone(),
        tape: Tape {
            setup: NAME.into(),
            ..whole.tape.clone()
        },
        failure: whole.failure.clone(),
        without_faults: None,
        tried: BTreeSet::new(),
        runs: whole.runs,
        last_run: whole.runs + MAX_RUNS,
        on_run,
    };
    search.without_faults = search.failure_without_faults(document.scenario(), tape.seed)?;
    loop {
        let before = (search.document.to_string(), search.tape.entries.len());
        search.remove_hosts();
        search.take(edits::fewer_elements);
        search.take(edits::fewer_keys);
        search.shorten_values();
        search.simplify_seed();
        search.shrink_tape()?;
        if (search.document.to_string(), search.tape.entries.len()) == before {
            break;
        }
    }
    search.shorten_duration();
    Ok(Some(search.finish(whole)))
}

/// The smallest scenario and tape so far.
struct Search<'a, 'b> {
    document: Document<'a>,
    tape: Tape,
    failure: Failure,
    /// The failure of the whole scenario without the faults of the tape, if it fails.
    without_faults: Option<Failure>,
    /// The texts of the candidates so far.
    tried: BTreeSet<String>,
    runs: u64,
    /// The search ends after this number of runs.
    last_run: u64,
    on_run: &'b mut dyn FnMut() -> ControlFlow<()>,
}

impl<'a> Search<'a, '_> {
    /// Replaces scenario and tape by a candidate, if it has the same failure. Returns true then.
    fn accept(&mut self, root: Table, tape: Tape) -> bool {
        if self.runs >= self.last_run || !self.tried.insert(format!("{root}\n{tape}")) {
            return false;
        }
        if (self.on_run)().is_break() {
            self.last_run = self.runs;
            return false;
        }
        let Some(document) = self.document.with_root(root) else {
            return false;
        };
        if !keeps_users(self.document.scenario(), document.scenario()) {
            return false;
        }
        self.runs += 1;
        let Ok(replay) = replayed(&document.scenario().setup(), &tape) else {
            return false;
        };
        let Some(failure) = self.failure.again_in(&replay.run) else {
            return false;
        };
        if !self.fails_for_the_faults(document.scenario(), &tape) {
            return false;
        }
        (self.document, self.tape, self.failure) = (document, tape, failure);
        true
    }

    /// Returns true if the faults of the tape are still the cause: without them, the candidate fails no more than the whole
    /// scenario did. So its test passes once the failure is repaired.
    fn fails_for_the_faults(&mut self, scenario: &Scenario, tape: &Tape) -> bool {
        if tape.entries.is_empty() {
            return true;
        }
        match (
            self.failure_without_faults(scenario, tape.seed),
            &self.without_faults,
        ) {
            (Ok(None), _) => true,
            (Ok(Some(found)), Some(wanted)) => wanted.is_same(&found),
            _ => false,
        }
    }

    fn failure_without_faults(
        &mut self,
        scenario: &Scenario,
        seed: u64,
    ) -> Result<Option<Failure>, RunError> {
        self.runs += 1;
        let tape = Tape {
            setup: NAME.into(),
            seed,
            entries: Vec::new(),
        };
        Ok(Failure::of(&replayed(&scenario.setup(), &tape)?.run))
    }

    fn accept_root(&mut self, root: Table) -> bool {
        self.accept(root, self.tape.clone())
    }

    /// Removes hosts, and the faults of the tape that name them.
    fn remove_hosts(&mut self) {
        for name in edits::host_names(self.document.root()) {
            let root = edits::without_host(self.document.root(), &name);
            let left = edits::host_names(&root);
            let mut tape = self.tape.clone();
            tape.entries.retain(|entry| {
                let (ends, host) = (&entry.datagrams, faulty_host(&entry.fault));
                let names = [Some(ends.sender.as_str()), Some(ends.receiver.as_str()), host];
                names
                    .into_iter()
                    .flatten()
                    .all(|name| left.iter().any(|other| other == name))
            });
            self.accept(root, tape);
        }
    }

    /// Takes each candidate that has the same failure. After a success, the candidates are made again, and those before it are
    /// not repeated.
    fn take(&mut self, candidates: fn(&Table) -> Vec<Table>) {
        let mut number = 0;
        while let Some(root) = candidates(self.document.root()).into_iter().nth(number) {
            if !self.accept_root(root) {
                number += 1;
            }
        }
    }

    /// Makes each value as small as possible.
    fn shorten_values(&mut self) {
        let count = edits::shorter_values(self.document.root()).len();
        for number in 0..count {
            // A change keeps the places of all values.
            let candidates = edits::shorter_values(self.document.root())
                .into_iter()
                .nth(number);
            for root in candidates.into_iter().flatten() {
                if self.accept_root(root) {
                    break;
                }
            }
        }
    }

    /// Shortens the run, unless the failure is that something did not finish in time.
    fn shorten_duration(&mut self) {
        if self.failure.is_about_time() {
            return;
        }
        for root in edits::shorter_durations(self.document.root()) {
            if self.accept_root(root) {
                break;
            }
        }
    }

    /// Uses the default seed, if the failure does not need its own.
    fn simplify_seed(&mut self) {
        if self.tape.seed != DEFAULT_SEED {
            let tape = Tape {
                seed: DEFAULT_SEED,
                ..self.tape.clone()
            };
            self.accept(self.document.root().clone(), tape);
        }
    }

    /// Shrinks the tape again, because the smaller scenario may need fewer faults.
    fn shrink_tape(&mut self) -> Result<(), RunError> {
        let setup = self.document.scenario().setup();
        let Some(shrunk) = shrink_until(&setup, &self.tape, None, self.on_run)? else {
            return Ok(());
        };
        self.runs += shrunk.runs;
        let run = replayed(&setup, &shrunk.tape)?.run;
        let document = self.document.clone();
        if let Some(failure) = self.failure.again_in(&run)
            && self.fails_for_the_faults(document.scenario(), &shrunk.tape)
        {
            (self.tape, self.failure) = (shrunk.tape, failure);
        }
        Ok(())
    }

    fn finish(self, whole: Shrunk) -> ShrunkScenario<'a> {
        let mut root = self.document.root().clone();
        root.insert("title".into(), sentence(&self.tape, &self.failure).into());
        if self.tape.seed != DEFAULT_SEED
            && let Ok(seed) = i64::try_from(self.tape.seed)
        {
            root.insert("seed".into(), seed.into());
        }
        // The old title stays if the sentence is not a valid one.
        let document = self.document.with_root(root).unwrap_or(self.document);
        ShrunkScenario {
            document,
            tape: self.tape,
            failure: self.failure,
            whole,
            runs: self.runs,
        }
    }
}

fn replayed(setup: &Setup, tape: &Tape) -> Result<Replay, RunError> {
    let options = RunOptions {
        detail: Detail::Digest,
        ..RunOptions::default()
    };
    replay_with(setup, tape, &options)
}

/// Returns true if the user of each client is still known at the server, because an unknown user fails for another reason than a
/// wrong password.
fn keeps_users(old: &Scenario, new: &Scenario) -> bool {
    let is_known = |scenario: &Scenario, client: &Client| {
        let mut servers = scenario
            .servers
            .iter()
            .filter(|server| server.name == client.server);
        servers.any(|server| server.users.iter().any(|user| user.login == client.login))
    };
    let mut clients = new.clients.iter();
    clients.all(|client| !is_known(old, client) || is_known(new, client))
}

/// The host that a fault is about, if it is not about a datagram.
fn faulty_host(fault: &Fault) -> Option<&str> {
    match fault {
        Fault::Rebind { host, .. } | Fault::Crash { host, .. } => Some(host),
        _ => None,
    }
}
