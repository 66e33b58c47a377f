//! Whether the workers move, and what they last saw of the queue.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;

use super::error_report::is_refusal;

/// Every step of a worker is bounded well below this.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// A worker that waits says so this often.
const BEAT: Duration = Duration::from_secs(5);

const REFUSED: &str = "statement_refused";

/// Why the service is not ready. Probes answer strangers: they show the code and nothing else.
///
/// `no_look_yet`: no worker has looked at the queue. `database_unreachable`: there is no connection.
/// `server_read_only`: it is a standby, or set to be read-only. `statement_refused`: the server refuses a
/// statement. `schema_version`: the schema is not this program's. `absence_unproven`: row security may
/// hide agents from the service, so it drops nothing on suspicion. `disk_full`: jobs or the start are put off, since the
/// server's disk was full. `cannot_begin`: one of many databases cannot be worked on, and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// One of those above.
    pub code: &'static str,
    /// In words, for the log and for systemd.
    pub reason: String,
}

impl Unready {
    /// What may end by itself.
    pub fn unreachable(reason: String) -> Self {
        Self { code: "database_unreachable", reason }
    }

    /// What keeps one of many databases from being worked on.
    pub fn cannot_begin(reason: String) -> Self {
        Self { code: "cannot_begin", reason }
    }

    /// What keeps jobs waiting until somebody makes room.
    pub fn disk_full(reason: String) -> Self {
        Self { code: "disk_full", reason }
    }

    /// What an error of a statement means.
    pub fn refused(error: &tokio_postgres::Error, reason: String) -> Self {
        let code = match error.code() {
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => "server_read_only",
            Some(code) if *code == SqlState::DISK_FULL => return Self::disk_full(reason),
            _ if is_refusal(error) => REFUSED,
            _ => return Self::unreachable(reason),
        };
        Self { code, reason }
    }

    /// Whether the server refuses what it would do for others.
    pub fn is_refusal(&self) -> bool {
        self.code == REFUSED
    }
}

/// Beats while some worker's task gets on. A database that is down does not stop it; a task that
/// is stuck does.
#[derive(Debug)]
pub struct Liveness {
    since: Instant,
    /// Milliseconds after `since`.
    moved: AtomicU64,
    look: watch::Sender<Result<(), Unready>>,
    proof: watch::Sender<Result<(), String>>,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            moved: AtomicU64::new(0),
            look: watch::Sender::new(Err(Unready {
                code: "no_look_yet",
                reason: "no worker has looked at the queue yet".to_owned(),
            })),
            proof: watch::Sender::new(Ok(())),
        }
    }
}

impl Liveness {
    /// A worker got on.
    pub fn beat(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.fetch_max(now, Ordering::Relaxed);
    }

    /// A worker looked at the queue, and the database answered.
    pub fn looked(&self) {
        self.beat();
        self.look.send_if_modified(|look| std::mem::replace(look, Ok(())).is_err());
    }

    /// A worker could not look at the queue.
    pub fn failed(&self, why: Unready) {
        self.beat();
        self.look.send_modify(|last| *last = Err(why));
    }

    /// A sweep could tell which agents exist, or could not: then no table is dropped for being without one.
    pub fn proven(&self, proof: Result<(), String>) {
        self.proof.send_modify(|last| *last = proof);
    }

    /// Fails unless the last sweep could tell which agents exist.
    pub fn last_proof(&self) -> Result<(), Unready> {
        let unproven = |reason| Unready {
            code: "absence_unproven",
            reason: format!("nothing is dropped on suspicion: {reason}"),
        };
        self.proof.borrow().clone().map_err(unproven)
    }

    /// Waits, beating all the while.
    pub async fn while_waiting<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                done = &mut wait => return done,
                () = sleep(BEAT) => self.beat(),
            }
        }
    }

    /// Fails, with the reason, when no worker has moved for 30 s.
    pub fn live(&self) -> Result<(), String> {
        let moved = self.since + Duration::from_millis(self.moved.load(Ordering::Relaxed));
        let still = moved.elapsed();
        if still < STUCK_AFTER {
            return Ok(());
        }
        Err(format!("no worker has moved for {} s", still.as_secs()))
    }

    /// Fails unless the last look at the queue succeeded.
    pub fn last_look(&self) -> Result<(), Unready> {
        self.look.borrow().clone()
    }

    /// Returns once a look has succeeded.
    pub async fn first_look(&self) {
        // The sender is `self`: it cannot be gone.
        let _never = self.look.subscribe().wait_for(Result::is_ok).await.is_err();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_is_alive_and_standing_still_is_not() {
        let liveness = Liveness::default();
        let idle = timeout(Duration::from_secs(100), liveness.while_waiting(pending::<()>())).await;
        assert!(idle.is_err());
        assert_eq!(liveness.live(), Ok(()));
        sleep(STUCK_AFTER.mul_f64(0.8)).await; // one beat may be as old as BEAT
        assert_eq!(liveness.live(), Ok(()));
        sleep(BEAT * 2).await;
        assert_eq!(liveness.live(), Err("no worker has moved for 34 s".to_owned()));
        liveness.failed(Unready::unreachable("no route to host".to_owned()));
        assert_eq!(liveness.live(), Ok(()));
        let unready = liveness.last_look().unwrap_err();
        assert_eq!(unready.code, "database_unreachable");
        assert!(unready.reason.contains("no route to host"));
        liveness.looked();
        assert_eq!(liveness.last_look(), Ok(()));
    }
}
