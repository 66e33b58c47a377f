//! Going on with the rollout that is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::postgres::{self, Db, backoff};
use crate::queue::{self, Advance};
use crate::telemetry::{ErrorReport, caught};

/// Between looks at a rollout: soon at first, since one job takes a fraction of a second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A look at thousands of jobs takes its time, and must not keep the server from doing them.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Says when to look for a rollout.
#[derive(Debug, Default)]
pub(crate) struct RolloutSignal {
    asked: Notify,
    deaf: AtomicBool,
}

impl RolloutSignal {
    /// Looks soon.
    pub(crate) fn now(&self) {
        self.asked.notify_one();
    }

    /// Whether notifications arrive. Where none does, nobody says when to look.
    pub(crate) fn hears(&self, hears: bool) {
        self.deaf.store(!hears, Ordering::Relaxed);
        self.asked.notify_one();
    }

    /// There may be a rollout. At most once a second: every notification wakes this.
    async fn turn(&self) {
        sleep(LONGEST_PAUSE).await;
        if !self.deaf.load(Ordering::Relaxed) {
            self.asked.notified().await;
        }
    }
}

/// Queues the jobs of a rollout little by little, beside the workers. Every instance does: the first to come has the turn.
#[derive(Debug)]
pub(crate) struct RolloutLoop {
    pub(crate) db: Db,
    pub(crate) signal: Arc<RolloutSignal>,
    /// Longer than any look takes.
    pub(crate) patience: Duration,
}

impl RolloutLoop {
    /// Looks at once, while a rollout goes on, and when told, until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.go_on() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn go_on(&self) {
        let (mut pause, mut failures) = (FIRST_PAUSE, 0);
        loop {
            let looked = Instant::now();
            let advance = match caught(self.look()).await {
                Ok(Ok(advance)) => advance,
                failed => {
                    let wait = backoff::refused(failures, fastrand::f64());
                    if backoff::worth_a_line(failures) {
                        match failed {
                            Ok(Err(error)) => {
                                let error = ErrorReport(&error);
                                tracing::warn!(%error, retry_in = ?wait, "cannot go on with rollouts");
                            }
                            Err(error) => tracing::error!(error, "cannot go on with rollouts"),
                            Ok(Ok(_)) => {}
                        }
                    }
                    failures = failures.saturating_add(1);
                    sleep(wait).await;
                    continue;
                }
            };
            failures = 0;
            if advance.goes_on {
                pause = if advance.moved { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
                sleep(pause.max(looked.elapsed() * 16).min(LONGEST_REST)).await;
            } else {
                pause = FIRST_PAUSE;
                self.signal.turn().await;
            }
        }
    }

    /// A connection that broke, or that says nothing, is closed.
    async fn look(&self) -> Result<Advance, postgres::Error> {
        let client = self.db.get().await?;
        let looked = timeout(self.patience, queue::advance_rollouts(&client)).await;
        let looked = match looked {
            Ok(looked) => looked.map_err(postgres::Error::from),
            Err(_elapsed) => Err(postgres::Error::Silent(self.patience)),
        };
        if looked.is_err() {
            Db::close(client);
        }
        looked
    }
}
