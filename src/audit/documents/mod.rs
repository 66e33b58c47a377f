//! What documents say of tables, against what is there.
//!
//! A Markdown table with a column for names and one for types, under a heading that names a table, is that table's
//! documentation. Lists under a heading that speaks of tables name tables.

mod columns;
mod defaults;
mod foreign_keys;
mod markdown;
mod mistake;
mod name;
mod types;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::agent_tables::AgentTables;
use super::finding::{Finding, Place, Severity};
use super::ignore::Ignores;
use super::links::{LEADS_NOWHERE, leads_nowhere};
use super::relations::{PREFIX, Relations, Table};
use super::similar::nearest;
use crate::sql_text::quoted;
use columns::Layout;
use markdown::{Block, Content, Phrase, Row};
use mistake::Mistake;
use name::Called;

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, not readable, or no text.
    #[error("cannot read {}", path.display())]
    Read {
        /// The document.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What was found in documents.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In the order of documents and lines; then what no document has.
    pub findings: Vec<Finding>,
    /// One sentence for each document that was not read.
    pub unchecked: Vec<String>,
    /// The comments of the documents that leave findings out.
    pub ignores: Ignores,
}

const WRONG: &str = "Whoever relies on the document is misled.";
const INCOMPLETE: &str = "Whoever reads the document does not learn of it.";

/// Compares Markdown files with a database and with one agent's tables. `ours` are the tables that this program makes, by
/// their names: a project need not describe them.
pub fn audit(
    documents: &[PathBuf],
    relations: &Relations,
    agents: &AgentTables,
    ours: &BTreeSet<String>,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    let mut auditor = Auditor::new(relations, agents, ours);
    for path in documents {
        if leads_nowhere(path) {
            outcome.unchecked.push(format!("{}: not read, as {LEADS_NOWHERE}", path.display()));
            continue;
        }
        let failed = |source| Error::Read { path: path.clone(), source };
        // What is no file, such as a pipe, could keep the audit waiting for ever.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        let bytes = fs::read(path).map_err(failed)?;
        let Ok(text) = String::from_utf8(bytes) else {
            outcome.unchecked.push(format!("{}: is not UTF-8, and was not read", path.display()));
            continue;
        };
        let file = path.to_string_lossy().replace('\\', "/");
        outcome.ignores.read(&file, markdown::comments(&text));
        auditor.document(&file, &markdown::read(&text));
    }
    auditor.undocumented();
    outcome.findings = auditor.findings;
    Ok(outcome)
}

struct Auditor<'r> {
    relations: &'r Relations,
    agents: &'r AgentTables,
    ours: &'r BTreeSet<String>,
    findings: Vec<Finding>,
    /// Whose columns are listed.
    documented: BTreeSet<String>,
    /// Every word in code, of all documents.
    words: BTreeSet<String>,
}

/// A part of a document under one heading.
struct Section<'d> {
    file: &'d str,
    /// The table that the heading names.
    called: Option<Called>,
    /// Whether it names it in code, and so means a name.
    in_code: bool,
    /// Whether it speaks of tables.
    lists_tables: bool,
}

impl<'r> Auditor<'r> {
    fn new(relations: &'r Relations, agents: &'r AgentTables, ours: &'r BTreeSet<String>) -> Self {
        let (documented, words) = (BTreeSet::new(), BTreeSet::new());
        Self { relations, agents, ours, findings: Vec::new(), documented, words }
    }

