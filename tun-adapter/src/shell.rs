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
use std::future::Future;
use std::io;

use sandhog_proto::{
    Batch, Command, Counters, Datagram, Event, EventKind, Instant, JobDone, PacketBuf, Peer,
};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
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
    jobs: JoinSet<JobDone>,
    troubles: Troubles,
}

impl<P: Peer, D: Device> Shell<P, D> {
    /// Puts a peer between a socket and a device.
    ///
    /// # Errors
    ///
    /// When there is no file descriptor left for the timer.
    pub fn new(peer: P, socket: UdpSocket, device: D) -> io::Result<Self> {
        Ok(Self {
            peer,
            socket,
            device,
            timer: Timer::new()?,
            deadline: None,
            input: Batch::default(),
            output: Batch::default(),
            scratch: vec![0; LONGEST],
            jobs: JoinSet::new(),
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

    /// Stops the peer, sends what it still wants to say as far as that goes at once, and gives what happened.
    pub fn stop(&mut self) -> Vec<EventKind> {
        self.command(Command::Stop);
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
            self.jobs.spawn_blocking(move || job.run());
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
                match job {
                    Ok(done) => {
                        if let Err(misuse) = self.peer.handle_job(clock::now(), done) {
                            debug!("a job came back too late: {misuse}");
                        }
                    }
                    Err(failure) => error!("a job failed: {failure}"),
                }
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
