//! Request queue of the packet loop. It also keeps systemd's watchdog informed.

use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

use super::handle::{Handle, PendingRequest};
use super::socket::Socket;
use crate::config::{DeviceName, Metrics};
use crate::failure::Failure;
use crate::metrics::Exporter;
use crate::net::record;
use crate::notify;

/// Capacity of the queue.
const CAPACITY: usize = 16;

/// The requests to one tunnel, from its control socket and its metrics address.
#[derive(Debug)]
pub(crate) struct RequestQueue {
    requests: mpsc::Receiver<PendingRequest>,
    watchdog: Option<Interval>,
    /// Removed when the queue is dropped.
    _socket: Option<Socket>,
    /// Stopped when the queue is dropped.
    _exporter: Option<Exporter>,
}

impl RequestQueue {
    /// Opens the control socket of `device` and, if configured, the address for metrics. If the control
    /// socket cannot be created, the tunnel runs without it and logs a warning.
    ///
    /// # Errors
    ///
    /// If a running tunnel has the same socket, or if the metrics address is not available.
    pub(crate) fn open(device: &DeviceName, metrics: Option<&Metrics>) -> Result<Self, Failure> {
        let (sender, requests) = mpsc::channel(CAPACITY);
        let handle = Handle::new(sender);
        let socket = match Socket::open(&record::folder(), device, handle.clone()) {
            Ok(socket) => Some(socket),
            Err(failure) if failure.is_in_use() => return Err(failure.into()),
            Err(failure) => {
                warn!("`sandhog status` will not show this tunnel: {failure}");
                None
            }
        };
        let exporter = metrics
            .map(|metrics| Exporter::open(metrics, handle))
            .transpose()?;
        let watchdog = notify::watchdog().map(|period| {
            let mut interval = interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Ok(Self {
            requests,
            watchdog,
            _socket: socket,
            _exporter: exporter,
        })
    }

    /// Waits for the next request. Meanwhile it sends systemd's watchdog the keep-alive messages.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time and called again. No request is lost.
    pub(crate) async fn next(&mut self) -> PendingRequest {
        loop {
            tokio::select! {
                biased;
                // Without control socket and metrics, the channel is closed and this branch stays disabled.
                Some(request) = self.requests.recv() => return request,
                () = tick(&mut self.watchdog) => notify::alive(),
            }
        }
    }
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
