//! Single-threaded transport: the loop's own thread reads and writes a socket and a device.
//!
//! Output that the socket or the device does not accept yet is kept, and no new input is read until it is
//! sent. So only the kernel's queues grow, and they drop the excess.

use std::future::Future;
use std::io;

use sandhog_proto::{Batch, Datagram, PacketBuf};
use tokio::net::UdpSocket;

use super::{ErrorLog, TURN_LIMIT, Transport};
use crate::failure::Failure;

/// Longest UDP payload and longest IP packet, in bytes.
const MAX_LEN: usize = 65_535;

/// Source and destination of inner packets. One call moves one whole IP packet.
pub trait Device {
    /// Waits until a packet can be read. May return too early.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;

    /// Waits until a packet can be written. May return too early.
    fn writable(&self) -> impl Future<Output = io::Result<()>>;

    /// Reads one packet into `packet` and returns its length.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no packet now, any other error when the device is gone.
    fn try_read(&self, packet: &mut [u8]) -> io::Result<usize>;

    /// Writes one packet.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the packet has to wait, any other error when the device rejects the
    /// packet.
    fn try_write(&self, packet: &[u8]) -> io::Result<usize>;
}

/// Transport over one socket and one device.
#[derive(Debug)]
pub struct Direct<D> {
    socket: UdpSocket,
    device: D,
    buffer: Vec<u8>,
    errors: ErrorLog,
}

impl<D: Device> Direct<D> {
    pub(super) fn new(socket: UdpSocket, device: D) -> Self {
        Self {
            socket,
            device,
            buffer: vec![0; MAX_LEN],
            errors: ErrorLog::default(),
        }
    }

    fn receive_datagrams(&mut self, input: &mut Batch) -> bool {
        for _ in 0..TURN_LIMIT {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((len, remote)) => {
                    let payload = PacketBuf::copied_from(&self.buffer[..len]);
                    input.datagrams.push(Datagram {
                        remote,
                        kind: "",
                        payload,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // For example an ICMP error about an earlier datagram. Reading it clears it.
                Err(error) => self.errors.report("receive a datagram", &error),
            }
        }
        true
    }

    fn receive_packets(&mut self, input: &mut Batch) -> Result<bool, Failure> {
        for _ in 0..TURN_LIMIT {
            match self.device.try_read(&mut self.buffer) {
                Ok(len) => input.packets.push(PacketBuf::copied_from(&self.buffer[..len])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(explain_lost_device(error)),
            }
        }
        Ok(true)
    }
}

/// The error with which the program ends when its device is gone.
pub(crate) fn explain_lost_device(error: io::Error) -> Failure {
    Failure::runtime("read from the tunnel device", error)
        .with_help("the device was removed while it was in use; start the program again")
}

impl<P, D: Device> Transport<P> for Direct<D> {
    fn receive(&mut self, _peer: &mut P, input: &mut Batch, output: &mut Batch) -> Result<bool, Failure> {
        if !output.is_empty() {
            return Ok(false);
        }
        let more_datagrams = self.receive_datagrams(input);
        let more_packets = self.receive_packets(input)?;
        Ok(more_datagrams || more_packets)
    }

    fn flush(&mut self, _peer: &mut P, output: &mut Batch) {
        let mut sent = 0;
        for datagram in &output.datagrams {
            match self.socket.try_send_to(&datagram.payload, datagram.remote) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => self.errors.report("send a datagram", &error),
            }
            sent += 1;
        }
        output.datagrams.drain(..sent);

        let mut written = 0;
        for packet in &output.packets {
            match self.device.try_write(packet) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => self.errors.report("write a packet to the tunnel device", &error),
            }
            written += 1;
        }
        output.packets.drain(..written);
    }

    async fn ready(&mut self, output: &Batch) -> io::Result<()> {
        let idle = output.is_empty();
        tokio::select! {
            ready = self.socket.readable(), if idle => ready,
            ready = self.device.readable(), if idle => ready,
            ready = self.socket.writable(), if !output.datagrams.is_empty() => ready,
            ready = self.device.writable(), if !output.packets.is_empty() => ready,
        }
    }
}
