//! Following jobs to their ends.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::error::Error;
use crate::postgres::query;
use crate::queue::admin::{self, End, Followed};

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
    NoWorker { jobs: i64 },
}

/// A service that has just started shows itself within that.
const SOON: Duration = Duration::from_secs(2);

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
        let untaken = admin::untaken(client, ids).await;
        let jobs = untaken.map_err(query("look for a worker of the jobs"))?;
        if jobs > 0 {
            self.told = true;
            tell(Progress::NoWorker { jobs });
        }
        Ok(())
    }
}

/// Looks until no job can move any more.
///
/// A paused job, and one behind a dead or paused one, counts as ended: nothing but a person moves it.
pub(super) async fn until_ended(
    client: &Client,
    ids: &[i64],
    mut tell: impl FnMut(Progress),
) -> Result<Vec<Followed>, Error> {
    let (mut pause, mut moved, mut ended) = (FIRST_PAUSE, Instant::now(), usize::MAX);
    let mut workers = WorkerWatch::new();
    loop {
        let jobs = admin::follow(client, ids).await.map_err(query("follow the jobs"))?;
        let open = jobs.iter().filter(|job| job.end.is_none()).count();
        let dead = jobs.iter().filter(|job| job.end == Some(End::Dead)).count();
        if ids.len() - open != ended {
            ended = ids.len() - open;
            moved = Instant::now();
            workers.moved();
            tell(Progress::Ended { ended, of: ids.len(), dead });
        } else if moved.elapsed() > STALLED {
            moved = Instant::now();
            tell(Progress::Stalled);
        }
        if open == 0 {
            return Ok(jobs);
        }
        workers.look(client, ids, &mut tell).await?;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
