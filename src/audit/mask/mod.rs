//! Secrets in a report. They are masked at the one place where it leaves the audit, so that no format can forget it.
//!
//! A secret is told by its shape, by a name near it, or by its looking random; in SQL also by its not looking harmless. What stands for it has a short hash, so
//! that two secrets still look different.

mod clauses;
mod harmless;
mod named;
mod names;
mod quoted;
mod shape;

use std::collections::BTreeSet;
use std::ops::Range;

use super::finding::Finding;
use super::report::Report;
use crate::sql_text::checksum;

/// What stands for a secret begins so.
const MASK: &str = "(masked:";
/// A secret that is as long is masked wherever it stands in the report.
const TELLING: usize = 8;

/// Masks what is secret in every text of the report.
pub(super) fn secrets(report: &mut Report) {
    let mut found = BTreeSet::new();
    for finding in &mut report.findings {
        of_finding(finding, &mut found);
    }
    let objects = report.status.iter_mut().map(|row| &mut row.object);
    for text in objects.chain(&mut report.unchecked) {
        mask(text, named::in_words, &mut found);
    }
    for path in &mut report.order {
        mask(path, shape::known, &mut found);
    }
    // The server repeats in its own quotes what a statement has in others.
    found.retain(|secret| is_telling(secret));
    for text in report.texts() {
        for secret in found.iter().rev() {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret, &stand_in(secret));
            }
        }
    }
    for finding in &mut report.findings {
        if finding.fix.contains(MASK) {
            finding.fix = not_to_be_run(finding);
        }
    }
}

fn of_finding(finding: &mut Finding, found: &mut BTreeSet<String>) {
    let in_column = is_column(finding) && names::names_secret(last_name(&finding.object));
    let in_sql = |text: &str| named::in_sql(text, in_column);
    mask(&mut finding.object, named::in_words, found);
    if let Some(place) = &mut finding.place {
        mask(&mut place.file, shape::known, found);
    }
    mask(&mut finding.message, named::in_words, found);
    mask(&mut finding.evidence, in_sql, found);
    mask(&mut finding.fix, in_sql, found);
    if is_sql(finding) {
        // It may be any word elsewhere, but not in what the server says of the statement.
        let mut own = BTreeSet::new();
        mask(&mut finding.evidence, harmless::others, &mut own);
        mask(&mut finding.fix, harmless::others, &mut own);
        for text in own.iter().rev().filter(|text| is_telling(text)) {
            finding.message = finding.message.replace(text.as_str(), &stand_in(text));
        }
    }
}

/// Whether its evidence is of SQL, and not of code or a document.
fn is_sql(Finding { kind, .. }: &Finding) -> bool {
    let of_sources = [
        "unknown_",
        "document_",
        "undocumented_",
        "invalid_",
        "generated_",
        "missing_argument",
        "ambiguous_",
        "no_unique_",
        "unpublished_",
        "ignore_",
        "unused_",
    ];
    !of_sources.iter().any(|head| kind.starts_with(head))
}

/// Whether all that is told of it are definitions of one column.
fn is_column(Finding { kind, object, .. }: &Finding) -> bool {
    let of_agent = [" column ", " default "].iter().any(|what| object.contains(what));
    ["missing_column", "extra_column", "different_column", "document_default"].contains(kind)
        || *kind == "agent_differs_from_templates" && of_agent
}

fn last_name(object: &str) -> &str {
    object.rsplit('.').next().unwrap_or(object)
}

/// Whoever pastes it would write what stands for a secret.
fn not_to_be_run(finding: &Finding) -> String {
    let is_in_file =
        ["missing_", "extra_", "different_"].iter().any(|head| finding.kind.starts_with(head));
    let whence = if is_in_file { "the file that --fix writes" } else { "your files" };
    let mut lines = vec![format!("-- Values are masked here: take the statement from {whence}.")];
    lines.extend(
        finding.fix.lines().map(|line| {
            if line.starts_with("--") { line.to_owned() } else { format!("-- {line}") }
        }),
    );
    lines.join("\n")
}

/// Puts something else in the places of secrets, and adds these to `found`.
fn mask(text: &mut String, find: impl Fn(&str) -> Vec<Range<usize>>, found: &mut BTreeSet<String>) {
    let mut places = find(text);
    places.retain(|place| !place.is_empty());
    places.sort_by_key(|place| (place.start, place.end));
    let (mut masked, mut from) = (String::with_capacity(text.len()), 0);
    let mut rest = places.into_iter().peekable();
    while let Some(mut place) = rest.next() {
        while let Some(more) = rest.next_if(|next| next.start <= place.end) {
            place.end = place.end.max(more.end);
        }
        let secret = text.get(place.clone()).unwrap_or_default();
        masked.push_str(text.get(from..place.start).unwrap_or_default());
        masked.push_str(&stand_in(secret));
        found.insert(secret.to_owned());
        from = place.end;
    }
    masked.push_str(text.get(from..).unwrap_or_default());
    *text = masked;
}

fn stand_in(secret: &str) -> String {
    let hash: String = checksum(secret).chars().take(4).collect();
    format!("{MASK}{hash})")
}

/// Whether it is no word that may stand somewhere for something else.
fn is_telling(secret: &str) -> bool {
    secret.len() >= TELLING
        && secret.contains(|c: char| c.is_ascii_digit())
        && secret.contains(|c: char| c.is_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    /// What is known by a name in one place is masked where nothing tells of it.
    #[test]
    fn a_secret_that_is_known_once_is_masked_everywhere() {
        let with = |kind, message: &str, evidence: &str, fix: &str| Finding {
            evidence: evidence.to_owned(),
            fix: fix.to_owned(),
            ..Finding::new(kind, Severity::Error, "public.a", message.to_owned())
        };
        let findings = vec![
            with(
                "file_never_ran",
                "invalid input: \"hunter22\"",
                "password 'hunter22'",
                "correct it",
            ),
            with("missing_view", "b", "c", "select 'hunter22';\n-- drop a;"),
        ];
        let unchecked = vec!["no role hunter22".to_owned()];
        let mut report = Report { findings, unchecked, ..Report::default() };
        secrets(&mut report);
        let mask = stand_in("hunter22");
        let [first, second] = report.findings.as_slice() else { unreachable!() };
        assert_eq!(first.message, format!("invalid input: \"{mask}\""));
        assert_eq!(
            (&first.evidence, first.fix.as_str()),
            (&format!("password '{mask}'"), "correct it")
        );
        let lines: Vec<&str> = second.fix.lines().skip(1).collect();
        assert_eq!(lines, [format!("-- select '{mask}';"), "-- drop a;".to_owned()]);
        assert_eq!(report.unchecked, [format!("no role {mask}")]);
    }

    #[test]
    fn a_column_with_a_secret_s_name_has_secret_values() {
        let of = |object: &str, kind| {
            let mut finding = Finding::new(kind, Severity::Error, object, String::new());
            finding.evidence = "default in the database: 'x'::text".to_owned();
            let mut report = Report { findings: vec![finding], ..Report::default() };
            secrets(&mut report);
            report.findings.remove(0).evidence.contains(MASK)
        };
        assert!(of("public.a.api_key", "different_column"));
        assert!(!of("public.a.kind", "different_column"));
        assert!(!of("public.tokens", "missing_table"));
    }
}
