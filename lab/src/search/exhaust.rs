//! Exhaustive search: every schedule of a few faults in the first datagrams of a run.
//!
//! A schedule gives some datagrams one fault each. Datagrams are numbered in the order in which they leave. The search runs the
//! schedule without faults, then those with one fault, and so on. Three rules leave runs out, or parts of them:
//!
//! - A fault of a datagram that is never sent changes nothing.
//! - If the state before a datagram equals a state that was explored before, with at least as many datagrams and faults left,
//!   then all schedules from there on end in the same way. Both runs must also continue equally without further faults.
//! - A run that reaches a state after its last fault that another run had after its last fault stops there. It has the result of
//!   the other run. In both runs, no check has failed before that state.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::ops::ControlFlow;

use sandhog_peer::Instant;

use super::bounds::{Bounds, Start};
use super::certificate::{Certificate, CertificateError};
use super::endings::Endings;
use super::failure::Failure;
use super::faults::FaultKind;
use super::schedule::{FailingSchedule, Schedule, Schedules};
use super::tree::{Node, Runner, StateKey};
use crate::net::Faults;
use crate::record::Record;
use crate::run::{RunError, RunOptions, run_world};
use crate::setup::Setup;
use crate::suggest::nearest;
use crate::tape::Tape;

/// The reason why a search is not possible.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SearchError {
    /// The setup cannot run.
    Run(RunError),
    /// The run without faults fails already.
    Baseline(Failure),
    /// The run without faults has no such record.
    NoStart(String),
    /// The bounds allow no fault.
    Empty,
    /// The bounds allow more faults than datagrams.
    TooManyFaults {
        /// Largest number of faults of a schedule.
        faults: u32,
        /// Number of datagrams that can have a fault.
        datagrams: u32,
    },
    /// The check of a certificate was interrupted.
    Interrupted,
    /// The certificate is wrong.
    Certificate(CertificateError),
}

impl fmt::Display for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(error) => error.fmt(f),
            Self::Certificate(error) => error.fmt(f),
            Self::Baseline(failure) => write!(f, "the run without faults fails already: {failure}"),
            Self::NoStart(start) => write!(f, "the run without faults has no record {start}"),
            Self::TooManyFaults { faults, datagrams } => write!(
                f,
                "a schedule gives each datagram at most one fault, so {faults} faults do not fit into {datagrams} datagrams; \
                 use at most {datagrams} faults, or more datagrams"
            ),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Empty => {
                f.write_str("the bounds allow no fault: datagrams, faults and kinds must not be 0")
            }
        }
    }
}

impl Error for SearchError {}

impl From<RunError> for SearchError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

/// Progress of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of runs so far.
    pub runs: u64,
    /// Number of failed runs so far.
    pub failed: u64,
    /// Number of faults of the present schedules.
    pub faults: u32,
}

/// Result of a search.
#[derive(Clone, Debug)]
pub struct Exhausted {
    /// Bounds, counts and failing schedules.
    pub certificate: Certificate,
    /// The failing schedules, those with the fewest faults first. A pruned schedule has the failure of its equal.
    pub failing: Vec<FailingSchedule>,
    /// Tapes of the failing schedules without a failing part, with their failures.
    pub tapes: Vec<(Tape, Failure)>,
    /// False if the search was interrupted.
    pub complete: bool,
}

/// Largest number of failing schedules in a result.
const MAX_FAILING: usize = 100_000;

/// Largest number of tapes in a result.
const MAX_TAPES: usize = 100;

/// An explored state: the run and the datagram with it, and the bounds from there on.
#[derive(Clone, Copy, Debug)]
struct Explored {
    node: usize,
    ordinal: u32,
    datagrams: u32,
    faults: u32,
}

/// The schedules explored so far.
struct Search<'a> {
    bounds: &'a Bounds,
    runner: Runner<'a>,
    nodes: Vec<Node>,
    /// Children of each node, by ordinal and kind.
    children: BTreeMap<(usize, u32, FaultKind), usize>,
    /// For a node whose later states were explored before: the datagram, and the explored state.
    links: BTreeMap<usize, (u32, Explored)>,
    explored: BTreeMap<StateKey, Vec<Explored>>,
    endings: Endings,
    complete: bool,
}

