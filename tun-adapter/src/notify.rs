//! What the service manager is told, where there is one: ready, stopping, reloading, alive (`sd_notify(3)`).

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tracing::debug;

/// The service is up; `about` is one line for `systemctl status`.
pub(crate) fn ready(about: &str) {
    notify(&format!("READY=1\nSTATUS={about}"));
}

/// How the service is, in one line.
pub(crate) fn status(about: &str) {
    notify(&format!("STATUS={about}"));
}

/// The service reads its files again; [`ready`] ends that.
pub(crate) fn reloading() {
    let time = clock_gettime(ClockId::Monotonic);
    let micros = time.tv_sec.saturating_mul(1_000_000) + time.tv_nsec / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// The service goes down.
pub(crate) fn stopping() {
    notify("STOPPING=1");
}

/// The loop turns.
pub(crate) fn alive() {
    notify("WATCHDOG=1");
}

/// How often [`alive`] is to be said, `None` if nobody waits for it: half of the manager's patience.
pub(crate) fn watchdog() -> Option<Duration> {
    let number = |name: &str| env::var_os(name)?.to_str()?.parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
        return None;
    }
    let patience = number("WATCHDOG_USEC").filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(patience / 2).max(Duration::from_millis(10)))
}

fn notify(text: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&path, text) {
        debug!("cannot tell the service manager: {error}");
    }
}

fn send(path: &OsString, text: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // Who does not listen must not stop the tunnel.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(text.as_bytes(), &address(path)?).map(drop)
}

/// A path, or with `@` in front a name in the abstract namespace.
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
            send(&name, "READY=1\nSTATUS=up").expect("somebody listens");
            let mut text = [0; 64];
            let len = manager.recv(&mut text).expect("a message");
            assert_eq!(&text[..len], b"READY=1\nSTATUS=up");
        }
    }
}
