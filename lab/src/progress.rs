//! Progress of a client's script. It survives a crash of the client.

use std::borrow::Cow;

use sandhog_peer::{Command, Instant, State, TunnelStatus};

use crate::setup::{Expected, Script, ScriptStep};

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
    /// True if the last command of the user was to start the tunnel.
    wanted: bool,
    /// True while the machine sleeps.
    asleep: bool,
    /// The error of the last `start`, or the one that ended the tunnel.
    error: Option<&'static str>,
    /// The results that the setup expects.
    expected: Vec<Cow<'static, str>>,
    /// True if the setup accepts that the tunnel is down.
    may_be_down: bool,
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
            wanted: false,
            asleep: false,
            error: None,
            expected: Vec::new(),
            may_be_down: false,
        }
    }

    /// The setup expects this result of the client.
    pub(crate) fn expect(&mut self, expected: &Expected) {
        self.expected.clone_from(&expected.outcomes);
        self.may_be_down = expected.may_be_down || expected.finally == Some(TunnelStatus::Disconnected);
    }

    /// The client rebooted. Running steps start again.
    pub(crate) fn reboot(&mut self) {
        self.asleep = false;
        self.restart_tasks();
    }

    /// The inner host is new. Running steps start again.
    pub(crate) fn restart_tasks(&mut self) {
        for step in self.steps.iter_mut().filter(|step| **step == StepState::Running) {
            *step = StepState::Pending;
        }
        if self.liveness == Liveness::Running {
            self.liveness = Liveness::Requested;
        }
    }

    /// The user gave this command.
    pub(crate) fn on_command(&mut self, command: &Command) {
        match command {
            Command::Start => (self.start, self.wanted, self.error) = (Start::Pending, true, None),
            Command::Stop => (self.start, self.wanted) = (Start::Down, false),
            Command::Sleep => self.asleep = true,
            Command::Wake => self.asleep = false,
            _ => {}
        }
    }

    /// `start` completed.
    pub(crate) fn start_completed(&mut self) {
        self.start = Start::Up;
    }

    /// `start` failed, or the tunnel went down.
    pub(crate) fn start_failed(&mut self, error: &'static str) {
        (self.start, self.error) = (Start::Down, Some(error));
    }

    /// Returns true if the tunnel must work once the faults are off: the user wants it, the machine is awake, and the setup does
    /// not expect that the tunnel is down.
    pub(crate) fn must_be_alive(&self) -> bool {
        let was_expected = |error: &str| self.expected.iter().any(|expected| expected == error);
        self.wanted && !self.asleep && !self.may_be_down && !self.error.is_some_and(was_expected)
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

    /// The ping of P9 was started.
    pub(crate) fn liveness_started(&mut self) {
        self.liveness = Liveness::Running;
    }

    /// A ping of P9 was answered. Only the first reply counts.
    pub(crate) fn liveness_passed(&mut self, at: Instant) {
        if self.awaits_liveness() {
            self.liveness = Liveness::Passed { at };
        }
    }

    pub(crate) fn liveness(&self) -> Liveness {
        match self.liveness {
            Liveness::Requested | Liveness::Running if !self.must_be_alive() => Liveness::NotRequested,
            liveness => liveness,
        }
    }

    /// The error of the last `start`, or the one that ended the tunnel.
    pub(crate) fn error(&self) -> Option<&'static str> {
        self.error
    }

    /// Returns true while the ping of P9 has no reply.
    pub(crate) fn awaits_liveness(&self) -> bool {
        matches!(self.liveness(), Liveness::Requested | Liveness::Running)
    }

    /// Describes the progress.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self {
            steps,
            start,
            liveness,
            wanted,
            asleep,
            error,
            // They never change.
            expected: _,
            may_be_down: _,
        } = self;
        state.flag(*wanted);
        state.flag(*asleep);
        state.bytes(error.unwrap_or_default().as_bytes());
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