/// Runs all schedules within the bounds. `progress` is called after each run, and can end the search early.
///
/// # Errors
///
/// [`SearchError`] if the setup has a mistake, the run without faults fails, or the bounds are empty.
pub fn exhaust(
    setup: &Setup,
    bounds: &Bounds,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Exhausted, SearchError> {
    Ok(search(setup, bounds, progress)?.result())
}

/// Checks a certificate: searches again, compares the result, and runs one of a hundred pruned schedules in full.
///
/// # Errors
///
/// As [`exhaust`]. A certificate of another setup or another result is a [`SearchError::Certificate`]. If `progress` ends the
/// check early, the error is [`SearchError::Interrupted`].
pub fn verify(
    setup: &Setup,
    certificate: &Certificate,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Verified, SearchError> {
    certificate.check_setup(setup).map_err(SearchError::Certificate)?;
    let search = search(setup, &certificate.bounds, progress)?;
    if !search.complete {
        return Err(SearchError::Interrupted);
    }
    let to_the_end = search.nodes.iter().filter(|node| !node.is_stopped);
    let ran: BTreeSet<&Schedule> = to_the_end.map(|node| &node.schedule).collect();
    let failing = search.failing();
    let again = search.certificate(&failing);
    certificate
        .check_result(&again)
        .map_err(SearchError::Certificate)?;
    let failing: BTreeSet<&Schedule> = failing.iter().map(|failing| &failing.schedule).collect();
    let mut verified = Verified {
        runs: search.nodes.len() as u64,
        checked: 0,
        wrong: Vec::new(),
    };
    for (number, schedule) in (0_u64..).zip(Schedules::new(&certificate.bounds)) {
        if ran.contains(&schedule) || number % SAMPLE != 0 {
            continue;
        }
        let node = search.runner.run(&schedule);
        let reached =
            |(ordinal, _): &&(u32, FaultKind)| ordinal + search.runner.skipped < node.left.len() as u32;
        let effective = Schedule(schedule.0.iter().filter(reached).copied().collect());
        verified.checked += 1;
        if failing.contains(&effective) != node.failure.is_some() {
            verified.wrong.push(schedule);
        }
        let counts = Progress {
            runs: verified.runs + verified.checked,
            failed: verified.wrong.len() as u64,
            faults: certificate.bounds.faults,
        };
        if progress(&counts).is_break() {
            return Err(SearchError::Interrupted);
        }
    }
    Ok(verified)
}

/// One pruned schedule of this many is run in full by [`verify`].
const SAMPLE: u64 = 100;

/// Result of the check of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of runs of the repeated search.
    pub runs: u64,
    /// Number of pruned schedules that were run in full.
    pub checked: u64,
    /// The pruned schedules with another result than their explored equal.
    pub wrong: Vec<Schedule>,
}

fn search<'a>(
    setup: &'a Setup,
    bounds: &'a Bounds,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Search<'a>, SearchError> {
    setup.validate().map_err(RunError::from)?;
    if bounds.datagrams == 0 || bounds.faults == 0 || bounds.kinds.is_empty() {
        return Err(SearchError::Empty);
    }
    let Bounds {
        faults, datagrams, ..
    } = *bounds;
    if faults > datagrams {
        return Err(SearchError::TooManyFaults { faults, datagrams });
    }
    let skipped = skipped(setup, bounds)?;
    let runner = Runner::new(setup, bounds.seed, bounds.values, skipped, bounds.datagrams);
    let mut endings = Endings::new(Instant::ZERO + setup.duration);
    let root = if bounds.prune {
        runner.run_to_known(&Schedule::default(), true, &mut endings)
    } else {
        runner.run(&Schedule::default())
    };
    if let Some(failure) = root.failure {
        return Err(SearchError::Baseline(failure));
    }
    let mut search = Search {
        bounds,
        runner,
        nodes: vec![root],
        children: BTreeMap::new(),
        links: BTreeMap::new(),
        explored: BTreeMap::new(),
        endings,
        complete: true,
    };
    search.explore(progress);
    Ok(search)
}

/// Number of datagrams before the start of the search.
fn skipped(setup: &Setup, bounds: &Bounds) -> Result<u32, SearchError> {
    let is_start = |record: &Record| match &bounds.start {
        Start::First => true,
        Start::Record(id) => record.id == *id,
        Start::Event(name) => record_has(record, name),
    };
    if bounds.start == Start::First {
        return Ok(0);
    }
    let options = RunOptions {
        seed: bounds.seed,
        ..RunOptions::default()
    };
    let faults = Faults {
        random: false,
        ..Faults::default()
    };
    let (_, records, _) = run_world(setup, &options, faults)?.trace.finish();
    let start = records
        .iter()
        .position(is_start)
        .ok_or_else(|| no_start(&bounds.start, &records))?;
    let sent = |record: &&Record| matches!(record.kind, crate::record::RecordKind::Sent { to: Some(_), .. });
    Ok(records.iter().take(start).filter(sent).count() as u32)
}

/// The error that no record of the run is the start, with the records that could be meant.
fn no_start(start: &Start, records: &[Record]) -> SearchError {
    SearchError::NoStart(match start {
        Start::First => String::new(),
        Start::Record(id) => {
            let last = records.last().map_or(0, |record| record.id);
            format!("{id}; it has the records 1 to {last}")
        }
        Start::Event(name) => {
            let mut names = BTreeSet::new();
            for record in records {
                names.insert(record.kind.name().to_owned());
                record.kind.fields(|_, value| {
                    if let crate::record::Value::Text(text) = value {
                        names.insert(text.to_owned());
                    }
                });
            }
            let names = names.iter().map(String::as_str);
            let advice = match nearest(name, names) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "the field `what` of trace.jsonl, which `run --out` writes, has their names".into(),
            };
            format!("`{name}`; {advice}")
        }
    })
}

