//! What the order of the files, their numbers and their repetitions tell.

use std::collections::BTreeMap;

use tokio_postgres::error::SqlState;

use super::auth_users::refer_to_auth;
use super::bases::Contested;
use super::claims::Claims;
use super::definition::Definition;
use super::files::SqlFile;
use super::finding::{Finding, Place, Severity};
use super::ledger::Ledger;
use super::replay::Replay;
use super::rollback::Outcome;
use super::run::Failure;
use super::script::Script;

/// Findings about the files themselves, without what is told of `contested` tables.
pub(super) fn findings(
    files: &[SqlFile],
    replay: &Replay,
    ledger: &Ledger,
    contested: &[Contested],
    lacking: &[String],
) -> Vec<Finding> {
    let conflicts: Vec<String> = contested.iter().map(|it| it.name.clone()).collect();
    let mut findings = never_ran(files, replay, contested, lacking);
    findings.extend(too_early(files, replay));
    findings.extend(numbers(files));
    findings.extend(repeated(files, replay, ledger, &conflicts));
    findings.extend(recorded(files, ledger));
    findings.extend(rollbacks(files, replay));
    findings
}

fn place(file: &SqlFile, line: usize) -> Place {
    Place { file: file.name.clone(), line }
}

fn never_ran(
    files: &[SqlFile],
    replay: &Replay,
    contested: &[Contested],
    lacking: &[String],
) -> Vec<Finding> {
    // The other definition of a table is told with the table.
    let is_told = |index: usize, failure: &Failure| {
        let there = |name: &str| format!("relation \"{name}\" already exists");
        contested.iter().any(|it| {
            let name = it.name.rsplit('.').next();
            it.is_why(index) || name.is_some_and(|name| failure.message == there(name))
        })
    };
    let finding = |(index, failure): &(usize, Failure)| {
        let file = files.get(*index)?;
        let mut message = format!("{} does not run: {}", file.name, failure.message);
        let mut severity = Severity::Error;
        if let Some(extension) = needed(file, failure, lacking) {
            severity = Severity::Warning;
            message =
                format!("{message}; extension {extension} may bring it, which the shadow lacks");
        }
        let finding = Finding::new("file_never_ran", severity, &file.name, message);
        let statement = failure.statement.lines().take(20).collect::<Vec<_>>().join("\n");
        Some(Finding {
            evidence: format!("SQLSTATE {}\n{statement}", failure.code),
            impact: "A database that is built from the files lacks all that it makes.",
            fix: corrected(failure, replay).unwrap_or_else(|| {
                "make the statement run, or remove the file; docs/audit.md, Schema, lists the usual reasons".to_owned()
            }),
            ..finding.at(place(file, failure.line))
        })
    };
    let own = replay.failures.iter().filter(|(index, failure)| !is_told(*index, failure));
    own.filter_map(finding).collect()
}

/// The extension, of those that the shadow lacks, that may have what a file misses.
fn needed<'l>(file: &SqlFile, failure: &Failure, lacking: &'l [String]) -> Option<&'l String> {
    // Types, functions and operators, schemas, and languages and access methods.
    let codes = [
        &SqlState::UNDEFINED_OBJECT,
        &SqlState::UNDEFINED_FUNCTION,
        &SqlState::INVALID_SCHEMA_NAME,
        &SqlState::UNDEFINED_TABLE,
    ];
    if !codes.iter().any(|code| code.code() == failure.code) {
        return None;
    }
    let makes = Script::of(&file.text).extensions;
    let own = lacking.iter().find(|name| makes.iter().any(|it| it.name == **name));
    own.or(lacking.first().filter(|_| failure.code != SqlState::UNDEFINED_TABLE.code()))
}

/// What the files that never ran say that they make.
pub(super) fn claimed(files: &[SqlFile], replay: &Replay) -> Vec<Definition> {
    let failed = replay.failures.iter().filter_map(|(index, _)| files.get(*index));
    let statements = failed.flat_map(SqlFile::statements);
    statements.filter_map(|statement| Definition::of(&statement)).collect()
}

/// `references users`, where no such table is, and `auth.users` is meant.
fn corrected(failure: &Failure, replay: &Replay) -> Option<String> {
    let gone = failure.message.strip_prefix("relation \"")?.strip_suffix("\" does not exist")?;
    let bare = gone.strip_prefix("public.").unwrap_or(gone);
    if bare != "users" || replay.state.has(crate::schema::Kind::Table, "public.users") {
        return None;
    }
    let fixed = refer_to_auth(&failure.statement);
    (fixed != failure.statement).then(|| format!("{fixed};"))
}

