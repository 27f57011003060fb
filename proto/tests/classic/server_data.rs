//! Packets at a server of the classic profile.

use sandhog_proto::classic::{Client, Code, Server};
use sandhog_proto::{Command, Datagram, DropReason, Instant, PacketBuf, Peer};

use super::support::*;

const NOW: Instant = Instant::from_secs(1);

fn data(n: u16, packet: &[u8]) -> Datagram {
    from(client_address(n), seal(Code::Data, packet))
}

/// A server with a session of `kean` at client 0.
fn server_with_session() -> Server {
    let mut server = server();
    log_in(&mut server, client_address(0), LOGIN, PASSWORD);
    server
}

#[test]
fn a_packet_of_a_session_is_opened_in_place_for_the_inner_network() {
    let mut server = server_with_session();
    for packet in [
        packet("10.9.0.2", "10.9.0.1", 84),
        packet("fd00::2", "fd00::1", 104),
    ] {
        let mut datagram = data(0, &packet);
        datagram.payload.tag = 3;
        let place = datagram.payload[13..].as_ptr();
        let output = turn(&mut server, NOW, vec![datagram], vec![]);
        assert_eq!(output.packets[0].to_vec(), packet.to_vec());
        assert_eq!((output.packets[0].tag, output.packets[0].as_ptr()), (3, place));
    }
    assert_eq!(drops(&server), []);
}

#[test]
fn a_packet_is_sealed_in_place_for_the_session_that_owns_its_destination() {
    let mut server = server_with_session();
    log_in(&mut server, client_address(1), "anna", "secret");
    for (packet, n) in [
        (packet("10.9.0.1", "10.9.0.2", 84), 0),
        (packet("10.9.0.1", "10.9.0.3", 84), 1),
        (packet("fd00::1", "fd00::2", 104), 0),
    ] {
        let (bytes, place) = (packet.to_vec(), packet.as_ptr());
        let output = turn(&mut server, NOW, vec![], vec![packet.with_tag(4)]);
        assert_eq!(output.opened(), [(Code::Data, bytes)]);
        let datagram = &output.datagrams[0];
        assert_eq!(
            (datagram.remote, datagram.kind, datagram.payload.tag),
            (client_address(n), "data", 4)
        );
        assert_eq!(datagram.payload[13..].as_ptr(), place);
    }
}

#[test]
fn packets_to_addresses_without_a_session_have_no_route() {
    let mut server = server_with_session();
    let nobodys = packet("10.9.0.1", "10.9.0.77", 84);
    let not_logged_in = packet("10.9.0.1", "10.9.0.3", 84);
    assert!(turn(&mut server, NOW, vec![], vec![nobodys, not_logged_in]).is_silent());
    assert_eq!(drops(&server), [(DropReason::NoRoute, 2)]);
}

#[test]
fn packets_with_a_source_address_of_another_user_are_dropped() {
    let mut server = server_with_session();
    log_in(&mut server, client_address(1), "anna", "secret");
    let spoofed = [
        packet("10.9.0.3", "10.9.0.1", 84),
        packet("10.9.0.1", "10.9.0.2", 84),
        packet("192.0.2.1", "10.9.0.1", 84),
        packet("fd00::3", "fd00::1", 84),
    ];
    let datagrams = spoofed.iter().map(|packet| data(0, packet)).collect();
    assert!(turn(&mut server, NOW, datagrams, vec![]).is_silent());
    assert_eq!(drops(&server), [(DropReason::SourceNotAllowed, 4)]);
}

#[test]
fn data_from_an_address_without_a_session_is_dropped() {
    let mut server = server_with_session();
    let stranger = data(1, &packet("10.9.0.2", "10.9.0.1", 84));
    assert!(turn(&mut server, NOW, vec![stranger], vec![]).is_silent());
    assert_eq!(drops(&server), [(DropReason::NoSession, 1)]);
}

#[test]
fn a_new_login_of_a_user_replaces_the_users_older_session() {
    let mut server = server_with_session();
    log_in(&mut server, client_address(5), LOGIN, PASSWORD);
    assert_eq!(server.session_count(), 1);
    let up = packet("10.9.0.2", "10.9.0.1", 84);
    let output = turn(
        &mut server,
        NOW,
        vec![data(0, &up), data(5, &up)],
        vec![packet("10.9.0.1", "10.9.0.2", 84)],
    );
    assert_eq!(output.packets.len(), 1);
    assert_eq!(output.datagrams[0].remote, client_address(5));
    assert_eq!(drops(&server), [(DropReason::NoSession, 1)]);
}