/// Returns true if the kind of a record, or the text of one of its fields, is `name`.
fn record_has(record: &Record, name: &str) -> bool {
    let mut found = record.kind.name() == name;
    record.kind.fields(|_, value| {
        found |= matches!(value, crate::record::Value::Text(text) if text == name);
    });
    found
}

impl Search<'_> {
    fn explore(&mut self, progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>) {
        let mut frontier = vec![0];
        let mut counts = Progress {
            runs: 1,
            failed: 0,
            faults: 0,
        };
        for depth in 0..self.bounds.faults {
            if frontier.is_empty() {
                break;
            }
            counts.faults = depth + 1;
            let mut next = Vec::new();
            for node in frontier {
                for (ordinal, kind) in self.branches(node, self.bounds.faults - depth) {
                    let schedule = self.nodes[node].schedule.with(ordinal, kind);
                    let branches = depth + 1 < self.bounds.faults;
                    let child = if self.bounds.prune {
                        self.runner.run_to_known(&schedule, branches, &mut self.endings)
                    } else {
                        self.runner.run(&schedule)
                    };
                    counts.runs += 1;
                    counts.failed += u64::from(child.failure.is_some());
                    let index = self.nodes.len();
                    self.nodes.push(child);
                    self.children.insert((node, ordinal, kind), index);
                    next.push(index);
                    if progress(&counts).is_break() {
                        self.complete = false;
                        return;
                    }
                }
            }
            frontier = next;
        }
    }

    /// The faults that extend the schedule of a node, until a state that was explored before.
    fn branches(&mut self, node: usize, faults: u32) -> Vec<(u32, FaultKind)> {
        let mut branches = Vec::new();
        let first = self.nodes[node].schedule.first_free();
        let sent = self.nodes[node].left.len() as u32;
        let last = sent
            .saturating_sub(self.runner.skipped)
            .min(self.bounds.datagrams);
        for ordinal in first..last {
            if self.bounds.prune && self.is_explored(node, ordinal, faults) {
                break;
            }
            branches.extend(self.bounds.kinds.iter().map(|kind| (ordinal, *kind)));
        }
        branches
    }

    /// Looks up the state of a node before a datagram, and adds it if it is new.
    fn is_explored(&mut self, node: usize, ordinal: u32, faults: u32) -> bool {
        let states = &self.nodes[node].states;
        let state = states.iter().find(|(of, _)| *of == ordinal);
        let Some((_, Some(key))) = state else { return false };
        let datagrams = self.bounds.datagrams - ordinal;
        let skipped = self.runner.skipped;
        let covers = |explored: &&Explored| {
            explored.datagrams >= datagrams
                && explored.faults >= faults
                && self.nodes[node].continues_like(
                    (ordinal + skipped) as usize,
                    &self.nodes[explored.node],
                    (explored.ordinal + skipped) as usize,
                )
        };
        let known = self.explored.get(key).into_iter().flatten().find(covers).copied();
        match known {
            Some(known) => {
                self.links.insert(node, (ordinal, known));
                true
            }
            None => {
                let explored = Explored {
                    node,
                    ordinal,
                    datagrams,
                    faults,
                };
                let key = key.clone();
                self.explored.entry(key).or_default().push(explored);
                false
            }
        }
    }

    /// All failing schedules, those with the fewest faults first.
    fn failing(&self) -> Vec<FailingSchedule> {
        let mut failing = Vec::new();
        let Bounds {
            datagrams, faults, ..
        } = *self.bounds;
        self.collect(
            0,
            0,
            datagrams,
            faults,
            &Schedule::default(),
            0,
            true,
            &mut failing,
        );
        failing.sort_by(|a, b| (a.schedule.0.len(), &a.schedule).cmp(&(b.schedule.0.len(), &b.schedule)));
        failing
    }

    fn certificate(&self, failing: &[FailingSchedule]) -> Certificate {
        let stopped = self.nodes.iter().filter(|node| node.is_stopped).count() as u64;
        Certificate::new(
            self.runner.setup,
            self.bounds,
            self.nodes.len() as u64 - stopped,
            stopped,
            self.explored.len() as u64,
            failing,
        )
    }

    fn result(self) -> Exhausted {
        let failing = self.failing();
        let minimal = failing.iter().filter(|candidate| {
            !failing
                .iter()
                .any(|other| is_part(&other.schedule, &candidate.schedule))
        });
        let tapes = minimal.take(MAX_TAPES).filter_map(|failing| {
            let (run, tape) = self.runner.record(&failing.schedule);
            Some((tape, Failure::under_faults(&run)?))
        });
        Exhausted {
            tapes: tapes.collect(),
            certificate: self.certificate(&failing),
            failing,
            complete: self.complete,
        }
    }

    /// Adds the failing schedules that consist of `prefix` and the faults of `node` from datagram `from` on, at most `datagrams`
    /// and `faults`. `shift` is the difference between the ordinals of the prefix and of the node.
    #[expect(clippy::too_many_arguments, reason = "a recursion over the explored tree")]
    fn collect(
        &self,
        node: usize,
        from: u32,
        datagrams: u32,
        faults: u32,
        prefix: &Schedule,
        shift: i64,
        was_run: bool,
        failing: &mut Vec<FailingSchedule>,
    ) {
        if failing.len() >= MAX_FAILING {
            return;
        }
        if let Some(failure) = &self.nodes[node].failure {
            failing.push(FailingSchedule {
                schedule: prefix.clone(),
                failure: failure.clone(),
                was_run,
            });
        }
        if faults == 0 {
            return;
        }
        let until = from + datagrams;
        let children = self
            .children
            .range((node, from, FaultKind::Drop)..(node, until, FaultKind::Drop));
        for ((_, ordinal, kind), child) in children {
            let own = (i64::from(*ordinal) + shift) as u32;
            self.collect(
                *child,
                ordinal + 1,
                until - ordinal - 1,
                faults - 1,
                &prefix.with(own, *kind),
                shift,
                was_run,
                failing,
            );
        }
        if let Some((ordinal, known)) = self.links.get(&node).filter(|(ordinal, _)| *ordinal < until) {
            let ordinal = (*ordinal).max(from);
            let offset = ordinal - self.links[&node].0;
            self.collect_link(
                known,
                offset,
                until - ordinal,
                faults,
                prefix,
                shift + i64::from(ordinal) - i64::from(known.ordinal + offset),
                failing,
            );
        }
    }

    /// As [`collect`](Self::collect) for the faults of an explored state, without its own result.
    #[expect(clippy::too_many_arguments, reason = "a recursion over the explored tree")]
    fn collect_link(
        &self,
        known: &Explored,
        offset: u32,
        datagrams: u32,
        faults: u32,
        prefix: &Schedule,
        shift: i64,
        failing: &mut Vec<FailingSchedule>,
    ) {
        let from = known.ordinal + offset;
        let until = from + datagrams;
        let children = self
            .children
            .range((known.node, from, FaultKind::Drop)..(known.node, until, FaultKind::Drop));
        for ((_, ordinal, kind), child) in children {
            let own = (i64::from(*ordinal) + shift) as u32;
            self.collect(
                *child,
                ordinal + 1,
                until - ordinal - 1,
                faults - 1,
                &prefix.with(own, *kind),
                shift,
                false,
                failing,
            );
        }
        if let Some((ordinal, next)) = self
            .links
            .get(&known.node)
            .filter(|(ordinal, _)| *ordinal < until)
        {
            let at = (*ordinal).max(from);
            let offset = at - ordinal;
            self.collect_link(
                next,
                offset,
                until - at,
                faults,
                prefix,
                shift + i64::from(at) - i64::from(next.ordinal + offset),
                failing,
            );
        }
    }
}

/// Returns true if all faults of `part` are in `whole`, which has more.
fn is_part(part: &Schedule, whole: &Schedule) -> bool {
    part.0.len() < whole.0.len() && part.0.iter().all(|fault| whole.0.contains(fault))
}
