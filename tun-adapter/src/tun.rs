//! TUN device of Linux: a file descriptor for reading and writing IP packets.
//!
//! The device exists as long as its descriptor is open, and its addresses and routes exist as long as the
//! device. So the kernel removes them when the process ends, even after a crash.

mod queue;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::ioctl;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::config::DeviceName;
use crate::failure::Failure;
use crate::fd;
use crate::shell::Device;

pub use queue::{OffloadFeatures, Queue, READ_BUFFER};

const PATH: &str = "/dev/net/tun";
const NEEDS_RIGHTS: &str = "run as root, or with the capability CAP_NET_ADMIN";

/// The part of `struct ifreq` (`linux/if.h`) that `TUNSETIFF` reads.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest_of_union: [u8; 22],
}

/// `TUNSETIFF` of `linux/if_tun.h`. It is declared with `int`, but the kernel reads an `ifreq`.
const TUNSETIFF: ioctl::Opcode = ioctl::opcode::write::<i32>(b'T', 202);
/// Layer 3 device: IP packets, not Ethernet frames.
const IFF_TUN: u16 = 0x0001;
/// No packet information before each packet.
const IFF_NO_PI: u16 = 0x1000;
/// One of several descriptors of one device.
const IFF_MULTI_QUEUE: u16 = 0x0100;
/// A `virtio_net_hdr` before each packet.
const IFF_VNET_HDR: u16 = 0x4000;
/// Fails if the device exists already.
const IFF_TUN_EXCL: u16 = 0x8000;

/// A TUN device of this process. Dropping it removes the device.
#[derive(Debug)]
pub struct Tun {
    fd: AsyncFd<OwnedFd>,
}

impl Tun {
    /// Creates the device `name`. It is down and has no addresses.
    ///
    /// # Errors
    ///
    /// If permissions or the kernel's TUN driver are missing, or a device `name` exists.
    pub fn create(name: &DeviceName) -> Result<Self, Failure> {
        let fd = Attach::new(name, IFF_TUN_EXCL).open()?;
        let fd = fd::watch(fd).map_err(|error| Failure::runtime("watch the TUN device", error))?;
        Ok(Self { fd })
    }
}

/// Request for a descriptor of a device.
struct Attach<'a> {
    name: &'a DeviceName,
    request: InterfaceRequest,
}

impl<'a> Attach<'a> {
    fn new(name: &'a DeviceName, flags: u16) -> Self {
        let mut request = InterfaceRequest {
            name: [0; 16],
            flags: IFF_TUN | IFF_NO_PI | flags,
            rest_of_union: [0; 22],
        };
        // `DeviceName` is shorter than the field, so the last byte stays 0.
        request.name[..name.as_str().len()].copy_from_slice(name.as_str().as_bytes());
        Self { name, request }
    }

    /// Opens a non-blocking descriptor.
    fn open(self) -> Result<OwnedFd, Failure> {
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nonblocking)
            .open(PATH)
            .map_err(|error| explain_open(&error))?;
        attach(&file, self.request).map_err(|error| explain_attach(self.name, error))?;
        Ok(file.into())
    }
}

/// Binds the descriptor to the device that `request` describes.
#[expect(unsafe_code, reason = "an ioctl has no type")]
fn attach(file: &File, request: InterfaceRequest) -> rustix::io::Result<()> {
    // SAFETY: TUNSETIFF reads and writes one `ifreq` (40 bytes on 64-bit, 32 on 32-bit systems) at the pointer, and
    // `InterfaceRequest` has its layout and at least its size. `Setter` lends the kernel its own copy of it.
    unsafe {
        ioctl::ioctl(
            file.as_fd(),
            ioctl::Setter::<TUNSETIFF, InterfaceRequest>::new(request),
        )
    }
}

fn explain_open(error: &io::Error) -> Failure {
    let failure = Failure::runtime(format_args!("open {PATH}"), error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => failure.with_help(NEEDS_RIGHTS),
        io::ErrorKind::NotFound => failure
            .with_help("load the driver with `modprobe tun`; in a container, make /dev/net/tun available"),
        _ => failure,
    }
}

fn explain_attach(name: &DeviceName, error: Errno) -> Failure {
    let failure = Failure::runtime(format_args!("create the device `{name}`"), io::Error::from(error));
    match error {
        Errno::PERM => failure.with_help(NEEDS_RIGHTS),
        Errno::BUSY | Errno::EXIST | Errno::INVAL => failure.with_help(format!(
            "a device with this name already exists (`ip link show {name}`). \
             Choose another `name` under [device], or stop the program that owns the device"
        )),
        _ => failure,
    }
}

impl Device for Tun {
    async fn readable(&self) -> io::Result<()> {
        // A removed device reports an error.
        self.fd
            .ready(Interest::READABLE | Interest::ERROR)
            .await
            .map(|mut guard| guard.retain_ready())
    }

    async fn writable(&self) -> io::Result<()> {
        self.fd.writable().await.map(|mut guard| guard.retain_ready())
    }

    fn try_read(&self, packet: &mut [u8]) -> io::Result<usize> {
        // The runtime accepts only one kind of readiness per call.
        [Interest::READABLE, Interest::ERROR]
            .into_iter()
            .map(|interest| {
                self.fd
                    .try_io(interest, |fd| Ok(rustix::io::read(fd, &mut *packet)?))
            })
            .find(|result| !matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock))
            .unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    fn try_write(&self, packet: &[u8]) -> io::Result<usize> {
        self.fd
            .try_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, packet)?))
    }
}
