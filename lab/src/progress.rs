//! Progress of a client's script. It survives a crash of the client.

use sandhog_peer::{Instant, State};

use crate::setup::{Script, ScriptStep};

/// State of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepState {
    /// Not started, or started by an earlier boot and not finished.
    Pending,
    /// Started.
    Running,
    /// Finished, with its result and a sentence about it.
    Ended { succeeded: bool, text: String },
}

/// State of the `start` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Pending,
    Up,
    /// Failed, or the user stopped the tunnel.
    Down,
}

/// State of the ping of P9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    NotRequested,
    Requested,
    Running,
    Passed { at: Instant },
}

/// Progress of a client. A host without a script is always done.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    steps: Vec<StepState>,
    start: Start,
    liveness: Liveness,
}

impl Progress {
    pub(crate) fn new(script: Option<&Script>) -> Self {
        let (steps, start) = match script {
            Some(script) => (vec![StepState::Pending; script.steps.len()], Start::Pending),
            None => (Vec::new(), Start::Up),
        };
        Self {
            steps,
            start,
            liveness: Liveness::NotRequested,
        }
    }

    /// The client rebooted. Running steps start again.
    pub(crate) fn reboot(&mut self) {
        for step in self.steps.iter_mut().filter(|step| **step == StepState::Running) {
            *step = StepState::Pending;
        }
        if self.liveness == Liveness::Running {
            self.liveness = Liveness::Requested;
        }
    }

    /// The user gave the `start` command.
    pub(crate) fn start_requested(&mut self) {
        self.start = Start::Pending;
    }

    /// `start` completed (`up` is the result), or the tunnel went down.
    pub(crate) fn start_completed(&mut self, up: bool) {
        self.start = if up { Start::Up } else { Start::Down };
    }

    pub(crate) fn is_up(&self) -> bool {
        self.start == Start::Up
    }

    /// Returns true if the client has no more work.
    pub(crate) fn is_done(&self) -> bool {
        match self.start {
            Start::Pending => false,
            Start::Down => true,
            Start::Up => self
                .steps
                .iter()
                .all(|step| matches!(step, StepState::Ended { .. })),
        }
    }

    /// The next step and its earliest start. All earlier steps must have ended, or have started if the step runs `meanwhile`.
    pub(crate) fn next_step(&self, script: &[ScriptStep]) -> Option<(usize, Instant)> {
        let index = self.steps.iter().position(|step| *step == StepState::Pending)?;
        let step = script.get(index)?;
        let before = self.steps.get(..index)?;
        let ready = step.meanwhile || before.iter().all(|step| matches!(step, StepState::Ended { .. }));
        ready.then_some((index, step.at))
    }

    pub(crate) fn set_step(&mut self, index: usize, state: StepState) {
        if let Some(step) = self.steps.get_mut(index) {
            *step = state;
        }
    }

    pub(crate) fn steps(&self) -> &[StepState] {
        &self.steps
    }

    pub(crate) fn request_liveness(&mut self) {
        self.liveness = Liveness::Requested;
    }

    pub(crate) fn set_liveness(&mut self, liveness: Liveness) {
        self.liveness = liveness;
    }

    pub(crate) fn liveness(&self) -> Liveness {
        self.liveness
    }

    /// Returns true while the ping of P9 has no reply.
    pub(crate) fn awaits_liveness(&self) -> bool {
        matches!(self.liveness, Liveness::Requested | Liveness::Running)
    }

    /// Describes the progress.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self {
            steps,
            start,
            liveness,
        } = self;
        for step in steps {
            state.number(match step {
                StepState::Pending => 0,
                StepState::Running => 1,
                StepState::Ended { succeeded, .. } => 2 + u64::from(*succeeded),
            });
        }
        state.number(match start {
            Start::Pending => 0,
            Start::Up => 1,
            Start::Down => 2,
        });
        state.number(match liveness {
            Liveness::NotRequested => 0,
            Liveness::Requested => 1,
            Liveness::Running => 2,
            Liveness::Passed { .. } => 3,
        });
    }
}
