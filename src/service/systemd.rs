//! What systemd is told of a `Type=notify` service. Without `NOTIFY_SOCKET` nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::served::Served;

/// Between looks at the state, where no watchdog wants them more often.
const TICK: Duration = Duration::from_secs(5);

/// READY after the first successful look at the queue of any database; WATCHDOG, at half of `WATCHDOG_USEC`, for
/// as long as `/livez` would say yes; STOPPING at the end; STATUS whenever it changes.
pub(super) async fn run(served: Arc<Served>, stop: CancellationToken) {
    let tick = sd_notify::watchdog_enabled().map_or(TICK, |limit| TICK.min(limit / 2));
    let mut told = String::new();
    let mut ready = false;
    loop {
        if served.live().is_ok() {
            tell(&[NotifyState::Watchdog]);
        }
        let status = served.status();
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
        tokio::select! {
            () = tokio::time::sleep(tick) => {}
            () = served.first_look(), if !ready => {
                ready = true;
                tell(&[NotifyState::Ready]);
            }
            () = stop.cancelled() => break,
        }
    }
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is running")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot tell systemd");
    }
}
