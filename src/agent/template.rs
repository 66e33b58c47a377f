//! One SQL file from which agents' tables are built.

use super::refusal::{self, Directives};
use super::script::Script;
use super::statement::{self, Statement};
use super::{AgentId, Prefix, TemplateError as Error};
use crate::checksum::checksum;

/// Sent last, and only where the reference is a foreign key.
pub(super) const FOREIGN_KEY: &str = "foreign_key.sql";

/// One file. `{prefix}` and `{agent_id}` are its only placeholders.
#[derive(Clone, Debug)]
pub struct Template {
    /// The number at the head of the file's name; an agent's version is that of its last file.
    pub version: i32,
    /// The file's name, for messages.
    pub name: String,
    text: String,
    /// The same as it runs in a transaction.
    sql: String,
    directives: Directives,
    /// Whether schema public is in the path while it runs.
    pub(super) public_path: bool,
}

impl Template {
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let number = name.split('_').next().and_then(|number| number.parse().ok());
        let version = match number {
            Some(version) if version > 0 => version,
            _ if name == FOREIGN_KEY => 0,
            _ => return Err(Error::Name(name.to_owned())),
        };
        let refuse = |(line, reason)| Error::Content { file: name.to_owned(), line, reason };
        let statements = statement::split(text);
        let directives = refusal::directives(text, &statements).map_err(refuse)?;
        let concurrent = directives.concurrent;
        if concurrent && version == 0 {
            let reason = "a foreign key cannot be added concurrently".to_owned();
            return Err(refuse((1, reason)));
        }
        refusal::check(text, &statements, concurrent).map_err(refuse)?;
        if version == 0 {
            refusal::check_foreign_key(&statements).map_err(refuse)?;
        }
        let mut sql = if concurrent { plain(text, &statements) } else { text.to_owned() };
        if !is_terminated(text, statements.last()) {
            sql.push_str("\n;"); // or it would run on into the next file
        }
        let (name, text) = (name.to_owned(), text.to_owned());
        Ok(Self { version, name, text, sql, directives, public_path: false })
    }

    /// Whether its statements build or drop indexes concurrently, which no transaction may.
    pub fn is_concurrent(&self) -> bool {
        self.directives.concurrent
    }

    /// The tables that it declares public, with `{prefix}`, each after its `file:line`.
    pub(super) fn public(&self) -> impl Iterator<Item = (String, String)> {
        let name = &self.name;
        self.directives
            .public
            .iter()
            .map(move |(line, table)| (format!("{name}:{line}"), table.clone()))
    }

    /// Each statement by itself as the file has it, CONCURRENTLY included; each may be repeated
    /// where [`Self::is_concurrent`].
    pub fn statements(&self, prefix: &Prefix, id: AgentId) -> Vec<String> {
        let statements = statement::split(&self.text);
        statements.iter().map(|statement| fill(statement.text, prefix, id)).collect()
    }

    /// The whole file for a transaction: indexes are built and dropped plainly.
    pub(super) fn render(&self, prefix: &Prefix, id: AgentId) -> Script {
        Script::of_file(&self.name, fill(&self.sql, prefix, id)).with_public_path(self.public_path)
    }

    /// By which a changed file is told from the one that was applied.
    pub(super) fn checksum(&self) -> String {
        checksum(&self.text)
    }
}

fn fill(text: &str, prefix: &Prefix, id: AgentId) -> String {
    text.replace("{prefix}", prefix.as_str()).replace("{agent_id}", &id.to_string())
}

