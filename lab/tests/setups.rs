//! Validation of setups: each mistake is an error that names the field.

use std::sync::Arc;
use std::time::Duration;

use sandhog_lab::adversary::{Act, AdversarySpec, Bytes, Inject, Pick, Source};
use sandhog_lab::link::LinkConfig;
use sandhog_lab::setup::{Control, Expected, HostSpec, InnerSpec, Setup};
use sandhog_lab::{RunError, RunOptions, run_setup};
use sandhog_peer::{Command, Instant};

use crate::support::{CLIENT, SERVER, Silent, address, arq, pings};

/// Number of no host and no adversary.
const UNKNOWN: u16 = 9;

/// The error of the setup after a change.
#[track_caller]
pub(crate) fn error(change: impl FnOnce(&mut Setup)) -> (String, String) {
    let mut setup = arq();
    change(&mut setup);
    match run_setup(&setup, &RunOptions::default()) {
        Err(RunError::Setup(error)) => (error.field, error.problem),
        other => panic!("expected an error, found {:?}", other.map(|run| run.outcome)),
    }
}

/// Checks the field and the problem of a change.
#[track_caller]
fn rejects(field: &str, problem: &str, change: impl FnOnce(&mut Setup)) {
    assert_eq!(error(change), (field.into(), problem.into()));
}

#[test]
fn the_unchanged_setup_is_valid() {
    assert_eq!(arq().validate(), Ok(()));
}

#[test]
fn the_error_of_a_setup_is_one_line_with_the_field() {
    let mut setup = arq();
    setup.resolution = Duration::ZERO;
    let error = run_setup(&setup, &RunOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "setup: resolution: the resolution must be between 1 ns and 1 s"
    );
}

#[test]
fn a_resolution_of_zero_or_of_more_than_a_second_is_rejected() {
    for resolution in [Duration::ZERO, Duration::from_millis(1001)] {
        let (field, _) = error(|setup| setup.resolution = resolution);
        assert_eq!(field, "resolution");
    }
}

#[test]
fn times_that_the_clock_cannot_hold_are_rejected() {
    let problem = "the time is longer than 146 years";
    rejects("duration", problem, |setup| setup.duration = Duration::MAX);
    rejects("liveness", problem, |setup| setup.liveness = Some(Duration::MAX));
}

#[test]
fn two_hosts_with_one_name_or_one_address_are_rejected() {
    rejects("hosts[1].name", "there is already a host `server`", |setup| {
        setup.hosts[1].name = "server".into();
    });
    rejects(
        "hosts[1].address",
        "another host already has the address 192.0.2.1:4000",
        |setup| setup.hosts[1].address = address(SERVER),
    );
    rejects(
        "adversaries[0].name",
        "there is already a host `client`",
        |setup| {
            setup.adversaries = vec![AdversarySpec {
                name: "client".into(),
                ..mallory()
            }];
        },
    );
    rejects(
        "adversaries[0].address",
        "another host already has the address 192.0.2.2:4000",
        |setup| {
            setup.adversaries = vec![AdversarySpec {
                address: address(CLIENT),
                ..mallory()
            }];
        },
    );
}

#[test]
fn names_and_addresses_that_no_report_can_show_are_rejected() {
    let problem = "a name needs at least one character, and must not contain control characters";
    for name in ["", "two\nlines"] {
        rejects("hosts[0].name", problem, |setup| {
            setup.hosts[0].name = name.into();
        });
    }
    rejects("hosts[0].address", "port 0 is not a valid port", |setup| {
        setup.hosts[0].address.set_port(0);
    });
}

#[test]
fn unknown_hosts_of_expectations_are_rejected() {
    rejects(
        "expectations[0].host",
        "there is no host 9; the hosts are 0 to 1",
        |setup| setup.expectations = vec![Expected::connected(UNKNOWN)],
    );
}

