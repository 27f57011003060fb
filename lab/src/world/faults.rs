//! Faults of a tape that the network alone cannot carry out: swapped datagrams, rebindings and crashes.

use sandhog_peer::Instant;

use super::{Due, Power, World};
use crate::link::{Copy, Fate};
use crate::net::{Flight, SWAP_LIMIT, Sending, Swapped};
use crate::record::{HostId, RecordId};
use crate::setup::Control;
use crate::tape::HostFault;

impl World {
    /// Carries out the faults of hosts at the time a datagram leaves. A rebinding is immediate. A crash follows in the next step.
    pub(super) fn steer_hosts(&mut self, faults: &[HostFault]) {
        for fault in faults {
            match *fault {
                HostFault::Rebind(host, to) if self.is_host(host) => self.rebind(host, to),
                HostFault::Crash(host, down) if self.is_host(host) => {
                    let at = self.now + self.resolution;
                    self.controls_left += 2;
                    self.schedule(at, Due::Crash(host));
                    self.schedule(at + down, Due::Restart(host));
                }
                HostFault::Rebind(..) | HostFault::Crash(..) => {}
            }
        }
    }

    /// Carries out a crash or restart of a tape, if the host is up or down as `when_up` demands.
    pub(super) fn host_fault(&mut self, control: &Control, when_up: bool) -> Option<Power> {
        self.controls_left -= 1;
        let (Control::Crash(host) | Control::Restart(host)) = control else {
            return None;
        };
        let applies = self.hosts[usize::from(*host)].up == when_up;
        applies.then(|| self.control(control)).flatten()
    }

    /// Launches a datagram, and after it the swapped datagram that waited for it. A swapped datagram waits.
    pub(super) fn launch_in_order(
        &mut self,
        source: HostId,
        sent: RecordId,
        sending: Sending,
        flight: Flight,
    ) {
        let Some(target) = sending.target else {
            return self.launch(source, sent, &sending, flight);
        };
        let waiting = self.net.take_swapped((source, target));
        if sending.swapped && matches!(sending.fate, Fate::Copies(_)) {
            let sent_at = self.now;
            let datagram = Swapped {
                sent_at,
                sent,
                sending,
                flight,
            };
            self.net.swap((source, target), datagram);
            if let Some(waiting) = waiting {
                self.launch_swapped(source, waiting, None);
            }
            return;
        }
        let arrival = match sending.fate {
            Fate::Copies([Some(Ok(copy)), _]) => Some(self.now + copy.after),
            _ => None,
        };
        self.launch(source, sent, &sending, flight);
        if let Some(waiting) = waiting {
            self.launch_swapped(source, waiting, arrival);
        }
    }

    /// Launches the swapped datagrams whose time to wait is over.
    pub(super) fn release_swapped(&mut self) {
        let until = Instant::ZERO + self.now.saturating_duration_since(Instant::ZERO + SWAP_LIMIT);
        if self.now >= Instant::ZERO + SWAP_LIMIT {
            self.release_swapped_until(until);
        }
    }

    /// Launches all swapped datagrams.
    pub(super) fn release_all_swapped(&mut self) {
        self.release_swapped_until(self.now);
    }

    fn release_swapped_until(&mut self, until: Instant) {
        while let Some(((source, _), waiting)) = self.net.take_swapped_until(until) {
            self.launch_swapped(source, waiting, None);
        }
    }

    /// Launches a swapped datagram so that it arrives after the datagram that arrives at `after`.
    fn launch_swapped(&mut self, source: HostId, waiting: Swapped, after: Option<Instant>) {
        let Swapped {
            sent_at,
            sent,
            mut sending,
            flight,
        } = waiting;
        let now = self.now;
        if let Fate::Copies(copies) = &mut sending.fate {
            for copy in copies.iter_mut().flatten().flatten() {
                let arrival = (sent_at + copy.after).max(after.unwrap_or_default());
                *copy = Copy {
                    after: arrival.saturating_duration_since(now),
                    ..*copy
                };
            }
        }
        self.launch(source, sent, &sending, flight);
    }
}