    fn document(&mut self, file: &str, blocks: &[Block]) {
        let mut section = Section { file, called: None, in_code: false, lists_tables: false };
        for Block { line, content } in blocks {
            match content {
                Content::Heading(heading) => {
                    self.note(heading);
                    let text = heading.text().to_lowercase();
                    let mut words = text.split(|c: char| !c.is_alphanumeric());
                    section = Section {
                        file,
                        called: Called::of_heading(heading),
                        in_code: heading.code().next().is_some(),
                        lists_tables: words.any(|word| word == "tables"),
                    };
                }
                Content::Paragraph(paragraph) => {
                    self.note(paragraph);
                    self.paragraph(&section, *line, paragraph);
                }
                Content::Item(item) => {
                    self.note(item);
                    if section.lists_tables {
                        self.listed(
                            &section,
                            *line,
                            item,
                            item.text().starts_with(item.code().next().unwrap_or("\0")),
                        );
                    }
                }
                Content::Table { head, rows } => self.table(&section, *line, head, rows),
            }
        }
    }

    fn note(&mut self, phrase: &Phrase) {
        self.words.extend(phrase.code().map(ToOwned::to_owned));
    }

    fn table(&mut self, section: &Section<'_>, line: usize, head: &[Phrase], rows: &[Row]) {
        rows.iter().flat_map(|row| &row.cells).for_each(|cell| self.note(cell));
        let first = head.first().map(|cell| cell.text().to_lowercase()).unwrap_or_default();
        if ["table", "tables", "table name", "relation"].contains(&first.as_str()) {
            for row in rows {
                row.cells
                    .first()
                    .into_iter()
                    .for_each(|cell| self.listed(section, row.line, cell, true));
            }
            return;
        }
        let (Some(layout), Some(called)) = (Layout::of(head), &section.called) else { return };
        match called.table(self.relations, self.agents) {
            Some(table) => self.columns(section.file, &layout, table, rows),
            // The fields of a request are listed so, too.
            None if section.in_code || layout.is_sql(rows) => {
                self.missing(section.file, line, called);
            }
            None => {}
        }
    }

    /// A name in a list of tables. Without code it may be any word.
    fn listed(&mut self, section: &Section<'_>, line: usize, phrase: &Phrase, is_name: bool) {
        let Some(called) = Called::of_beginning(phrase) else { return };
        match called.table(self.relations, self.agents) {
            Some(table) => {
                self.documented.insert(table.name.to_string());
            }
            None if is_name => self.missing(section.file, line, &called),
            None => {}
        }
    }

    fn missing(&mut self, file: &str, line: usize, called: &Called) {
        let names: Vec<&str> = self
            .relations
            .tables()
            .chain(self.agents.tables())
            .map(|table| table.name.name.as_str())
            .collect();
        let object = called.shown();
        let fix = nearest(&called.name, names).map_or_else(
            || "Take the table out of the document, or create it in a migration.".to_owned(),
            |near| format!("Did you mean `{near}`? If not, take the table out of the document, or create it."),
        );
        let message = format!("The document describes {object}, and there is no such table.");
        let mistake = Mistake { kind: "document_unknown_table", object, message, fix };
        self.add(Severity::Warning, WRONG, Some((file, line)), mistake);
    }

