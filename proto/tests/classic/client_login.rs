//! Login of a client of the classic profile: requests, retransmissions, timeout, events.

use core::time::Duration;

use sandhog_proto::classic::{Client, ClientConfig, Code, LOGIN_TIMEOUT, MAX_JITTER, MAX_MESSAGES};
use sandhog_proto::{
    ApiMisuse, Command, DropReason, EventKind, Instant, Peer, Reason, StartError, TunnelStatus,
};

use super::support::*;

const START: Instant = Instant::from_millis(500);
const REQUEST: &[u8] = br#"{"login":"kean","password":"123456"}"#;

fn after(duration: Duration) -> Instant {
    START + duration
}

fn started(client: &mut Client) -> Turn {
    client.command(START, Command::Start).unwrap();
    turn(client, START, vec![], vec![])
}

/// Follows the deadlines of a client that gets no response. Returns the times of its requests and the time of
/// its timeout.
fn unanswered(client: &mut Client) -> (Vec<Instant>, Instant) {
    let mut sent = vec![START];
    let mut next = started(client).deadline;
    loop {
        let (at, reason) = next.expect("a deadline until start has completed");
        let early = turn(client, at - Duration::from_nanos(1), vec![], vec![]);
        assert!(
            early.is_silent() && early.deadline == next,
            "nothing happens before the deadline"
        );
        let output = turn(client, at, vec![], vec![]);
        match reason {
            Reason::Repeat => {
                assert_eq!(output.opened(), [(Code::AuthRequest, REQUEST.to_vec())]);
                sent.push(at);
            }
            Reason::LoginDeadline => {
                assert!(output.is_silent() && output.deadline.is_none());
                return (sent, at);
            }
            other => panic!("{other}"),
        }
        next = output.deadline;
    }
}

#[test]
fn start_sends_one_request_with_user_name_and_password() {
    let mut client = client();
    let output = started(&mut client);
    assert_eq!(output.opened(), [(Code::AuthRequest, REQUEST.to_vec())]);
    let request = &output.datagrams[0];
    assert_eq!((request.remote, request.kind), (server_address(), "auth-request"));
    assert_eq!(request.payload.len(), 1 + 12 + REQUEST.len() + 16);
    assert_eq!(request.payload[0], 0x01);
    assert_eq!(events(&mut client), [EventKind::Status(TunnelStatus::Connecting)]);
}

#[test]
fn nothing_happens_before_start() {
    let mut client = client();
    let output = turn(&mut client, START, vec![], vec![]);
    assert!(output.is_silent() && output.deadline.is_none());
    assert_eq!(client.status(), TunnelStatus::Disconnected);
    assert_eq!(events(&mut client), []);
}

#[test]
fn a_request_is_retransmitted_three_times_and_times_out_after_exactly_10_s() {
    for seed in 0..=255 {
        let (sent, given_up) = unanswered(&mut Client::new(client_config(seed)));
        assert_eq!(sent.len(), 4);
        for (pair, wait) in sent.windows(2).zip([1, 2, 4]) {
            let waited = pair[1].saturating_duration_since(pair[0]);
            let wait = Duration::from_secs(wait);
            assert!(
                waited >= wait && waited <= wait + MAX_JITTER,
                "seed {seed}: {waited:?}"
            );
        }
        assert_eq!(given_up, after(Duration::from_secs(10)));
    }
}

/// The values are fixed because every recorded run depends on them.
#[test]
fn the_retransmission_times_depend_only_on_the_seed() {
    let (sent, _) = unanswered(&mut Client::new(client_config(1)));
    let waited: Vec<u64> = sent.iter().map(|at| at.as_nanos() - START.as_nanos()).collect();
    assert_eq!(waited, [0, 1_291_997_515, 3_324_391_888, 7_389_571_065]);
    assert_eq!(unanswered(&mut Client::new(client_config(1))).0, sent);
    assert_ne!(unanswered(&mut Client::new(client_config(2))).0, sent);
}

#[test]
fn the_jitter_covers_its_whole_range() {
    let jitter = |seed| {
        let (sent, _) = unanswered(&mut Client::new(client_config(seed)));
        sent[1].saturating_duration_since(sent[0]) - Duration::from_secs(1)
    };
    let all: Vec<Duration> = (0..=255).map(jitter).collect();
    assert!(*all.iter().min().unwrap() < MAX_JITTER / 20);
    assert!(*all.iter().max().unwrap() > MAX_JITTER / 20 * 19);
}

