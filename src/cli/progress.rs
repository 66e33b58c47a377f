//! `--wait`: shows on standard error how far jobs are.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use super::table::{counted, is_dumb};
use crate::operations::Progress;

/// A bar that stands still looks like a program that does.
const TICK: Duration = Duration::from_millis(200);

/// A bar on a terminal, lines elsewhere.
pub(super) struct Reporter {
    bar: Option<ProgressBar>,
    /// What is said when nothing moves.
    stalled: String,
}

impl Reporter {
    pub(super) fn new(jobs: usize) -> Self {
        let draw = || {
            let style =
                ProgressStyle::with_template("{spinner} {bar:40} {pos}/{len} {elapsed} {msg}");
            let length = u64::try_from(jobs).unwrap_or(u64::MAX);
            ProgressBar::new(length)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        };
        // On a terminal that cannot move its cursor nothing is drawn, and a line would be lost.
        // Several at a time would draw over each other.
        let moves = stderr().is_terminal() && !is_dumb() && !output::is_one_of_many();
        let bar = moves.then(draw).filter(|bar| !bar.is_hidden());
        if let Some(bar) = &bar {
            bar.enable_steady_tick(TICK);
        }
        let stalled = "nothing has moved for 30 s: is `agent-provisioner run` up?".to_owned();
        Self { bar, stalled }
    }

    pub(super) fn with_stalled(self, stalled: String) -> Self {
        Self { stalled, ..self }
    }

    /// Beside the bar, if there is one.
    fn say(&self, text: &str) {
        self.bar.as_ref().map_or_else(|| say(text), |bar| bar.println(text));
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        match (progress, &self.bar) {
            (Progress::Stalled, _) => self.say(&self.stalled),
            (Progress::DiskFull { jobs }, _) => self.say(&format!(
                "the server's disk is full: {} put off, and tried again by themselves; make room",
                if jobs == 1 { "1 job is".to_owned() } else { format!("{jobs} jobs are") }
            )),
            (Progress::Paused { rollout }, _) => self.say(&format!(
                "rollout {rollout} is paused; to go on: agent-provisioner rollouts resume {rollout}"
            )),
            (Progress::Away, _) => self.say("the connection broke; trying to connect again"),
            (Progress::NoWorker { jobs }, _) => {
                let waits = if jobs == 1 { "waits" } else { "wait" };
                let text = format!(
                    "no worker takes the jobs: {} {waits} until `agent-provisioner run` is up, with templates as new as theirs",
                    counted(jobs, "job")
                );
                self.say(&text);
            }
            (Progress::Ended { ended, of, dead }, None) => {
                let dead = if dead > 0 { format!(", {dead} dead") } else { String::new() };
                say(&format!("{ended} of {of} ended{dead}"));
            }
            (Progress::Ended { ended, of, dead }, Some(bar)) => {
                bar.set_message(if dead > 0 { format!("{dead} dead") } else { String::new() });
                bar.set_length(u64::try_from(of).unwrap_or(u64::MAX));
                bar.set_position(u64::try_from(ended).unwrap_or(u64::MAX));
                if ended == of {
                    bar.finish_and_clear(); // what follows sums it up
                }
            }
        }
    }
}

/// Whoever cannot be told goes without.
fn say(text: &str) {
    let _unread = writeln!(stderr(), "{}{text}", output::about()).is_err();
}
