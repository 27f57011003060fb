//! How adversaries act on a run: what they see when a datagram is sent, what they send, and the records of both.

use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::{Instant, PacketBuf};

use super::agent::{Captured, Plan};
use super::{Act, Inject, Source};
use crate::link::{Fate, LossReason};
use crate::net::{Flight, Sending};
use crate::record::{HostId, RecordId, RecordKind};
use crate::trace::fingerprint;
use crate::world::World;

/// What the datagrams mean that an adversary made up.
const MADE_UP: &str = "junk";

/// A datagram that an adversary sends.
struct Forged {
    agent: usize,
    /// Its act, in one word.
    act: &'static str,
    /// The datagram it comes from, if any.
    cause: RecordId,
    /// Who made the bytes, if they are a true copy.
    origin: Option<HostId>,
    kind: &'static str,
    from: SocketAddr,
    to: SocketAddr,
    payload: PacketBuf,
}

/// An alteration that was decided upon: by whom, and what becomes of the datagram.
pub(crate) struct Alteration {
    agent: usize,
    payload: PacketBuf,
}

impl World {
    /// The number of an adversary among the hosts.
    fn adversary_id(&self, agent: usize) -> HostId {
        (self.hosts.len() + agent) as HostId
    }

    /// Does what the adversaries have planned for now.
    pub(crate) fn act_adversaries(&mut self) {
        while let Some((agent, act, plan)) = self.adversaries.take_due(self.now) {
            let Some(action) = self.adversaries.agents[agent].spec.acts.get(act).cloned() else {
                continue;
            };
            match (action, plan) {
                (Act::Inject(inject), Plan::Inject { number }) => self.inject(agent, act, &inject, number),
                (Act::Replay { to, from, every, .. }, Plan::Replay { captured, left }) => {
                    let to = to.map_or(captured.to, |to| self.address_of(to));
                    let from = from.map_or(captured.from, |from| self.source(agent, act, &from, to));
                    self.replay(agent, "replay", &captured, from, to);
                    if left > 0 {
                        let next = self.now + every.max(self.resolution);
                        let plan = Plan::Replay {
                            captured,
                            left: left - 1,
                        };
                        self.adversaries.plan(next, agent, act, plan);
                    }
                }
                _ => {}
            }
        }
    }

