//! Process life cycle of server and client: async runtime, signals, and log lines for events.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use sandhog_proto::{Counters, DropReason, TunnelStatus};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use crate::failure::Failure;
use crate::notify;

/// Logged at every start of the classic profile.
const INSECURE: &str = "the classic profile is INSECURE: anyone with the key can read every password and all \
                        traffic, including recorded traffic, and can replay or forge packets; see docs/running.md";

/// Largest number of jobs that run at a time. Others wait. A password hash (Argon2) needs 64 MiB and one processor.
const BLOCKING_THREADS: usize = 4;

/// Runs `life`, the whole work of a process, on this thread.
///
/// # Errors
///
/// Those of `life`, and when the runtime cannot start.
pub fn block_on<T>(life: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| Failure::runtime("start", error))?;
    let result = runtime.block_on(life);
    // The result of a password hash that still runs is not needed any more.
    runtime.shutdown_background();
    result
}

/// Logs the warning about the classic profile.
pub(crate) fn warn_classic_profile() {
    warn!("{INSECURE}");
}

/// Logs the warnings about configuration files that are valid.
pub(crate) fn log_warnings(warnings: &[String]) {
    for warning in warnings {
        warn!("{warning}");
    }
}

/// The two signals that stop the process: SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    pair: Option<PairedShutdown>,
}

/// Links two tunnels of one process: each stops when the other has stopped.
struct PairedShutdown {
    other: oneshot::Receiver<()>,
    _own: oneshot::Sender<()>,
}

impl Signals {
    /// Catches the signals: from now on they no longer kill the process.
    pub(crate) fn catch() -> Result<Self, Failure> {
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            pair: None,
        })
    }

    /// Catches the signals for two tunnels. Each also stops when the other has dropped its `Signals`.
    pub(crate) fn catch_for_pair() -> Result<[Self; 2], Failure> {
        let (mut first, mut second) = (Self::catch()?, Self::catch()?);
        let ((own, others), (others_own, other)) = (oneshot::channel(), oneshot::channel());
        first.pair = Some(PairedShutdown { other, _own: own });
        second.pair = Some(PairedShutdown {
            other: others,
            _own: others_own,
        });
        Ok([first, second])
    }

    /// Waits for a signal and returns its name. May be dropped and called again.
    pub(crate) async fn stop(&mut self) -> &'static str {
        let other = async {
            match &mut self.pair {
                // Nothing is ever sent. The channel closes when the other side drops the sender.
                Some(pair) => drop((&mut pair.other).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = other => "the server of the other profile stopped",
        }
    }
}

/// SIGHUP, which makes a server read its users again.
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// Catches SIGHUP: from now on it no longer kills the process.
    pub(crate) fn catch() -> Result<Self, Failure> {
        catch(SignalKind::hangup()).map(Self)
    }

    /// Waits for SIGHUP. May be dropped and called again.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

fn catch(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error: io::Error| Failure::runtime("catch signals", error))
}

/// Logs the status of a client and reports it to the service manager.
pub(crate) fn log_status(status: TunnelStatus) {
    let name = status.name();
    info!(event = "status", status = name, "status: {name}");
    notify::status(name);
}

/// Logs that the process stops, and why.
pub(crate) fn log_stopping(reason: &str) {
    info!(event = "stopping", reason, "{reason}: stopping");
}

/// Logs an accepted login.
pub(crate) fn log_login(login: &str, remote: SocketAddr) {
    info!(event = "login-accepted", login, %remote, "{login} logged in from {remote}");
}

/// Logs a refused login. The user name is left out, because the user may have typed the password there.
pub(crate) fn log_refused_login(remote: SocketAddr) {
    info!(event = "login-refused", %remote, "refused a login from {remote}");
}

/// Log of dropped packets: the first of each reason at level info, the others at level debug.
#[derive(Debug, Default)]
pub(crate) struct DropLog {
    logged: BTreeSet<DropReason>,
}

impl DropLog {
    pub(crate) fn log(&mut self, reason: DropReason) {
        let name = reason.name();
        if self.logged.insert(reason) {
            info!(
                event = "dropped",
                reason = name,
                "dropped a packet: {name} (logged once per reason; all are counted)"
            );
        } else {
            debug!(event = "dropped", reason = name, "dropped a packet: {name}");
        }
    }
}

/// Logs the totals of packets, bytes, datagrams and drops, as the last line of a process.
pub(crate) fn log_counters(counters: &Counters) {
    let Counters {
        packets_in,
        bytes_in,
        packets_out,
        bytes_out,
        datagrams_in,
        datagrams_out,
        ..
    } = counters;
    let drops: Vec<_> = counters
        .drops()
        .map(|(reason, count)| format!("{} {count}", reason.name()))
        .collect();
    let dropped: u64 = counters.drops().map(|(_, count)| count).sum();
    let drops = if drops.is_empty() {
        "none".to_owned()
    } else {
        drops.join(", ")
    };
    info!(
        event = "stopped",
        packets_received = packets_in,
        bytes_received = bytes_in,
        packets_sent = packets_out,
        bytes_sent = bytes_out,
        datagrams_received = datagrams_in,
        datagrams_sent = datagrams_out,
        dropped,
        "stopped; received: {packets_in} packets, {bytes_in} bytes; sent: {packets_out} packets, {bytes_out} bytes; \
         datagrams received: {datagrams_in}, sent: {datagrams_out}; dropped: {drops}"
    );
}
