//! The loop round a [`Peer`]: a network outside, a device inside, the machine's clock, nothing else.
//!
//! The protocol is the peer's affair. This module only takes what is ready, gives it to the peer in one turn, sends
//! what the peer gives out, and sleeps until the next deadline. What brings datagrams and packets is a [`Transport`]:
//! [`Direct`], a socket and a device in this very thread, or [`Plane`](crate::plane::Plane), threads of their own that bring
//! only what the peer itself has to see. The loop holds to these rules:
//!
//! - The clock is looked at before the timer is awaited, so a deadline in the past costs no sleep.
//! - All that is ready is taken first, up to [`TURN_LIMIT`] of each kind, and then acted upon.
//! - One packet's error never ends the loop. Only the loss of the device does.

mod direct;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sandhog_proto::{Batch, Command, Counters, DropReason, Event, EventKind, Instant, Job, JobDone, Peer};
use tokio::net::UdpSocket;
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, warn};

pub(crate) use direct::explain_lost_device;
pub use direct::{Device, Direct};

use crate::clock::{self, Timer};
use crate::failure::Failure;

/// Most datagrams and most packets taken in one turn. Bounds both a turn's memory and its time.
pub const TURN_LIMIT: usize = 64;

/// What brings a peer its datagrams and packets, and takes those that it gives out.
pub trait Transport<P> {
    /// Takes what is ready for `peer` into `input`, and tells whether there may be more. What the peer answers at once is
    /// appended to `output`. Takes nothing while it cannot send what waits in `output`.
    ///
    /// # Errors
    ///
    /// When the device is gone.
    fn receive(&mut self, peer: &mut P, input: &mut Batch, output: &mut Batch) -> Result<bool, Failure>;

    /// Sends what can be sent now and keeps the rest in `output`. Called after every turn.
    fn flush(&mut self, peer: &mut P, output: &mut Batch);

    /// Waits until there is something to take, or room for what waits in `output`. May come back too early.
    ///
    /// May be dropped at any time and called again; nothing is lost.
    fn ready(&mut self, output: &Batch) -> impl Future<Output = io::Result<()>>;

    /// A reason for which it has dropped something itself, and has not told before.
    fn poll_drop(&mut self) -> Option<DropReason> {
        None
    }

    /// What it has counted itself, besides the peer.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// A peer at work. Moves only while [`next_event`](Self::next_event) is awaited.
#[derive(Debug)]
pub struct Shell<P, T> {
    peer: P,
    transport: T,
    timer: Timer,
    deadline: Option<Instant>,
    input: Batch,
    output: Batch,
    jobs: JoinSet<Finished>,
    saver: Option<Saver<P>>,
    saves_started: u64,
    saves_finished: u64,
}

/// A job that has been worked on.
#[derive(Debug)]
struct Finished {
    done: JobDone,
    /// Whether it was to store users.
    is_save: bool,
}

/// Stores users, where blocking does no harm. Nothing has been stored if it fails.
pub type SaveTask = Box<dyn FnOnce() -> Result<(), Failure> + Send>;

/// Makes the task that stores the users of a peer as the text wants them.
type MakeSaveTask<P> = dyn Fn(&P, &str) -> SaveTask;

struct Saver<P>(Box<MakeSaveTask<P>>);

impl<P> fmt::Debug for Saver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Saver")
    }
}

impl<P: Peer, D: Device> Shell<P, Direct<D>> {
    /// Puts a peer between a socket and a device.
    ///
    /// # Errors
    ///
    /// When there is no file descriptor left for the timer.
    pub fn new(peer: P, socket: UdpSocket, device: D) -> Result<Self, Failure> {
        Self::with_transport(peer, Direct::new(socket, device))
    }
}

impl<P: Peer, T: Transport<P>> Shell<P, T> {
    /// Puts a peer onto a transport.
    ///
    /// # Errors
    ///
    /// When there is no file descriptor left for the timer.
    pub fn with_transport(peer: P, transport: T) -> Result<Self, Failure> {
        Ok(Self {
            peer,
            transport,
            timer: Timer::new().map_err(|error| Failure::runtime("make a timer", error))?,
            deadline: None,
            input: Batch::default(),
            output: Batch::default(),
            jobs: JoinSet::new(),
            saver: None,
            saves_started: 0,
            saves_finished: 0,
        })
    }

    /// Carries packets until something happens that somebody may want to know.
    ///
    /// # Errors
    ///
    /// When the device is gone. Everything else is logged and survived.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time and called again; nothing is lost.
    pub async fn next_event(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.poll_event() {
                return Ok(event);
            }
            let more = self
                .transport
                .receive(&mut self.peer, &mut self.input, &mut self.output)?;
            self.turn();
            if let Some(event) = self.poll_event() {
                return Ok(event);
            }
            if more {
                // Others of this thread (signals, finished jobs) get a chance between two full turns.
                tokio::task::yield_now().await;
            } else {
                self.wait()
                    .await
                    .map_err(|error| Failure::runtime("wait for packets", error))?;
            }
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.peer.poll_event().or_else(|| {
            let kind = EventKind::Dropped(self.transport.poll_drop()?);
            Some(Event { tag: 0, kind })
        })
    }

