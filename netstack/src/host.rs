//! The host: its input (packets, time, tasks) and its output (packets, events, deadlines).

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use crate::client::Ended;
use crate::config::{Config, Limits};
use crate::describe::Description;
use crate::event::{Event, EventKind, TaskId};
use crate::options::TcpOptions;
use crate::service::{Service, Services};
use crate::stack::Stack;
use crate::task::{Running, Task};

/// An IP host without network card, clock or entropy.
///
/// There are four groups of methods:
///
/// - Input: [`handle_packet`](Self::handle_packet), [`handle_timeout`](Self::handle_timeout).
/// - Requests of the user: [`serve`](Self::serve), [`start`](Self::start).
/// - Output: [`poll_packet`](Self::poll_packet), [`poll_event`](Self::poll_event). Call them until they return nothing.
/// - Deadline: [`poll_timeout`](Self::poll_timeout). Call it after the output has been taken.
///
/// Each input and each `start` does all work that is possible at its time. So the order of calls is: one or more inputs
/// at the same `now`; then `poll_packet` and `poll_event` until they are empty, in any order; then `poll_timeout`; then
/// wait. The host keeps output until it is taken, and a late call changes nothing else.
///
/// Time is a [`Duration`] since an origin that the caller chooses. It must not run backwards. TCP uses whole
/// microseconds, rounded down. Round-trip times of echo tasks are exact.
///
/// An idle host needs a few KiB. A TCP connection allocates a send and a receive buffer of at most 512 KiB each, as
/// large as its content needs. The buffers are freed when the connection is over. On the side that closes first, that is
/// 10 s later (TIME-WAIT). A host has at most [`MAX_CONNECTIONS`](crate::MAX_CONNECTIONS), and aborts a connection when
/// the peer is silent for [`TCP_TIMEOUT`](crate::TCP_TIMEOUT). [`set_limits`](Self::set_limits) changes both. It does not
/// fragment or reassemble IP packets.
///
/// A complete transfer in virtual time, over a link with a delay of 5 ms:
///
/// ```
/// use core::time::Duration;
/// use sandhog_netstack::{Config, EventKind, Host, Service, Task};
///
/// # let host = |last| {
/// #     Host::new(Config { addresses: vec![([10, 9, 0, last].into(), 24)], mtu: 1280, seed: 1, canary: *b"never on a wire!" })
/// # };
/// let (mut alice, mut bob) = (host(2), host(1));
/// bob.serve(Service::Bulk { port: 5001 });
/// alice.start(Duration::ZERO, Task::Download { from: ([10, 9, 0, 1], 5001).into(), bytes: 20_000 });
///
/// let (mut now, mut packet) = (Duration::ZERO, Vec::new());
/// let summary = loop {
///     now += Duration::from_millis(5);
///     while alice.poll_packet(&mut packet) {
///         bob.handle_packet(now, &packet);
///     }
///     bob.handle_timeout(now);
///     now += Duration::from_millis(5);
///     while bob.poll_packet(&mut packet) {
///         alice.handle_packet(now, &packet);
///     }
///     alice.handle_timeout(now);
///     match alice.poll_event().map(|event| event.kind) {
///         Some(EventKind::Done(summary)) => break summary,
///         Some(EventKind::Failed(error)) => panic!("{error}"),
///         _ => {}
///     }
/// };
/// assert_eq!(summary.bytes, 20_000);
/// assert!(summary.sha256.is_some());
/// ```
pub struct Host {
    stack: Stack,
    services: Services,
    tasks: Vec<(TaskId, Running)>,
    /// Sockets that only have to complete the close of their connection.
    closing: Vec<SocketHandle>,
    events: VecDeque<Event>,
    next_task: u32,
}

impl Host {
    /// Creates a host.
    ///
    /// # Panics
    /// If [`Config::check`] returns an error.
    #[must_use]
    pub fn new(config: Config) -> Self {
        if let Err(error) = config.check() {
            panic!("invalid host configuration: {error}");
        }
        Self {
            stack: Stack::new(&config),
            services: Services::default(),
            tasks: Vec::new(),
            closing: Vec::new(),
            events: VecDeque::new(),
            next_task: 0,
        }
    }

    /// Changes the MTU, in bytes. Connections continue with shorter or longer packets. A value outside of the range of
    /// [`Config::check`] is moved into the range.
    ///
    /// ```
    /// use core::time::Duration;
    /// use sandhog_netstack::{Config, EventKind, Host, Task, TaskError};
    ///
    /// # let config = Config { addresses: vec![([10, 9, 0, 2].into(), 24)], mtu: 1400, seed: 1, canary: *b"never on a wire!" };
    /// let mut host = Host::new(config);
    /// host.set_mtu(1000);
    ///
    /// let second = Duration::from_secs(1);
    /// let ping = Task::Ping { to: [10, 9, 0, 1].into(), count: 1, interval: second, payload_len: 1300, timeout: second };
    /// host.start(Duration::ZERO, ping);
    /// let error = TaskError::PayloadLength { given: 1300, min: 0, max: 972 };
    /// assert_eq!(host.poll_event().unwrap().kind, EventKind::Failed(error));
    /// ```
    pub fn set_mtu(&mut self, mtu: usize) {
        self.stack.set_mtu(mtu);
    }

