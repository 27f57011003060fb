//! How a listener of this program takes connections: few at a time, and the others wait in the kernel.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::debug;

/// Attends to each connection in a task of its own, at most `permits` at a time, for as long as it is awaited. `about` tells in the
/// log whose connections these are.
pub(crate) async fn serve<S, F>(
    about: &'static str,
    permits: usize,
    accept: impl Fn(&mut Context<'_>) -> Poll<io::Result<S>>,
    handle: impl Fn(S) -> F,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(permits));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match poll_fn(&accept).await {
            Ok(stream) => {
                let handled = handle(stream);
                tokio::spawn(async move {
                    if let Err(error) = handled.await {
                        debug!("{about}: {error}");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // No descriptor left, perhaps; there will be again.
                debug!("{about}: {error}");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
