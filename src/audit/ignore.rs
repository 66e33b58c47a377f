//! Comments in the audited files that say of a finding: leave it out.
//!
//! `-- audit: ignore 0123456789 reason`, after `--`, `//`, `/*` or `<!--`. It stands in a comment of any of the files, and
//! means the finding of that id wherever it is.

use std::collections::BTreeSet;

use super::finding::{Finding, Place, Severity};

const MARK: &str = "audit: ignore";
const BEGINNINGS: [&str; 4] = ["--", "//", "/*", "<!--"];
const ID_LENGTH: usize = 10;

/// The comments of all files.
#[derive(Debug, Default)]
pub struct Ignores(Vec<Ignore>);

#[derive(Debug)]
struct Ignore {
    place: Place,
    id: String,
    has_reason: bool,
}

impl Ignores {
    /// Adds the comments of one file, each with its first line, from 1.
    pub(super) fn read<'t>(
        &mut self,
        file: &str,
        comments: impl IntoIterator<Item = (usize, &'t str)>,
    ) {
        for (first, text) in comments {
            for (index, line) in text.lines().enumerate() {
                if let Some((id, reason)) = comment(line) {
                    let place = Place { file: file.to_owned(), line: first + index };
                    let has_reason = reason.chars().any(char::is_alphanumeric);
                    self.0.push(Ignore { place, id: id.to_owned(), has_reason });
                }
            }
        }
    }

    /// Adds the comments of other files.
    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Takes out what is to be left out, and adds a finding for each comment that does nothing. Returns how many
    /// findings are gone.
    pub fn apply(&self, findings: &mut Vec<Finding>) -> usize {
        let found: BTreeSet<String> = findings.iter().map(|finding| finding.id.clone()).collect();
        let obeyed = |id: &str| self.0.iter().any(|it| it.has_reason && it.id == id);
        let before = findings.len();
        findings.retain(|finding| !obeyed(&finding.id));
        let gone = before - findings.len();
        findings.extend(self.0.iter().filter_map(|ignore| ignore.fault(&found)));
        gone
    }
}

impl Ignore {
    fn fault(&self, found: &BTreeSet<String>) -> Option<Finding> {
        let Self { place, id, has_reason } = self;
        let (kind, message, impact, fix) = if !has_reason {
            let message = format!("The comment that ignores {id} gives no reason.");
            let fix = "Write the reason after the id.".to_owned();
            ("ignore_without_reason", message, "The finding is reported all the same.", fix)
        } else if !found.contains(id) {
            let message = format!("A comment ignores {id}, and nothing of that id is found.");
            ("unused_ignore", message, "None.", "Take the comment out.".to_owned())
        } else {
            return None;
        };
        let mut fault = Finding::new(kind, Severity::Note, id, message).at(place.clone());
        fault.impact = impact;
        fault.fix = fix;
        Some(fault)
    }
}

/// The id and the reason.
fn comment(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(MARK)?;
    let before = before.trim_end();
    if !BEGINNINGS.iter().any(|beginning| before.ends_with(beginning)) {
        return None;
    }
    let after = after.trim_start();
    let (id, reason) = after.split_at_checked(ID_LENGTH)?;
    let is_id = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ends = !reason.starts_with(|c: char| c.is_alphanumeric());
    (is_id && ends).then_some((id, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: &'static str) -> Finding {
        Finding::new(kind, Severity::Error, "public.a", String::new())
    }

    #[test]
    fn a_comment_with_a_reason_takes_one_finding_out() {
        let (one, other) = (finding("unknown_table"), finding("unknown_column"));
        for comment in [
            format!("-- audit: ignore {} made by hand", one.id),
            format!("  foo() // audit: ignore {} made by hand", one.id),
            format!("<!-- audit: ignore {} made by hand -->", one.id),
            format!("/* audit: ignore {} made by hand */", one.id),
        ] {
            let mut ignores = Ignores::default();
            ignores.read("a.sql", [(1, comment.as_str())]);
            let mut findings = vec![one.clone(), other.clone()];
            assert_eq!(ignores.apply(&mut findings), 1, "{comment}");
            assert_eq!(findings, std::slice::from_ref(&other), "{comment}");
        }
    }

    #[test]
    fn a_comment_that_does_nothing_is_found() {
        let one = finding("unknown_table");
        let mut ignores = Ignores::default();
        let text = format!("// audit: ignore {}\n// audit: ignore 0123456789 gone", one.id);
        ignores.read("a.ts", [(1, text.as_str())]);
        let mut findings = vec![one];
        assert_eq!(ignores.apply(&mut findings), 0);
        let found: Vec<_> =
            findings.iter().map(|it| (it.kind, it.place.as_ref().map(|at| at.line))).collect();
        assert_eq!(
            found,
            [
                ("unknown_table", None),
                ("ignore_without_reason", Some(1)),
                ("unused_ignore", Some(2))
            ]
        );
    }

    #[test]
    fn other_text_is_no_comment() {
        for line in
            ["audit: ignore 0123456789 x", "-- audit: ignore x", "-- audit: ignore 0123456789a x"]
        {
            assert_eq!(comment(line), None, "{line}");
        }
    }
}
