//! Notifications to the service manager: ready, stopping, reloading, watchdog (`sd_notify(3)`). Without a
//! service manager they do nothing.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tracing::debug;

/// Reports that the service is up. `about` is one line for `systemctl status`.
pub(crate) fn ready(about: &str) {
    notify(&format!("READY=1\nSTATUS={about}"));
}

/// Reports the state of the service in one line.
pub(crate) fn status(about: &str) {
    notify(&format!("STATUS={about}"));
}

/// Reports that the service reads its files again, until the next [`ready`].
pub(crate) fn reloading() {
    let time = clock_gettime(ClockId::Monotonic);
    let micros = time.tv_sec.saturating_mul(1_000_000) + time.tv_nsec / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// Reports that the service stops.
pub(crate) fn stopping() {
    notify("STOPPING=1");
}

/// Reports that the main loop runs.
pub(crate) fn alive() {
    notify("WATCHDOG=1");
}

/// Interval for [`alive`]: half of the service manager's timeout. `None` without a watchdog.
pub(crate) fn watchdog() -> Option<Duration> {
    let number = |name: &str| env::var_os(name)?.to_str()?.parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
        return None;
    }
    let timeout = number("WATCHDOG_USEC").filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(timeout / 2).max(Duration::from_millis(10)))
}

fn notify(text: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&path, text) {
        debug!("cannot notify the service manager: {error}");
    }
}

fn send(path: &OsString, text: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A service manager that does not read must not block the tunnel.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(text.as_bytes(), &address(path)?).map(drop)
}

/// A path, or a name in the abstract namespace if it starts with `@`.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let abstract_name = format!("@sandhog-notify-{}", std::process::id());
        let sockets = [path.into_os_string(), OsString::from(abstract_name)];
        for name in sockets {
            let manager = UnixDatagram::bind_addr(&address(&name).expect("an address")).expect("a free name");
            send(&name, "READY=1\nSTATUS=up").expect("the socket is bound");
            let mut text = [0; 64];
            let len = manager.recv(&mut text).expect("a message");
            assert_eq!(&text[..len], b"READY=1\nSTATUS=up");
        }
    }
}
