//! How a listener of this program takes connections: few at a time, and the others wait in the kernel.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::debug;

/// Attends to each connection in a task of its own, at most `seats` at a time, for as long as it is awaited. `about` tells in the
/// log whose connections these are.
pub(crate) async fn serve<S, F>(
    about: &'static str,
    seats: usize,
    accept: impl Fn(&mut Context<'_>) -> Poll<io::Result<S>>,
    attend: impl Fn(S) -> F,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(seats));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        match poll_fn(&accept).await {
            Ok(stream) => {
                let attended = attend(stream);
                tokio::spawn(async move {
                    if let Err(error) = attended.await {
                        debug!("{about}: {error}");
                    }
                    drop(seat);
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
