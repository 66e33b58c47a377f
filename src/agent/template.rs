//! The SQL files from which an agent's tables are built.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::statement::{self, Statement};
use super::{AgentId, Prefix, Reference};

/// One file. `{prefix}` and `{agent_id}` are its only placeholders.
#[derive(Clone, Debug)]
pub struct Template {
    /// The number at the head of the file's name; an agent's version is that of its last file.
    pub version: i32,
    /// The file's name, for messages.
    pub name: String,
    sql: String,
}

/// The numbered files in order, and what ties an agent's tables to `agents`.
#[derive(Clone, Debug)]
pub struct Templates {
    files: Vec<Template>,
    foreign_key: Option<Template>,
}

/// A template set that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory or a file in it cannot be read.
    #[error("cannot read templates at {path}")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Nothing in the directory is a template.
    #[error("no template in {0}: name the first file 0001_something.sql")]
    Empty(PathBuf),
    /// A file's name has no number, or one that another file has.
    #[error("template {0}: its name must be NNNN_name.sql, with a number no other file has")]
    Name(String),
    /// Something in a file would break the transaction or would not be filled in.
    #[error("template {file}:{line}: {reason}")]
    Content {
        /// The file's name.
        file: String,
        /// From 1.
        line: usize,
        /// What is wrong and how to mend it.
        reason: String,
    },
}

/// Sent last, and only where the reference is a foreign key.
const FOREIGN_KEY: &str = "foreign_key.sql";

impl Templates {
    /// The operator's own set where one is configured, the built-in one otherwise.
    pub fn from(directory: Option<&Path>) -> Result<Self, Error> {
        directory.map_or_else(Self::builtin, Self::load)
    }

    /// The documented four tables.
    pub fn builtin() -> Result<Self, Error> {
        let crm = Template::parse("0001_crm.sql", include_str!("../../sql/agent/0001_crm.sql"))?;
        let key = include_str!("../../sql/agent/foreign_key.sql");
        Ok(Self { files: vec![crm], foreign_key: Some(Template::parse(FOREIGN_KEY, key)?) })
    }

    /// An operator's own set: every `.sql` file of the directory.
    pub fn load(directory: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| Error::Read { path, source }
        };
        let mut set = Self { files: Vec::new(), foreign_key: None };
        for entry in fs::read_dir(directory).map_err(failed(directory))? {
            let path = entry.map_err(failed(directory))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let template =
                Template::parse(name, &fs::read_to_string(&path).map_err(failed(&path))?)?;
            if name == FOREIGN_KEY {
                set.foreign_key = Some(template);
            } else {
                set.files.push(template);
            }
        }
        set.files.sort_by_key(|file| file.version);
        if let Some(twice) = set.files.windows(2).find_map(|pair| match pair {
            [a, b] if a.version == b.version => Some(b.name.clone()),
            _ => None,
        }) {
            return Err(Error::Name(twice));
        }
        if set.files.is_empty() { Err(Error::Empty(directory.to_owned())) } else { Ok(set) }
    }

    /// The version that a new agent gets: the highest number.
    pub fn version(&self) -> i32 {
        self.files.last().map_or(0, |file| file.version)
    }

    /// The numbered files, in order.
    pub(super) fn files(&self) -> &[Template] {
        &self.files
    }

    /// What ties an agent's tables to `agents`.
    pub(super) fn foreign_key(&self) -> Option<&Template> {
        self.foreign_key.as_ref()
    }

    /// Everything that a new agent needs, the foreign key (if any) last.
    ///
    /// Last, because it locks `agents` against writers until the commit.
    pub fn render(&self, prefix: &Prefix, id: AgentId, reference: Reference) -> String {
        let key = self.foreign_key.iter().filter(|_| reference == Reference::ForeignKey);
        let mut sql = String::new();
        for template in self.files.iter().chain(key) {
            sql.push_str(&template.render(prefix, id));
            sql.push('\n');
        }
        sql
    }
}

impl Template {
    fn parse(name: &str, sql: &str) -> Result<Self, Error> {
        let number = name.split('_').next().and_then(|number| number.parse().ok());
        let version = match number {
            Some(version) if version > 0 => version,
            _ if name == FOREIGN_KEY => 0,
            _ => return Err(Error::Name(name.to_owned())),
        };
        let refuse = |line, reason| Error::Content { file: name.to_owned(), line, reason };
        for statement in statement::split(sql) {
            if let Some(reason) = breaks_transaction(&statement) {
                return Err(refuse(statement.line, reason));
            }
        }
        if let Some((line, unknown)) = unknown_placeholder(sql) {
            let reason = format!("{unknown} is no placeholder: {{prefix}} and {{agent_id}} are");
            return Err(refuse(line, reason));
        }
        Ok(Self { version, name: name.to_owned(), sql: sql.to_owned() })
    }

    pub(super) fn render(&self, prefix: &Prefix, id: AgentId) -> String {
        self.sql.replace("{prefix}", prefix.as_str()).replace("{agent_id}", &id.to_string())
    }
}

/// Transaction control would commit half an agent; COPY from the client kills the connection.
fn breaks_transaction(statement: &Statement<'_>) -> Option<String> {
    const CONTROL: [&str; 10] = [
        "begin",
        "start transaction",
        "commit",
        "end",
        "rollback",
        "abort",
        "savepoint",
        "release",
        "prepare transaction",
        "set transaction",
    ];
    if let Some(words) = CONTROL.iter().find(|words| statement.starts_with(words)) {
        return Some(format!("{words} is refused: an agent is built in one transaction"));
    }
    let upper = statement.text.to_ascii_uppercase();
    let from_client = upper.split_whitespace().any(|word| word == "STDIN" || word == "STDOUT");
    (statement.starts_with("copy") && from_client)
        .then(|| "COPY with the client is refused: use INSERT".to_owned())
}

fn unknown_placeholder(sql: &str) -> Option<(usize, String)> {
    for (number, line) in sql.lines().enumerate() {
        for piece in line.split('{').skip(1) {
            let Some((name, _)) = piece.split_once('}') else { continue };
            let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if is_name && name != "prefix" && name != "agent_id" {
                return Some((number + 1, format!("{{{name}}}")));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_the_transaction_is_refused_with_its_line() {
        let cases = [
            ("select 1;\nCOMMIT;", "template 0001_x.sql:2: commit is refused"),
            ("begin ;", "template 0001_x.sql:1: begin is refused"),
            ("\n\ncopy t from stdin;", "template 0001_x.sql:3: COPY with the client"),
            ("create table public.{prefx}_a ();", "template 0001_x.sql:1: {prefx} is no"),
        ];
        for (sql, expected) in cases {
            let error = Template::parse("0001_x.sql", sql).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        for fine in ["select '{}'::text[], '{\"a\": 1}'", "do $$ begin commit_it(); end $$"] {
            assert!(Template::parse("0001_x.sql", fine).is_ok(), "{fine}");
        }
        assert!(Template::parse("crm.sql", "").is_err());
    }

    #[test]
    fn the_foreign_key_comes_last_and_only_when_asked_for() {
        let (prefix, id) = ("agt_6f78".parse().unwrap(), AgentId(7));
        let set = Templates::builtin().unwrap();
        let keyed = set.render(&prefix, id, Reference::ForeignKey);
        let checked = set.render(&prefix, id, Reference::Check);
        assert!(keyed.starts_with(&checked));
        assert!(keyed.contains("agt_6f78_customers_agent_id_fkey"));
        assert!(!keyed.contains('{'), "a placeholder survived");
    }
}
