//! One cause, one finding: what comes of a file that does not run, or of a difference that is told, is no fault of its own.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::claims::Claims;
use super::files::SqlFile;
use super::finding::Finding;
use super::replay::{Replay, Whole};
use crate::sql_text::{Reader, name, tokens};

/// Statements of a file that are told beside the first that the server refuses.
const MOST: usize = 5;

/// The files that do not run, and what would be there if they did.
#[derive(Debug)]
pub(super) struct Faults<'a> {
    files: &'a [SqlFile],
    /// Numbers of the files that do not run.
    failed: Vec<usize>,
    pub(super) whole: Whole,
    /// What the statements would make that do not run, by file.
    claims: BTreeMap<usize, Claims>,
}

impl<'a> Faults<'a> {
    pub(super) fn of(files: &'a [SqlFile], replay: &Replay, whole: Whole) -> Self {
        let failed = replay.failures.iter().map(|(index, _)| *index).collect();
        let mut claims: BTreeMap<usize, Claims> = BTreeMap::new();
        for (index, refused) in &whole.refused {
            let texts: Vec<&str> = refused.iter().map(|(text, _)| text.as_str()).collect();
            claims.insert(*index, Claims::of(&texts.join(";\n")));
        }
        // A file that lacks only what others would make waits for them.
        let waits = |index: &usize| {
            let others = || claims.iter().filter(|(other, _)| *other != index);
            let mut refused = whole.refused.get(index).into_iter().flatten();
            refused.all(|(_, said)| others().any(|(_, claims)| claims.are_missed(said)))
        };
        let own: BTreeSet<usize> = claims.keys().copied().filter(|it| !waits(it)).collect();
        if !own.is_empty() {
            claims.retain(|index, _| own.contains(index));
        }
        Self { files, failed, whole, claims }
    }

    /// Takes out what is no longer found with all statements that run, `with`, or may end with one that does not. Returns
    /// each with the file that may end it.
    pub(super) fn without_consequences(
        &self,
        findings: &mut Vec<Finding>,
        with: &HashSet<String>,
    ) -> Vec<(Finding, &'a SqlFile)> {
        let mut doubted = Vec::new();
        for finding in std::mem::take(findings) {
            let mut file = self.claimed_by(&finding);
            if file.is_none() && !with.contains(&finding.id) {
                file = self.made_by(&finding).or_else(|| self.first());
            }
            match file {
                Some(file) => doubted.push((finding, file)),
                None => findings.push(finding),
            }
        }
        doubted
    }

    /// The file of which a statement that does not run would make what the finding misses.
    pub(super) fn claimed_by(&self, finding: &Finding) -> Option<&'a SqlFile> {
        let claimed = self.claims.iter().find(|(_, claims)| claims.may_end(finding));
        claimed.and_then(|(index, _)| self.files.get(*index))
    }

    /// The file that says it makes what the finding misses, by a statement that runs.
    fn made_by(&self, finding: &Finding) -> Option<&'a SqlFile> {
        let mut files = self.failed.iter().filter_map(|index| self.files.get(*index));
        files.find(|file| Claims::of(&file.text).may_end(finding))
    }

    fn first(&self) -> Option<&'a SqlFile> {
        self.files.get(*self.claims.keys().next()?)
    }

    /// Files that run once the statements of other files have run are told with these.
    pub(super) fn fold_files(&self, replay: &Replay, findings: &mut Vec<Finding>) {
        for (index, failure) in &replay.failures {
            let Some(file) = self.files.get(*index) else { continue };
            if self.claims.contains_key(index) {
                let mut own = findings.iter_mut().find(|it| is_of(it, file));
                for (text, said) in self.whole.refused.get(index).into_iter().flatten().take(MOST) {
                    let is_new = *said != failure.message && *text != file.text;
                    if let Some(own) = own.as_deref_mut().filter(|_| is_new) {
                        own.also(&format!("{said}\n{text}"));
                    }
                }
                continue;
            }
            let named = self.claims.iter().find(|(_, claims)| claims.are_missed(&failure.message));
            let cause = named.map(|(index, _)| *index).or(self.claims.keys().next().copied());
            let cause = cause.and_then(|cause| self.files.get(cause));
            let place = findings.iter().position(|it| cause.is_some_and(|cause| is_of(it, cause)));
            let Some(told) = place.and_then(|place| findings.get_mut(place)) else { continue };
            let (name, line, said) = (&file.name, failure.line, &failure.message);
            told.also(&format!("{name}:{line}, which waits for it: {said}"));
            findings.retain(|it| !is_of(it, file));
        }
    }
}

/// Whether it says that the file does not run.
fn is_of(finding: &Finding, file: &SqlFile) -> bool {
    let at = finding.place.as_ref().map(|at| &at.file);
    finding.kind == "file_never_ran" && finding.object == file.name
        || finding.kind == "conflicting_base" && at == Some(&file.name)
}

/// What is not checked of a finding that a file may end.
pub(super) fn unproven(finding: &Finding, file: &SqlFile) -> String {
    let place = finding.place.as_ref().map(|at| format!("{}:{}: ", at.file, at.line));
    let (place, object, kind) = (place.unwrap_or_default(), &finding.object, finding.kind);
    let about = if kind.contains("unknown_") {
        format!("whether {object} is there")
    } else {
        format!("{} of {object}", kind.replace('_', " "))
    };
    format!("{place}{about}: {} may make it otherwise, and did not run", file.name)
}

/// A difference that is no finding, as it would be told by itself.
#[derive(Debug)]
pub(super) struct Consequence {
    pub(super) finding: Finding,
    /// The id of the finding that it is told with.
    pub(super) of: String,
}

