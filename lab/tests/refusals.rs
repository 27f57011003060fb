//! Values that no run can use: a run with them would pass without a test of anything, so each is an error.

use std::time::Duration;

use sandhog_lab::Pick as LinkPick;
use sandhog_lab::adversary::{Act, AdversarySpec, Bytes, Pick, Source};
use sandhog_lab::setup::{Control, Setup};
use sandhog_lab::values::{Rate, Span};
use sandhog_netstack::{Service, Task};
use sandhog_peer::{Command, Instant};

use crate::setups::{error, inject, mallory, pick, replay};
use crate::support::{CLIENT, SERVER, address, arq};

/// A field, a part of the problem, and the change that makes it.
type Row = (&'static str, &'static str, fn(&mut Setup));

#[track_caller]
fn all_are_rejected(rows: &[Row]) {
    for (field, part, change) in rows {
        let (found, problem) = error(change);
        assert_eq!(found, *field, "{problem}");
        assert!(problem.contains(part), "{field}: {part} in {problem}");
    }
}

/// The end of the run of [`arq`].
const END: Instant = Instant::from_secs(30);

#[test]
fn a_run_without_hosts_or_time_is_rejected() {
    all_are_rejected(&[
        ("hosts", "at least one", |setup| setup.hosts.clear()),
        ("duration", "ends at once", |setup| {
            setup.duration = Duration::ZERO;
        }),
    ]);
}

#[test]
fn a_control_at_the_end_or_later_is_rejected() {
    for at in [END, Instant::FAR_FUTURE] {
        let (field, problem) = error(|setup| setup.controls = vec![(at, Control::Crash(SERVER))]);
        assert_eq!(field, "controls[0]");
        assert!(
            problem.ends_with("is not before the end of the run, which is 30s"),
            "{problem}"
        );
    }
    let mut setup = arq();
    setup.controls = vec![(Instant::from_millis(29_999), Control::Crash(SERVER))];
    assert_eq!(setup.validate(), Ok(()));
}

#[test]
fn controls_without_an_effect_are_rejected() {
    all_are_rejected(&[
        ("controls[1]", "`server` is down at that time", |setup| {
            setup.controls = vec![
                (Instant::from_secs(1), Control::Crash(SERVER)),
                (Instant::from_secs(2), Control::Command(SERVER, Command::Stop)),
            ];
        }),
        ("controls[0]", "there is no partition", |setup| {
            setup.controls = vec![
                (Instant::from_secs(1), Control::Repair(SERVER, CLIENT)),
                (Instant::from_secs(2), Control::Partition(SERVER, CLIENT)),
            ];
        }),
        ("controls[0]", "control characters", |setup| {
            setup.controls = vec![(Instant::ZERO, Control::Note("two\nlines".into()))];
        }),
    ]);
}

#[test]
fn commands_after_a_restart_and_repairs_in_the_other_order_are_valid() {
    let mut setup = arq();
    setup.controls = vec![
        (Instant::from_secs(3), Control::Command(CLIENT, Command::Stop)),
        (Instant::from_secs(1), Control::Crash(CLIENT)),
        (Instant::from_secs(2), Control::Restart(CLIENT)),
        (Instant::from_secs(4), Control::Partition(SERVER, CLIENT)),
        (Instant::from_secs(5), Control::Repair(CLIENT, SERVER)),
    ];
    assert_eq!(setup.validate(), Ok(()));
}

#[test]
fn texts_with_control_characters_are_rejected() {
    all_are_rejected(&[
        ("name", "control characters", |setup| setup.name = "a\tb".into()),
        ("title", "control characters", |setup| {
            setup.title = "a\u{1b}[31m".into();
        }),
    ]);
}

#[test]
fn outer_addresses_that_no_host_can_have_are_rejected() {
    let addresses = [
        "0.0.0.0:9",
        "224.0.0.1:9",
        "255.255.255.255:9",
        "[::]:9",
        "[ff02::1]:9",
    ];
    for text in addresses {
        let address = text.parse().unwrap();
        let expected = |field: &str, change: &dyn Fn(&mut Setup)| {
            let (found, problem) = error(change);
            assert_eq!(found, field, "{text}");
            assert!(problem.ends_with("is not a unicast address"), "{problem}");
        };
        expected("hosts[0].address", &|setup| setup.hosts[0].address = address);
        expected("controls[0]", &|setup| {
            setup.controls = vec![(Instant::ZERO, Control::Rebind(CLIENT, address))];
        });
        expected("adversaries[0].address", &|setup| {
            setup.adversaries = vec![AdversarySpec { address, ..mallory() }];
        });
        expected("adversaries[0].acts[0].from", &|setup| {
            let act = inject(SERVER, Source::Address(address), Bytes::Random(9));
            setup.adversaries = vec![AdversarySpec {
                acts: vec![act],
                ..mallory()
            }];
        });
    }
}

