//! Main loop: drives a [`Peer`] with datagrams, packets and the clock of the machine.
//!
//! The peer implements the protocol. The loop collects all input that is ready, calls the peer once (a turn),
//! sends the output, and sleeps until the next deadline. A [`Transport`] moves datagrams and packets: either
//! [`Direct`], a socket and a device in the same thread, or [`Plane`](crate::plane::Plane), separate threads
//! that pass only some datagrams to the peer. The rules of the loop:
//!
//! - - The loop reads the clock before it waits for the timer, so a deadline in the past causes no sleep.
//! - - It collects all input that is ready, up to [`TURN_LIMIT`] of each kind, before it calls the peer.
//! - - An error of one packet never ends the loop. Only the loss of the device does.

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

use crate::clock::{self, ClockWatch, Timer};
use crate::failure::Failure;

/// Largest number of datagrams, and of packets, per turn. Limits the memory and the time of a turn.
pub const TURN_LIMIT: usize = 64;

/// Input and output of a peer: datagrams and packets in both directions.
pub trait Transport<P> {
    /// Moves ready datagrams and packets into `input`. Returns true if there may be more. Immediate replies
    /// of the peer are appended to `output`. Receives nothing while unsent data remains in `output`.
    ///
    /// # Errors
    ///
    /// If the device is gone.
    fn receive(&mut self, peer: &mut P, input: &mut Batch, output: &mut Batch) -> Result<bool, Failure>;

    /// Sends as much of `output` as possible and keeps the rest there. Called after every turn.
    fn flush(&mut self, peer: &mut P, output: &mut Batch);

    /// Waits for input, or until `output` can be sent. May return too early.
    ///
    /// May be dropped at any time and called again. Nothing is lost.
    fn ready(&mut self, output: &Batch) -> impl Future<Output = io::Result<()>>;

    /// Waits until no other thread seals or opens with the earlier sessions of the peer.
    ///
    /// # Errors
    ///
    /// If a thread does not stop doing so.
    fn withdraw(&mut self, _peer: &mut P) -> Result<(), Failure> {
        Ok(())
    }

    /// Returns a reason for which the transport itself has dropped something, once per reason.
    fn poll_drop(&mut self) -> Option<DropReason> {
        None
    }

    /// Stops to carry packets. The counters are final afterwards.
    fn stop(&mut self) {}

    /// The transport's own counters, in addition to those of the peer.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// A peer together with its transport, timer and jobs. Runs only while [`next_event`](Self::next_event) is
/// awaited.
#[derive(Debug)]
pub struct Shell<P, T> {
    peer: P,
    transport: T,
    timer: Timer,
    clock: ClockWatch,
    deadline: Option<Instant>,
    input: Batch,
    output: Batch,
    jobs: JoinSet<Finished>,
    saver: Option<Saver<P>>,
    saves_started: u64,
    saves_finished: u64,
}

/// A finished job.
#[derive(Debug)]
struct Finished {
    done: JobDone,
    /// True if the job stored users.
    is_save: bool,
}

/// Task that stores users, on a thread that may block. If it fails, nothing was stored.
pub type SaveTask = Box<dyn FnOnce() -> Result<(), Failure> + Send>;

/// Creates the task that stores the given text as the users of a peer.
type MakeSaveTask<P> = dyn Fn(&P, &str) -> SaveTask;

struct Saver<P>(Box<MakeSaveTask<P>>);

impl<P> fmt::Debug for Saver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Saver")
    }
}

impl<P: Peer, D: Device> Shell<P, Direct<D>> {
    /// Connects a peer to a socket and a device.
    ///
    /// # Errors
    ///
    /// If there is no file descriptor left for the timer.
    pub fn new(peer: P, socket: UdpSocket, device: D) -> Result<Self, Failure> {
        Self::with_transport(peer, Direct::new(socket, device))
    }
}

impl<P: Peer, T: Transport<P>> Shell<P, T> {
    /// Connects a peer to a transport.
    ///
    /// # Errors
    ///
    /// If there is no file descriptor left for the timer.
    pub fn with_transport(peer: P, transport: T) -> Result<Self, Failure> {
        Ok(Self {
            peer,
            transport,
            timer: Timer::new().map_err(|error| Failure::runtime("create a timer", error))?,
            clock: ClockWatch::default(),
            deadline: None,
            input: Batch::default(),
            output: Batch::default(),
            jobs: JoinSet::new(),
            saver: None,
            saves_started: 0,
            saves_finished: 0,
        })
    }

    /// Carries packets until the next event.
    ///
    /// # Errors
    ///
    /// If the device is gone. All other errors are logged, and the loop continues.
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
                // Between two full turns, other tasks of this thread run (signals, finished jobs).
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

    /// Passes a command of the user to the peer. A command that the peer's state does not allow is only
    /// logged, because the state may have changed in the meantime.
    pub fn command(&mut self, command: Command) {
        let name = command.name();
        if let Err(misuse) = self.peer.command(clock::now(), command) {
            debug!("{name}: {misuse}");
        }
    }

