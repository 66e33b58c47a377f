//! Following jobs to their ends.

use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::error::Error;
use crate::postgres::{MigrateError, query};
use crate::queue::admin::{self, End, Followed};
use crate::service::{Instance, InstanceError};

/// Between looks: soon at first, since one job takes a fraction of a second.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A build takes less than a second, so by then somebody should be told.
pub(super) const STALLED: Duration = Duration::from_secs(30);

/// What somebody who waits for jobs is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress {
    /// So many of the jobs have ended.
    Ended {
        /// All that have.
        ended: usize,
        /// All that are followed.
        of: usize,
        dead: usize,
    },
    /// Nothing has moved for 30 seconds.
    Stalled,
    /// No worker takes these: none runs, or none with templates that are new enough.
    NoWorker { jobs: usize },
    /// These are put off, since the server's disk was full.
    DiskFull { jobs: usize },
    /// The rollout is paused; somebody may resume or abort it.
    Paused { rollout: i64 },
    /// The connection broke; another one is tried for.
    Away,
}

/// A server that restarts is back by then, and a failover is done.
const AWAY: Duration = Duration::from_mins(10);

/// Whether the connection broke, as in a restart of the server.
pub(super) fn is_away(error: &tokio_postgres::Error) -> bool {
    let ends = |code: &SqlState| {
        code.code().starts_with("08")
            || [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW]
                .contains(code)
    };
    error.is_closed() || error.as_db_error().is_none() || error.code().is_some_and(ends)
}

/// Another connection in place of one that broke.
pub(super) async fn reconnect(
    instance: &Instance,
    tell: &mut impl FnMut(Progress),
) -> Result<Object, Error> {
    tell(Progress::Away);
    let since = Instant::now();
    loop {
        let may_pass = |error: &InstanceError| match error {
            InstanceError::Db(_) => true,
            InstanceError::Schema(MigrateError::Query { source, .. }) => is_away(source),
            InstanceError::Schema(_)
            | InstanceError::Config(_)
            | InstanceError::Load(_)
            | InstanceError::Templates(_) => false,
        };
        match instance.current().await {
            Err(error) if may_pass(&error) && since.elapsed() < AWAY => {
                tokio::time::sleep(LONGEST_PAUSE).await;
            }
            connected => return Ok(connected?),
        }
    }
}

/// A service that has just started shows itself within that.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// Says once, and again after each move, that no worker takes what is left.
#[derive(Debug)]
pub(super) struct WorkerWatch {
    since: Instant,
    told: bool,
}

impl WorkerWatch {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), told: false }
    }

    /// To be called where jobs have ended.
    pub(super) fn moved(&mut self) {
        *self = Self::new();
    }

    /// To be called at each look.
    pub(super) async fn look(
        &mut self,
        client: &Client,
        ids: &[i64],
        tell: &mut impl FnMut(Progress),
    ) -> Result<(), Error> {
        if self.told || self.since.elapsed() < SOON {
            return Ok(());
        }
        let jobs = match admin::untaken(client, ids, None).await {
            Err(error) if is_away(&error) => return Ok(()), // the next look will tell
            untaken => untaken.map_err(query("look for a worker of the jobs"))?.len(),
        };
        if jobs > 0 {
            self.told = true;
            tell(Progress::NoWorker { jobs });
        }
        Ok(())
    }
}

/// Looks until no job can move any more. A connection that breaks meanwhile is made anew.
///
/// A paused job, and one behind a dead or paused one, counts as ended: nothing but a person moves it.
pub(super) async fn until_ended(
    instance: &Instance,
    ids: &[i64],
    mut tell: impl FnMut(Progress),
) -> Result<Vec<Followed>, Error> {
    let (mut pause, mut moved, mut ended) = (FIRST_PAUSE, Instant::now(), usize::MAX);
    let mut client = instance.current().await?;
    let (mut workers, mut put_off) = (WorkerWatch::new(), PutOff::default());
    loop {
        let jobs = match admin::follow(&client, ids).await {
            Err(error) if is_away(&error) => {
                drop(client);
                client = reconnect(instance, &mut tell).await?;
                continue;
            }
            jobs => jobs.map_err(query("follow the jobs"))?,
        };
        let open = jobs.iter().filter(|job| job.end.is_none()).count();
        let dead = jobs.iter().filter(|job| job.end == Some(End::Dead)).count();
        if ids.len() - open != ended {
            ended = ids.len() - open;
            moved = Instant::now();
            workers.moved();
            tell(Progress::Ended { ended, of: ids.len(), dead });
        } else if moved.elapsed() > STALLED {
            moved = Instant::now();
            put_off.stalled(&mut tell);
        }
        if open == 0 {
            return Ok(jobs);
        }
        put_off.look(&jobs, &mut tell);
        workers.look(&client, ids, &mut tell).await?;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Says once that jobs are put off for a full disk, and of nothing else while they are.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    jobs: usize,
}

impl PutOff {
    /// To be called at each look.
    pub(super) fn look(&mut self, jobs: &[Followed], tell: &mut impl FnMut(Progress)) {
        let before = self.jobs;
        self.jobs = jobs.iter().filter(|job| job.disk_full).count();
        if self.jobs > 0 && before == 0 {
            tell(Progress::DiskFull { jobs: self.jobs });
        }
    }

    /// Nothing has moved for long.
    pub(super) fn stalled(&self, tell: &mut impl FnMut(Progress)) {
        tell(match self.jobs {
            0 => Progress::Stalled,
            jobs => Progress::DiskFull { jobs },
        });
    }
}