#[test]
fn values_of_a_link_that_stop_all_datagrams_are_rejected() {
    all_are_rejected(&[
        ("links[0].rate", "a rate of 0", |setup| {
            setup.links[0].2.rate = Some(Rate { bits_per_second: 0 });
        }),
        ("links[0].limit", "at least 1", |setup| {
            setup.links[0].2 = "rate 1mbit limit 0".parse().unwrap();
        }),
        ("links[0].limit", "`rate` is `None`", |setup| {
            setup.links[0].2.limit = Some(5);
        }),
        ("links[1].mtu", "the smallest useful MTU is 29", |setup| {
            setup.links[1].2.mtu = Some(28);
        }),
        ("links[1].mtu", "the smallest useful MTU is 49", |setup| {
            setup.hosts[0].address = "[2001:db8::1]:4000".parse().unwrap();
            setup.links[1].2.mtu = Some(48);
        }),
        ("links[0].delay.time", "146 years", |setup| {
            setup.links[0].2.delay.time = Duration::MAX;
        }),
        ("links[0].delay.jitter", "146 years", |setup| {
            setup.links[0].2.delay.jitter = Duration::MAX;
        }),
    ]);
}

#[test]
fn picks_of_a_link_that_select_nothing_or_do_nothing_are_rejected() {
    let span = |millis| Some(Span(Duration::from_millis(millis)));
    let rows = [
        (
            "nth",
            LinkPick {
                nth: Some(0),
                ..LinkPick::default()
            },
        ),
        (
            "kind",
            LinkPick {
                kind: Some(String::new()),
                ..LinkPick::default()
            },
        ),
        (
            "until",
            LinkPick {
                from: span(2),
                until: span(2),
                ..LinkPick::default()
            },
        ),
        (
            "by",
            LinkPick {
                by: span(2),
                ..LinkPick::default()
            },
        ),
    ];
    for (name, pick) in rows {
        let (field, _) = error(|setup| setup.links[0].2.drop = vec![LinkPick::default(), pick]);
        assert_eq!(field, format!("links[0].drop[1].{name}"));
    }
    for by in [None, span(0)] {
        let late = LinkPick {
            by,
            ..LinkPick::default()
        };
        let (field, _) = error(|setup| setup.links[0].2.late = vec![late]);
        assert_eq!(field, "links[0].late[0].by");
    }
}

#[test]
fn steps_that_test_nothing_are_rejected() {
    fn ping(setup: &mut Setup) -> (&mut u16, &mut Duration, &mut Duration) {
        match &mut setup.hosts[1].script.as_mut().unwrap().steps[0].task {
            Task::Ping {
                count,
                interval,
                timeout,
                ..
            } => (count, interval, timeout),
            _ => unreachable!("the step is a ping"),
        }
    }
    fn script(setup: &mut Setup) -> &mut sandhog_lab::setup::Script {
        setup.hosts[1].script.as_mut().unwrap()
    }
    all_are_rejected(&[
        ("hosts[1].script.start", "the end of the run", |setup| {
            script(setup).start = END;
        }),
        ("hosts[1].script.steps[0].at", "the end of the run", |setup| {
            script(setup).steps[0].at = END;
        }),
        ("hosts[1].script.steps[0].task.count", "at least 1", |setup| {
            *ping(setup).0 = 0;
        }),
        ("hosts[1].script.steps[0].task.interval", "146 years", |setup| {
            *ping(setup).1 = Duration::MAX;
        }),
        ("hosts[1].script.steps[0].task.timeout", "146 years", |setup| {
            *ping(setup).2 = Duration::MAX;
        }),
        (
            "hosts[1].script.steps[0].replies",
            "4 replies to 3 requests",
            |setup| {
                script(setup).steps[0].replies = 4;
            },
        ),
    ]);
}

#[test]
fn services_and_addresses_that_occur_twice_are_rejected() {
    fn services(setup: &mut Setup) -> &mut Vec<Service> {
        &mut setup.hosts[0].inner.as_mut().unwrap().services
    }
    all_are_rejected(&[
        ("hosts[0].inner.services[0]", "port 0", |setup| {
            *services(setup) = vec![Service::Bulk { port: 0 }];
        }),
        ("hosts[0].inner.services[1]", "the TCP port 80", |setup| {
            let files = std::collections::BTreeMap::new();
            *services(setup) = vec![Service::Bulk { port: 80 }, Service::Http { port: 80, files }];
        }),
        (
            "hosts[0].inner.addresses",
            "already has the address 10.9.0.1",
            |setup| {
                let addresses = &mut setup.hosts[0].inner.as_mut().unwrap().addresses;
                addresses.push(addresses[0]);
            },
        ),
    ]);
    let mut setup = arq();
    *services(&mut setup) = vec![Service::Bulk { port: 7 }, Service::UdpEcho { port: 7 }];
    assert_eq!(setup.validate(), Ok(()));
}

