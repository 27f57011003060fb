//! Data plane: threads that move packets between device and network, as the peer has decided.
//!
//! Each thread has its own queue of the device and a socket, and does all work for a packet: no packet
//! changes threads, waits for a lock or needs an allocation. Input that only the peer can handle goes to the
//! inbox: logins, session messages, clients with a new address. The peer answers with a new table of
//! sessions, which the threads load for every batch.

mod inbound;
mod inbox;
mod local_addresses;
mod outbound;
mod published;
mod shares;
mod trains;
mod worker;

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::event::{EventfdFlags, eventfd};
use sandhog_proto::secure::{DataPaths, DataPeer, Notice};
use sandhog_proto::{Batch, Counters, DropReason, Instant};
use tracing::warn;

use crate::clock;
use crate::failure::Failure;
use crate::offload::header::Header;
use crate::shell::{ErrorLog, TURN_LIMIT, Transport, explain_lost_device};
use crate::tun::Queue;
use crate::udp::{Route, Socket};
use inbox::Inbox;
use local_addresses::{LocalAddresses, RecentPeers};
use published::Published;
use worker::Worker;

/// Longest time that a thread may need for a batch. A healthy one needs some milliseconds.
const BATCH_LIMIT: Duration = Duration::from_secs(5);

/// Shortest time between two log lines about sources that send too much.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// State that the threads share with the main loop.
#[derive(Debug)]
struct Shared {
    paths: ArcSwap<DataPaths>,
    inbox: Inbox,
    local_addresses: LocalAddresses,
    counters: Mutex<Counters>,
}

/// The running threads. Dropping it stops them and waits for their end.
#[derive(Debug)]
pub struct Plane {
    shared: Arc<Shared>,
    /// Queue and socket for the peer's own packets and datagrams.
    queue: Arc<Queue>,
    socket: Arc<Socket>,
    stop: Arc<OwnedFd>,
    threads: Vec<JoinHandle<()>>,
    published: Published,
    /// Earliest time of the next log line about a source that sends too much.
    next_report: Option<Instant>,
    notices: Vec<Notice>,
    recent_peers: RecentPeers,
    counters: Counters,
    errors: ErrorLog,
}

impl Plane {
    /// Starts one thread per queue of the device. The threads share the sockets (at least one).
    ///
    /// # Errors
    ///
    /// If the system has no thread or file descriptor left.
    pub fn start(queues: Vec<Queue>, sockets: Vec<Socket>) -> Result<Self, Failure> {
        let failure = |error: io::Error| Failure::runtime("start the packet threads", error);
        let queues: Vec<_> = queues.into_iter().map(Arc::new).collect();
        let sockets: Vec<_> = sockets.into_iter().map(Arc::new).collect();
        let (Some(queue), Some(socket)) = (queues.first(), sockets.first()) else {
            return Err(failure(io::ErrorKind::InvalidInput.into()));
        };
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let stop = eventfd(0, flags).map_err(|error| failure(error.into()))?;
        let mut plane = Self {
            shared: Arc::new(Shared {
                paths: ArcSwap::from_pointee(DataPaths::none()),
                inbox: Inbox::default(),
                local_addresses: LocalAddresses::default(),
                counters: Mutex::default(),
            }),
            queue: queue.clone(),
            socket: socket.clone(),
            stop: Arc::new(stop),
            threads: Vec::new(),
            published: Published::default(),
            next_report: None,
            notices: Vec::new(),
            recent_peers: RecentPeers::default(),
            counters: Counters::default(),
            errors: ErrorLog::default(),
        };
        for (number, (queue, socket)) in queues.into_iter().zip(sockets.iter().cycle()).enumerate() {
            let worker = Worker {
                queue,
                socket: socket.clone(),
                shared: plane.shared.clone(),
                stop: plane.stop.clone(),
            };
            let thread = thread::Builder::new()
                .name(format!("packets-{number}"))
                .spawn(move || worker.run())
                .map_err(failure)?;
            plane.threads.push(thread);
        }
        Ok(plane)
    }

