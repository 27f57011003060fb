//! The host: packets, time and tasks in; packets, events and the next deadline out.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use crate::event::{Event, EventKind, TaskId};
use crate::service::{Service, Services};
use crate::stack::{Config, Stack};
use crate::task::{Running, Task};
use crate::tcp::Ended;

/// An IP host without a network card, a clock, or randomness of its own.
///
/// Four families of methods:
///
/// - input: [`handle_packet`](Self::handle_packet), [`handle_timeout`](Self::handle_timeout);
/// - what the user asks for: [`serve`](Self::serve), [`start`](Self::start);
/// - output: [`poll_packet`](Self::poll_packet), [`poll_event`](Self::poll_event), until they have nothing more;
/// - the next deadline: [`poll_timeout`](Self::poll_timeout), after the output has been taken.
///
/// Each input and each `start` does at once all that can be done at its time, so the order is: one or more inputs at the
/// same `now`, then `poll_packet` and `poll_event` until they are empty, in any order, then `poll_timeout`, then
/// wait. Output that is not taken is kept, and nothing else depends on when it is taken.
///
/// Time is a [`Duration`] since an origin that the caller chose. It must not run backwards. TCP counts in whole
/// microseconds, rounded down; round trip times of echoes are exact.
///
/// An idle host needs a few KiB. A TCP connection brings buffers of at most 512 KiB each way, sized by what it is to
/// carry; the buffers go when the connection is over, on the side that closes first 10 s later (TIME-WAIT).
/// At most [`MAX_CONNECTIONS`](crate::MAX_CONNECTIONS) are accepted, and a connection whose other side is silent for
/// [`TCP_TIMEOUT`](crate::TCP_TIMEOUT) is given up. IP fragments are not reassembled and nothing is fragmented.
pub struct Host {
    stack: Stack,
    services: Services,
    tasks: Vec<(TaskId, Running)>,
    /// Sockets with nothing to say but goodbye.
    closing: Vec<SocketHandle>,
    events: VecDeque<Event>,
    next_task: u32,
}

impl Host {
    /// Makes a host. This costs microseconds.
    ///
    /// # Panics
    /// If [`Config::check`] finds something wrong.
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

    /// Sends no longer packets than `mtu` bytes from now on, as when a device's MTU is changed: connections go on. A value
    /// outside of what [`Config::check`] allows is brought into that range.
    pub fn set_mtu(&mut self, mtu: usize) {
        self.stack.set_mtu(mtu);
    }

    /// Offers a service from now on. On a TCP port that is taken, the new service answers new connections.
    pub fn serve(&mut self, service: Service) {
        self.services.add(service, &mut self.stack);
    }

    /// Starts a task. If it cannot even start, its [`EventKind::Failed`] is there at once.
    pub fn start(&mut self, now: Duration, task: Task) -> TaskId {
        let id = TaskId(self.next_task);
        self.next_task += 1;
        match Running::start(now, task, &mut self.stack) {
            Ok(running) => self.tasks.push((id, running)),
            Err(error) => self.events.push_back(Event {
                task: id,
                kind: EventKind::Failed(error),
            }),
        }
        self.drive(now, Ended::ByTimeout);
        id
    }

    /// Takes one IP packet. What is not a valid packet to this host is dropped.
    pub fn handle_packet(&mut self, now: Duration, packet: &[u8]) {
        if packet.is_empty() {
            return;
        }
        self.services.accept(packet, &mut self.closing, &mut self.stack);
        self.stack.ingress(now, packet);
        self.drive(now, Ended::ByPacket);
    }

    /// Does what is due at `now`. Harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.drive(now, Ended::ByTimeout);
    }

    /// Writes the next packet to send over `packet`, whose allocation is used again. `false`, and `packet` as it was,
    /// if there is none.
    pub fn poll_packet(&mut self, packet: &mut Vec<u8>) -> bool {
        self.stack.queue.pop_into(packet)
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): a time on the caller's scale, `None` if only a packet can
    /// bring news. The deadline is in whole microseconds or exactly that of a task; a caller with a coarser clock
    /// rounds up. Once `handle_timeout` has been called at it, the next deadline is a later one.
    pub fn poll_timeout(&mut self, now: Duration) -> Option<Duration> {
        let tasks = self.tasks.iter().filter_map(|(_, task)| task.deadline());
        tasks.chain(self.stack.poll_at(now)).min()
    }

    /// Lets tasks and services talk to their sockets, and the sockets to the queue, until all are quiet.
    fn drive(&mut self, now: Duration, mut ended: Ended) {
        loop {
            self.step(now, ended);
            if !self.stack.egress(now) {
                break;
            }
            ended = Ended::ByTimeout;
        }
        self.forget_closed();
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
            // Nobody reads any more, and the other side must learn that (RFC 1122, 4.2.2.13), but not before it has all
            // that was sent to it (RFC 9112, 9.6).
            if socket.can_recv() && socket.send_queue() == 0 {
                socket.abort();
            }
        }
    }

    /// Drops the sockets that have closed, and their buffers with them. Those that have yet to send a reset still have
    /// the address of the other side.
    fn forget_closed(&mut self) {
        let Self { stack, closing, .. } = self;
        closing.retain(|&handle| {
            let socket = stack.tcp(handle);
            let gone = socket.state() == State::Closed && socket.remote_endpoint().is_none();
            if gone {
                stack.sockets.remove(handle);
            }
            !gone
        });
    }
}