    /// Passes on what the user asks for. A command that the peer's state does not allow is logged: the state may
    /// have changed while the user was asking.
    pub fn command(&mut self, command: Command) {
        let name = command.name();
        if let Err(misuse) = self.peer.command(clock::now(), command) {
            debug!("{name}: {misuse}");
        }
    }

    /// Lets the peer itself be asked or told something. What follows from it comes with the next event.
    pub fn with_peer<R>(&mut self, work: impl FnOnce(&mut P, Instant) -> R) -> R {
        work(&mut self.peer, clock::now())
    }

    /// Has the peer's users stored by the tasks that `saver` makes. It gets the peer as it is before the change, and the
    /// text of all its users as they shall be. A peer whose users nobody stores cannot change them.
    pub fn save_users_with(&mut self, saver: impl Fn(&P, &str) -> SaveTask + 'static) {
        self.saver = Some(Saver(Box::new(saver)));
    }

    /// How often users have begun and ended to be stored. As long as this stays, nothing has been.
    #[must_use]
    pub const fn saves(&self) -> u64 {
        self.saves_started + self.saves_finished
    }

    /// Whether users are being stored.
    #[must_use]
    pub const fn is_saving(&self) -> bool {
        self.saves_started > self.saves_finished
    }

    /// Waits until nothing is being stored any more, and tells the peer.
    pub async fn finish_saving(&mut self) {
        while self.is_saving() {
            match self.jobs.join_next().await {
                Some(job) => self.finish_job(job),
                None => return,
            }
        }
    }

    /// Stops the peer, then as [`end`](Self::end).
    pub fn stop(&mut self) -> Vec<EventKind> {
        self.command(Command::Stop);
        self.end()
    }

    /// Sends what the peer still wants to say as far as that goes at once, and gives what happened.
    pub fn end(&mut self) -> Vec<EventKind> {
        self.turn();
        std::iter::from_fn(|| self.peer.poll_event())
            .map(|event| event.kind)
            .collect()
    }

    /// What peer and transport have counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.peer.counters();
        counters.add(&self.transport.counters());
        counters
    }

    /// One turn of the peer and all that follows from it at once.
    fn turn(&mut self) {
        let deadline = self.peer.turn(clock::now(), &mut self.input, &mut self.output);
        self.deadline = deadline.map(|(at, _reason)| at);
        self.transport.flush(&mut self.peer, &mut self.output);
        while let Some(job) = self.peer.poll_job() {
            self.start_job(job);
        }
    }

    /// Has a job worked on off this thread.
    fn start_job(&mut self, job: Job) {
        let Some(text) = job.text_to_save() else {
            self.jobs.spawn_blocking(move || Finished {
                done: job.run(),
                is_save: false,
            });
            return;
        };
        let task = self.saver.as_ref().map(|saver| saver.0(&self.peer, text));
        self.saves_started += 1;
        self.jobs.spawn_blocking(move || {
            let result = match task {
                // A task that panics has stored nothing, and the peer has to hear of that as well.
                Some(task) => catch_unwind(AssertUnwindSafe(task))
                    .unwrap_or_else(|_| Err(Failure::runtime("store the users", "a bug; please report it"))),
                None => Err(Failure::input("there is no file to store users in")),
            };
            let done = match result {
                Ok(()) => job.run(),
                Err(failure) => {
                    error!(
                        "a new password is not taken, the old one stays: {}",
                        failure.message()
                    );
                    job.fail()
                }
            };
            Finished { done, is_save: true }
        });
    }

    /// Gives a job's result to the peer.
    fn finish_job(&mut self, job: Result<Finished, JoinError>) {
        match job {
            Ok(Finished { done, is_save }) => {
                self.saves_finished += u64::from(is_save);
                if let Err(misuse) = self.peer.handle_job(clock::now(), done) {
                    debug!("a job came back too late: {misuse}");
                }
            }
            Err(failure) => error!("a job failed: {failure}"),
        }
    }

    /// Waits for the first of: input, room for waiting output, the deadline, a finished job.
    async fn wait(&mut self) -> io::Result<()> {
        if let Some(deadline) = self.deadline {
            if deadline <= clock::now() {
                return Ok(());
            }
            self.timer.arm(deadline)?;
        }
        tokio::select! {
            ready = self.transport.ready(&self.output) => ready,
            expired = self.timer.expired(), if self.deadline.is_some() => expired,
            Some(job) = self.jobs.join_next() => {
                self.finish_job(job);
                Ok(())
            }
        }
    }
}

/// Says each kind of trouble once, so that a dead link does not fill the disk with its complaints.
#[derive(Debug, Default)]
pub(crate) struct ErrorLog {
    seen: BTreeSet<(&'static str, Option<i32>)>,
}

impl ErrorLog {
    pub(crate) fn report(&mut self, action: &'static str, error: &io::Error) {
        if self.seen.insert((action, error.raw_os_error())) {
            warn!("cannot {action}: {error} (said once; carrying on)");
        } else {
            debug!("cannot {action}: {error}");
        }
    }
}
