//! One queue of a TUN device, for a thread that polls: whole superpackets in and out, in one system call each.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::ioctl;

use super::{Attach, IFF_MULTI_QUEUE, IFF_TUN_EXCL, IFF_VNET_HDR};
use crate::config::DeviceName;
use crate::failure::Failure;
use crate::offload::header::{self, Header};

/// Room that one read needs: a header and the longest packet.
pub const READ_BUFFER: usize = header::LEN + 65_536;

/// `TUNSETOFFLOAD` of `linux/if_tun.h`. (It says `unsigned int`, but the kernel reads the argument itself.)
const TUNSETOFFLOAD: ioctl::Opcode = ioctl::opcode::write::<u32>(b'T', 208);
/// `TUNSETVNETHDRSZ` of `linux/if_tun.h`.
const TUNSETVNETHDRSZ: ioctl::Opcode = ioctl::opcode::write::<i32>(b'T', 216);

/// Checksums may be left to be completed; segments of TCP may come together, over IPv4, over IPv6, with ECN.
const TCP_OFFLOADS: usize = 0x01 | 0x02 | 0x04 | 0x08;
/// Datagrams of UDP may come together, over IPv4 and IPv6. Linux 6.2 and newer.
const UDP_OFFLOADS: usize = 0x20 | 0x40;

/// What a device takes and gives besides plain packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffloadFeatures {
    /// Superpackets of TCP, and checksums to be completed.
    pub tcp: bool,
    /// Superpackets of UDP.
    pub udp: bool,
}

/// One queue of a device of our own. The device goes with its last queue.
#[derive(Debug)]
pub struct Queue {
    fd: OwnedFd,
    features: OffloadFeatures,
    has_headers: bool,
}

impl Queue {
    /// Makes a device called `name` with `count` queues (at least one), still down and without addresses. Packets of one
    /// flow come out of one queue.
    ///
    /// With `segmentation`, it gives and takes superpackets as far as the kernel can; without, plain packets only.
    ///
    /// # Errors
    ///
    /// Without the right to do so, without the kernel's TUN driver, or when something is called `name` already.
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
                    .map_err(|error| Failure::runtime(format_args!("set the device `{name}` up"), error))
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

    /// What may be written, and may come.
    #[must_use]
    pub const fn features(&self) -> OffloadFeatures {
        self.features
    }

    /// Reads one packet or superpacket into `buffer`, which should have [`READ_BUFFER`] bytes. Gives what the kernel says
    /// of it and where in `buffer` it lies.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is none now, [`io::ErrorKind::InvalidData`] when what came has no header, any
    /// other when the device is gone.
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

    /// Writes one packet or superpacket. `parts` are the bytes of a [`Header`] and then those of the packet, in as many
    /// pieces as it pleases. A device without features takes plain packets only, with a default header in front.
    ///
    /// # Errors
    ///
    /// Whatever the error is, this packet is lost and the next one may fare better: a device that is down refuses all.
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

/// Asks for everything, then for less.
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
    // SAFETY: TUNSETOFFLOAD takes its flags as the argument itself and touches no memory of ours.
    unsafe { ioctl::ioctl(fd, ioctl::IntegerSetter::<TUNSETOFFLOAD>::new_usize(flags)) }?;
    Ok(())
}
