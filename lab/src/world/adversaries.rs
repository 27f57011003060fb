//! Actions of the adversaries: scheduled attacks, reactions to captured datagrams, and the records of both.

use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::{Instant, PacketBuf};

use super::World;
use crate::adversary::{Act, Captured, Inject, Plan, Source};
use crate::link::{Fate, LossReason};
use crate::net::{Flight, Sending};
use crate::record::{HostId, RecordId, RecordKind};
use crate::trace::fingerprint;

/// Message kind of a datagram that is not a copy.
const FORGED_KIND: &str = "junk";

/// Name of the act of an adversary that speaks the protocol.
pub(super) const SPEAK: &str = "speak";

/// A datagram that an adversary sends.
pub(super) struct Forged {
    pub(super) agent: usize,
    /// The name of the act.
    pub(super) act: &'static str,
    /// The record of the original datagram or of the arrival that it answers, or 0.
    pub(super) cause: RecordId,
    /// The host that created the bytes, for an exact copy.
    pub(super) origin: Option<HostId>,
    pub(super) kind: &'static str,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) payload: PacketBuf,
}

/// An altered datagram that an adversary will send.
pub(crate) struct Alteration {
    agent: usize,
    payload: PacketBuf,
}

impl World {
    /// The host number of an adversary.
    pub(super) fn adversary_id(&self, agent: usize) -> HostId {
        (self.hosts.len() + agent) as HostId
    }

    /// Carries out the attacks that are due now.
    pub(crate) fn run_adversaries(&mut self) {
        while self.exceeded.is_none()
            && let Some((agent, act, plan)) = self.adversaries.take_due(self.now)
        {
            let Some(action) = self.adversaries.agents[agent].spec.acts.get(act).cloned() else {
                continue;
            };
            match (action, plan) {
                (Act::Inject(inject), Plan::Inject { number }) => self.inject(agent, act, &inject, number),
                (Act::Replay { to, from, every, .. }, Plan::Replay { captured, left }) => {
                    if !self.count_attack(agent) {
                        return;
                    }
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
                (Act::Speak(speak), Plan::Speak { number }) => self.speak(agent, act, &speak, number),
                _ => {}
            }
        }
        self.run_endpoints();
    }

    /// Sends all datagrams of an act that are due now, from `number` on, and schedules the next.
    fn inject(&mut self, agent: usize, act: usize, inject: &Inject, number: u64) {
        let due = |number: u64| -> Instant {
            let nanos = inject.spacing.as_nanos().saturating_mul(u128::from(number));
            inject.first + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let mut number = number;
        while number < inject.count && due(number) <= self.now && self.adversaries.agents[agent].budget > 0 {
            if !self.count_attack(agent) {
                return;
            }
            let to = self.address_of(inject.to);
            let from = self.source(agent, act, &inject.from, to);
            let payload = self.adversaries.agents[agent].payload(act, &inject.bytes, inject.to, number);
            if payload.is_none() && inject.spacing.is_zero() {
                return; // all others are due now as well, and have no payload either
            }
            if let Some((seen, payload)) = payload {
                self.forge(Forged {
                    agent,
                    act: inject.name,
                    cause: seen.as_ref().map_or(0, |seen| seen.record),
                    origin: seen.as_ref().map(|seen| seen.sender),
                    kind: seen.map_or(FORGED_KIND, |seen| seen.kind),
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

    pub(super) fn address_of(&self, host: HostId) -> SocketAddr {
        self.hosts[usize::from(host)].address
    }

    pub(super) fn source(&mut self, agent: usize, act: usize, source: &Source, to: SocketAddr) -> SocketAddr {
        match source {
            Source::Own => self.adversaries.agents[agent].spec.address,
            Source::Host(host) => self.address_of(*host),
            Source::Address(address) => *address,
            Source::Random => self.adversaries.agents[agent].random_source(act, to),
        }
    }

    /// The alterations of a datagram that is being sent, and true if the original does not arrive.
    pub(crate) fn alterations(&mut self, seen: &Captured, fate: Fate) -> (Vec<Alteration>, bool) {
        let (mut alterations, mut intercepted) = (Vec::new(), false);
        if let Fate::Lost(_) = fate {
            return (alterations, intercepted);
        }
        for index in self.adversaries.observers(seen.sender, seen.target) {
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
                    intercepted |= drop_original;
                    alterations.push(Alteration {
                        agent: index,
                        payload,
                    });
                }
            }
        }
        (alterations, intercepted)
    }

    /// Records the copies of a datagram as intercepted.
    pub(crate) fn intercept(&mut self, seen: &Captured, sending: &Sending) {
        let Fate::Copies(copies) = sending.fate else {
            return;
        };
        let copies = copies.iter().flatten().count() as u64;
        self.net.counts.made += copies.saturating_sub(1);
        for _ in 0..copies {
            self.record_loss(
                Some(seen.sender),
                Some(seen.target),
                seen.record,
                LossReason::Intercepted,
            );
        }
    }

    /// Lets the adversaries react to a captured datagram, after its own fate was decided.
    pub(crate) fn adversaries_react(
        &mut self,
        seen: &Captured,
        sending: &Sending,
        alterations: Vec<Alteration>,
    ) {
        for Alteration { agent, payload } in alterations {
            self.send_altered(agent, seen, sending, payload);
        }
        for index in self.adversaries.observers(seen.sender, seen.target) {
            self.adversaries.agents[index].store(seen);
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

    /// Sends an altered datagram with the fate of the original.
    fn send_altered(&mut self, agent: usize, seen: &Captured, sending: &Sending, payload: PacketBuf) {
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
    pub(super) fn forge(&mut self, forged: Forged) {
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
        let fingerprint = fingerprint(&payload);
        if act == SPEAK {
            self.checks.on_spoken(fingerprint, self.now);
        }
        let sent = self.record_sent(id, attack, sending, kind, fingerprint, &payload);
        let flight = Flight {
            record: 0,
            sent,
            sent_at: self.now,
            twin: false,
            twin_delivered: false,
            origin: origin.unwrap_or(id),
            from,
            to,
            kind,
            fingerprint,
            payload,
        };
        self.launch(id, sent, sending, flight);
        self.checks
            .on_conservation(sent, self.net.counts, self.net.in_flight());
    }
}