    /// Sends all datagrams of an act that are due now, from `number` on, and plans the next.
    fn inject(&mut self, agent: usize, act: usize, inject: &Inject, number: u64) {
        let due = |number: u64| -> Instant {
            let nanos = inject.spacing.as_nanos().saturating_mul(u128::from(number));
            inject.first + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let mut number = number;
        while number < inject.count && due(number) <= self.now {
            let to = self.address_of(inject.to);
            let from = self.source(agent, act, &inject.from, to);
            let made = self.adversaries.agents[agent].make(act, &inject.bytes, inject.to, number);
            if let Some((seen, payload)) = made {
                self.forge(Forged {
                    agent,
                    act: inject.name,
                    cause: seen.as_ref().map_or(0, |seen| seen.record),
                    origin: seen.as_ref().map(|seen| seen.sender),
                    kind: seen.map_or(MADE_UP, |seen| seen.kind),
                    from,
                    to,
                    payload,
                });
            }
            number += 1;
        }
        if number < inject.count && self.adversaries.agents[agent].budget > 0 {
            self.adversaries
                .plan(due(number), agent, act, Plan::Inject { number });
        }
    }

    fn replay(&mut self, agent: usize, act: &'static str, seen: &Captured, from: SocketAddr, to: SocketAddr) {
        self.forge(Forged {
            agent,
            act,
            cause: seen.record,
            origin: Some(seen.sender),
            kind: seen.kind,
            from,
            to,
            payload: seen.payload.clone(),
        });
    }

    fn address_of(&self, host: HostId) -> SocketAddr {
        self.hosts[usize::from(host)].address
    }

    fn source(&mut self, agent: usize, act: usize, source: &Source, to: SocketAddr) -> SocketAddr {
        match source {
            Source::Own => self.adversaries.agents[agent].spec.address,
            Source::Host(host) => self.address_of(*host),
            Source::Address(address) => *address,
            Source::Random => self.adversaries.agents[agent].random_source(act, to),
        }
    }

    /// Which adversaries alter a datagram that sets out, and whether its own copies are held back for that.
    pub(crate) fn alterations(&mut self, seen: &Captured, fate: Fate) -> (Vec<Alteration>, bool) {
        let (mut alterations, mut hold) = (Vec::new(), false);
        if let Fate::Lost(_) = fate {
            return (alterations, hold);
        }
        for index in self.adversaries.watching(seen.sender, seen.target) {
            let agent = &mut self.adversaries.agents[index];
            for (act, action) in agent.spec.acts.clone().iter().enumerate() {
                let Act::Alter {
                    pick,
                    bit,
                    drop_original,
                } = action
                else {
                    continue;
                };
                if agent.budget > alterations.len() as u64 && agent.picks(act, pick, seen) {
                    let mut payload = seen.payload.clone();
                    agent.flip(act, *bit, &mut payload);
                    hold |= drop_original;
                    alterations.push(Alteration {
                        agent: index,
                        payload,
                    });
                }
            }
        }
        (alterations, hold)
    }

    /// The copies of a datagram are held back by an adversary.
    pub(crate) fn hold_back(&mut self, seen: &Captured, sending: &Sending) {
        let Fate::Copies(copies) = sending.fate else {
            return;
        };
        let copies = copies.iter().flatten().count() as u64;
        self.net.counts.made += copies.saturating_sub(1);
        for _ in 0..copies {
            self.lose(
                Some(seen.sender),
                Some(seen.target),
                seen.record,
                LossReason::Intercepted,
            );
        }
    }

    /// Lets the adversaries act on a datagram that they see. Its own fate is settled by now.
    pub(crate) fn show_adversaries(
        &mut self,
        seen: &Captured,
        sending: &Sending,
        alterations: Vec<Alteration>,
    ) {
        for Alteration { agent, payload } in alterations {
            self.pass_altered(agent, seen, sending, payload);
        }
        for index in self.adversaries.watching(seen.sender, seen.target) {
            self.adversaries.agents[index].keep(seen);
            let acts = self.adversaries.agents[index].spec.acts.clone();
            for (act, action) in acts.iter().enumerate() {
                match action {
                    Act::Reflect { pick } if self.adversaries.agents[index].picks(act, pick, seen) => {
                        self.replay(index, "reflect", seen, seen.to, seen.from);
                    }
                    Act::Replay {
                        pick, after, count, ..
                    } if self.adversaries.agents[index].picks(act, pick, seen) && *count > 0 => {
                        let at = self.now + (*after).max(self.resolution);
                        let plan = Plan::Replay {
                            captured: Box::new(seen.clone()),
                            left: count - 1,
                        };
                        self.adversaries.plan(at, index, act, plan);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Sends an altered datagram on its way, which it takes as the original would have.
    fn pass_altered(&mut self, agent: usize, seen: &Captured, sending: &Sending, payload: PacketBuf) {
        let forged = Forged {
            agent,
            act: "alter",
            cause: seen.record,
            origin: None,
            kind: seen.kind,
            from: seen.from,
            to: seen.to,
            payload,
        };
        self.send_forged(forged, Some(sending));
    }

    /// Sends a datagram over the adversary's own link.
    fn forge(&mut self, forged: Forged) {
        self.send_forged(forged, None);
    }

    fn send_forged(&mut self, forged: Forged, sending: Option<&Sending>) {
        let Forged {
            agent,
            act,
            cause,
            origin,
            kind,
            from,
            to,
            payload,
        } = forged;
        let id = self.adversary_id(agent);
        let budget = &mut self.adversaries.agents[agent].budget;
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        let source = from.to_string();
        let attack = self
            .trace
            .add(self.now, Some(id), cause, RecordKind::Attack { act, source });
        let own;
        let sending = match sending {
            Some(sending) => sending,
            None => {
                own = self.net.decide(self.now, id, to, kind, &payload);
                &own
            }
        };
        let print = fingerprint(&payload);
        let record = RecordKind::Sent {
            to: sending.target,
            kind,
            nth: sending.nth,
            len: payload.len() as u64,
            print,
        };
        let sent = self
            .trace
            .add_packet(self.now, Some(id), attack, record, &payload);
        self.net.counts.made += 1;
        let flight = Flight {
            record: 0,
            origin: origin.unwrap_or(id),
            from,
            to,
            kind,
            print,
            payload,
        };
        self.launch(id, sent, sending, flight);
        self.checks
            .see_conservation(sent, self.net.counts, self.net.in_flight());
    }

    /// Takes what arrives at adversaries, who are no hosts: it only gets a record.
    pub(crate) fn take_answers(&mut self, target: HostId) {
        while let Some((key, flight)) = self.net.take_due(self.now, target) {
            self.receive(target, key.source, &flight);
        }
    }
}
