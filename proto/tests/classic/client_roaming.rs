//! Sleep and network changes of a client of the classic profile.

use core::time::Duration;

use sandhog_proto::classic::{Client, Code, LOGIN_TIMEOUT};
use sandhog_proto::{Command, DropReason, EventKind, Instant, Peer, Reason, StartError, TunnelStatus};

use super::support::*;

const NOW: Instant = Instant::from_secs(100);

fn is_one_request(output: &Turn) -> bool {
    matches!(output.opened().as_slice(), [(Code::AuthRequest, _)])
}

fn reasserting() -> Client {
    let mut client = connected_client();
    client.command(NOW, Command::NetworkChanged).unwrap();
    assert!(is_one_request(&turn(&mut client, NOW, vec![], vec![])));
    assert_eq!(
        events(&mut client),
        [EventKind::Status(TunnelStatus::Reasserting)]
    );
    client
}

#[test]
fn after_a_network_change_the_client_logs_in_again_and_keeps_its_settings() {
    let mut client = reasserting();
    assert_eq!(client.settings(), Some(&settings()));
    turn(&mut client, NOW, vec![auth_response(true)], vec![]);
    assert_eq!(
        events(&mut client),
        [EventKind::Status(TunnelStatus::Connected)],
        "start completed long ago"
    );
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn packets_are_carried_in_both_directions_during_a_repeated_login() {
    let mut client = reasserting();
    let (out, back) = (
        packet("10.9.0.2", "10.9.0.1", 84),
        packet("10.9.0.1", "10.9.0.2", 84),
    );
    let datagram = from(server_address(), seal(Code::Data, &back));
    let output = turn(&mut client, NOW, vec![datagram], vec![out.clone()]);
    assert_eq!(output.opened(), [(Code::Data, out.to_vec())]);
    assert_eq!(output.packets[0].to_vec(), back.to_vec());
}

#[test]
fn an_unanswered_repeated_login_takes_the_tunnel_down_after_10_s() {
    let mut client = reasserting();
    let mut requests = 0;
    let mut last = NOW;
    while let Some((at, _)) = client.poll_timeout() {
        requests += turn(&mut client, at, vec![], vec![]).datagrams.len();
        last = at;
    }
    assert_eq!((requests, last), (3, NOW + LOGIN_TIMEOUT));
    let expected = [
        EventKind::Cancelled(StartError::ConnectionTimedOut),
        EventKind::Status(TunnelStatus::Disconnected),
    ];
    assert_eq!(events(&mut client), expected);
    assert_eq!(client.settings(), None);
}

#[test]
fn a_rejected_repeated_login_takes_the_tunnel_down_immediately() {
    let mut client = reasserting();
    let output = turn(&mut client, NOW, vec![auth_response(false)], vec![]);
    assert_eq!(output.deadline, None);
    let expected = [
        EventKind::Cancelled(StartError::AuthenticationRejected),
        EventKind::Status(TunnelStatus::Disconnected),
    ];
    assert_eq!(events(&mut client), expected);
}

#[test]
fn a_second_network_change_begins_a_new_attempt() {
    let mut client = reasserting();
    let later = NOW + Duration::from_secs(9);
    client.network_changed(later).unwrap();
    assert!(is_one_request(&turn(&mut client, later, vec![], vec![])));
    assert_eq!(client.status(), TunnelStatus::Reasserting);
    turn(&mut client, NOW + LOGIN_TIMEOUT, vec![], vec![]);
    assert_eq!(
        client.status(),
        TunnelStatus::Reasserting,
        "the old deadline is gone"
    );
}

#[test]
fn a_network_change_while_connecting_sends_a_request_and_keeps_the_deadline() {
    let mut client = client();
    client.start(NOW).unwrap();
    turn(&mut client, NOW, vec![], vec![]);
    let later = NOW + Duration::from_millis(9_500);
    turn(&mut client, later, vec![], vec![]);
    client.network_changed(later).unwrap();
    let output = turn(&mut client, later, vec![], vec![]);
    assert!(is_one_request(&output));
    assert_eq!(
        output.deadline,
        Some((NOW + LOGIN_TIMEOUT, Reason::LoginDeadline))
    );
    assert_eq!(client.status(), TunnelStatus::Connecting);
}

#[test]
fn a_sleeping_client_sends_nothing_and_logs_in_again_when_it_wakes() {
    let mut client = connected_client();
    client.command(NOW, Command::Sleep).unwrap();
    client.command(NOW, Command::NetworkChanged).unwrap();
    let asleep = turn(&mut client, NOW, vec![], vec![packet("10.9.0.2", "10.9.0.1", 84)]);
    assert!(asleep.is_silent() && asleep.deadline.is_none());
    assert_eq!(
        events(&mut client),
        [EventKind::Dropped(DropReason::NotConnected)]
    );

    let morning = NOW + Duration::from_secs(8 * 3600);
    client.command(morning, Command::Wake).unwrap();
    assert!(is_one_request(&turn(&mut client, morning, vec![], vec![])));
    assert_eq!(
        events(&mut client),
        [EventKind::Status(TunnelStatus::Reasserting)]
    );
    turn(&mut client, morning, vec![auth_response(true)], vec![]);
    let output = turn(
        &mut client,
        morning,
        vec![],
        vec![packet("10.9.0.2", "10.9.0.1", 84)],
    );
    assert_eq!(output.datagrams.len(), 1);
}

#[test]
fn a_sleep_postpones_a_repeated_login() {
    let mut client = reasserting();
    client.sleep(NOW).unwrap();
    let night = NOW + Duration::from_secs(3600);
    let output = turn(&mut client, night, vec![], vec![]);
    assert!(output.is_silent() && output.deadline.is_none());
    assert_eq!(client.status(), TunnelStatus::Reasserting);
    client.wake(night).unwrap();
    let output = turn(&mut client, night, vec![], vec![]);
    assert!(is_one_request(&output));
    assert_eq!(events(&mut client), []);
}

#[test]
fn a_sleep_while_connecting_stops_retransmissions_and_keeps_the_deadline() {
    let mut client = client();
    client.start(NOW).unwrap();
    turn(&mut client, NOW, vec![], vec![]);
    client.sleep(NOW).unwrap();
    let output = turn(&mut client, NOW + Duration::from_secs(5), vec![], vec![]);
    assert!(output.is_silent());
    assert_eq!(
        output.deadline,
        Some((NOW + LOGIN_TIMEOUT, Reason::LoginDeadline))
    );

    let mut woken = client;
    woken.wake(NOW + Duration::from_secs(6)).unwrap();
    assert!(is_one_request(&turn(
        &mut woken,
        NOW + Duration::from_secs(6),
        vec![],
        vec![]
    )));
    events(&mut woken);
    woken.sleep(NOW + Duration::from_secs(6)).unwrap();
    woken.wake(NOW + Duration::from_secs(60)).unwrap();
    assert!(turn(&mut woken, NOW + Duration::from_secs(60), vec![], vec![]).is_silent());
    let expected = [
        EventKind::Started(Err(StartError::ConnectionTimedOut)),
        EventKind::Status(TunnelStatus::Disconnected),
    ];
    assert_eq!(events(&mut woken), expected);
}

#[test]
fn waking_without_a_sleep_and_sleeping_twice_change_nothing() {
    let mut client = connected_client();
    client.wake(NOW).unwrap();
    assert!(turn(&mut client, NOW, vec![], vec![]).is_silent());
    client.sleep(NOW).unwrap();
    client.sleep(NOW).unwrap();
    client.wake(NOW).unwrap();
    assert!(is_one_request(&turn(&mut client, NOW, vec![], vec![])));
}

#[test]
fn stop_takes_a_tunnel_down_in_every_state_without_a_datagram() {
    let mut asleep = connected_client();
    asleep.sleep(NOW).unwrap();
    for mut client in [connected_client(), reasserting(), asleep] {
        client.command(NOW, Command::Stop).unwrap();
        let output = turn(&mut client, NOW, vec![], vec![]);
        assert!(output.is_silent() && output.deadline.is_none());
        let expected = [
            EventKind::Status(TunnelStatus::Disconnecting),
            EventKind::Status(TunnelStatus::Disconnected),
        ];
        assert_eq!(events(&mut client), expected);
        assert_eq!(client.settings(), None);
        client.start(NOW).unwrap();
        assert!(
            is_one_request(&turn(&mut client, NOW, vec![], vec![])),
            "a start wakes"
        );
    }
}
