//! Sending half of the request queue, and the requests that wait in it.

use tokio::sync::{mpsc, oneshot};

use super::{Reply, Request};

/// A request with the channel for its reply.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pub(crate) request: Request,
    reply: oneshot::Sender<Reply>,
}

impl PendingRequest {
    /// Replies with the result of `handler`.
    pub(crate) fn reply_with(self, handler: impl FnOnce(Request) -> Reply) {
        let reply = handler(self.request);
        self.reply(reply);
    }

    /// Replies. A sender that no longer waits is ignored.
    pub(crate) fn reply(self, reply: Reply) {
        let _ = self.reply.send(reply);
    }
}

/// A handle that sends requests to the queue of one tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Handle(mpsc::Sender<PendingRequest>);

impl Handle {
    pub(crate) const fn new(requests: mpsc::Sender<PendingRequest>) -> Self {
        Self(requests)
    }

    /// Sends a request and waits for the reply. Returns `None` if the tunnel stops first.
    pub(crate) async fn send(&self, request: Request) -> Option<Reply> {
        let (reply, receiver) = oneshot::channel();
        self.0.send(PendingRequest { request, reply }).await.ok()?;
        receiver.await.ok()
    }
}
