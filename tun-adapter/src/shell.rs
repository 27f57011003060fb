//! The loop round a [`Peer`]: a UDP socket outside, a device inside, the machine's clock, nothing else.
//!
//! The protocol is the peer's affair. This module only takes what is ready, gives it to the peer in one turn, sends
//! what the peer gives out, and sleeps until the next deadline. It holds to these rules:
//!
//! - The clock is looked at before the timer is awaited, so a deadline in the past costs no sleep.
//! - All that is ready is taken first, up to [`TURN_LIMIT`] of each kind, and then acted upon.
//! - What socket or device would not take at the moment is kept, and nothing new is taken in until it is gone: the
//!   kernel's queues are the only queues that grow, and they drop what does not fit.
//! - One packet's error never ends the loop. Only the loss of the device does.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sandhog_proto::{
    Batch, Command, Counters, Datagram, Event, EventKind, Instant, Job, JobDone, PacketBuf, Peer,
};
use tokio::net::UdpSocket;
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, warn};

use crate::clock::{self, Timer};
use crate::failure::Failure;

/// Most datagrams and most packets taken in one turn. Bounds both a turn's memory and its time.
pub const TURN_LIMIT: usize = 64;
/// No UDP payload and no IP packet is longer.
const LONGEST: usize = 65_535;

/// Where inner packets come from and go to. One call moves one whole IP packet.
pub trait Device {
    /// Waits until a packet may be read. May come back too early.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;

    /// Waits until a packet may be written. May come back too early.
    fn writable(&self) -> impl Future<Output = io::Result<()>>;

    /// Reads one packet into `packet` and gives its length.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is none now, any other when the device is gone.
    fn try_read(&self, packet: &mut [u8]) -> io::Result<usize>;

    /// Writes one packet.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the packet has to wait, any other when the device does not want it.
    fn try_write(&self, packet: &[u8]) -> io::Result<usize>;
}

