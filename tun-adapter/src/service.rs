//! What server and client have in common as processes: one thread, signals, and how events are logged.

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

/// Said at every start of the classic profile.
const INSECURE: &str = "the classic profile is INSECURE: everyone with the key can read every password and all \
                        traffic, now and later, and can replay or forge it; see docs/running.md";

/// Most jobs that are worked on at a time; others wait. Stretching a password takes 64 MiB and all of a processor.
const BLOCKING_THREADS: usize = 4;

/// Runs a program's whole life on this thread.
///
/// # Errors
///
/// Those of `life`, and when there is no runtime to be had.
pub fn block_on<T>(life: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| Failure::runtime("start", error))?;
    let result = runtime.block_on(life);
    // A password that is just being stretched interests nobody any more.
    runtime.shutdown_background();
    result
}

/// Says what has to be said of the classic profile before anything else.
pub(crate) fn warn_classic_profile() {
    warn!("{INSECURE}");
}

/// Says what is wrong with configuration files that work all the same.
pub(crate) fn log_warnings(warnings: &[String]) {
    for warning in warnings {
        warn!("{warning}");
    }
}

/// The two signals that mean "stop, please".
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    pair: Option<PairedShutdown>,
}

/// The tie between two lives of one process: each ends when the other has.
struct PairedShutdown {
    other: oneshot::Receiver<()>,
    _own: oneshot::Sender<()>,
}

impl Signals {
    /// From now on these signals no longer kill the process.
    pub(crate) fn catch() -> Result<Self, Failure> {
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            pair: None,
        })
    }

    /// The same for two lives of which each stops as well when the other has dropped its own.
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

    /// Waits for one of them and gives its name. May be dropped and called again.
    pub(crate) async fn stop(&mut self) -> &'static str {
        let other = async {
            match &mut self.pair {
                // Nothing is ever sent: it ends when the sender does.
                Some(pair) => drop((&mut pair.other).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = other => "the other profile has ended",
        }
    }
}

/// SIGHUP, which asks a server to look at its users again.
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// From now on SIGHUP no longer kills the process.
    pub(crate) fn catch() -> Result<Self, Failure> {
        catch(SignalKind::hangup()).map(Self)
    }

    /// Waits for one. May be dropped and called again.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

fn catch(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error: io::Error| Failure::runtime("catch signals", error))
}

/// Tells the status of a client.
pub(crate) fn log_status(status: TunnelStatus) {
    let name = status.name();
    info!(event = "status", status = name, "status: {name}");
    notify::status(name);
}

/// Tells that a life ends, and at whose wish.
pub(crate) fn log_stopping(reason: &str) {
    info!(event = "stopping", reason, "{reason}: stopping");
}

/// Tells of a login that was let in.
pub(crate) fn log_login(login: &str, remote: SocketAddr) {
    info!(event = "login-accepted", login, %remote, "{login} logged in from {remote}");
}

/// Tells of a login that was not let in. The name is not logged: somebody may have typed the password there.
pub(crate) fn log_refused_login(remote: SocketAddr) {
    info!(event = "login-refused", %remote, "refused a login from {remote}");
}

/// Tells of dropped packets: of each reason the first, the others only to those who asked for details.
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
                "dropped a packet: {name} (said once; all are counted)"
            );
        } else {
            debug!(event = "dropped", reason = name, "dropped a packet: {name}");
        }
    }
}

/// The last line of a life: what was carried and what was not.
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
        "stopped; from the tunnel: {packets_in} packets, {bytes_in} bytes; into it: {packets_out} packets, \
         {bytes_out} bytes; datagrams in: {datagrams_in}, out: {datagrams_out}; dropped: {drops}"
    );
}