#[test]
fn expectations_that_can_never_be_decided_are_rejected() {
    rejects(
        "expectations[0].host",
        "`server` has no script, so it never starts a tunnel",
        |setup| setup.expectations = vec![Expected::connected(SERVER)],
    );
    rejects(
        "expectations[1].host",
        "there is already an expectation for `client`",
        |setup| setup.expectations.push(Expected::connected(CLIENT)),
    );
    rejects(
        "expectations[0].outcomes",
        "at least one outcome is needed",
        |setup| setup.expectations[0].outcomes.clear(),
    );
}

#[test]
fn an_unknown_server_of_a_script_is_rejected() {
    rejects(
        "hosts[1].script.server",
        "there is no host 9; the hosts are 0 to 1",
        |setup| {
            let script = setup.hosts[1].script.as_mut().expect("a client");
            script.server = Some(UNKNOWN);
        },
    );
}

#[test]
fn unknown_hosts_of_controls_are_rejected() {
    let problem = "there is no host 9; the hosts are 0 to 1";
    let controls = [
        Control::Crash(UNKNOWN),
        Control::Restart(UNKNOWN),
        Control::Partition(SERVER, UNKNOWN),
        Control::Partition(UNKNOWN, SERVER),
        Control::Repair(SERVER, UNKNOWN),
        Control::Command(UNKNOWN, Command::Stop),
        Control::Rebind(UNKNOWN, address(5)),
    ];
    for control in controls {
        rejects("controls[1]", problem, |setup| {
            let note = Control::Note("nothing".into());
            setup.controls = vec![(Instant::ZERO, note), (Instant::ZERO, control)];
        });
    }
}

#[test]
fn controls_that_cannot_happen_are_rejected() {
    let rejects = |problem, control| {
        rejects("controls[0]", problem, |setup| {
            setup.adversaries = vec![mallory()];
            setup.controls = vec![(Instant::ZERO, control)];
        });
    };
    rejects(
        "a partition needs two different hosts",
        Control::Partition(CLIENT, CLIENT),
    );
    rejects(
        "192.0.2.1:4000 is the address of `server` at that time",
        Control::Rebind(CLIENT, address(SERVER)),
    );
    rejects(
        "192.0.2.9:4000 is the address of `mallory` at that time",
        Control::Rebind(CLIENT, address(8)),
    );
    let port_0 = "192.0.2.7:0".parse().unwrap();
    rejects("port 0 is not a valid port", Control::Rebind(CLIENT, port_0));
}

#[test]
fn a_host_may_take_an_address_that_another_host_gave_up_before() {
    let setup = Setup {
        controls: vec![
            (Instant::from_secs(2), Control::Rebind(CLIENT, address(SERVER))),
            (Instant::from_secs(1), Control::Rebind(SERVER, address(7))),
        ],
        ..arq()
    };
    assert_eq!(setup.validate(), Ok(()));
}

#[test]
fn unknown_hosts_of_links_are_rejected() {
    for link in [(UNKNOWN, SERVER), (SERVER, UNKNOWN)] {
        rejects("links[2]", "there is no host 9; the hosts are 0 to 1", |setup| {
            setup.links.push((link.0, link.1, LinkConfig::default()));
        });
    }
}

#[test]
fn a_second_link_and_a_link_to_itself_are_rejected() {
    rejects(
        "links[2]",
        "there is already a link from host 0 to host 1",
        |setup| setup.links.push((SERVER, CLIENT, LinkConfig::default())),
    );
    rejects("links[2]", "a link needs two different hosts", |setup| {
        setup.links.push((CLIENT, CLIENT, LinkConfig::default()));
    });
}

#[test]
fn a_link_to_an_adversary_is_valid() {
    let mut setup = arq();
    setup.adversaries = vec![mallory()];
    setup.links.push((2, SERVER, LinkConfig::default()));
    assert_eq!(setup.validate(), Ok(()));
}

pub(crate) fn mallory() -> AdversarySpec {
    AdversarySpec {
        name: "mallory".into(),
        address: address(8),
        on_path: Some((SERVER, CLIENT)),
        budget: 10,
        seed: 0,
        acts: Vec::new(),
    }
}

