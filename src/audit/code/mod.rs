//! What JavaScript and TypeScript ask of the database, against what is there.
//!
//! A name is certain where it is a literal or a constant, templated where a part of it is known only when the program runs,
//! and unresolved where all of it is. Only certain names are errors. Those that are unresolved are listed as unchecked.

mod check;
mod component;
mod enum_values;
mod error;
mod files;
mod findings;
mod function;
mod grammar;
mod literals;
mod lookup;
mod module;
mod nesting;
mod project;
mod receiver;
mod relationship;
mod text;
mod uses;

use std::path::{Path, PathBuf};
use std::{fs, panic, thread};

use super::agent_tables::AgentTables;
use super::finding::Finding;
use super::ignore::Ignores;
use super::relations::Relations;
use check::Checker;
pub use error::Error;
use files::File;
use findings::Findings;
use lookup::Lookup;
use module::{Context, Module, SyntaxError};
use project::Project;
use uses::Use;

/// What was found in code.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In the order of files and lines.
    pub findings: Vec<Finding>,
    /// One sentence for each thing that was not looked at.
    pub unchecked: Vec<String>,
    /// The comments of the sources that leave findings out.
    pub ignores: Ignores,
}

/// Compares the sources below the directories with a database and with one agent's tables.
///
/// Passes over installed packages and what a build makes. A file that cannot be parsed, or that is nested too deep, is
/// unchecked.
pub fn audit(
    directories: &[PathBuf],
    relations: &Relations,
    agents: &AgentTables,
) -> Result<Outcome, Error> {
    thread::scope(|scope| {
        let reads = thread::Builder::new().stack_size(nesting::STACK);
        let reads = reads.spawn_scoped(scope, || read_all(directories, relations, agents));
        reads.map_err(Error::Thread)?.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

fn read_all(
    directories: &[PathBuf],
    relations: &Relations,
    agents: &AgentTables,
) -> Result<Outcome, Error> {
    let found = files::find(directories)?;
    let project = Project::new(&found.sources, Module::exports_of);
    let mut unchecked = found.unchecked;
    let (mut uses, mut schemas) = (Vec::new(), vec!["public".to_owned()]);
    let mut ignores = Ignores::default();
    for file in &found.sources {
        match read(file, &project, &mut ignores) {
            Ok((of_file, clients)) => {
                uses.extend(of_file.into_iter().map(|use_| (file, use_)));
                schemas.extend(clients);
            }
            Err(reason) => unchecked.push(reason),
        }
    }
    let lookup = Lookup { relations, agents };
    let mut checker = Checker { lookup, schemas, findings: Findings::default(), unchecked };
    for (file, use_) in &uses {
        checker.check(&file.shown, use_);
    }
    let Checker { findings, unchecked, .. } = checker;
    Ok(Outcome { findings: findings.finish(), unchecked, ignores })
}

/// What a file asks for, and the schemas of the clients that it makes; or why it cannot be read.
fn read(
    file: &File,
    project: &Project<'_>,
    ignores: &mut Ignores,
) -> Result<(Vec<Use>, Vec<String>), String> {
    let text = text_of(&file.path).map_err(|reason| format!("{}: {reason}", file.shown))?;
    let found = Module::read(&file.path, &text, |module| {
        ignores.read(&file.shown, module.comments());
        let context = Context::new(project);
        let schemas = uses::client_schemas(module, context);
        (uses::find(module, context), schemas.into_iter().collect())
    });
    found.map_err(|SyntaxError { line, message }| {
        format!("{}:{line}: cannot be parsed: {message}", file.shown)
    })
}

fn text_of(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|_not_text| "is not UTF-8, and was not read".to_owned())
}
