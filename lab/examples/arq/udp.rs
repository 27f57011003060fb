//! The same protocol over two real UDP sockets: each end of the tunnel has one, and inner hosts ping each other.

use std::{io, net::UdpSocket, time::Duration};

use sandhog_netstack::{Config, EventKind, Host, Task};
use sandhog_peer::{Batch, Command, Datagram, Instant, PacketBuf, Peer};

use crate::protocol::Arq;

/// One end of the tunnel: socket, peer, and the host behind it.
struct End {
    socket: UdpSocket,
    peer: Arq,
    host: Host,
    output: Batch,
}

impl End {
    fn new(socket: UdpSocket, peer: Arq, inner: u8) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let host = Host::new(Config {
            addresses: vec![([10, 9, 0, inner].into(), 24)],
            mtu: 1280,
            seed: 1,
            canary: *b"never on a wire!",
        });
        Ok(Self {
            socket,
            peer,
            host,
            output: Batch::default(),
        })
    }

    /// One turn: everything that has arrived goes in, everything that comes out is sent.
    fn turn(&mut self, now: Duration) -> io::Result<()> {
        let mut input = Batch::default();
        let mut buffer = [0; 2048];
        while let Ok((len, remote)) = self.socket.recv_from(&mut buffer) {
            input.datagrams.push(Datagram {
                remote,
                kind: "",
                payload: PacketBuf::copied_from(&buffer[..len]),
            });
        }
        self.host.handle_timeout(now);
        let mut packet = Vec::new();
        while self.host.poll_packet(&mut packet) {
            input.packets.push(PacketBuf::copied_from(&packet));
        }
        self.peer.turn(Instant::ZERO + now, &mut input, &mut self.output);
        while self.peer.poll_event().is_some() {}
        for datagram in self.output.datagrams.drain(..) {
            self.socket.send_to(&datagram.payload, datagram.remote)?;
        }
        for packet in self.output.packets.drain(..) {
            self.host.handle_packet(now, &packet);
        }
        Ok(())
    }
}

/// Pings through the tunnel until a reply arrives.
///
/// # Errors
///
/// A socket cannot be used, or no reply arrives within 10 s.
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "real sockets need real time"
)]
pub(crate) fn ping() -> io::Result<()> {
    let start = std::time::Instant::now();
    let [server, client] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0"));
    let (server, client) = (server?, client?);
    let address = server.local_addr()?;
    let mut ends = [
        End::new(server, Arq::default(), 1)?,
        End::new(client, Arq::client(address), 2)?,
    ];
    ends[1]
        .peer
        .command(Instant::ZERO, Command::Start)
        .map_err(io::Error::other)?;
    ends[1].host.start(
        Duration::ZERO,
        Task::Ping {
            to: [10, 9, 0, 1].into(),
            count: 20,
            interval: Duration::from_millis(200),
            payload_len: 56,
            timeout: Duration::from_secs(5),
        },
    );
    while start.elapsed() < Duration::from_secs(10) {
        for end in &mut ends {
            end.turn(start.elapsed())?;
        }
        while let Some(event) = ends[1].host.poll_event() {
            if let EventKind::PingReply { seq, rtt } = event.kind {
                println!("ping {}: reply over UDP {address} in {rtt:?}", seq + 1);
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::Error::from(io::ErrorKind::TimedOut))
}