/// The words that make the statements of a concurrent file repeatable are left out, each where it
/// stands, so that lines stay the same: for a new agent a name in the way is an error.
fn plain(text: &str, statements: &[Statement<'_>]) -> String {
    let mut sql = String::with_capacity(text.len());
    let mut from = 0;
    for statement in statements {
        sql.push_str(text.get(from..statement.at).unwrap_or_default());
        let mut rest = statement.text;
        let words: &[&str] = if statement.starts_with("drop") {
            &["concurrently"]
        } else {
            &["concurrently", "if", "not", "exists"]
        };
        for word in words {
            // Checked to be among the first words; each stands before the next.
            let Some(at) = find_word(rest, word) else { continue };
            sql.push_str(rest.get(..at).unwrap_or_default());
            rest = rest.get(at + word.len()..).unwrap_or_default();
        }
        sql.push_str(rest);
        from = statement.at + statement.text.len();
    }
    sql.push_str(text.get(from..).unwrap_or_default());
    sql
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let mut from = 0;
    text.split_whitespace().find_map(|found| {
        let at = from + text.get(from..)?.find(found)?;
        from = at + found.len();
        found.eq_ignore_ascii_case(word).then_some(at)
    })
}

fn is_terminated(text: &str, last: Option<&Statement<'_>>) -> bool {
    let rest = |last: &Statement<'_>| text.get(last.at + last.text.len()..).unwrap_or_default();
    last.is_none_or(|last| rest(last).trim_start().starts_with(';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_transaction_or_agent_can_have_is_refused_with_its_line() {
        let long = format!("create index {{prefix}}_{}_idx on t (a)", "x".repeat(40));
        let cases = [
            ("select 1;\nCOMMIT;", "2: commit is refused"),
            ("begin ;", "1: begin is refused"),
            ("\n\ncopy t from stdin;", "3: COPY with the client"),
            ("create table public.{prefx}_a ();", "1: {prefx} is no"),
            ("x;\ncreate or replace function f() begin atomic; end", "2: a function cannot be an"),
            ("create rule r as on insert to t do (a; b);", "1: a rule cannot be an"),
            ("\ncreate unique  INDEX Concurrently a on b (c)", "2: CONCURRENTLY is refused"),
            ("drop index concurrently a", "1: CONCURRENTLY is refused"),
            ("x;\n-- provisioner: concurrently\n", "2: the only such lines are"),
            ("-- provisioner: concurently\n", "1: the only such lines are"),
            ("x;\n-- provisioner: public notes", "2: the only such lines are"),
            ("-- provisioner: public public.{prefix}_notes", "1: the only such lines are"),
            ("-- provisioner: concurrently\ncreate index a on b (c)", "2: after `-- prov"),
            (
                "-- provisioner: concurrently\n\ncreate index concurrently a on b (c)",
                "3: after `-- prov",
            ),
            (
                "-- provisioner: concurrently\ndrop index concurrently if exists a, b",
                "2: after `-- prov",
            ),
            (&long, "1: {prefix}_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_idx is 2 bytes too long"),
            (
                "\ncreate type {prefix}_{agent_id}_xxxxxxxxxxxxxxxxxxxxxxx",
                "2: {prefix}_{agent_id}_",
            ),
        ];
        for (sql, expected) in cases {
            let error = Template::parse("0001_x.sql", sql).unwrap_err().to_string();
            assert!(error.starts_with(&format!("template 0001_x.sql:{expected}")), "{error}");
        }
        let brim = format!("create index {{prefix}}_{} on t (a)", "x".repeat(42));
        for fine in ["select '{}'::text[], '{\"a\": 1}'", "do $$ begin commit_it(); end $$", &brim]
        {
            assert!(Template::parse("0001_x.sql", fine).is_ok(), "{fine}");
        }
        assert!(Template::parse("crm.sql", "").is_err());
        assert!(Template::parse(FOREIGN_KEY, "-- provisioner: concurrently\n").is_err());
    }

    #[test]
    fn indexes_are_built_concurrently_for_agents_that_have_rows() {
        let text = "-- Why.\n-- provisioner: concurrently\n\
                    create index CONCURRENTLY\n  if not exists {prefix}_a on t (b);\n\
                    drop index concurrently if exists {prefix}_concurrently -- {agent_id}";
        let file = Template::parse("0002_x.sql", text).unwrap();
        let (prefix, id) = ("agt_6f78".parse().unwrap(), AgentId(7));
        assert!(file.is_concurrent());
        assert_eq!(
            file.statements(&prefix, id),
            [
                "create index CONCURRENTLY\n  if not exists agt_6f78_a on t (b)",
                "drop index concurrently if exists agt_6f78_concurrently -- 7"
            ]
        );
        let expected = "-- Why.\n-- provisioner: concurrently\ncreate index \n     agt_6f78_a on t (b);\n\
                        drop index  if exists agt_6f78_concurrently -- 7\n;\n";
        assert_eq!(file.render(&prefix, id).to_string(), expected);
    }

    proptest::proptest! {
        #[test]
        fn rendering_fills_in_and_changes_nothing_else(
            prefix in "[a-z][a-z0-9_]{1,19}", id in proptest::num::i64::ANY
        ) {
            let (prefix, id) = (prefix.parse::<Prefix>().unwrap(), AgentId(id));
            for template in crate::agent::Templates::from(None, &[]).unwrap().files() {
                let rendered = template.render(&prefix, id).to_string();
                let (own, filled) = (statement::split(&template.sql), statement::split(&rendered));
                proptest::prop_assert_eq!(own.len(), filled.len());
                for (own, filled) in own.iter().zip(filled) {
                    let text = own.text.replace("{prefix}", prefix.as_str());
                    proptest::prop_assert_eq!(text.replace("{agent_id}", &id.0.to_string()), filled.text);
                }
            }
        }
    }
}