    /// Changes the limits of TCP connections. The timeout applies to new connections.
    ///
    /// ```
    /// use sandhog_netstack::{Config, Host, Limits};
    ///
    /// # let config = Config { addresses: vec![([10, 9, 0, 2].into(), 24)], mtu: 1400, seed: 1, canary: *b"never on a wire!" };
    /// let mut server = Host::new(config);
    /// server.set_limits(Limits { connections: 200, ..Limits::default() });
    /// ```
    pub fn set_limits(&mut self, limits: Limits) {
        self.stack.limits = limits;
    }

    /// Adds a service. On a TCP port that is in use, the new service replaces the old one for new connections.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use core::time::Duration;
    /// use sandhog_netstack::{Config, EventKind, Host, Service, Task};
    ///
    /// # let host = |last| {
    /// #     Host::new(Config { addresses: vec![([10, 9, 0, last].into(), 24)], mtu: 1280, seed: 1, canary: *b"never on a wire!" })
    /// # };
    /// let (mut alice, mut bob) = (host(2), host(1));
    /// let files = BTreeMap::from([("/hello.txt".to_owned(), b"hello".as_slice().into())]);
    /// bob.serve(Service::Http { port: 80, files });
    /// alice.start(Duration::ZERO, Task::HttpGet { from: ([10, 9, 0, 1], 80).into(), path: "/hello.txt".into() });
    ///
    /// let mut packet = Vec::new();
    /// for millis in 1..10 {
    ///     let now = Duration::from_millis(millis);
    ///     while alice.poll_packet(&mut packet) {
    ///         bob.handle_packet(now, &packet);
    ///     }
    ///     while bob.poll_packet(&mut packet) {
    ///         alice.handle_packet(now, &packet);
    ///     }
    /// }
    /// assert_eq!(alice.poll_event().unwrap().kind, EventKind::Connected);
    /// assert!(matches!(alice.poll_event().unwrap().kind, EventKind::Done(summary) if summary.bytes == 5));
    /// ```
    pub fn serve(&mut self, service: Service) {
        self.services.add(service, &mut self.stack);
    }

    /// Starts a task. If the task cannot start, [`poll_event`](Self::poll_event) returns its [`EventKind::Failed`] at once.
    pub fn start(&mut self, now: Duration, task: Task) -> TaskId {
        let id = TaskId(self.next_task);
        self.next_task += 1;
        match Running::start(now, task, TcpOptions::default(), &mut self.stack) {
            Ok(running) => self.tasks.push((id, running)),
            Err(error) => self.events.push_back(Event {
                task: id,
                kind: EventKind::Failed(error),
            }),
        }
        self.drive(now, Ended::ByTimeout);
        id
    }

    /// Processes one IP packet. Invalid packets and packets to other hosts are dropped.
    pub fn handle_packet(&mut self, now: Duration, packet: &[u8]) {
        if packet.is_empty() {
            return;
        }
        self.services.accept(packet, &mut self.closing, &mut self.stack);
        self.stack.ingress(now, packet);
        self.drive(now, Ended::ByPacket);
    }

