//! What a client has done so far, as the laboratory keeps it: it survives the client's crash.

use sandhog_peer::Instant;

use crate::setup::{Script, ScriptStep};

/// Where one step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepState {
    /// Not begun, or begun by a boot that is gone.
    Pending,
    /// Under way.
    Running,
    /// At its end: whether it was a success, and in words.
    Ended { succeeded: bool, text: String },
}

/// Where `start` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Awaited,
    Up,
    /// Failed, or the user has taken the tunnel down.
    Down,
}

/// Where the laboratory's own ping stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    NotWanted,
    Wanted,
    Running,
    Passed { at: Instant },
}

/// What a client has done so far. A host without a script is always done.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    steps: Vec<StepState>,
    start: Start,
    liveness: Liveness,
}

impl Progress {
    pub(crate) fn new(script: Option<&Script>) -> Self {
        let (steps, start) = match script {
            Some(script) => (vec![StepState::Pending; script.steps.len()], Start::Awaited),
            None => (Vec::new(), Start::Up),
        };
        Self {
            steps,
            start,
            liveness: Liveness::NotWanted,
        }
    }

    /// The client starts afresh: what was under way begins again.
    pub(crate) fn reboot(&mut self) {
        for step in self.steps.iter_mut().filter(|step| **step == StepState::Running) {
            *step = StepState::Pending;
        }
        if self.liveness == Liveness::Running {
            self.liveness = Liveness::Wanted;
        }
    }

    /// The tunnel's user asked for it.
    pub(crate) fn start_awaited(&mut self) {
        self.start = Start::Awaited;
    }

    /// `start` completed, or the tunnel went down.
    pub(crate) fn start_completed(&mut self, up: bool) {
        self.start = if up { Start::Up } else { Start::Down };
    }

    pub(crate) fn is_up(&self) -> bool {
        self.start == Start::Up
    }

    /// Nothing more will come of this client.
    pub(crate) fn is_done(&self) -> bool {
        match self.start {
            Start::Awaited => false,
            Start::Down => true,
            Start::Up => self
                .steps
                .iter()
                .all(|step| matches!(step, StepState::Ended { .. })),
        }
    }

    /// The step to begin next, and not before when. The earlier steps must have ended, or for one that runs
    /// `meanwhile` have begun.
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

    pub(crate) fn want_liveness(&mut self) {
        self.liveness = Liveness::Wanted;
    }

    pub(crate) fn set_liveness(&mut self, liveness: Liveness) {
        self.liveness = liveness;
    }

    pub(crate) fn liveness(&self) -> Liveness {
        self.liveness
    }

    /// The laboratory's ping has not come back yet.
    pub(crate) fn awaits_liveness(&self) -> bool {
        matches!(self.liveness, Liveness::Wanted | Liveness::Running)
    }
}
