//! Packets and unexpected datagrams at a client of the classic profile.

use sandhog_proto::classic::Code;
use sandhog_proto::{Datagram, DropReason, EventKind, Instant, PacketBuf, Peer};

use super::support::*;

const NOW: Instant = Instant::from_secs(1);

fn data(body: &[u8]) -> Datagram {
    from(server_address(), seal(Code::Data, body))
}

/// Passes one datagram to a connected client. Returns the packets for the device and the drops.
fn receive(datagram: Datagram) -> (Vec<Vec<u8>>, Vec<(DropReason, u64)>) {
    let mut client = connected_client();
    let output = turn(&mut client, NOW, vec![datagram], vec![]);
    assert_eq!(
        output.datagrams.len(),
        0,
        "a client does not answer this datagram"
    );
    (
        output.packets.iter().map(|packet| packet.to_vec()).collect(),
        drops(&client),
    )
}

#[test]
fn an_inner_packet_is_sealed_in_place_into_one_datagram() {
    let mut client = connected_client();
    let packet = packet("10.9.0.2", "10.9.0.1", 84).with_tag(7);
    let (bytes, place) = (packet.to_vec(), packet.as_ptr());
    let output = turn(&mut client, NOW, vec![], vec![packet]);
    assert_eq!(output.opened(), [(Code::Data, bytes)]);
    let datagram = &output.datagrams[0];
    assert_eq!(
        (datagram.remote, datagram.kind, datagram.payload.tag),
        (server_address(), "data", 7)
    );
    assert_eq!(datagram.payload.len(), 84 + 29);
    assert_eq!(datagram.payload[13..].as_ptr(), place, "sealed without a copy");
}

#[test]
fn a_datagram_is_opened_in_place_into_one_inner_packet() {
    let mut client = connected_client();
    let packet = packet("10.9.0.1", "10.9.0.2", 84);
    let mut datagram = data(&packet);
    datagram.payload.tag = 9;
    let place = datagram.payload[13..].as_ptr();
    let output = turn(&mut client, NOW, vec![datagram], vec![]);
    assert_eq!(output.packets[0].to_vec(), packet.to_vec());
    assert_eq!(output.packets[0].tag, 9);
    assert_eq!(output.packets[0].as_ptr(), place, "opened without a copy");
}

#[test]
fn packets_of_both_ip_versions_are_carried_in_both_directions() {
    let mut client = connected_client();
    let (v4, v6) = (
        packet("10.9.0.2", "10.9.0.1", 20),
        packet("fd00::2", "fd00::1", 40),
    );
    let output = turn(
        &mut client,
        NOW,
        vec![data(&v4), data(&v6)],
        vec![v4.clone(), v6.clone()],
    );
    assert_eq!(
        output.opened(),
        [(Code::Data, v4.to_vec()), (Code::Data, v6.to_vec())]
    );
    let delivered: Vec<Vec<u8>> = output.packets.iter().map(|packet| packet.to_vec()).collect();
    assert_eq!(delivered, [v4.to_vec(), v6.to_vec()]);

    let counters = client.counters();
    assert_eq!((counters.packets_out, counters.bytes_out), (2, 60));
    assert_eq!((counters.packets_in, counters.bytes_in), (2, 60));
    assert_eq!((counters.datagrams_out, counters.datagrams_in), (3, 3));
    assert_eq!(drops(&client), []);
}

#[test]
fn a_base64_string_is_decoded_to_a_packet() {
    let packet: Vec<u8> = [0x45, 0, 0, 20].into_iter().chain([0xff; 16]).collect();
    let plain = format!("\"RQAAFP{}8=\"", "/".repeat(20));
    assert_eq!(receive(data(plain.as_bytes())), (vec![packet.clone()], vec![]));
    let escaped = format!("\"RQAAFP{}\\u002f8=\"", "\\/".repeat(19));
    assert_eq!(receive(data(escaped.as_bytes())), (vec![packet], vec![]));
}

#[test]
fn a_string_that_is_not_base64_is_malformed() {
    for body in [&b"\""[..], b"\"RQ\"", b"\"R!==\"", b"\"RQ==\" x", b"\"\xff\""] {
        assert_eq!(
            receive(data(body)),
            (vec![], vec![(DropReason::MalformedBody, 1)])
        );
    }
}

