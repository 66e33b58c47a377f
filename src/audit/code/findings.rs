//! What was found in code: one finding for each kind, object and file, with all its lines.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::audit::finding::{Finding, Place, Severity};

/// A call in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'s> {
    pub(super) file: &'s str,
    pub(super) line: usize,
    /// Whether the names in it are known before the program runs. Only then it is an error.
    pub(super) is_certain: bool,
}

/// A kind of fault, and what comes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    kind: &'static str,
    impact: &'static str,
}

const fn fault(kind: &'static str, impact: &'static str) -> Fault {
    Fault { kind, impact }
}

pub(super) const UNKNOWN_TABLE: Fault =
    fault("unknown_table", "Each of these requests fails: the API knows no such table (PGRST205).");
pub(super) const UNKNOWN_COLUMN: Fault = fault(
    "unknown_column",
    "Each of these requests fails: there is no such column (42703 or PGRST204).",
);
pub(super) const UNKNOWN_ENUM_VALUE: Fault = fault(
    "unknown_enum_value",
    "Each of these requests fails: the enum has no such value (22P02).",
);
pub(super) const GENERATED_COLUMN: Fault = fault(
    "generated_column",
    "Each of these writes fails: the server alone gives the value (428C9).",
);
pub(super) const UNKNOWN_RELATIONSHIP: Fault = fault(
    "unknown_relationship",
    "Each of these requests fails: no foreign key leads there (PGRST200).",
);
pub(super) const AMBIGUOUS_RELATIONSHIP: Fault = fault(
    "ambiguous_relationship",
    "Each of these requests fails: several ways lead there (PGRST201).",
);
pub(super) const INVALID_SELECT: Fault = fault(
    "invalid_select",
    "Each of these requests fails: the API cannot read the list (PGRST100).",
);
pub(super) const NO_UNIQUE_KEY: Fault = fault(
    "no_unique_key",
    "Each of these upserts fails: ON CONFLICT finds no unique index (42P10).",
);
pub(super) const UNKNOWN_FUNCTION: Fault = fault(
    "unknown_function",
    "Each of these calls fails: the API knows no such function (PGRST202).",
);
pub(super) const UNKNOWN_ARGUMENT: Fault = fault(
    "unknown_argument",
    "Each of these calls fails: no function takes these arguments (PGRST202).",
);
pub(super) const MISSING_ARGUMENT: Fault = fault(
    "missing_argument",
    "Each of these calls fails: no function takes these arguments (PGRST202).",
);
pub(super) const UNKNOWN_BUCKET: Fault =
    fault("unknown_bucket", "Each of these requests fails: there is no such bucket.");
pub(super) const UNPUBLISHED_TABLE: Fault =
    fault("unpublished_table", "The channel is joined, and no change ever arrives.");

/// Findings, merged as they come.
#[derive(Debug, Default)]
pub(super) struct Findings(BTreeMap<(String, &'static str, String), (Finding, Vec<usize>)>);

impl Findings {
    /// `call` is what the file says, without values.
    pub(super) fn add(
        &mut self,
        fault: Fault,
        site: Site<'_>,
        object: &str,
        (message, call, fix): (String, String, String),
    ) {
        let severity = if site.is_certain { Severity::Error } else { Severity::Warning };
        match self.0.entry((site.file.to_owned(), fault.kind, object.to_owned())) {
            Entry::Occupied(mut known) => {
                let (finding, lines) = known.get_mut();
                finding.severity = finding.severity.max(severity);
                lines.push(site.line);
            }
            Entry::Vacant(new) => {
                let place = Place { file: site.file.to_owned(), line: site.line };
                let mut finding = Finding::new(fault.kind, severity, object, message).at(place);
                finding.evidence = call;
                finding.impact = fault.impact;
                finding.fix = fix;
                new.insert((finding, vec![site.line]));
            }
        }
    }

    /// In the order of files and lines.
    pub(super) fn finish(self) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.0.into_values().map(|(finding, lines)| with_lines(finding, lines)).collect();
        findings.sort_by(|a, b| (&a.place, a.kind, &a.object).cmp(&(&b.place, b.kind, &b.object)));
        findings
    }
}

fn with_lines(mut finding: Finding, mut lines: Vec<usize>) -> Finding {
    lines.sort_unstable();
    lines.dedup();
    let first = lines.first().copied().unwrap_or_default();
    if let Some(place) = &mut finding.place {
        place.line = first;
    }
    if lines.len() > 1 {
        let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
        finding.evidence = format!("{} (lines {})", finding.evidence, lines.join(", "));
    }
    finding
}