/// The ids of these findings, to see which of them another audit finds, too.
pub(super) fn ids(findings: &[Finding]) -> HashSet<String> {
    findings.iter().map(|finding| finding.id.clone()).collect()
}

/// Adds what code and documents say, `told`, to the findings. What is not so against the files, of which the ids are
/// `against_files`, comes of a difference between them and the database: it is evidence of that finding, or of the one that
/// the difference is told with.
pub(super) fn fold(
    findings: &mut Vec<Finding>,
    told: Vec<Finding>,
    against_files: &HashSet<String>,
    consequences: &[Consequence],
    faults: Option<&Faults<'_>>,
) {
    let mut own = Vec::new();
    for finding in told {
        let cause = (!against_files.contains(&finding.id))
            .then(|| cause(findings, consequences, &finding, faults));
        match cause.flatten().and_then(|cause| findings.get_mut(cause)) {
            Some(cause) => {
                let place = finding.place.as_ref().map(|at| format!("{}:{}: ", at.file, at.line));
                cause.also(&(place.unwrap_or_default() + &finding.message));
            }
            None => own.push(finding),
        }
    }
    findings.extend(own);
}

/// The finding that tells why the other one is found.
fn cause(
    findings: &[Finding],
    consequences: &[Consequence],
    of: &Finding,
    faults: Option<&Faults<'_>>,
) -> Option<usize> {
    let object = Object::of(&of.object);
    let own = findings.iter().enumerate().map(|(place, it)| (object.is_caused(of, it), place));
    let theirs = consequences.iter().filter_map(|it| {
        let score = object.is_caused(of, &it.finding);
        let place = (score > 0).then(|| findings.iter().position(|cause| cause.id == it.of));
        Some((score, place.flatten()?))
    });
    let scored = own.chain(theirs);
    let best = scored.filter(|(score, _)| *score > 0).max_by_key(|(score, _)| *score);
    best.map(|(_, place)| place).or_else(|| {
        let file = faults?.claimed_by(of)?;
        findings.iter().position(|it| is_of(it, file))
    })
}

/// What a finding of code or documents is about, without quotes.
struct Object {
    whole: String,
    table: String,
    /// Columns that it names, of this table.
    columns: Vec<String>,
    /// What is embedded, such as `orders` of `public.people(orders)`.
    other: BTreeSet<String>,
}

impl Object {
    fn of(object: &str) -> Self {
        let mut rest = Reader::new(object);
        let path = rest.qualified().unwrap_or_default();
        let table: Vec<&str> = path.iter().take(2).map(String::as_str).collect();
        let list = rest.list().unwrap_or_default();
        let schema = path.first().cloned().unwrap_or_default();
        let other = list.iter().map(|name| format!("{schema}.{name}")).collect();
        let columns = path.get(2).cloned().into_iter().chain(list).collect();
        Self { whole: path.join("."), table: table.join("."), columns, other }
    }

    /// How surely a difference between files and database is the cause.
    fn is_caused(&self, of: &Finding, by: &Finding) -> u8 {
        let Some(what) = ["missing_", "different_", "extra_"]
            .iter()
            .find_map(|change| by.kind.strip_prefix(change))
        else {
            return 0;
        };
        let there = by.object.replace('"', "");
        let bare = there.split('(').next().unwrap_or_default();
        let is_renamed = of.kind.starts_with("undocumented_")
            && by.evidence.contains(&format!("\nalso {} has its ", of.object));
        if is_renamed || there == self.whole || bare == self.whole {
            return 3;
        }
        if there == self.table {
            return 2 * u8::from(["table", "view", "type"].contains(&what));
        }
        let is_on = |table: &String| {
            there.ends_with(&format!(" on {table}"))
                || there.starts_with(&format!("{table} in "))
                || by.evidence.contains(&format!(" ON {table} "))
        };
        let names = |columns: &[String]| {
            let named: BTreeSet<String> =
                tokens(&by.evidence).filter_map(|token| name(&token)).collect();
            columns.iter().all(|column| named.contains(column))
        };
        u8::from(match of.kind {
            "unknown_enum_value" => what == "column" && of.evidence.starts_with(&by.object),
            "unpublished_table" => what == "publication" && is_on(&self.table),
            "no_unique_key" | "document_constraint" => {
                ["constraint", "index"].contains(&what)
                    && is_on(&self.table)
                    && names(&self.columns)
            }
            "document_foreign_key" => {
                what == "constraint" && is_on(&self.table) && names(&self.columns)
            }
            "unknown_relationship" | "ambiguous_relationship" => {
                let (mut tables, other) = (self.other.clone(), self.other.contains(&there));
                tables.insert(self.table.clone());
                other || what == "constraint" && tables.iter().any(is_on) && self.leads(by)
            }
            _ => false,
        })
    }

    /// Whether a constraint is a key from one of the tables to another.
    fn leads(&self, by: &Finding) -> bool {
        let Some((_, target)) = by.evidence.split_once(" REFERENCES ") else { return false };
        let target = Reader::new(target).qualified().map(|path| path.join("."));
        let from = by.object.rsplit_once(" on ").map(|(_, table)| table.replace('"', ""));
        target.zip(from).is_some_and(|(target, from)| {
            let is_own = |table: &String| *table == self.table;
            is_own(&target) && (self.other.contains(&from) || self.names_key(by))
                || is_own(&from) && (self.other.contains(&target) || self.names_key(by))
        })
    }

    /// Whether what is embedded is named after the key or its column.
    fn names_key(&self, by: &Finding) -> bool {
        let named: BTreeSet<String> =
            tokens(&by.evidence).filter_map(|token| name(&token)).collect();
        let key = by.object.split(" on ").next().unwrap_or_default();
        self.columns.iter().any(|it| named.contains(it) || it == key)
    }
}
