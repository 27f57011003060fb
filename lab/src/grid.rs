//! Grid of simulated time: every event happens at a multiple of the resolution.

use std::time::Duration;

use sandhog_peer::Instant;

/// The first multiple of `resolution` that is not before `time`.
pub(crate) fn round_up(time: Instant, resolution: Duration) -> Instant {
    let step = u64::try_from(resolution.as_nanos()).unwrap_or(u64::MAX).max(1);
    Instant::from_nanos(time.as_nanos().div_ceil(step).saturating_mul(step))
}
