//! Switches of the rules: a protocol without a property fails its check, and passes when the rule is off.

use std::sync::Arc;
use std::time::Duration;

use sandhog_lab::Pick;
use sandhog_lab::adversary::{Act, AdversarySpec};
use sandhog_lab::setup::{Boot, MakePeer, Rules, Setup};
use sandhog_peer::{ApiMisuse, Batch, Command, Counters, Event, EventKind, Instant, Peer, Reason};

use crate::protocol::Arq;
use crate::support::{SERVER, address, arq, failed, pair, run};

/// The numbers of the failed checks.
fn failed_numbers(setup: &Setup) -> Vec<String> {
    let run = run(setup);
    let failed = failed(&run);
    let number = |name: &str| name.split(' ').next().unwrap_or_default().to_owned();
    failed.iter().map(|check| number(&check.name)).collect()
}

#[test]
fn a_protocol_without_encryption_fails_p1_unless_the_rule_is_off() {
    let rules = Rules {
        authenticates: false,
        ..Rules::default()
    };
    let run = run(&Setup { rules, ..arq() });
    let [check] = failed(&run)[..] else {
        panic!("{:?}", run.checks)
    };
    assert_eq!(check.name, "P1 no plaintext in outer datagrams");
    assert!(
        check
            .detail
            .contains("a secret appears in plain text at byte 30 of "),
        "{}",
        check.detail
    );
    assert!(failed_numbers(&arq()).is_empty());
}

#[test]
fn a_protocol_without_a_login_fails_p3_unless_the_rule_is_off() {
    let rules = Rules {
        encrypts: false,
        ..Rules::default()
    };
    let run = run(&Setup { rules, ..arq() });
    let [check] = failed(&run)[..] else {
        panic!("{:?}", run.checks)
    };
    assert_eq!(check.name, "P3 inner packets unchanged, authenticated");
    assert!(
        check
            .detail
            .ends_with("an inner packet left the tunnel from a host that is not authenticated"),
        "{}",
        check.detail
    );
    assert!(failed_numbers(&arq()).is_empty());
}

#[test]
fn a_protocol_that_changes_packets_fails_p3_unless_the_rule_is_off() {
    let rules = |delivers_unchanged| Rules {
        delivers_unchanged,
        ..Rules::plain()
    };
    let setup = |rules| wrapped(rules, |peer| Box::new(Router(peer)));
    assert_eq!(failed_numbers(&setup(rules(true))), ["P3"]);
    assert!(failed_numbers(&setup(rules(false))).is_empty());
}

#[test]
fn a_protocol_that_delivers_twice_fails_p3_only_with_the_rule_at_most_once() {
    let rules = |at_most_once| Rules {
        at_most_once,
        ..Rules::plain()
    };
    let setup = |rules| wrapped(rules, |peer| Box::new(Doubling(peer)));
    assert_eq!(failed_numbers(&setup(rules(true))), ["P3"]);
    assert!(failed_numbers(&setup(rules(false))).is_empty());
}

#[test]
fn rules_that_are_off_have_no_check_and_p8_always_runs() {
    let rules = Rules {
        delivers_unchanged: false,
        ..Rules::plain()
    };
    let setup = Setup {
        rules,
        liveness: None,
        ..arq()
    };
    let run = run(&setup);
    let names: Vec<_> = run.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "client is connected",
            "client finishes 1 step",
            "P8 every datagram accounted for"
        ]
    );
}

#[test]
fn a_check_that_had_nothing_to_examine_gives_the_reason_and_is_marked() {
    let rules = Rules {
        fresh_roaming: true,
        ..Rules::plain()
    };
    let run = run(&Setup { rules, ..arq() });
    let check = run.checks.iter().find(|check| check.name.starts_with("P6"));
    let check = check.expect("the check of the rule");
    assert!(check.passed && !check.tested);
    assert_eq!(check.detail, "nothing to examine, no session moves");
    let tested = run.checks.iter().filter(|check| check.tested);
    assert_eq!(tested.count(), run.checks.len() - 1);
}

#[test]
fn a_fault_or_an_attack_that_selects_no_datagram_is_marked() {
    let mut setup = arq();
    let drop = |kind: &str, nth| Pick {
        kind: Some(kind.into()),
        nth,
        ..Pick::default()
    };
    setup.links[1].2.drop = vec![drop("data", Some(1)), drop("dta", None), drop("data", Some(99))];
    let reflect = |kind: &str| Act::Reflect {
        pick: crate::setups::pick_of(kind),
    };
    setup.adversaries = vec![AdversarySpec {
        acts: vec![reflect("data"), reflect("dta")],
        ..crate::setups::mallory()
    }];
    let run = run(&setup);
    let untested = run.checks.iter().filter(|check| !check.tested);
    let untested: Vec<_> = untested
        .map(|check| (check.name.as_str(), check.passed, check.detail.as_str()))
        .collect();
    let detail = "not tested, it selected no datagram";
    assert_eq!(
        untested,
        [
            ("client → server: drop dta (each)", true, detail),
            ("client → server: drop data 99", true, detail),
            ("mallory: reflect dta", true, detail),
        ]
    );
}

