//! Where questions wait for the loop that carries packets, whoever brings them, and where the loop shows that it turns.

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

use super::socket::Socket;
use super::{Answer, Question};
use crate::config::{DeviceName, Metrics};
use crate::failure::Failure;
use crate::metrics::Exporter;
use crate::net::record;
use crate::notify;

/// Most questions that wait.
const WAITING: usize = 16;

/// A question, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) question: Question,
    reply: oneshot::Sender<Answer>,
}

impl Call {
    /// Answers at once.
    pub(crate) fn answer_with(self, answer: impl FnOnce(Question) -> Answer) {
        let answer_to = answer(self.question);
        self.answer(answer_to);
    }

    /// Answers. Who does not wait any more does not matter.
    pub(crate) fn answer(self, answer: Answer) {
        let _ = self.reply.send(answer);
    }
}

/// Brings questions to a desk.
#[derive(Clone, Debug)]
pub(crate) struct Line(mpsc::Sender<Call>);

impl Line {
    pub(crate) const fn new(calls: mpsc::Sender<Call>) -> Self {
        Self(calls)
    }

    /// Asks, and waits for the answer; `None` when the tunnel ends.
    pub(crate) async fn ask(&self, question: Question) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Call { question, reply }).await.ok()?;
        answer.await.ok()
    }
}

/// The desk of one tunnel.
#[derive(Debug)]
pub(crate) struct Desk {
    calls: mpsc::Receiver<Call>,
    watchdog: Option<Interval>,
    /// Removed with the desk.
    _socket: Option<Socket>,
    /// Ends with the desk.
    _exporter: Option<Exporter>,
}

impl Desk {
    /// Opens the socket of `device`, and the address for `metrics` if there is one, and takes questions from there. Without a
    /// place for the socket the tunnel runs all the same, and says that nobody can ask it.
    ///
    /// # Errors
    ///
    /// When a running tunnel has a socket of that name, or the address for metrics cannot be had.
    pub(crate) fn open(device: &DeviceName, metrics: Option<&Metrics>) -> Result<Self, Failure> {
        let (sender, calls) = mpsc::channel(WAITING);
        let line = Line::new(sender);
        let socket = match Socket::open(&record::folder(), device, line.clone()) {
            Ok(socket) => Some(socket),
            Err(failure) if failure.is_taken() => return Err(failure.into()),
            Err(failure) => {
                warn!("`sandhog status` will not see this tunnel: {failure}");
                None
            }
        };
        let exporter = metrics.map(|metrics| Exporter::open(metrics, line)).transpose()?;
        let watchdog = notify::watchdog().map(|period| {
            let mut interval = interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Ok(Self {
            calls,
            watchdog,
            _socket: socket,
            _exporter: exporter,
        })
    }

    /// Waits for a question. In between, whoever awaits this shows that it turns.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time and called again; no question is lost.
    pub(crate) async fn next(&mut self) -> Call {
        loop {
            tokio::select! {
                biased;
                // Without socket and metrics nobody will ever ask.
                Some(call) = self.calls.recv() => return call,
                () = tick(&mut self.watchdog) => notify::alive(),
            }
        }
    }
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
