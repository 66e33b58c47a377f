//! Waiting for a condition, never for a time.

use std::panic::Location;
use std::time::{Duration, Instant};

/// Far beyond what anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Returns what `look` finds; panics at the caller's line when it finds nothing for so long.
#[track_caller]
pub fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < deadline, "{caller}: waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