pub(crate) fn inject(to: u16, from: Source, bytes: Bytes) -> Act {
    Act::Inject(Inject {
        name: "inject",
        first: Instant::ZERO,
        spacing: Duration::from_millis(1),
        count: 1,
        to,
        from,
        bytes,
    })
}

pub(crate) fn pick(by: Option<u16>) -> Pick {
    Pick {
        by,
        ..pick_of("data")
    }
}

/// Every datagram of this kind.
pub(crate) fn pick_of(kind: &str) -> Pick {
    Pick {
        kind: kind.into(),
        nth: None,
        by: None,
        chance: None,
    }
}

pub(crate) fn replay(by: Option<u16>, to: Option<u16>, from: Option<Source>) -> Act {
    Act::Replay {
        pick: pick(by),
        to,
        from,
        after: Duration::ZERO,
        every: Duration::ZERO,
        count: 1,
    }
}

#[test]
fn unknown_hosts_of_adversaries_are_rejected() {
    let alter = Act::Alter {
        pick: pick(Some(UNKNOWN)),
        bit: None,
        drop_original: false,
    };
    let reflect = Act::Reflect {
        pick: pick(Some(UNKNOWN)),
    };
    let unknown = Source::Host(UNKNOWN);
    let acts = [
        ("to", inject(UNKNOWN, Source::Own, Bytes::Random(9))),
        ("from", inject(SERVER, unknown.clone(), Bytes::Random(9))),
        ("pick.by", replay(Some(UNKNOWN), None, None)),
        ("to", replay(None, Some(UNKNOWN), None)),
        ("from", replay(None, None, Some(unknown))),
        ("pick.by", alter),
        ("pick.by", reflect),
    ];
    let problem = "there is no host 9; the hosts are 0 to 1";
    for (name, act) in acts {
        rejects(&format!("adversaries[0].acts[0].{name}"), problem, |setup| {
            setup.adversaries = vec![AdversarySpec {
                acts: vec![act],
                ..mallory()
            }];
        });
    }
    for on_path in [(UNKNOWN, SERVER), (SERVER, UNKNOWN)] {
        rejects("adversaries[0].on_path", problem, |setup| {
            setup.adversaries = vec![AdversarySpec {
                on_path: Some(on_path),
                ..mallory()
            }];
        });
    }
}

#[test]
fn an_adversary_between_a_host_and_itself_is_rejected() {
    rejects(
        "adversaries[0].on_path",
        "a path needs two different hosts",
        |setup| {
            setup.adversaries = vec![AdversarySpec {
                on_path: Some((SERVER, SERVER)),
                ..mallory()
            }];
        },
    );
}

#[test]
fn an_empty_kind_of_recorded_datagrams_is_rejected() {
    rejects(
        "adversaries[0].acts[0].bytes",
        "the kind of the recorded datagrams is empty",
        |setup| {
            let act = inject(SERVER, Source::Own, Bytes::Recorded(String::new()));
            setup.adversaries = vec![AdversarySpec {
                acts: vec![act],
                ..mallory()
            }];
        },
    );
}

#[test]
fn a_secret_that_is_too_short_to_search_for_is_rejected() {
    let problem = "a secret of 5 bytes is too short: it would be found in random bytes by chance. Use at least 6 bytes, \
                   or `None`";
    let set = |setup: &mut Setup, secret: &str| {
        setup.hosts[1].script.as_mut().unwrap().secret = Some(secret.into());
    };
    rejects("hosts[1].script.secret", problem, |setup| set(setup, "12345"));
    let mut setup = arq();
    set(&mut setup, "123456");
    assert_eq!(setup.validate(), Ok(()));
}

#[test]
fn steps_without_an_inner_host_are_rejected() {
    rejects(
        "hosts[1].script.steps",
        "steps need an inner host, and `inner` is `None`",
        |setup| setup.hosts[1].inner = None,
    );
}