#[test]
fn a_login_of_another_user_at_the_same_address_replaces_the_session() {
    let mut server = server_with_session();
    log_in(&mut server, client_address(0), "anna", "secret");
    assert_eq!(server.session_count(), 1);
    let datagrams = vec![
        data(0, &packet("10.9.0.2", "10.9.0.1", 84)),
        data(0, &packet("10.9.0.3", "10.9.0.1", 84)),
    ];
    let output = turn(
        &mut server,
        NOW,
        datagrams,
        vec![packet("10.9.0.1", "10.9.0.2", 84)],
    );
    assert_eq!(output.packets.len(), 1);
    assert_eq!(output.datagrams.len(), 0);
    assert_eq!(
        drops(&server),
        [(DropReason::SourceNotAllowed, 1), (DropReason::NoRoute, 1)]
    );
}

#[test]
fn data_that_is_not_ip_is_dropped_in_both_directions() {
    let mut server = server_with_session();
    let not_ip = [
        vec![],
        vec![0x00; 60],
        vec![0xf5; 60],
        vec![0x45; 19],
        vec![0x60; 39],
    ];
    let datagrams = not_ip.iter().map(|bytes| data(0, bytes)).collect();
    let packets = not_ip.iter().map(|bytes| PacketBuf::copied_from(bytes)).collect();
    assert!(turn(&mut server, NOW, datagrams, packets).is_silent());
    assert_eq!(drops(&server), [(DropReason::NotIp, 10)]);
}

#[test]
fn packets_above_the_mtu_are_dropped_in_both_directions() {
    let mut server = server_with_session();
    let up = |len| data(0, &packet("10.9.0.2", "10.9.0.1", len));
    let down = |len| packet("10.9.0.1", "10.9.0.2", len);
    let output = turn(
        &mut server,
        NOW,
        vec![up(1401), up(1400)],
        vec![down(1401), down(1400)],
    );
    assert_eq!((output.packets.len(), output.datagrams.len()), (1, 1));
    assert_eq!(drops(&server), [(DropReason::TooLarge, 2)]);
}

/// Passes the datagrams of `sent` to `to`.
fn carry(sent: Turn, sender: core::net::SocketAddr, to: &mut impl Peer) -> Turn {
    let datagrams = sent
        .datagrams
        .into_iter()
        .map(|datagram| from(sender, datagram.payload))
        .collect();
    turn(to, NOW, datagrams, vec![])
}

#[test]
fn client_and_server_interoperate_and_have_equal_counters() {
    let (mut client, mut server): (Client, Server) = (client(), server());
    client.command(NOW, Command::Start).unwrap();
    let request = turn(&mut client, NOW, vec![], vec![]);
    carry(request, client_address(0), &mut server);
    let answer = finish_jobs(&mut server, NOW);
    carry(answer, server_address(), &mut client);
    assert_eq!(client.settings(), Some(&settings()));

    for len in 20..=100 {
        let ping = packet("10.9.0.2", "10.9.0.1", len);
        let sent = turn(&mut client, NOW, vec![], vec![ping.clone()]);
        let delivered = carry(sent, client_address(0), &mut server).packets;
        assert_eq!(delivered[0].to_vec(), ping.to_vec());

        let pong = packet("10.9.0.1", "10.9.0.2", len);
        let sent = turn(&mut server, NOW, vec![], vec![pong.clone()]);
        let delivered = carry(sent, server_address(), &mut client).packets;
        assert_eq!(delivered[0].to_vec(), pong.to_vec());
    }

    let (ours, theirs) = (client.counters(), server.counters());
    assert_eq!((ours.datagrams_out, ours.datagrams_in), (82, 82));
    assert_eq!((theirs.datagrams_out, theirs.datagrams_in), (82, 82));
    assert_eq!((ours.packets_out, ours.bytes_out), (81, (20..=100).sum()));
    assert_eq!(
        (theirs.packets_in, theirs.bytes_in),
        (ours.packets_out, ours.bytes_out)
    );
    assert_eq!(
        (theirs.packets_out, theirs.bytes_out),
        (ours.packets_in, ours.bytes_in)
    );
    assert_eq!((drops(&client), drops(&server)), (vec![], vec![]));
    assert_eq!((client.messages_sealed(), server.messages_sealed()), (82, 82));
}
