//! Questions and orders to the kernel's routing, through netlink.

use std::io;
use std::os::unix::net::UnixDatagram;

use rtnetlink::Handle;

use crate::config::DeviceName;
use crate::failure::Failure;

/// Does `work` with a netlink socket of its own.
///
/// # Errors
///
/// Those of `work`, and when there is no socket to be had.
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

/// The system's error where there is one, without netlink's wrapping.
pub(crate) fn cause(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

/// The number of a device.
///
/// # Errors
///
/// When there is no device of this name.
pub(crate) fn index_of(name: &DeviceName) -> io::Result<u32> {
    // Devices are looked up through a socket, whichever.
    let socket = UnixDatagram::unbound()?;
    Ok(rustix::net::netdevice::name_to_index(socket, name.as_str())?)
}
