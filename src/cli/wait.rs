//! `--wait`: follows jobs to their ends.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio_postgres::Client;

use super::{Error, failed};
use crate::jobs::desk::{self, End, Followed};

/// Between looks: soon at first, since one job takes a fraction of a second.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A build takes less than a second, so by then somebody should be told.
pub(super) const STALLED: Duration = Duration::from_secs(30);

/// Shows progress on standard error until no job can move any more.
///
/// A paused job, and one behind a dead or paused one, counts as ended: nothing but a person moves it.
pub(super) async fn until_ended(client: &Client, ids: &[i64]) -> Result<Vec<Followed>, Error> {
    let mut meter = Meter::new(ids.len());
    let (mut pause, mut moved, mut ended) = (FIRST_PAUSE, Instant::now(), usize::MAX);
    loop {
        let jobs = desk::follow(client, ids).await;
        let jobs = jobs.map_err(failed("following the jobs"))?;
        let open = jobs.iter().filter(|job| job.end.is_none()).count();
        let dead = jobs.iter().filter(|job| job.end == Some(End::Dead)).count();
        if ids.len() - open != ended {
            ended = ids.len() - open;
            moved = Instant::now();
            meter.show(ended, dead, open == 0)?;
        } else if moved.elapsed() > STALLED {
            moved = Instant::now();
            meter.say("nothing has moved for 30 s: is `agent-provisioner run` up?")?;
        }
        if open == 0 {
            return Ok(jobs);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A bar on a terminal, lines elsewhere.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    jobs: usize,
}

impl Meter {
    pub(super) fn new(jobs: usize) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}");
            let length = u64::try_from(jobs).unwrap_or(u64::MAX);
            ProgressBar::new(length)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, jobs }
    }

    /// The same, by what has not ended.
    pub(super) fn show_left(&mut self, left: usize, dead: usize, all: bool) -> Result<(), Error> {
        self.show(self.jobs.saturating_sub(left), dead, all)
    }

    fn show(&mut self, ended: usize, dead: usize, all: bool) -> Result<(), Error> {
        let note = if dead > 0 { format!("{dead} dead") } else { String::new() };
        let Some(bar) = &self.bar else {
            let note = if dead > 0 { format!(", {note}") } else { note };
            writeln!(stderr(), "{ended} of {} ended{note}", self.jobs)?;
            return Ok(());
        };
        bar.set_message(note);
        bar.set_position(u64::try_from(ended).unwrap_or(u64::MAX));
        if all {
            bar.finish_and_clear(); // what follows sums it up
        }
        Ok(())
    }

    pub(super) fn say(&self, text: &str) -> Result<(), Error> {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => writeln!(stderr(), "{text}")?,
        }
        Ok(())
    }
}
