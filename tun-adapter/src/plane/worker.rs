//! One thread of a data plane: waits for its queue of the device and its socket, and moves what they have, in small batches.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use sandhog_proto::{Counters, DropReason};

use super::Shared;
use super::down::{Down, Receiving};
use super::up::{Sending, Up};
use crate::privileges;
use crate::shell::Troubles;
use crate::tun::Queue;
use crate::udp::Socket;

/// What a thread works with.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) queue: Arc<Queue>,
    pub(super) socket: Arc<Socket>,
    pub(super) shared: Arc<Shared>,
    /// Readable when it is to stop.
    pub(super) stop: Arc<OwnedFd>,
}

/// What is ready.
struct Ready {
    queue: bool,
    socket: bool,
    stop: bool,
}

impl Worker {
    /// Works until it is told to stop, or the device is gone: then it says so.
    pub(super) fn run(self) {
        let shared = self.shared.clone();
        let ended = catch_unwind(AssertUnwindSafe(|| self.work()))
            .unwrap_or_else(|_| Err(io::Error::other("a bug; please report it")));
        if let Err(error) = ended {
            shared.inbox.put_lost(error);
        }
    }

    fn work(&self) -> io::Result<()> {
        // An open device and an open socket need none.
        privileges::give_up_all().map_err(io::Error::other)?;
        let (mut up, mut down) = (Up::new(), Down::new(self.queue.abilities()));
        let mut books = Books::default();
        let mut troubles = Troubles::default();
        loop {
            let ready = self.wait()?;
            if ready.stop {
                return Ok(());
            }
            // What the device is given, it often answers on the spot: a ping, a segment of TCP.
            let has_written = ready.socket
                && down.run(&mut Receiving {
                    queue: &self.queue,
                    socket: &self.socket,
                    shared: &self.shared,
                    counters: &mut books.counters,
                    troubles: &mut troubles,
                });
            let result = if ready.queue || has_written {
                up.run(&mut Sending {
                    queue: &self.queue,
                    socket: &self.socket,
                    shared: &self.shared,
                    counters: &mut books.counters,
                    troubles: &mut troubles,
                })
            } else {
                Ok(())
            };
            books.close(&self.shared);
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
        // An error is something to be read as well.
        let [queue, socket, stop] = fds.map(|fd| !fd.revents().is_empty());
        Ok(Ready { queue, socket, stop })
    }
}

/// What a thread has counted since it last told.
#[derive(Debug, Default)]
struct Books {
    counters: Counters,
    told: BTreeSet<DropReason>,
}

impl Books {
    /// Hands over what was counted in one batch.
    fn close(&mut self, shared: &Shared) {
        for (reason, _) in self.counters.drops() {
            if self.told.insert(reason) {
                shared.inbox.put_reason(reason);
            }
        }
        let mut all = shared.counters.lock().unwrap_or_else(PoisonError::into_inner);
        all.add(&self.counters);
        drop(all);
        self.counters = Counters::default();
    }
}