#[test]
fn a_timed_out_start_completes_once_and_the_tunnel_is_down() {
    let mut client = client();
    unanswered(&mut client);
    let expected = [
        EventKind::Status(TunnelStatus::Connecting),
        EventKind::Started(Err(StartError::ConnectionTimedOut)),
        EventKind::Status(TunnelStatus::Disconnected),
    ];
    assert_eq!(events(&mut client), expected);
    let late = turn(
        &mut client,
        after(LOGIN_TIMEOUT),
        vec![auth_response(true)],
        vec![],
    );
    assert!(late.is_silent());
    assert_eq!(events(&mut client), [EventKind::Dropped(DropReason::Unexpected)]);
    assert_eq!(client.status(), TunnelStatus::Disconnected);
}

#[test]
fn every_request_is_sealed_under_a_new_nonce() {
    let mut client = client();
    let mut requests = started(&mut client).datagrams;
    while let Some((at, _)) = client.poll_timeout() {
        requests.extend(turn(&mut client, at, vec![], vec![]).datagrams);
    }
    let mut nonces: Vec<&[u8]> = requests.iter().map(|request| &request.payload[1..13]).collect();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 4);
}

#[test]
fn the_bytes_depend_only_on_the_seed() {
    let request = |seed| {
        started(&mut Client::new(client_config(seed))).datagrams[0]
            .payload
            .to_vec()
    };
    assert_eq!(request(1), request(1));
    assert_ne!(request(1)[1..13], request(2)[1..13]);
}

#[test]
fn a_response_brings_the_tunnel_up_and_completes_start_with_the_settings() {
    let mut client = client();
    started(&mut client);
    let output = turn(
        &mut client,
        after(Duration::from_millis(60)),
        vec![auth_response(true)],
        vec![],
    );
    assert!(output.is_silent());
    assert_eq!(output.deadline, None);
    let expected = [
        EventKind::Status(TunnelStatus::Connecting),
        EventKind::Started(Ok(settings())),
        EventKind::Status(TunnelStatus::Connected),
    ];
    assert_eq!(events(&mut client), expected);
    assert_eq!(client.settings(), Some(&settings()));
}

#[test]
fn responses_to_retransmissions_are_dropped_once_the_tunnel_is_up() {
    let mut client = connected_client();
    turn(
        &mut client,
        START,
        vec![auth_response(true), auth_response(false)],
        vec![],
    );
    assert_eq!(client.status(), TunnelStatus::Connected);
    assert_eq!(
        events(&mut client),
        [const { EventKind::Dropped(DropReason::Unexpected) }; 2]
    );
}

#[test]
fn a_rejected_login_fails_at_once() {
    let mut client = client();
    started(&mut client);
    let output = turn(
        &mut client,
        after(Duration::from_millis(60)),
        vec![auth_response(false)],
        vec![],
    );
    assert!(output.is_silent() && output.deadline.is_none());
    let expected = [
        EventKind::Status(TunnelStatus::Connecting),
        EventKind::Started(Err(StartError::AuthenticationRejected)),
        EventKind::Status(TunnelStatus::Disconnected),
    ];
    assert_eq!(events(&mut client), expected);
}

#[test]
fn a_response_is_accepted_at_the_deadline_but_not_after_it() {
    let mut in_time = client();
    started(&mut in_time);
    turn(
        &mut in_time,
        after(LOGIN_TIMEOUT),
        vec![auth_response(true)],
        vec![],
    );
    assert_eq!(in_time.status(), TunnelStatus::Connected);

    let mut late = client();
    started(&mut late);
    turn(
        &mut late,
        after(LOGIN_TIMEOUT + Duration::from_nanos(1)),
        vec![auth_response(true)],
        vec![],
    );
    assert_eq!(late.status(), TunnelStatus::Disconnected);
    assert_eq!(drops(&late), [(DropReason::Unexpected, 1)]);
    assert!(events(&mut late).contains(&EventKind::Started(Err(StartError::ConnectionTimedOut))));
}

#[test]
fn a_late_turn_sends_one_request_and_no_burst() {
    let mut client = client();
    started(&mut client);
    let now = after(Duration::from_secs(8));
    let output = turn(&mut client, now, vec![], vec![]);
    assert_eq!(output.opened(), [(Code::AuthRequest, REQUEST.to_vec())]);
    assert_eq!(
        output.deadline,
        Some((after(LOGIN_TIMEOUT), Reason::LoginDeadline))
    );
}

#[test]
fn a_failed_start_can_be_started_again() {
    let mut client = client();
    started(&mut client);
    turn(&mut client, START, vec![auth_response(false)], vec![]);
    events(&mut client);
    assert_eq!(
        started(&mut client).opened(),
        [(Code::AuthRequest, REQUEST.to_vec())]
    );
    turn(&mut client, START, vec![auth_response(true)], vec![]);
    assert_eq!(client.status(), TunnelStatus::Connected);
}

