//! What systemd is told of a `Type=notify` service. Without `NOTIFY_SOCKET` nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::telemetry::{Metrics, Printable};

/// Between looks at the state, where no watchdog wants them more often.
const TICK: Duration = Duration::from_secs(5);

/// READY after the first successful look at the queue; WATCHDOG, at half of `WATCHDOG_USEC`, for
/// as long as `/livez` would say yes; STOPPING at the end; STATUS whenever it changes.
pub(super) async fn run(metrics: Arc<Metrics>, stop: CancellationToken) {
    let tick = sd_notify::watchdog_enabled().map_or(TICK, |limit| TICK.min(limit / 2));
    let mut told = String::new();
    let mut ready = false;
    loop {
        if metrics.liveness.live().is_ok() {
            tell(&[NotifyState::Watchdog]);
        }
        let status = status(&metrics);
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
        tokio::select! {
            () = tokio::time::sleep(tick) => {}
            () = metrics.liveness.first_look(), if !ready => {
                ready = true;
                tell(&[NotifyState::Ready]);
            }
            () = stop.cancelled() => break,
        }
    }
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is running")]);
}

fn status(metrics: &Metrics) -> String {
    let liveness = &metrics.liveness;
    let state =
        liveness.live().and_then(|()| liveness.last_look().map_err(|unready| unready.reason));
    let notified = if metrics.is_listening() {
        "working, woken by notifications"
    } else {
        "working, but polling: no notifications arrive"
    };
    state.map_or_else(|reason| Printable(reason).to_string(), |()| notified.to_owned())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot tell systemd");
    }
}
