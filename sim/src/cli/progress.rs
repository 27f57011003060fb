//! Progress line of long commands on a terminal, their budget, and Ctrl-C.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::BadInput;

/// Shortest time between two updates of the line.
const INTERVAL: Duration = Duration::from_millis(200);

/// Wall time since a start, for the output only.
#[expect(
    clippy::disallowed_types,
    reason = "the wall time is printed, and no run depends on it"
)]
pub(super) struct Stopwatch(std::time::Instant);

#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "as above")]
impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Progress of a command with a known or unknown number of runs.
pub(super) struct Meter {
    /// Number of runs. 0 if unknown.
    total: u64,
    done: u64,
    start: Stopwatch,
    /// Elapsed time at the last update of the line.
    shown: Option<Duration>,
    budget: Option<Duration>,
    interrupted: Arc<AtomicBool>,
    over_budget: bool,
}

impl Meter {
    /// A meter that starts now. From now on Ctrl-C ends the command after the present run.
    pub(super) fn new(total: u64, budget: Option<Duration>) -> Result<Self, BadInput> {
        let interrupted = Arc::new(AtomicBool::new(false));
        #[cfg(unix)]
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The second signal ends the program at once.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
                .map_err(|error| BadInput(format!("cannot handle signals: {error}")))?;
        }
        Ok(Self {
            total,
            done: 0,
            start: Stopwatch::start(),
            shown: None,
            budget,
            interrupted,
            over_budget: false,
        })
    }

    /// Counts a run. Breaks after Ctrl-C, and at the end of the budget.
    pub(super) fn step(&mut self, failed: u64) -> ControlFlow<()> {
        self.done += 1;
        self.show(&format!(", {failed} failed"));
        self.over_budget = self.budget.is_some_and(|budget| self.start.elapsed() >= budget);
        match self.over_budget {
            true => ControlFlow::Break(()),
            false => self.go_on(),
        }
    }

    /// Counts a run that makes a failure smaller. Breaks after Ctrl-C.
    pub(super) fn step_of_shrink(&mut self) -> ControlFlow<()> {
        self.done += 1;
        self.show("");
        self.go_on()
    }

    /// Breaks after Ctrl-C.
    pub(super) fn go_on(&self) -> ControlFlow<()> {
        match self.is_interrupted() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Returns true after Ctrl-C.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn show(&mut self, failed: &str) {
        let is_due = self.shown.is_none_or(|shown| self.elapsed() >= shown + INTERVAL);
        if !is_due || !std::io::stderr().is_terminal() {
            return;
        }
        self.shown = Some(self.elapsed());
        let rate = self.rate(self.done);
        let line = match self.total.checked_sub(self.done) {
            Some(left) if self.total > 0 => {
                let left = left.checked_div(rate.max(1)).unwrap_or_default();
                format!(
                    "{} of {} runs{failed}, {rate} runs/s, {left} s left",
                    self.done, self.total
                )
            }
            _ => format!("{} runs{failed}, {rate} runs/s", self.done),
        };
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }

    /// Removes the line.
    pub(super) fn clear(&self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Runs per second.
    pub(super) fn rate(&self, runs: u64) -> u64 {
        let millis = u64::try_from(self.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        runs.saturating_mul(1000) / millis
    }

    /// The reason for an early end.
    pub(super) fn interrupted(&self) -> Option<&'static str> {
        if self.is_interrupted() {
            return Some("interrupted");
        }
        self.over_budget.then_some("the budget is used up")
    }
}
