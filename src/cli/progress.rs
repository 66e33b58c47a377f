//! `--wait`: shows on standard error how far jobs are.

use std::io::{IsTerminal, Write, stderr};

use indicatif::{ProgressBar, ProgressStyle};

use crate::operations::Progress;

/// A bar on a terminal, lines elsewhere.
pub(super) struct Reporter {
    bar: Option<ProgressBar>,
    /// What is said when nothing moves.
    stalled: String,
}

impl Reporter {
    pub(super) fn new(jobs: usize) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}");
            let length = u64::try_from(jobs).unwrap_or(u64::MAX);
            ProgressBar::new(length)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let stalled = "nothing has moved for 30 s: is `agent-provisioner run` up?".to_owned();
        Self { bar, stalled }
    }

    pub(super) fn with_stalled(self, stalled: String) -> Self {
        Self { stalled, ..self }
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        match (progress, &self.bar) {
            (Progress::Stalled, Some(bar)) => bar.println(&self.stalled),
            (Progress::Stalled, None) => say(&self.stalled),
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
    let _unread = writeln!(stderr(), "{text}").is_err();
}
