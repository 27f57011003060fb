//! Accept loop with a limit on simultaneous connections. Further connections wait in the kernel.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::debug;

/// Accepts connections and handles each in a task of its own, at most `permits` at a time. Runs until it is
/// dropped. `about` names the listener in log lines.
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
                // The usual cause is a lack of file descriptors, which passes.
                debug!("{about}: {error}");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
