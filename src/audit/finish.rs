//! What is done to a report before anybody reads it.

use super::finding::{Finding, tell_apart};
use super::report::Report;
use super::{mask, neutral};

impl Report {
    /// Makes it ready for readers: leaves out what comments say, masks secrets, neutralises what acts on a terminal or on a
    /// build's log, and puts the worst first.
    pub fn finish(&mut self) {
        tell_apart(&mut self.findings);
        let ignored = self.ignores.apply(&mut self.findings);
        if ignored > 0 {
            self.unchecked.push(format!("{ignored} findings that comments in the files leave out"));
        }
        mask::secrets(self);
        neutral::neutralise(self);
        self.findings.sort_by(|a, b| {
            let key = |it: &Finding| {
                (std::cmp::Reverse(it.severity), it.place.clone(), it.kind, it.object.clone())
            };
            key(a).cmp(&key(b))
        });
    }
}
