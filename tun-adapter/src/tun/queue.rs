//! One queue of a TUN device, for a polling thread. One system call moves one whole superpacket.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::ioctl;

use super::{Attach, IFF_MULTI_QUEUE, IFF_TUN_EXCL, IFF_VNET_HDR};
use crate::config::DeviceName;
use crate::failure::Failure;
use crate::offload::header::{self, Header};

/// Buffer size for one read: a header and the longest packet.
pub const READ_BUFFER: usize = header::LEN + 65_536;

/// `TUNSETOFFLOAD` of `linux/if_tun.h`. It is declared with `unsigned int`, but the kernel reads the argument
/// itself.
const TUNSETOFFLOAD: ioctl::Opcode = ioctl::opcode::write::<u32>(b'T', 208);
/// `TUNSETVNETHDRSZ` of `linux/if_tun.h`.
const TUNSETVNETHDRSZ: ioctl::Opcode = ioctl::opcode::write::<i32>(b'T', 216);

/// `TUN_F_CSUM`, `TUN_F_TSO4`, `TUN_F_TSO6`, `TUN_F_TSO_ECN`: partial checksums, and TCP superpackets over
/// IPv4, over IPv6, with ECN.
const TCP_OFFLOADS: usize = 0x01 | 0x02 | 0x04 | 0x08;
/// `TUN_F_USO4`, `TUN_F_USO6`: UDP superpackets over IPv4 and IPv6. Needs Linux 6.2 or newer.
const UDP_OFFLOADS: usize = 0x20 | 0x40;

/// Offload features of a device, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffloadFeatures {
    /// TCP superpackets and partial checksums.
    pub tcp: bool,
    /// UDP superpackets.
    pub udp: bool,
}

/// One queue of a device of this process. The kernel removes the device together with its last queue.
#[derive(Debug)]
pub struct Queue {
    fd: OwnedFd,
    features: OffloadFeatures,
    has_headers: bool,
}

impl Queue {
    /// Creates the device `name` with `count` queues (at least one). It is down and has no addresses. Packets
    /// of one flow arrive at one queue.
    ///
    /// With `segmentation`, the queues use superpackets as far as the kernel supports them. Without it, they
    /// use single packets only.
    ///
    /// # Errors
    ///
    /// If permissions or the kernel's TUN driver are missing, or a device `name` exists.
    pub fn open(name: &DeviceName, count: usize, segmentation: bool) -> Result<Vec<Self>, Failure> {
        let mut flags = 0;
        if count > 1 {
            flags |= IFF_MULTI_QUEUE;
        }
        if segmentation {
            flags |= IFF_VNET_HDR;
        }
        (0..count.max(1))
            .map(|number| {
                let exclusive = if number == 0 { IFF_TUN_EXCL } else { 0 };
                let fd = Attach::new(name, flags | exclusive).open()?;
                Self::new(fd, segmentation)
                    .map_err(|error| Failure::runtime(format_args!("configure the device `{name}`"), error))
            })
            .collect()
    }

    fn new(fd: OwnedFd, has_headers: bool) -> io::Result<Self> {
        let features = if has_headers {
            set_header_length(&fd)?;
            set_offloads(&fd)?
        } else {
            OffloadFeatures::default()
        };
        Ok(Self {
            fd,
            features,
            has_headers,
        })
    }

    /// The offload features that are switched on.
    #[must_use]
    pub const fn features(&self) -> OffloadFeatures {
        self.features
    }

    /// Reads one packet or superpacket into `buffer`, which should have [`READ_BUFFER`] bytes. Returns its
    /// header and its position in `buffer`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no packet now, [`io::ErrorKind::InvalidData`] when the
    /// header is missing, any other error when the device is gone.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<(Header, Range<usize>)> {
        if !self.has_headers {
            let room = buffer.get_mut(header::LEN..).unwrap_or_default();
            let len = rustix::io::read(&self.fd, room)?;
            return Ok((Header::default(), header::LEN..header::LEN + len));
        }
        let len = rustix::io::read(&self.fd, &mut *buffer)?;
        let header = buffer
            .get(..len)
            .and_then(<[u8]>::first_chunk)
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok((Header::read(header), header::LEN..len))
    }

    /// Writes one packet or superpacket. `parts` are the bytes of a [`Header`], then the bytes of the packet
    /// in any number of slices. A device without offload features takes only single packets, after a default
    /// header.
    ///
    /// # Errors
    ///
    /// After any error this packet is lost, and later packets may succeed. For example, a device that is down
    /// rejects all packets.
    pub fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let parts = if self.has_headers {
            parts
        } else {
            parts.get(1..).unwrap_or_default()
        };
        rustix::io::writev(&self.fd, parts)?;
        Ok(())
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[expect(unsafe_code, reason = "an ioctl has no type")]
fn set_header_length(fd: &OwnedFd) -> io::Result<()> {
    let length = i32::try_from(header::LEN).expect("ten fits");
    // SAFETY: TUNSETVNETHDRSZ reads one `int` at the pointer.
    unsafe { ioctl::ioctl(fd, ioctl::Setter::<TUNSETVNETHDRSZ, i32>::new(length)) }?;
    Ok(())
}

/// Switches on as many offload features as the kernel supports.
fn set_offloads(fd: &OwnedFd) -> io::Result<OffloadFeatures> {
    for (flags, tcp, udp) in [
        (TCP_OFFLOADS | UDP_OFFLOADS, true, true),
        (TCP_OFFLOADS, true, false),
    ] {
        match set_offload(fd, flags) {
            Ok(()) => return Ok(OffloadFeatures { tcp, udp }),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(error),
        }
    }
    set_offload(fd, 0).map(|()| OffloadFeatures::default())
}

#[expect(unsafe_code, reason = "an ioctl has no type")]
fn set_offload(fd: &OwnedFd, flags: usize) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD gets its flags by value and accesses no memory of this process.
    unsafe { ioctl::ioctl(fd, ioctl::IntegerSetter::<TUNSETOFFLOAD>::new_usize(flags)) }?;
    Ok(())
}