/// Numbered files that run only after one with a greater number, without those that wait for such a file themselves.
fn too_early(files: &[SqlFile], replay: &Replay) -> Vec<Finding> {
    let place_in_order = |index: usize| replay.order.iter().position(|it| *it == index);
    let finding = |(index, failure): &(usize, Failure)| {
        let file = files.get(*index)?;
        let others = replay.waited.iter().filter(|(other, _)| other != index);
        let mut others = others.filter_map(|(other, _)| files.get(*other));
        if others.any(|other| Claims::of(&other.text).are_missed(&failure.message)) {
            return None;
        }
        let before = replay.order.get(..place_in_order(*index)?)?;
        let is_later = |other: &&SqlFile| {
            other.directory == file.directory
                && other.number().zip(file.number()).is_some_and(|(other, own)| other > own)
        };
        let mut later = before.iter().filter_map(|it| files.get(*it)).filter(is_later);
        let later = later
            .clone()
            .find(|it| Claims::of(&it.text).are_missed(&failure.message))
            .or_else(|| later.next())?;
        let message =
            format!("{} runs only after {}, which has a greater number", file.name, later.name);
        let finding = Finding::new("runs_after_later_file", Severity::Error, &file.name, message);
        Some(Finding {
            evidence: format!(
                "in the order of numbers: {}\n{}",
                failure.message, failure.statement
            ),
            impact: "Tools run files by their numbers: a database that is built from the files fails here.",
            fix: format!("give {} a number after that of {}", file.name, later.name),
            ..finding.at(place(file, failure.line))
        })
    };
    replay.waited.iter().filter_map(finding).collect()
}

/// Numbers that two files of a directory have.
fn numbers(files: &[SqlFile]) -> Vec<Finding> {
    let mut by_number: BTreeMap<(&str, u128), Vec<&SqlFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.takes_back) {
        if let Some(number) = file.number() {
            by_number.entry((&file.directory, number)).or_default().push(file);
        }
    }
    let twice = by_number.into_iter().filter(|(_, files)| files.len() > 1);
    twice
        .map(|((directory, number), files)| {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            let object = format!("{directory}/{number}");
            let message = format!("{} files have the number {number}: {}", files.len(), names.join(", "));
            let finding = Finding::new("duplicate_number", Severity::Warning, &object, message);
            let last = files.last().map(|file| place(file, 1));
            Finding {
                place: last,
                evidence: names.join("\n"),
                impact: "Which of them runs first depends on the tool. Some tools run only one of them.",
                fix: "give all but the first of them a number of its own; on databases that have recorded the old number, \
                      record the new one"
                    .to_owned(),
                ..finding
            }
        })
        .collect()
}

