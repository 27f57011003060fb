//! Summary of an inner packet in one line.

use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
    UdpPacket,
};

/// The summary, like `10.9.0.2 → 10.9.0.1 ICMP echo request 3`.
pub(crate) fn summary(packet: &[u8]) -> String {
    let described = match packet.first().map(|first| first >> 4) {
        Some(4) => Ipv4Packet::new_checked(packet).ok().map(|ip| {
            let hosts = format!("{} → {}", ip.src_addr(), ip.dst_addr());
            format!("{hosts} {}", transport(ip.next_header(), ip.payload()))
        }),
        Some(6) => Ipv6Packet::new_checked(packet).ok().map(|ip| {
            let hosts = format!("{} → {}", ip.src_addr(), ip.dst_addr());
            format!("{hosts} {}", transport(ip.next_header(), ip.payload()))
        }),
        _ => None,
    };
    described.unwrap_or_else(|| "not a complete IP packet".into())
}

fn transport(protocol: IpProtocol, payload: &[u8]) -> String {
    let described = match protocol {
        IpProtocol::Icmp => Icmpv4Packet::new_checked(payload).ok().map(|icmp| {
            let message = match icmp.msg_type() {
                Icmpv4Message::EchoRequest => "echo request",
                Icmpv4Message::EchoReply => "echo reply",
                other => return format!("ICMP {other}"),
            };
            format!("ICMP {message} {}", icmp.echo_seq_no())
        }),
        IpProtocol::Icmpv6 => Icmpv6Packet::new_checked(payload).ok().map(|icmp| {
            let message = match icmp.msg_type() {
                Icmpv6Message::EchoRequest => "echo request",
                Icmpv6Message::EchoReply => "echo reply",
                other => return format!("ICMPv6 {other}"),
            };
            format!("ICMPv6 {message} {}", icmp.echo_seq_no())
        }),
        IpProtocol::Udp => UdpPacket::new_checked(payload).ok().map(|udp| {
            format!(
                "UDP {} → {}, {} bytes",
                udp.src_port(),
                udp.dst_port(),
                udp.payload().len()
            )
        }),
        IpProtocol::Tcp => TcpPacket::new_checked(payload).ok().map(|tcp| tcp_line(&tcp)),
        other => Some(format!("{other}")),
    };
    described.unwrap_or_else(|| format!("{protocol}, malformed"))
}

/// The sequence number of an ICMP echo request. `None` for any other packet.
pub(crate) fn echo_request_number(packet: &[u8]) -> Option<u16> {
    if packet.first()? >> 4 == 4 {
        let ip = Ipv4Packet::new_checked(packet).ok()?;
        let icmp = Icmpv4Packet::new_checked(ip.payload()).ok()?;
        let is_request = icmp.msg_type() == Icmpv4Message::EchoRequest;
        return (ip.next_header() == IpProtocol::Icmp && is_request).then(|| icmp.echo_seq_no());
    }
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    let icmp = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    let is_request = icmp.msg_type() == Icmpv6Message::EchoRequest;
    (ip.next_header() == IpProtocol::Icmpv6 && is_request).then(|| icmp.echo_seq_no())
}

fn tcp_line(tcp: &TcpPacket<&[u8]>) -> String {
    let flags = [
        ("SYN", tcp.syn()),
        ("FIN", tcp.fin()),
        ("RST", tcp.rst()),
        ("PSH", tcp.psh()),
        ("ACK", tcp.ack()),
    ];
    let flags: Vec<&str> = flags
        .iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| *name)
        .collect();
    let bytes = tcp.payload().len();
    let payload = if bytes == 0 {
        String::new()
    } else {
        format!(", {bytes} bytes")
    };
    format!(
        "TCP {} → {} {}{payload}",
        tcp.src_port(),
        tcp.dst_port(),
        flags.join(" ")
    )
}