    fn columns(&mut self, file: &str, layout: &Layout, table: &Table, rows: &[Row]) {
        self.documented.insert(table.name.to_string());
        let mut listed = BTreeSet::new();
        for row in rows {
            let Some(name) = row.cells.first().and_then(column_name) else { continue };
            let at = Some((file, row.line));
            let Some(column) = table.columns.iter().find(|column| column.name == name) else {
                let mistake = unknown_column(table, &name);
                self.add(Severity::Warning, WRONG, at, mistake);
                continue;
            };
            listed.insert(name);
            for mistake in layout.mistakes(row, table, column) {
                self.add(Severity::Warning, WRONG, at, mistake);
            }
        }
        let line = rows.first().map_or(1, |row| row.line);
        for column in table.columns.iter().filter(|column| !listed.contains(&column.name)) {
            let object = format!("{}.{}", table.name, quoted(&column.name));
            let message = format!("The document does not list {object}.");
            let fix = format!("Add `{}` of type `{}` to the document.", column.name, column.r#type);
            let mistake = Mistake { kind: "undocumented_column", object, message, fix };
            self.add(Severity::Warning, INCOMPLETE, Some((file, line)), mistake);
        }
    }

    /// Sentences about foreign keys.
    fn paragraph(&mut self, section: &Section<'_>, line: usize, paragraph: &Phrase) {
        let Some(called) = &section.called else { return };
        let Some(table) = called.table(self.relations, self.agents) else { return };
        for mistake in foreign_keys::mistakes(paragraph, table) {
            self.add(Severity::Warning, WRONG, Some((section.file, line)), mistake);
        }
    }

    /// Where most tables of a schema are documented, the others are to be.
    fn undocumented(&mut self) {
        let of_agents = self.agents.tables();
        let schemas: BTreeSet<&str> =
            self.relations.tables().map(|it| it.name.schema.as_str()).collect();
        let own = |table: &&Table| {
            !table.is_partition
                && !table.is_extension
                && self.agents.named(&table.name).is_none()
                && !self.ours.contains(&table.name.to_string())
        };
        let mut groups: Vec<Vec<&Table>> = schemas
            .into_iter()
            .map(|schema| {
                self.relations.tables().filter(|it| it.name.schema == schema).filter(own).collect()
            })
            .collect();
        groups.push(of_agents.collect());
        for group in groups {
            let named = |table: &&Table| self.is_named(table);
            let begun = group.iter().any(|table| self.documented.contains(&table.name.to_string()));
            let left: Vec<&Table> = group.iter().copied().filter(|table| !named(table)).collect();
            if begun && left.len() * 2 <= group.len() {
                for table in left {
                    let object = table.name.to_string();
                    let message = format!("No document names {object}.");
                    let fix = "Describe the table in a document.".to_owned();
                    let mistake = Mistake { kind: "undocumented_table", object, message, fix };
                    self.add(Severity::Note, INCOMPLETE, None, mistake);
                }
            }
        }
    }

    /// Whether some word in code is the table's name; `…` and `*` stand for anything.
    fn is_named(&self, table: &Table) -> bool {
        let (whole, name) = (table.name.to_string(), table.name.name.as_str());
        let fits = |word: &String| {
            let parts = word.split_once(['…', '*']);
            parts.is_some_and(|(head, tail)| {
                !(head.is_empty() && tail.is_empty())
                    && name.starts_with(head)
                    && name.ends_with(tail)
            })
        };
        self.documented.contains(&whole)
            || self.words.contains(&whole)
            || self.words.contains(name)
            || name.starts_with(PREFIX)
                && self
                    .words
                    .iter()
                    .any(|word| Called::read(word).is_some_and(|it| it.name == name))
            || self.words.iter().any(fits)
    }

    fn add(
        &mut self,
        severity: Severity,
        impact: &'static str,
        at: Option<(&str, usize)>,
        mistake: Mistake,
    ) {
        let Mistake { kind, object, message, fix } = mistake;
        let mut finding = Finding::new(kind, severity, &object, message);
        if let Some((file, line)) = at {
            finding = finding.at(Place { file: file.to_owned(), line });
        }
        finding.impact = impact;
        finding.fix = fix;
        self.findings.push(finding);
    }
}

fn unknown_column(table: &Table, name: &str) -> Mistake {
    let columns = table.columns.iter().map(|column| column.name.as_str());
    let fix = nearest(name, columns).map_or_else(
        || "Take the column out of the document, or add it in a migration.".to_owned(),
        |near| format!("Did you mean `{near}`?"),
    );
    let object = format!("{}.{}", table.name, quoted(name));
    let message = format!("The document lists {object}, and there is no such column.");
    Mistake { kind: "document_unknown_column", object, message, fix }
}

/// The name in a row's first cell: its only word in code, or its only word.
fn column_name(cell: &Phrase) -> Option<String> {
    let text = cell.text();
    let code: Vec<&str> = cell.code().collect();
    let name = match code.as_slice() {
        [only] => *only,
        [] => text.as_str(),
        _ => return None,
    };
    Called::read(name).filter(|it| it.schema.is_none()).map(|it| it.name)
}