#[test]
fn a_liveness_ping_that_cannot_pass_is_rejected() {
    all_are_rejected(&[
        ("liveness", "a time of 0", |setup| {
            setup.liveness = Some(Duration::ZERO);
        }),
        ("liveness", "no client has an inner host", |setup| {
            setup.hosts[1].inner = None;
            setup.hosts[1].script.as_mut().unwrap().steps.clear();
        }),
        (
            "hosts[1].script.liveness_target",
            "not a unicast address",
            |setup| {
                setup.hosts[1].script.as_mut().unwrap().liveness_target = [0; 4].into();
            },
        ),
        (
            "hosts[1].script.liveness_target",
            "not a unicast address",
            |setup| {
                setup.hosts[1].script.as_mut().unwrap().liveness_target = [224, 0, 0, 1].into();
            },
        ),
    ]);
}

#[test]
fn an_expected_time_that_no_event_can_have_is_rejected() {
    all_are_rejected(&[
        ("expectations[0].at", "the next multiple is 0.001 s", |setup| {
            setup.expectations[0].at = Some(Instant::from_nanos(1));
        }),
        ("expectations[0].at", "the end of the run", |setup| {
            setup.expectations[0].at = Some(END);
        }),
    ]);
}

/// The setup with an adversary that does this.
fn with_act(setup: &mut Setup, act: Act) {
    setup.adversaries = vec![AdversarySpec {
        acts: vec![act],
        ..mallory()
    }];
}

#[test]
fn an_adversary_that_does_nothing_is_rejected() {
    let copied = |kind: &str| inject(SERVER, Source::Own, Bytes::Recorded(kind.into()));
    let header = Bytes::CopiedHeader { header: 4, len: None };
    let blind = [
        copied("data"),
        inject(SERVER, Source::Own, header),
        replay(None, None, None),
        Act::Reflect { pick: pick(None) },
        Act::Alter {
            pick: pick(None),
            bit: None,
            drop_original: false,
        },
    ];
    for act in blind {
        let (field, problem) = error(|setup| {
            with_act(setup, act);
            setup.adversaries[0].on_path = None;
        });
        assert_eq!(field, "adversaries[0].on_path");
        assert!(problem.starts_with("`mallory` sees no datagrams"), "{problem}");
    }
    all_are_rejected(&[("adversaries[0].budget", "at least 1", |setup| {
        setup.adversaries = vec![AdversarySpec {
            budget: 0,
            ..mallory()
        }];
    })]);
}

#[test]
fn selections_of_an_adversary_that_fit_no_datagram_are_rejected() {
    let rows = [
        (
            "kind",
            Pick {
                kind: String::new(),
                ..pick(None)
            },
        ),
        (
            "nth",
            Pick {
                nth: Some(0),
                ..pick(None)
            },
        ),
        ("by", pick(Some(2))),
    ];
    for (name, pick) in rows {
        let (field, _) = error(|setup| {
            let mut third = setup.hosts[0].clone();
            (third.name, third.address, third.inner) = ("third".into(), address(5), None);
            setup.hosts.push(third);
            with_act(setup, Act::Reflect { pick });
        });
        assert_eq!(field, format!("adversaries[0].acts[0].pick.{name}"));
    }
}

#[test]
fn attacks_that_never_happen_are_rejected() {
    fn inject_with(setup: &mut Setup, change: fn(&mut sandhog_lab::adversary::Inject)) {
        let mut act = inject(SERVER, Source::Own, Bytes::Random(9));
        if let Act::Inject(inject) = &mut act {
            change(inject);
        }
        with_act(setup, act);
    }
    all_are_rejected(&[
        ("adversaries[0].acts[0].first", "the end of the run", |setup| {
            inject_with(setup, |inject| inject.first = END);
        }),
        ("adversaries[0].acts[0].count", "at least 1", |setup| {
            inject_with(setup, |inject| inject.count = 0);
        }),
        ("adversaries[0].acts[0].after", "the end of the run", |setup| {
            let mut act = replay(None, None, None);
            if let Act::Replay { after, .. } = &mut act {
                *after = Duration::from_secs(30);
            }
            with_act(setup, act);
        }),
        ("adversaries[0].acts[0].count", "at least 1", |setup| {
            let mut act = replay(None, None, None);
            if let Act::Replay { count, .. } = &mut act {
                *count = 0;
            }
            with_act(setup, act);
        }),
    ]);
}

#[test]
fn datagrams_of_an_adversary_that_are_too_long_for_udp_are_rejected() {
    let rows = [
        Bytes::Random(u64::MAX),
        Bytes::Random(65_508),
        Bytes::CopiedHeader {
            header: usize::MAX,
            len: Some(u64::MAX),
        },
        Bytes::Exactly(vec![0; 65_508]),
    ];
    for bytes in rows {
        let (field, problem) = error(|setup| with_act(setup, inject(SERVER, Source::Own, bytes)));
        assert_eq!(field, "adversaries[0].acts[0].bytes");
        assert!(problem.ends_with("the largest UDP payload is 65507"), "{problem}");
    }
    let mut setup = arq();
    with_act(&mut setup, inject(SERVER, Source::Own, Bytes::Random(65_507)));
    assert_eq!(setup.validate(), Ok(()));
}