#[test]
fn stop_before_the_response_completes_start_and_discards_queued_datagrams() {
    let mut client = client();
    client.start(START).unwrap();
    client.stop(START).unwrap();
    let output = turn(&mut client, START, vec![], vec![]);
    assert!(output.is_silent() && output.deadline.is_none());
    assert_eq!(client.counters().datagrams_out, 0);
    let expected = [
        EventKind::Status(TunnelStatus::Connecting),
        EventKind::Started(Err(StartError::Stopped)),
        EventKind::Status(TunnelStatus::Disconnecting),
        EventKind::Status(TunnelStatus::Disconnected),
    ];
    assert_eq!(events(&mut client), expected);
}

#[test]
fn commands_in_a_wrong_state_are_misuse_and_change_nothing() {
    let mut client = client();
    for command in [
        Command::Stop,
        Command::Sleep,
        Command::Wake,
        Command::NetworkChanged,
    ] {
        assert_eq!(client.command(START, command), Err(ApiMisuse::NotStarted));
    }
    started(&mut client);
    assert_eq!(
        client.command(START, Command::Start),
        Err(ApiMisuse::AlreadyStarted)
    );
    turn(&mut client, START, vec![auth_response(true)], vec![]);
    assert_eq!(
        client.command(START, Command::Start),
        Err(ApiMisuse::AlreadyStarted)
    );
    assert_eq!(client.counters().datagrams_out, 1);
}

#[test]
fn an_input_before_the_outputs_were_polled_is_misuse() {
    let mut client = client();
    client.start(START).unwrap();
    assert_eq!(
        client.handle_datagram(START, auth_response(true)),
        Err(ApiMisuse::NotDrained)
    );
    assert_eq!(
        client.handle_timeout(after(LOGIN_TIMEOUT)),
        Err(ApiMisuse::NotDrained)
    );
    assert!(client.poll_datagram().is_some());
    assert_eq!(client.handle_datagram(START, auth_response(true)), Ok(()));
    assert_eq!(client.status(), TunnelStatus::Connected);
}

#[test]
fn time_in_the_past_is_replaced_by_the_latest_time() {
    let mut client = client();
    started(&mut client);
    turn(&mut client, after(Duration::from_secs(9)), vec![], vec![]);
    turn(&mut client, Instant::ZERO, vec![], vec![]);
    client.command(Instant::ZERO, Command::Stop).unwrap();
    client.command(Instant::ZERO, Command::Start).unwrap();
    let (deadline, _) = unpolled_deadline(&mut client);
    assert_eq!(deadline, after(Duration::from_secs(19)));
}

/// The next deadline of a client that gets no response.
fn unpolled_deadline(client: &mut Client) -> (Instant, Reason) {
    let mut last = None;
    while let Some(next) = turn(client, last.map_or(Instant::ZERO, |(at, _)| at), vec![], vec![]).deadline {
        last = Some(next);
    }
    last.expect("a login under way")
}

#[test]
fn a_user_name_that_is_too_long_makes_the_configuration_invalid() {
    let fits = ClientConfig {
        login: "\u{1}".repeat(1024),
        ..client_config(1)
    };
    let mut client = Client::new(fits);
    assert_eq!(started(&mut client).datagrams[0].payload[0], 0x01);

    let too_long = ClientConfig {
        password: "x".repeat(1025).into(),
        ..client_config(1)
    };
    let mut client = Client::new(too_long);
    assert_eq!(client.status(), TunnelStatus::Invalid);
    assert!(started(&mut client).is_silent());
    assert_eq!(
        events(&mut client),
        [EventKind::Started(Err(StartError::InvalidConfiguration))]
    );
}

#[test]
fn an_exhausted_key_seals_no_request() {
    let mut client = client();
    client.count_earlier_messages(MAX_MESSAGES - 1);
    assert_eq!(started(&mut client).datagrams.len(), 1);
    turn(&mut client, START, vec![auth_response(true)], vec![]);
    events(&mut client);
    let output = turn(
        &mut client,
        START,
        vec![],
        vec![packet("10.9.0.2", "10.9.0.1", 84)],
    );
    assert!(output.is_silent());
    assert_eq!(
        events(&mut client),
        [EventKind::Dropped(DropReason::KeyExhausted)]
    );
    assert_eq!(client.messages_sealed(), MAX_MESSAGES);

    client.stop(START).unwrap();
    events(&mut client);
    let output = started(&mut client);
    assert!(output.is_silent() && output.deadline.is_none());
    let expected = [
        EventKind::Status(TunnelStatus::Connecting),
        EventKind::Started(Err(StartError::KeyExhausted)),
        EventKind::Status(TunnelStatus::Disconnected),
    ];
    assert_eq!(events(&mut client), expected);
}
