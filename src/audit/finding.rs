//! One thing that is wrong, with what shows it and what ends it.

use std::collections::{HashMap, HashSet};

use serde::{Serialize, Serializer};

use crate::sql_text::checksum;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing has to change.
    Note,
    /// It works today and is a trap.
    Warning,
    /// It does not work, or does something else than the files say.
    Error,
}

/// Where in the files it is. Lines count from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// As the command line named the directory, and the path below it, with `/`.
    pub file: String,
    /// Of the statement or the call.
    pub line: usize,
}

/// What one audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The same in every run until the object or the kind of fault changes; lines may move. See [`Finding::new`].
    pub id: String,
    /// One of the kinds of docs/audit.md, such as `missing_table`.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, qualified and quoted: `public.users.email`.
    pub object: String,
    /// Where the files say it, if they do.
    #[serde(flatten, serialize_with = "file_and_line")]
    pub place: Option<Place>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What shows it: the server's words, both definitions, the line of code.
    pub evidence: String,
    /// What comes of it.
    pub impact: &'static str,
    /// SQL or words that end it.
    pub fix: String,
}

impl Finding {
    /// A finding without a place, evidence or fix yet.
    ///
    /// The id is made of the kind, the object and the message's subject, not of lines: ten hexadecimal digits.
    pub fn new(kind: &'static str, severity: Severity, object: &str, message: String) -> Self {
        let id = id(kind, object, "");
        Self {
            id,
            kind,
            severity,
            object: object.to_owned(),
            place: None,
            message,
            evidence: String::new(),
            impact: "",
            fix: String::new(),
        }
    }

    /// Every text that files or servers have a part in.
    pub(super) fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let Self { object, message, evidence, fix, place, .. } = self;
        let file = place.as_mut().map(|place| &mut place.file);
        [object, message, evidence, fix].into_iter().chain(file)
    }

    /// Adds something else that shows it, on a line that begins with `also`.
    pub(super) fn also(&mut self, what: &str) {
        self.evidence.push_str("\nalso ");
        self.evidence.push_str(what);
    }

    /// Tells two findings of one kind about one object apart, such as two files that use it: by the file, not the line.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.id = id(self.kind, &self.object, &place.file);
        self.place = Some(place);
        self
    }
}

/// Gives each finding an id of its own: of several of one kind about one object, all but the first have the message in it.
/// What says the same twice is one finding.
pub(super) fn tell_apart(findings: &mut Vec<Finding>) {
    let mut known: HashMap<String, HashSet<String>> = HashMap::new();
    let mut apart: Vec<Finding> = Vec::with_capacity(findings.len());
    for mut finding in std::mem::take(findings) {
        let messages = known.entry(finding.id.clone()).or_default();
        let is_first = messages.is_empty();
        if !messages.insert(finding.message.clone()) {
            let same = |it: &&mut Finding| it.kind == finding.kind && it.message == finding.message;
            if let Some(first) = apart.iter_mut().find(same) {
                first.severity = first.severity.max(finding.severity);
            }
            continue;
        }
        if !is_first {
            finding.id = id(finding.kind, &finding.object, &finding.message);
        }
        apart.push(finding);
    }
    *findings = apart;
}

/// Both are there in any case.
#[expect(clippy::ref_option, reason = "serde calls it with that")]
fn file_and_line<S: Serializer>(place: &Option<Place>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown<'a> {
        file: Option<&'a str>,
        line: Option<usize>,
    }
    let (file, line) = place.as_ref().map(|at| (at.file.as_str(), at.line)).unzip();
    Shown { file, line }.serialize(serializer)
}

fn id(kind: &str, object: &str, file: &str) -> String {
    checksum(&format!("{kind}\0{object}\0{file}")).chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_has_an_id_of_its_own() {
        let of = |message: &str| {
            Finding::new("document_type", Severity::Error, "public.a.b", message.to_owned())
        };
        let mut findings = vec![of("one"), of("two"), of("one")];
        tell_apart(&mut findings);
        let messages: Vec<&str> = findings.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(messages, ["one", "two"]);
        assert_eq!(findings[0].id, of("one").id);
        assert_ne!(findings[0].id, findings[1].id);
    }
}