    /// Calls the peer directly. Resulting output is sent by the next call of `next_event`.
    pub fn with_peer<R>(&mut self, work: impl FnOnce(&mut P, Instant) -> R) -> R {
        work(&mut self.peer, clock::now())
    }

    /// Lets the peer forget its sessions. Afterwards nothing is sent that was sealed under their keys.
    ///
    /// # Errors
    ///
    /// If a thread of the transport does not stop using the keys.
    pub fn forget<R>(&mut self, forget: impl FnOnce(&mut P, Instant) -> R) -> Result<R, Failure> {
        // A restored machine often has a new time. The peer must know it before it accepts logins again.
        self.note_clock(clock::now());
        let result = self.with_peer(forget);
        self.output.datagrams.clear();
        self.transport.withdraw(&mut self.peer)?;
        Ok(result)
    }

    /// Sets how the peer's users are stored: by the tasks that `saver` creates. `saver` gets the peer before
    /// the change and the text of all users after it. Without a saver, the peer cannot change its users.
    pub fn save_users_with(&mut self, saver: impl Fn(&P, &str) -> SaveTask + 'static) {
        self.saver = Some(Saver(Box::new(saver)));
    }

    /// Number of saves started plus number of saves finished. If it has not changed, nothing was stored in
    /// the meantime.
    #[must_use]
    pub const fn saves(&self) -> u64 {
        self.saves_started + self.saves_finished
    }

    /// Returns true while users are being stored.
    #[must_use]
    pub const fn is_saving(&self) -> bool {
        self.saves_started > self.saves_finished
    }

    /// Waits until all saves are finished, and passes their results to the peer.
    pub async fn finish_saving(&mut self) {
        while self.is_saving() {
            match self.jobs.join_next().await {
                Some(job) => self.finish_job(job),
                None => return,
            }
        }
    }

    /// Stops the peer, then does the same as [`end`](Self::end).
    pub fn stop(&mut self) -> Vec<EventKind> {
        self.command(Command::Stop);
        self.end()
    }

    /// Runs a last turn, sends as much of its output as possible without waiting, stops the transport, and returns
    /// the remaining events. The counters are final afterwards.
    pub fn end(&mut self) -> Vec<EventKind> {
        self.turn();
        self.transport.stop();
        std::iter::from_fn(|| self.peer.poll_event())
            .map(|event| event.kind)
            .collect()
    }

    /// The counters of peer and transport together.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.peer.counters();
        counters.add(&self.transport.counters());
        counters
    }

    /// Tells the peer if the system clock was set, because datagrams contain its time.
    fn note_clock(&mut self, now: Instant) {
        if let Some(unix_millis) = self.clock.step(now, clock::unix_millis()) {
            // A peer of the classic profile has no use for it.
            let _ = self.peer.command(now, Command::ClockSet { unix_millis });
        }
    }

    /// Runs one turn of the peer, sends its output and starts its jobs.
    fn turn(&mut self) {
        let now = clock::now();
        self.note_clock(now);
        let deadline = self.peer.turn(now, &mut self.input, &mut self.output);
        self.deadline = deadline.map(|(at, _reason)| at);
        self.transport.flush(&mut self.peer, &mut self.output);
        while let Some(job) = self.peer.poll_job() {
            self.start_job(job);
        }
    }

    /// Runs a job on another thread.
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
                // A task that panics has stored nothing. The peer must get that result too.
                Some(task) => catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|_| {
                    Err(Failure::runtime(
                        "store the users",
                        "internal error; please report this bug",
                    ))
                }),
                None => Err(Failure::input("no file for users is configured")),
            };
            let done = match result {
                Ok(()) => job.run(),
                Err(failure) => {
                    error!(
                        "cannot store a new password, the old one stays valid: {}",
                        failure.message()
                    );
                    job.fail()
                }
            };
            Finished { done, is_save: true }
        });
    }

    /// Passes a job's result to the peer.
    fn finish_job(&mut self, job: Result<Finished, JoinError>) {
        match job {
            Ok(Finished { done, is_save }) => {
                self.saves_finished += u64::from(is_save);
                if let Err(misuse) = self.peer.handle_job(clock::now(), done) {
                    debug!("a job finished too late: {misuse}");
                }
            }
            Err(failure) => error!("a job failed: {failure}"),
        }
    }

    /// Waits for the first of: input, space for unsent output, the deadline, a finished job.
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

/// Log of I/O errors: each kind is logged once, so that a dead link does not fill the disk.
#[derive(Debug, Default)]
pub(crate) struct ErrorLog {
    seen: BTreeSet<(&'static str, Option<i32>)>,
}

impl ErrorLog {
    pub(crate) fn report(&mut self, action: &'static str, error: &io::Error) {
        if self.seen.insert((action, error.raw_os_error())) {
            warn!("cannot {action}: {error} (logged once; continuing)");
        } else {
            debug!("cannot {action}: {error}");
        }
    }
}