/// A peer at work. Moves only while [`next_event`](Self::next_event) is awaited.
#[derive(Debug)]
pub struct Shell<P, D> {
    peer: P,
    socket: UdpSocket,
    device: D,
    timer: Timer,
    deadline: Option<Instant>,
    input: Batch,
    output: Batch,
    scratch: Vec<u8>,
    jobs: JoinSet<Finished>,
    saver: Option<Saver<P>>,
    saves_begun: u64,
    saves_ended: u64,
    troubles: Troubles,
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

impl<P: Peer, D: Device> Shell<P, D> {
    /// Puts a peer between a socket and a device.
    ///
    /// # Errors
    ///
    /// When there is no file descriptor left for the timer.
    pub fn new(peer: P, socket: UdpSocket, device: D) -> Result<Self, Failure> {
        Ok(Self {
            peer,
            socket,
            device,
            timer: Timer::new().map_err(|error| Failure::runtime("make a timer", error))?,
            deadline: None,
            input: Batch::default(),
            output: Batch::default(),
            scratch: vec![0; LONGEST],
            jobs: JoinSet::new(),
            saver: None,
            saves_begun: 0,
            saves_ended: 0,
            troubles: Troubles::default(),
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
            if let Some(event) = self.peer.poll_event() {
                return Ok(event);
            }
            let more = self.take_input()?;
            self.turn();
            if let Some(event) = self.peer.poll_event() {
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

    /// Passes on what the user asks for. A command that the peer's state does not allow is logged: the state may
    /// have changed while the user was asking.
    pub fn command(&mut self, command: Command) {
        let name = command.name();
        if let Err(misuse) = self.peer.command(clock::now(), command) {
            debug!("{name}: {misuse}");
        }
    }

    /// Lets the peer itself be asked or told something. What follows from it comes with the next event.
    pub fn with_peer<T>(&mut self, work: impl FnOnce(&mut P, Instant) -> T) -> T {
        work(&mut self.peer, clock::now())
    }

    /// Has the peer's users stored by the tasks that `saver` makes. It gets the peer as it is before the change, and the
    /// text of all its users as they shall be. A peer whose users nobody stores cannot change them.
    pub fn save_users_by(&mut self, saver: impl Fn(&P, &str) -> SaveTask + 'static) {
        self.saver = Some(Saver(Box::new(saver)));
    }

    /// How often users have begun and ended to be stored. As long as this stays, nothing has been.
    #[must_use]
    pub const fn saves(&self) -> u64 {
        self.saves_begun + self.saves_ended
    }

    /// Whether users are being stored.
    #[must_use]
    pub const fn is_saving(&self) -> bool {
        self.saves_begun > self.saves_ended
    }

    /// Waits until nothing is being stored any more, and tells the peer.
    pub async fn finish_saving(&mut self) {
        while self.is_saving() {
            match self.jobs.join_next().await {
                Some(job) => self.take_back(job),
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

    /// What the peer has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.peer.counters()
    }

    /// Takes what is ready, and tells whether there may be more. Takes nothing while output waits.
    fn take_input(&mut self) -> Result<bool, Failure> {
        if !self.output.is_empty() {
            return Ok(false);
        }
        let more_datagrams = self.take_datagrams();
        let more_packets = self.take_packets()?;
        Ok(more_datagrams || more_packets)
    }

    fn take_datagrams(&mut self) -> bool {
        for _ in 0..TURN_LIMIT {
            match self.socket.try_recv_from(&mut self.scratch) {
                Ok((len, remote)) => {
                    let payload = PacketBuf::copied_from(&self.scratch[..len]);
                    self.input.datagrams.push(Datagram {
                        remote,
                        kind: "",
                        payload,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An ICMP error about an earlier datagram, for instance. Reading it has cleared it.
                Err(error) => self.troubles.report("receive a datagram", &error),
            }
        }
        true
    }

    fn take_packets(&mut self) -> Result<bool, Failure> {
        for _ in 0..TURN_LIMIT {
            match self.device.try_read(&mut self.scratch) {
                Ok(len) => self
                    .input
                    .packets
                    .push(PacketBuf::copied_from(&self.scratch[..len])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Failure::runtime("read from the tunnel device", error)
                        .with_help("the device was removed while it was in use; start again"));
                }
            }
        }
        Ok(true)
    }

    /// One turn of the peer and all that follows from it at once.
    fn turn(&mut self) {
        let deadline = self.peer.turn(clock::now(), &mut self.input, &mut self.output);
        self.deadline = deadline.map(|(at, _reason)| at);
        self.flush();
        while let Some(job) = self.peer.poll_job() {
            self.begin(job);
        }
    }

    /// Has a job worked on off this thread.
    fn begin(&mut self, job: Job) {
        let Some(text) = job.users_to_save() else {
            self.jobs.spawn_blocking(move || Finished {
                done: job.run(),
                is_save: false,
            });
            return;
        };
        let task = self.saver.as_ref().map(|saver| saver.0(&self.peer, text));
        self.saves_begun += 1;
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
    fn take_back(&mut self, job: Result<Finished, JoinError>) {
        match job {
            Ok(Finished { done, is_save }) => {
                self.saves_ended += u64::from(is_save);
                if let Err(misuse) = self.peer.handle_job(clock::now(), done) {
                    debug!("a job came back too late: {misuse}");
                }
            }
            Err(failure) => error!("a job failed: {failure}"),
        }
    }

    /// Sends what can be sent now and keeps the rest.
    fn flush(&mut self) {
        let mut sent = 0;
        for datagram in &self.output.datagrams {
            match self.socket.try_send_to(&datagram.payload, datagram.remote) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => self.troubles.report("send a datagram", &error),
            }
            sent += 1;
        }
        self.output.datagrams.drain(..sent);

        let mut written = 0;
        for packet in &self.output.packets {
            match self.device.try_write(packet) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => self
                    .troubles
                    .report("write a packet to the tunnel device", &error),
            }
            written += 1;
        }
        self.output.packets.drain(..written);
    }

    /// Waits for the first of: input, room for waiting output, the deadline, a finished job.
    async fn wait(&mut self) -> io::Result<()> {
        if let Some(deadline) = self.deadline {
            if deadline <= clock::now() {
                return Ok(());
            }
            self.timer.arm(deadline)?;
        }
        let idle = self.output.is_empty();
        tokio::select! {
            ready = self.socket.readable(), if idle => ready,
            ready = self.device.readable(), if idle => ready,
            ready = self.socket.writable(), if !self.output.datagrams.is_empty() => ready,
            ready = self.device.writable(), if !self.output.packets.is_empty() => ready,
            expired = self.timer.expired(), if self.deadline.is_some() => expired,
            Some(job) = self.jobs.join_next() => {
                self.take_back(job);
                Ok(())
            }
        }
    }
}

/// Says each kind of trouble once, so that a dead link does not fill the disk with its complaints.
#[derive(Debug, Default)]
struct Troubles {
    seen: BTreeSet<(&'static str, Option<i32>)>,
}

impl Troubles {
    fn report(&mut self, action: &'static str, error: &io::Error) {
        if self.seen.insert((action, error.raw_os_error())) {
            warn!("cannot {action}: {error} (said once; carrying on)");
        } else {
            debug!("cannot {action}: {error}");
        }
    }
}