/// Where an object is made in more than one file, in other words.
fn repeated(
    files: &[SqlFile],
    replay: &Replay,
    ledger: &Ledger,
    conflicts: &[String],
) -> Vec<Finding> {
    let mut made: BTreeMap<(&'static str, String), Vec<(usize, Definition)>> = BTreeMap::new();
    for index in &replay.order {
        let Some(file) = files.get(*index) else { continue };
        for statement in &file.statements() {
            if let Some(definition) = Definition::of(statement) {
                let key = (definition.what, definition.name.clone());
                made.entry(key).or_default().push((*index, definition));
            }
        }
    }
    let mut findings = Vec::new();
    for ((what, name), all) in made {
        let (Some(first), Some(last)) = (all.first(), all.last()) else { continue };
        let in_files = all.iter().any(|(index, _)| *index != first.0);
        let same = all.iter().all(|(_, other)| other.is_same(&first.1));
        if !in_files || same || what == "table" && conflicts.contains(&name) {
            continue;
        }
        let wins = winner(&all, &name, replay, files);
        let certain = all.windows(2).all(|pair| match pair {
            [a, b] => is_certain(a.0, b.0, files, replay, ledger),
            _ => true,
        });
        findings.push(repetition(what, &name, &all, wins.unwrap_or(last.0), certain, files));
    }
    findings
}

/// The file whose words hold: the last one, but where it was told that the object is there.
fn winner(
    all: &[(usize, Definition)],
    name: &str,
    replay: &Replay,
    files: &[SqlFile],
) -> Option<usize> {
    let bare = name.split('(').next().unwrap_or(name).rsplit('.').next().unwrap_or(name);
    let skipped = |index: usize| {
        let said = format!("\"{bare}\"");
        let _file = files.get(index)?;
        replay.notices.iter().find(|(of, notice)| *of == index && notice.message().contains(&said))
    };
    all.iter().rev().map(|(index, _)| *index).find(|index| skipped(*index).is_none())
}

/// Whether nobody could run these two in another order.
fn is_certain(a: usize, b: usize, files: &[SqlFile], replay: &Replay, ledger: &Ledger) -> bool {
    let (Some(first), Some(second)) = (files.get(a), files.get(b)) else { return true };
    if a == b || ledger.entry(first).is_some() && ledger.entry(second).is_some() {
        return true;
    }
    let numbered = |file: &SqlFile| file.number();
    !replay.retried
        && first.directory == second.directory
        && numbered(first).zip(numbered(second)).is_some_and(|(a, b)| a < b)
}

fn repetition(
    what: &str,
    name: &str,
    all: &[(usize, Definition)],
    wins: usize,
    certain: bool,
    files: &[SqlFile],
) -> Finding {
    let severity = if certain { Severity::Note } else { Severity::Warning };
    let name_of = |index: usize| files.get(index).map_or("", |file| file.name.as_str());
    let mut names: Vec<&str> = all.iter().map(|(index, _)| name_of(*index)).collect();
    names.dedup();
    let message = format!(
        "{} files make {what} {name}, and not in the same words; that of {} holds",
        names.len(),
        name_of(wins)
    );
    let evidence: Vec<String> = all
        .iter()
        .map(|(index, definition)| {
            format!("{}:{}\n{}", name_of(*index), definition.line, definition.text)
        })
        .collect();
    let last = all.iter().rfind(|(index, _)| *index == wins).or(all.last());
    let place =
        last.and_then(|(index, definition)| Some(place(files.get(*index)?, definition.line)));
    Finding {
        place,
        evidence: evidence.join("\n\n"),
        impact: "The order in which the files run decides which of them holds.",
        fix: "keep one of them; write changes as `alter` or `create or replace` in a later file"
            .to_owned(),
        ..Finding::new("defined_twice", severity, &format!("{what} {name}"), message)
    }
}

/// Files against what a database has recorded.
fn recorded(files: &[SqlFile], ledger: &Ledger) -> Vec<Finding> {
    if ledger.name.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let numbered = || files.iter().filter(|file| !file.takes_back && file.version.is_some());
    for entry in &ledger.entries {
        if !numbered().any(|file| file.version.as_ref() == Some(&entry.version)) {
            let object = format!("{} {}", entry.version, entry.name).trim_end().to_owned();
            let message =
                format!("{object} was applied to the database, and no file has its number");
            findings.push(Finding {
                evidence: format!("a row of {}", ledger.name),
                impact: "A database that is built from the files lacks what it made.",
                fix: "get the file back from whoever applied it, as by `supabase db pull`; or remove the row".to_owned(),
                ..Finding::new("recorded_without_file", Severity::Error, &object, message)
            });
        }
    }
    for file in numbered() {
        match ledger.entry(file) {
            None => findings.push(Finding {
                evidence: format!("no row of {}", ledger.name),
                impact: "The database lacks what it makes, or somebody made it by hand.",
                fix: "apply it, as by `supabase db push`; or, where its effect is there, record it"
                    .to_owned(),
                ..Finding::new(
                    "file_not_recorded",
                    Severity::Warning,
                    &file.name,
                    format!("{} is not recorded as applied to the database", file.name),
                )
                .at(place(file, 1))
            }),
            Some(entry) => {
                if let Some(line) = entry.changed(file) {
                    findings.push(Finding {
                        evidence: format!("the column statements of {}", ledger.name),
                        impact: "Databases that applied it before differ from those that apply it now.",
                        fix: "put the file back as it was applied, and write the change as a new file".to_owned(),
                        ..Finding::new("edited_after_applied", Severity::Error, &file.name, format!(
                            "{} was changed after it was applied to the database", file.name
                        ))
                        .at(place(file, line))
                    });
                }
            }
        }
    }
    findings
}

fn rollbacks(files: &[SqlFile], replay: &Replay) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rollback in &replay.rollbacks {
        let (Some(up), Some(down)) = (files.get(rollback.up), files.get(rollback.down)) else {
            continue;
        };
        let (message, evidence) = match &rollback.outcome {
            Outcome::LeadsBack | Outcome::NotTried(_) => continue,
            Outcome::Fails { message, up: false } => (
                format!("{} does not run after {}: {message}", down.name, up.name),
                message.clone(),
            ),
            Outcome::Fails { message, up: true } => (
                format!("{} does not run again after {}: {message}", up.name, down.name),
                message.clone(),
            ),
            Outcome::Leaves { facts } => {
                let list: Vec<String> =
                    facts.iter().map(|fact| format!("{} {fact}", fact.kind.as_str())).collect();
                (
                    format!("{} does not lead back to what was before {}", down.name, up.name),
                    list.join("\n"),
                )
            }
        };
        findings.push(Finding {
            evidence,
            impact: "Whoever goes back gets a schema that no file describes.",
            fix: "let the file take back all that the other one does, in the opposite order"
                .to_owned(),
            ..Finding::new("rollback_does_not_lead_back", Severity::Error, &down.name, message)
                .at(place(down, 1))
        });
    }
    findings
}
