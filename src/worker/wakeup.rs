//! When workers look at the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::telemetry::{Metrics, Wakeup};

/// Wakes one worker at a time: on a notification, and when the time for a look has come.
///
/// A worker that finds a job, and others due, wakes the next one before it starts, so a thousand jobs have all
/// workers going at once and a single one disturbs a single worker: the one that worked last, whose
/// connection knows the catalog best. A wake that comes while everybody works is kept, so none is
/// lost between a worker's last look and its sleep.
#[derive(Debug)]
pub(crate) struct WakeupSignal {
    workers: Notify,
    look: watch::Sender<Schedule>,
    timed: AtomicBool,
    metrics: Arc<Metrics>,
}

/// Why a worker looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeReason {
    /// There should be a job.
    Told,
    /// It is time, and nobody knows of any.
    Timed,
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    next: Instant,
    every: Duration,
}

impl WakeupSignal {
    /// A timer that wakes a worker at least every `every`.
    pub(crate) fn new(every: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            workers: Notify::new(),
            look: watch::Sender::new(Schedule { next: Instant::now(), every }),
            timed: AtomicBool::new(false),
            metrics,
        }
    }

    /// Wakes one worker.
    pub(crate) fn now(&self, reason: Wakeup) {
        self.metrics.woken(reason);
        self.workers.notify_last();
    }

    /// Wakes one worker after at most this long.
    pub(crate) fn within(&self, delay: Duration) {
        let next = Instant::now() + delay;
        self.look.send_if_modified(|look| {
            let sooner = next < look.next;
            look.next = look.next.min(next);
            sooner
        });
    }

    /// Changes how often somebody looks unasked.
    pub(crate) fn poll_every(&self, every: Duration) {
        self.look.send_modify(|look| {
            look.every = every;
            look.next = look.next.min(Instant::now() + every);
        });
    }

    /// Returns when it is this worker's turn to look. Two wakes at once may swap their reasons, which
    /// costs a statement: who is told looks at the queue all the same.
    pub(crate) async fn turn(&self) -> WakeReason {
        self.workers.notified().await;
        if self.timed.swap(false, Ordering::Relaxed) { WakeReason::Timed } else { WakeReason::Told }
    }

    /// The timer; ends when told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut look = self.look.subscribe();
        loop {
            let next = look.borrow_and_update().next;
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.changed() => {}
                () = sleep_until(next) => {
                    self.look.send_modify(|look| look.next = Instant::now() + look.every);
                    self.timed.store(true, Ordering::Relaxed);
                    self.now(Wakeup::Timer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn looks_come_in_time_and_none_is_lost() {
        let wake = Arc::new(WakeupSignal::new(Duration::from_secs(5), Arc::default()));
        let stop = CancellationToken::new();
        let (timer, stopped) = (Arc::clone(&wake), stop.clone());
        let timer = tokio::task::JoinSet::from_iter([async move { timer.run(stopped).await }]);
        let started = Instant::now();
        wake.turn().await; // the first look is due at once
        wake.turn().await;
        assert_eq!(started.elapsed().as_secs(), 5);
        wake.within(Duration::from_secs(2));
        wake.within(Duration::from_secs(4));
        wake.turn().await;
        assert_eq!(started.elapsed().as_secs(), 7);
        wake.now(Wakeup::Notified); // nobody waits: kept
        wake.turn().await;
        assert_eq!(started.elapsed().as_secs(), 7);
        stop.cancel();
        timer.join_all().await;
    }
}