#[test]
fn inner_hosts_that_no_network_stack_accepts_are_rejected() {
    let inner = |addresses: &[(&str, u8)], mtu| InnerSpec {
        addresses: addresses
            .iter()
            .map(|(address, length)| (address.parse().unwrap(), *length))
            .collect(),
        mtu,
        services: Vec::new(),
        limits: sandhog_netstack::Limits::default(),
    };
    let cases = [
        (
            "addresses",
            inner(&[("10.9.0.1", 33)], 1280),
            "/33 is too long a prefix for 10.9.0.1",
        ),
        (
            "addresses",
            inner(&[("224.0.0.1", 24)], 1280),
            "224.0.0.1 is not a unicast address",
        ),
        (
            "addresses",
            inner(&[("::", 64)], 1280),
            ":: is not a unicast address",
        ),
        (
            "addresses",
            inner(&[("10.9.0.1", 24); 9], 1280),
            "a host can have at most 8 addresses",
        ),
        (
            "mtu",
            inner(&[("10.9.0.1", 24)], 575),
            "an MTU of 575 bytes is outside of 576 to 65535",
        ),
        (
            "mtu",
            inner(&[("fd00::1", 64)], 1279),
            "an MTU of 1279 bytes is outside of 1280 to 65535",
        ),
    ];
    for (name, inner, problem) in cases {
        rejects(&format!("hosts[0].inner.{name}"), problem, |setup| {
            setup.hosts[0].inner = Some(inner);
        });
    }
}

#[test]
fn a_setup_with_one_host_and_no_client_is_valid() {
    let hosts = vec![HostSpec::new("only", address(0), Arc::new(|_| Box::new(Silent)))];
    let setup = Setup {
        hosts,
        duration: Duration::from_millis(1),
        ..Setup::default()
    };
    let run = run_setup(&setup, &RunOptions::default()).unwrap();
    assert_eq!((run.outcome.as_str(), run.passed), ("no clients", true));
}

#[test]
fn a_client_that_never_connects_fails_its_expectation_and_not_silently() {
    let mut setup = arq();
    let silent = HostSpec::new("client", address(CLIENT), Arc::new(|_| Box::new(Silent)));
    setup.hosts[1] = silent
        .with_inner(crate::support::inner(CLIENT))
        .with_script(pings());
    setup.duration = Duration::from_secs(1);
    let run = run_setup(&setup, &RunOptions::default()).unwrap();
    let failed = crate::support::failed(&run);
    let names: Vec<_> = failed
        .iter()
        .map(|check| (check.name.as_str(), check.detail.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("client is connected", "`start` did not complete"),
            (
                "P9 ping passes with faults off",
                "client: disconnected, no ping passed within 5.000 s"
            )
        ]
    );
    assert_eq!(run.outcome, "unfinished");
}

#[test]
fn a_client_without_an_expectation_must_connect() {
    let mut setup = arq();
    setup.expectations.clear();
    let names = |setup: &Setup| -> Vec<String> {
        let run = run_setup(setup, &RunOptions::default()).unwrap();
        let checks = run.checks.iter().filter(|check| check.name.starts_with("client"));
        checks
            .map(|check| format!("{} {}", check.name, check.passed))
            .collect()
    };
    assert_eq!(
        names(&setup),
        ["client is connected true", "client finishes 1 step true"]
    );
    setup.links[1].2 = "loss 100%".parse().unwrap();
    assert_eq!(names(&setup), ["client is connected false"]);
}

#[test]
fn an_error_of_the_library_names_no_flag_of_a_program() {
    for error in [RunError::Resolution, RunError::NoTurmoil] {
        let text = error.to_string();
        assert!(
            text.contains("use the event engine") && !text.contains("--"),
            "{text}"
        );
    }
}

#[test]
#[cfg(feature = "turmoil")]
fn the_turmoil_engine_rejects_other_resolutions_than_its_own() {
    let setup = Setup {
        resolution: Duration::from_millis(2),
        ..arq()
    };
    let options = RunOptions {
        engine: sandhog_lab::Engine::Turmoil,
        ..RunOptions::default()
    };
    assert_eq!(run_setup(&setup, &options).unwrap_err(), RunError::Resolution);
}