    fn count_lost(&mut self, result: io::Result<()>, action: &'static str) {
        if let Err(error) = result {
            if error.kind() != io::ErrorKind::WouldBlock {
                self.errors.report(action, &error);
            }
            self.counters.count_drop(DropReason::Overloaded);
        }
    }
}

/// Returns true if the kernel knows that the datagram exceeds the path MTU, and must not fragment it.
fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

impl<P: DataPeer> Transport<P> for Plane {
    fn receive(&mut self, peer: &mut P, input: &mut Batch, output: &mut Batch) -> Result<bool, Failure> {
        let mut contents = self.shared.inbox.open();
        if let Some(error) = contents.device_error.take() {
            return Err(explain_lost_device(error));
        }
        let more = contents.take_datagrams(TURN_LIMIT, |(datagram, local)| {
            self.recent_peers.note(datagram.remote, local);
            input.datagrams.push(datagram);
        });
        contents.take_notices(|(notice, local)| {
            self.recent_peers.note(notice.remote, local);
            self.notices.push(notice);
        });
        let greedy = contents.greedy.take();
        drop(contents);
        self.report_greedy(greedy);
        peer.take_notices(clock::now(), &mut self.notices, output);
        Ok(more)
    }

    fn flush(&mut self, peer: &mut P, output: &mut Batch) {
        // Publish the session table before sending: a reply may arrive before this function ends.
        if !self.published.is_current(peer.generation()) {
            self.publish(peer);
        }
        for datagram in output.datagrams.drain(..) {
            let route = Route {
                remote: datagram.remote,
                local: self.recent_peers.of(datagram.remote),
            };
            match self.socket.send(route, &datagram.payload, datagram.payload.len()) {
                // Path MTU probes may be too long: that is their purpose.
                Err(error) if is_too_long(&error) => {}
                result => self.count_lost(result.map(drop), "send a datagram"),
            }
        }
        for packet in output.packets.drain(..) {
            let header = Header::default().to_bytes();
            let result = self.queue.write(&[IoSlice::new(&header), IoSlice::new(&packet)]);
            self.count_lost(result, "write a packet to the tunnel device");
        }
    }

    fn withdraw(&mut self, peer: &mut P) -> Result<(), Failure> {
        self.publish(peer);
        if !self.published.wait_for_threads(BATCH_LIMIT) {
            let cause = "a packet thread does not finish its work";
            return Err(Failure::runtime("withdraw the keys of the old sessions", cause));
        }
        Ok(())
    }

    async fn ready(&mut self, _output: &Batch) -> io::Result<()> {
        self.shared.inbox.wait().await;
        Ok(())
    }

    fn poll_drop(&mut self) -> Option<DropReason> {
        self.shared.inbox.open().drop_reasons.pop()
    }

    /// Waits for the threads, so that the packets of their last batches are counted.
    fn stop(&mut self) {
        self.stop_threads();
    }

    fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.add(
            &self
                .shared
                .counters
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        counters
    }
}

impl Plane {
    /// Gives the present session table to the threads.
    fn publish(&mut self, peer: &mut impl DataPeer) {
        let table = peer.data_paths();
        self.published
            .replace(&self.shared.paths, peer.generation(), table);
    }

    /// Logs a source that has used up its share of the inbox, at most once a minute.
    fn report_greedy(&mut self, source: Option<IpAddr>) {
        let Some(source) = source else { return };
        let now = clock::now();
        if self.next_report.is_some_and(|next| now < next) {
            return;
        }
        self.next_report = Some(now + REPORT_EVERY);
        warn!(
            event = "flood",
            %source,
            "{source} sends faster than this tunnel can process; its datagrams above its share are dropped (logged once a minute)"
        );
    }

    /// Stops the threads and waits for them.
    fn stop_threads(&mut self) {
        // The counter of the eventfd cannot overflow: there are at most two writes.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            // A thread that panicked has reported it.
            let _ = thread.join();
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop_threads();
    }
}
