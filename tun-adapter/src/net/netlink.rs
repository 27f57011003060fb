//! Netlink (rtnetlink) requests to the kernel's routing.

use std::io;
use std::os::unix::net::UnixDatagram;

use rtnetlink::Handle;

use crate::config::DeviceName;
use crate::failure::Failure;

/// Runs `work` with a new netlink socket.
///
/// # Errors
///
/// If `work` fails, or if the socket cannot be opened.
pub(crate) async fn with_netlink<T>(
    work: impl AsyncFnOnce(&Handle) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|error| Failure::runtime("open a netlink socket", error))?;
    let connection = tokio::spawn(connection);
    let result = work(&handle).await;
    connection.abort();
    result
}

/// The operating system's error, without the wrapper of the netlink library.
pub(crate) fn cause(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

/// Interface index of a device.
///
/// # Errors
///
/// If there is no device of this name.
pub(crate) fn index_of(name: &DeviceName) -> io::Result<u32> {
    // The lookup is an ioctl, which needs a socket of any type.
    let socket = UnixDatagram::unbound()?;
    Ok(rustix::net::netdevice::name_to_index(socket, name.as_str())?)
}