    /// Does the work that is due at `now`. It is safe to call when nothing is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.drive(now, Ended::ByTimeout);
    }

    /// Writes the next packet to send into `packet` and reuses its allocation. Returns false and leaves `packet` unchanged
    /// if there is none.
    pub fn poll_packet(&mut self, packet: &mut Vec<u8>) -> bool {
        self.stack.queue.pop_into(packet)
    }

    /// Returns the oldest event that has not been taken.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The time at which to call [`handle_timeout`](Self::handle_timeout), or `None` if the host only waits for packets.
    ///
    /// The deadline is in whole microseconds, or it is the exact deadline of a task. A caller with a coarser clock rounds
    /// up. After a call of `handle_timeout` at the deadline, the next deadline is later.
    ///
    /// ```
    /// use core::time::Duration;
    /// use sandhog_netstack::{Config, Host, Service, Task};
    ///
    /// # let config = Config { addresses: vec![([10, 9, 0, 2].into(), 24)], mtu: 1280, seed: 1, canary: *b"never on a wire!" };
    /// let mut host = Host::new(config);
    /// host.serve(Service::UdpEcho { port: 7 });
    /// assert_eq!(host.poll_timeout(Duration::ZERO), None);
    ///
    /// let (interval, timeout) = (Duration::from_millis(300), Duration::from_secs(1));
    /// host.start(Duration::ZERO, Task::Ping { to: [10, 9, 0, 1].into(), count: 2, interval, payload_len: 56, timeout });
    /// assert_eq!(host.poll_timeout(Duration::ZERO), Some(interval));
    /// host.handle_timeout(interval);
    /// assert_eq!(host.poll_timeout(interval), Some(timeout));
    /// ```
    pub fn poll_timeout(&mut self, now: Duration) -> Option<Duration> {
        let tasks = self.tasks.iter().filter_map(|(_, task)| task.deadline());
        tasks.chain(self.stack.poll_at(now)).min()
    }

    /// Describes the state that decides the future behaviour. Returns false if a TCP socket is open, also in TIME-WAIT:
    /// then the description is incomplete.
    ///
    /// Two hosts with equal descriptions behave equally from then on, apart from the values of random numbers. So absolute
    /// times are described as times from `now`. Addresses and canary do not change and are left out.
    ///
    /// ```
    /// use core::time::Duration;
    /// use sandhog_netstack::{Config, Host, Task};
    ///
    /// # let config = Config { addresses: vec![([10, 9, 0, 2].into(), 24)], mtu: 1280, seed: 1, canary: *b"never on a wire!" };
    /// let described = |start: Duration, now: Duration| {
    ///     let (mut host, mut parts) = (Host::new(config.clone()), Vec::new());
    ///     let second = Duration::from_secs(1);
    ///     let to = [10, 9, 0, 1].into();
    ///     host.start(start, Task::Ping { to, count: 1, interval: second, payload_len: 56, timeout: second });
    ///     while host.poll_packet(&mut Vec::new()) {}
    ///     assert!(host.describe(now, &mut |part| parts.push(part)));
    ///     parts
    /// };
    /// let (early, late) = (Duration::from_secs(1), Duration::from_secs(100));
    /// assert_eq!(described(Duration::ZERO, early), described(late - early, late));
    /// assert_ne!(described(Duration::ZERO, early), described(early, early));
    /// ```
    pub fn describe(&self, now: Duration, sink: &mut dyn FnMut(u64)) -> bool {
        let Self {
            stack,
            services,
            tasks,
            closing,
            events,
            next_task,
        } = self;
        let mut to = Description::new(now, sink);
        // Numbers of tasks are counted, so only their distance from the newest task counts.
        let age = |TaskId(id): &TaskId| u64::from(next_task - id);
        to.len(tasks.len());
        let mut is_complete = closing.is_empty();
        for (id, task) in tasks {
            to.number(age(id));
            is_complete &= task.describe(&mut to);
        }
        to.len(events.len());
        for Event { task, kind } in events {
            to.number(age(task));
            to.text(format!("{kind:?}"));
        }
        is_complete &= services.describe(&mut to);
        stack.describe(&mut to) && is_complete
    }

    /// Runs tasks, services and sockets until there is nothing more to send at this time.
    fn drive(&mut self, now: Duration, mut ended: Ended) {
        loop {
            self.step(now, ended);
            if !self.stack.egress(now) {
                break;
            }
            ended = Ended::ByTimeout;
        }
        self.remove_closed();
    }

    fn step(&mut self, now: Duration, ended: Ended) {
        let Self {
            stack,
            services,
            tasks,
            closing,
            events,
            ..
        } = self;
        services.step(closing, stack);
        tasks.retain_mut(|(id, running)| {
            let id = *id;
            let mut emit = |kind| events.push_back(Event { task: id, kind });
            let Some(result) = running.step(now, stack, ended, &mut emit) else {
                return true;
            };
            emit(result.map_or_else(EventKind::Failed, EventKind::Done));
            if let Running::Tcp(client) = running {
                closing.push(client.socket);
            }
            false
        });
        for &handle in &*closing {
            let socket = stack.tcp(handle);
            // Unread data on a closed connection is answered with a reset (RFC 1122, section 4.2.2.13), but only after
            // the peer has acknowledged everything (RFC 9112, section 9.6).
            if socket.can_recv() && socket.send_queue() == 0 {
                socket.abort();
            }
        }
    }

    /// Removes closed sockets with their buffers. A socket that still has to send a reset has a remote endpoint, and stays.
    fn remove_closed(&mut self) {
        let Self { stack, closing, .. } = self;
        closing.retain(|&handle| {
            let socket = stack.tcp(handle);
            let closed = socket.state() == State::Closed && socket.remote_endpoint().is_none();
            if closed {
                stack.sockets.remove(handle);
            }
            !closed
        });
    }
}