#[test]
fn data_that_is_not_ip_is_dropped_in_both_directions() {
    let mut client = connected_client();
    let not_ip = [
        vec![],
        vec![0x00; 60],
        vec![0x55; 60],
        vec![0x7f; 60],
        vec![0x45; 19],
        vec![0x60; 39],
    ];
    let count = u64::try_from(not_ip.len()).unwrap();
    let datagrams = not_ip.iter().map(|bytes| data(bytes)).collect();
    let packets = not_ip.iter().map(|bytes| PacketBuf::copied_from(bytes)).collect();
    assert!(turn(&mut client, NOW, datagrams, packets).is_silent());
    assert_eq!(drops(&client), [(DropReason::NotIp, 2 * count)]);
}

#[test]
fn packets_above_the_mtu_are_dropped_in_both_directions() {
    let mut client = connected_client();
    let fits = packet("10.9.0.2", "10.9.0.1", 1400);
    let too_large = packet("10.9.0.2", "10.9.0.1", 1401);
    let datagrams = vec![data(&too_large), data(&fits)];
    let output = turn(&mut client, NOW, datagrams, vec![too_large, fits]);
    assert_eq!((output.datagrams.len(), output.packets.len()), (1, 1));
    assert_eq!(drops(&client), [(DropReason::TooLarge, 2)]);
}

#[test]
fn packets_are_carried_only_while_the_tunnel_is_up() {
    let mut client = client();
    let packet = || packet("10.9.0.2", "10.9.0.1", 84);
    turn(&mut client, NOW, vec![], vec![packet()]);
    client.start(NOW).unwrap();
    let connecting = turn(&mut client, NOW, vec![data(&packet())], vec![packet()]);
    assert_eq!(connecting.packets.len(), 0);
    assert_eq!(connecting.opened().len(), 1, "only the request");
    assert_eq!(
        drops(&client),
        [(DropReason::Unexpected, 1), (DropReason::NotConnected, 2)]
    );

    turn(&mut client, NOW, vec![auth_response(true)], vec![]);
    client.stop(NOW).unwrap();
    assert!(turn(&mut client, NOW, vec![data(&packet())], vec![packet()]).is_silent());
    assert_eq!(
        drops(&client),
        [(DropReason::Unexpected, 2), (DropReason::NotConnected, 3)]
    );
}

#[test]
fn datagrams_from_other_addresses_are_not_opened() {
    let mut client = client();
    client.start(NOW).unwrap();
    let mut elsewhere = auth_response(true);
    elsewhere.remote.set_port(1);
    turn(&mut client, NOW, vec![elsewhere], vec![]);
    assert_eq!(drops(&client), [(DropReason::UnknownRemote, 1)]);
    assert!(client.settings().is_none());
}

#[test]
fn a_reflected_request_is_dropped_as_unexpected() {
    let reflected = from(server_address(), auth_request(LOGIN, PASSWORD));
    assert_eq!(receive(reflected), (vec![], vec![(DropReason::Unexpected, 1)]));
}

#[test]
fn each_kind_of_bad_datagram_is_counted_by_its_reason() {
    let mut client = connected_client();
    let mut changed = data(&packet("10.9.0.1", "10.9.0.2", 84));
    changed.payload[40] ^= 1;
    let datagrams = vec![
        from(server_address(), PacketBuf::copied_from(&[3; 28])),
        from(server_address(), PacketBuf::copied_from(&[4; 60])),
        changed,
        from(server_address(), seal(Code::AuthResponse, b"{}")),
    ];
    assert!(turn(&mut client, NOW, datagrams, vec![]).is_silent());
    let expected = [
        DropReason::NotEnoughData,
        DropReason::InvalidCode,
        DropReason::AuthenticationFailed,
        DropReason::MalformedBody,
    ];
    assert_eq!(events(&mut client), expected.map(EventKind::Dropped));
    assert_eq!(drops(&client), expected.map(|reason| (reason, 1)));
}

#[test]
fn one_bad_datagram_does_not_affect_the_others_of_its_batch() {
    let mut client = connected_client();
    let good = packet("10.9.0.1", "10.9.0.2", 84);
    let bad = from(server_address(), PacketBuf::copied_from(b"?").with_tag(5));
    let output = turn(&mut client, NOW, vec![data(&good), bad, data(&good)], vec![]);
    assert_eq!(output.packets.len(), 2);
    let event = client.poll_event().unwrap();
    assert_eq!(
        (event.tag, event.kind),
        (5, EventKind::Dropped(DropReason::InvalidCode))
    );
}