#[test]
fn liveness_of_a_client_that_failed_as_expected_is_marked_as_not_tested() {
    let mut setup = arq();
    setup.links[1].2 = "loss 100%".parse().unwrap();
    setup.expectations[0].outcomes = vec!["connection-timed-out".into()];
    let run = run(&setup);
    assert!(run.passed, "{:?}", run.checks);
    let check = run.checks.last().expect("the check of liveness");
    assert_eq!(
        (check.name.as_str(), check.tested, check.detail.as_str()),
        (
            "P9 ping passes with faults off",
            false,
            "nothing to examine, no client had to be connected"
        )
    );
    assert_eq!(run.checks[0].name, "client: start ends with connection-timed-out");
}

#[test]
fn settings_with_an_invalid_address_fail_a_check_without_a_panic() {
    let mut setup = wrapped(Rules::plain(), |peer| Box::new(Multicast(peer)));
    setup.hosts[1].inner.as_mut().unwrap().addresses.clear();
    setup.hosts[1].script.as_mut().unwrap().steps.clear();
    setup.liveness = None;
    setup.duration = Duration::from_secs(1);
    let run = run(&setup);
    let [check] = failed(&run)[..] else {
        panic!("{:?}", run.checks)
    };
    assert_eq!(check.name, "client receives its inner addresses");
    assert_eq!(
        check.detail,
        "received invalid settings: 224.0.0.1 is not a unicast address"
    );
}

#[test]
fn settings_with_an_mtu_of_0_fail_a_check_and_change_nothing() {
    let run = run(&wrapped(Rules::plain(), |peer| Box::new(WithoutMtu(peer))));
    let [check] = failed(&run)[..] else {
        panic!("{:?}", run.checks)
    };
    assert_eq!(check.name, "client receives its inner addresses");
    assert_eq!(
        check.detail,
        "received invalid settings: an MTU of 0 bytes is outside of 576 to 65535"
    );
}

/// The setup of the example's protocol with each peer inside another one.
fn wrapped(rules: Rules, wrap: fn(Arq) -> Box<dyn Peer>) -> Setup {
    let server: MakePeer = Arc::new(move |_: &Boot| wrap(Arq::default()));
    let client: MakePeer = Arc::new(move |_: &Boot| wrap(Arq::client(address(SERVER))));
    pair(server, client, rules)
}

/// Delegates to the peer inside, and then changes the output or the events.
macro_rules! wrapper {
    ($name:ident, $turn:expr, $event:expr) => {
        struct $name(Arq);

        impl Peer for $name {
            fn turn(
                &mut self,
                now: Instant,
                input: &mut Batch,
                output: &mut Batch,
            ) -> Option<(Instant, Reason)> {
                let next = self.0.turn(now, input, output);
                $turn(output);
                next
            }

            fn poll_event(&mut self) -> Option<Event> {
                self.0.poll_event().map($event)
            }

            fn command(&mut self, now: Instant, command: Command) -> Result<(), ApiMisuse> {
                self.0.command(now, command)
            }

            fn counters(&self) -> Counters {
                self.0.counters()
            }
        }
    };
}

// Decrements the TTL of each packet, as a router does (RFC 1812, section 5.3.1).
wrapper!(Router, decrement_ttl, |event| event);

// Delivers each packet twice.
wrapper!(
    Doubling,
    |output: &mut Batch| {
        let copies = output.packets.to_vec();
        output.packets.extend(copies);
    },
    |event| event
);

// Replaces the received address by a multicast address.
wrapper!(Multicast, |_: &mut Batch| (), |mut event: Event| {
    if let EventKind::Started(Ok(settings)) = &mut event.kind {
        settings.addresses = vec!["224.0.0.1/24".parse().expect("a prefix")];
    }
    event
});

// Replaces the received addresses and the received MTU.
wrapper!(WithoutMtu, |_: &mut Batch| (), |mut event: Event| {
    if let EventKind::Started(Ok(settings)) = &mut event.kind {
        settings.addresses = vec!["10.9.0.2/24".parse().expect("a prefix")];
        settings.mtu = 0;
    }
    event
});

fn decrement_ttl(output: &mut Batch) {
    for packet in &mut output.packets {
        packet[8] -= 1;
        // The TTL is the high byte of its word, so the checksum grows by 0x0100 (RFC 1624).
        let checksum = u16::from_be_bytes([packet[10], packet[11]]);
        let (sum, carry) = checksum.overflowing_add(0x0100);
        packet[10..12].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
    }
}
