//! Packet capture on every device of a namespace, separately for the outer network and the tunnel.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketType, eth, recv, socket};

use super::namespace::Namespace;

/// Plaintext that must not appear on the outer network.
pub(super) const CANARY: &str = "the canary sings in the tunnel only";

/// Longest time for frames that arrive after the end. A host that never stops sending must not keep the test running.
const LONGEST_END: Duration = Duration::from_secs(2);

/// Captured bytes. A captured packet may be a superpacket of the kernel.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Bytes on the outer network.
    pub(super) outer: usize,
    /// Bytes on the outer network in packets with the canary.
    pub(super) outer_with_canary: usize,
    /// Bytes on the tunnel's device in packets with the canary.
    pub(super) inner_with_canary: usize,
}

/// A running packet capture.
pub(super) struct Tap {
    is_over: Arc<AtomicBool>,
    listener: JoinHandle<Vec<Vec<u8>>>,
}

impl Tap {
    /// Starts the capture.
    pub(super) fn start(namespace: &Namespace) -> Self {
        let socket = namespace.enter(|| {
            let socket =
                socket(AddressFamily::PACKET, SocketType::RAW, Some(eth::ALL)).expect("root may listen");
            set_socket_recv_buffer_size_force(&socket, 64 << 20).expect("root may have a large buffer");
            set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_millis(50)))
                .expect("a valid time");
            socket
        });
        let is_over = Arc::new(AtomicBool::new(false));
        let listener = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || listen(&socket, &is_over)
        });
        Self { is_over, listener }
    }

    /// Stops the capture and returns the frames in the order of their arrival.
    pub(super) fn stop_with_frames(self) -> Vec<Vec<u8>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.listener.join().expect("the listener")
    }

    /// Stops the capture and returns the counts.
    pub(super) fn stop(self) -> Seen {
        let frames = self.stop_with_frames();
        let mut seen = Seen::default();
        for frame in frames {
            let has_canary = frame
                .windows(CANARY.len())
                .any(|window| window == CANARY.as_bytes());
            let with_canary = if has_canary { frame.len() } else { 0 };
            // Ethernet frames start with the address of one of the two outer devices. Packets of the tunnel
            // start with the IP version.
            if frame.starts_with(&[0x02, 0, 0, 0, 0]) {
                seen.outer += frame.len();
                seen.outer_with_canary += with_canary;
            } else if matches!(frame.first(), Some(0x40..0x70)) {
                seen.inner_with_canary += with_canary;
            }
        }
        seen
    }
}

/// Captures until `is_over` is set and no more frames arrive, or until [`LONGEST_END`] after that.
fn listen(socket: &OwnedFd, is_over: &AtomicBool) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut end: Option<Instant> = None;
    // Devices with segmentation offload have packets of up to 64 KiB plus an Ethernet header.
    let mut buffer = vec![0; 1 << 17];
    loop {
        if is_over.load(Ordering::Relaxed) && end.get_or_insert_with(Instant::now).elapsed() > LONGEST_END {
            return frames;
        }
        match recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((len, _)) => frames.push(buffer[..len].to_vec()),
            Err(Errno::AGAIN) if is_over.load(Ordering::Relaxed) => return frames,
            Err(Errno::AGAIN | Errno::INTR | Errno::NETDOWN) => {}
            Err(error) => panic!("the tap: {error}"),
        }
    }
}

/// The payload of a captured UDP datagram over IPv4 on the outer network (RFC 768, RFC 791).
pub(super) fn udp_payload(frame: &[u8]) -> Option<&[u8]> {
    let packet = frame.strip_prefix(&[2, 0, 0, 0, 0])?.get(9..)?;
    let is_udp = packet.first() == Some(&0x45) && packet.get(9) == Some(&17);
    packet.get(28..).filter(|_| is_udp)
}
