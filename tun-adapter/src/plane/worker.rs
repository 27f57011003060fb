//! Packet thread of a data plane: waits for its queue of the device and its socket, and moves packets in
//! small batches.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use sandhog_proto::{Counters, DropReason};

use super::Shared;
use super::inbound::{Inbound, Receiving};
use super::outbound::{Outbound, Sending};
use crate::privileges;
use crate::shell::ErrorLog;
use crate::tun::Queue;
use crate::udp::Socket;

/// Input of one thread.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) queue: Arc<Queue>,
    pub(super) socket: Arc<Socket>,
    pub(super) shared: Arc<Shared>,
    /// Eventfd that becomes readable when the thread must stop.
    pub(super) stop: Arc<OwnedFd>,
}

/// Result of `poll`.
struct Ready {
    queue: bool,
    socket: bool,
    stop: bool,
}

impl Worker {
    /// Runs until `stop` is readable or the device is gone. Reports the loss of the device.
    pub(super) fn run(self) {
        let shared = self.shared.clone();
        let ended = catch_unwind(AssertUnwindSafe(|| self.work()))
            .unwrap_or_else(|_| Err(io::Error::other("internal error; please report this bug")));
        if let Err(error) = ended {
            shared.inbox.put_device_error(error);
        }
    }

    fn work(&self) -> io::Result<()> {
        // An open device and an open socket need no capabilities.
        privileges::give_up_all().map_err(io::Error::other)?;
        let (mut outbound, mut inbound) = (Outbound::new(), Inbound::new(self.queue.features()));
        let mut local = LocalCounters::default();
        let mut errors = ErrorLog::default();
        loop {
            let ready = self.wait()?;
            if ready.stop {
                return Ok(());
            }
            // The kernel often replies immediately to packets written to the device, for example to a ping or
            // a TCP segment.
            let has_written = ready.socket
                && inbound.run(&mut Receiving {
                    queue: &self.queue,
                    socket: &self.socket,
                    shared: &self.shared,
                    counters: &mut local.counters,
                    errors: &mut errors,
                });
            let result = if ready.queue || has_written {
                outbound.run(&mut Sending {
                    queue: &self.queue,
                    socket: &self.socket,
                    shared: &self.shared,
                    counters: &mut local.counters,
                    errors: &mut errors,
                })
            } else {
                Ok(())
            };
            local.publish(&self.shared);
            result?;
        }
    }

    fn wait(&self) -> io::Result<Ready> {
        let mut fds = [
            PollFd::from_borrowed_fd(self.queue.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
        ];
        loop {
            match poll(&mut fds, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Errors must be read, too.
        let [queue, socket, stop] = fds.map(|fd| !fd.revents().is_empty());
        Ok(Ready { queue, socket, stop })
    }
}

/// Counters of a thread since its last report.
#[derive(Debug, Default)]
struct LocalCounters {
    counters: Counters,
    reported: BTreeSet<DropReason>,
}

impl LocalCounters {
    /// Adds the counters of one batch to the shared ones.
    fn publish(&mut self, shared: &Shared) {
        for (reason, _) in self.counters.drops() {
            if self.reported.insert(reason) {
                shared.inbox.put_drop_reason(reason);
            }
        }
        let mut all = shared.counters.lock().unwrap_or_else(PoisonError::into_inner);
        all.add(&self.counters);
        drop(all);
        self.counters = Counters::default();
    }
}
