//! One SQL file from which agents' tables are built.

use std::collections::BTreeSet;

use super::directives::Directives;
use super::lint;
use super::load_error::LoadError;
use super::placeholders::{fill, sample};
use super::refusal::Refusal;
use super::script::Script;
use super::settings;
use crate::agent::{AgentId, Prefix};
use crate::sql_text::{self, IndexStatement, checksum};

/// Sent last, and only where the reference is a foreign key.
pub(crate) const FOREIGN_KEY: &str = "foreign_key.sql";

/// One file. `{prefix}` and `{agent_id}` are its only placeholders.
#[derive(Clone, Debug)]
pub struct Template {
    /// The number at the head of the file's name; an agent's version is that of its last file.
    pub version: i32,
    /// The file's name, for messages.
    pub name: String,
    text: String,
    directives: Directives,
    /// What it sets for the transaction, by name. It holds until the file ends.
    settings: BTreeSet<String>,
    /// Whether its last statement has its semicolon.
    terminated: bool,
    /// Whether schema public is in the path while it runs.
    pub(crate) public_path: bool,
}

impl Template {
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, LoadError> {
        let version = Self::require_name(name)?;
        // Some tokens are whole only once they are filled in.
        let filled = sample(text);
        let refuse = |(line, reason)| LoadError::Content { file: name.to_owned(), line, reason };
        let (directives, settings) = examine(&filled, version == 0).map_err(refuse)?;
        let terminated = sql_text::is_terminated(&filled);
        let (name, text) = (name.to_owned(), text.to_owned());
        Ok(Self { version, name, text, directives, settings, terminated, public_path: false })
    }

    /// The number of a file of that name; 0 for the one with the foreign key.
    pub(crate) fn require_name(name: &str) -> Result<i32, LoadError> {
        if name == FOREIGN_KEY {
            return Ok(0);
        }
        version(name).ok_or_else(|| LoadError::Name(name.to_owned()))
    }

    /// Whether its statements build or drop indexes concurrently, which no transaction may.
    pub fn is_concurrent(&self) -> bool {
        self.directives.concurrent
    }

    /// The file as it is.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The tables that it declares public, with `{prefix}`, each after its `file:line`.
    pub(crate) fn public(&self) -> impl Iterator<Item = (String, String)> {
        let name = &self.name;
        self.directives
            .public
            .iter()
            .map(move |(line, table)| (format!("{name}:{line}"), table.clone()))
    }

    /// Each statement by itself as the file has it, CONCURRENTLY included; each may be repeated
    /// where [`Self::is_concurrent`].
    pub fn statements(&self, prefix: &Prefix, id: AgentId) -> Vec<String> {
        let filled = fill(&self.text, prefix.as_str(), &id.to_string());
        sql_text::split(&filled).iter().map(|statement| statement.text.to_owned()).collect()
    }

    /// The indexes that it builds or drops concurrently, each after its `file:line`.
    pub(crate) fn indexes(&self, prefix: &Prefix, id: AgentId) -> Vec<(String, IndexStatement)> {
        if !self.is_concurrent() {
            return Vec::new();
        }
        let filled = fill(&self.text, prefix.as_str(), &id.to_string());
        let statements = sql_text::split(&filled);
        let index = |statement: &sql_text::Statement<'_>| {
            let at = format!("{}:{}", self.name, statement.line);
            IndexStatement::read(statement.text).map(|index| (at, index))
        };
        statements.iter().filter_map(index).collect()
    }

    /// The whole file for a transaction: indexes are built and dropped plainly.
    pub(crate) fn render(&self, prefix: &Prefix, id: AgentId) -> Script {
        let mut sql = fill(&self.text, prefix.as_str(), &id.to_string());
        if self.is_concurrent() {
            sql = plain(&sql);
        }
        if !self.terminated {
            sql.push_str("\n;"); // or it would run on into the next file
        }
        Script::of_file(&self.name, sql)
            .with_public_path(self.public_path)
            .with_settings(&self.settings)
    }

    /// By which a changed file is told from the one that was applied.
    pub(crate) fn checksum(&self) -> String {
        checksum(&self.text)
    }
}

/// Of `NNNN_name.sql`.
fn version(name: &str) -> Option<i32> {
    let (number, rest) = name.split_once('_')?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let named = rest.strip_suffix(".sql").is_some_and(|rest| !rest.is_empty());
    number.parse().ok().filter(|version| digits && named && *version > 0)
}

fn examine(filled: &str, foreign_key: bool) -> Result<(Directives, BTreeSet<String>), Refusal> {
    let statements = sql_text::split(filled);
    let directives = Directives::read(filled)?;
    if directives.concurrent && foreign_key {
        return Err((1, "a foreign key cannot be added concurrently".to_owned()));
    }
    lint::check(filled, &statements, directives.concurrent)?;
    let settings = settings::check(&statements)?;
    if foreign_key {
        lint::check_foreign_key(&statements)?;
    } else {
        lint::check_numbered(&statements)?;
    }
    Ok((directives, settings))
}

/// The statements of a concurrent file for a transaction. What stands around them stays, and so do lines.
fn plain(filled: &str) -> String {
    let (mut sql, mut from) = (String::with_capacity(filled.len()), 0);
    for statement in sql_text::split(filled) {
        sql.push_str(filled.get(from..statement.at).unwrap_or_default());
        let index = IndexStatement::read(statement.text);
        sql +=
            &index.map_or_else(|| statement.text.to_owned(), |index| index.plain(statement.text));
        from = statement.at + statement.text.len();
    }
    sql + filled.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql_text::FOUND;

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
            ("commit/* x */", "1: commit is refused"),
            ("-- done\rCommit", "2: commit is refused"),
            ("/* /* */ */ rollback--", "1: rollback is refused"),
            ("prepare/**/transaction $$x$$", "1: prepare transaction is refused"),
            ("SET LOCAL transaction read only", "1: set local transaction is refused"),
            ("copy t from /* c */ STDIN(format csv)", "1: COPY with the client"),
            ("select {prefix}E'\\'; commit; --'", "1: commit is refused"),
            ("do ${prefix}$ begin; ${prefix}$; commit", "1: commit is refused"),
            ("create /* x */ function f() begin atomic; end", "1: a function cannot be an"),
            ("x;\n\\restrict abc\nset a = 1", "2: commands of psql's"),
            ("\nset a = 1;\nreset all", "2: a setting of the session"),
            ("listen x", "1: listen is refused"),
            ("prepare x as select 1", "1: prepare is refused"),
            ("alter role current_user set a = 1", "1: alter role is refused"),
            ("alter default privileges grant select on tables to anon", "1: default privileges"),
            ("x;\nselect 'a", "2: the quotation that begins here"),
            ("x;\n/* a", "2: the comment that begins here"),
            ("create index on \"{x}\" (a)", "1: {x} is no placeholder"),
            ("create table a (\n b bigint REFERENCES Public.\"agents\")", "2: a foreign key to"),
            ("alter table a add foreign key (a) references agents", "1: a foreign key to"),
            ("--provisioner: concurrently", "1: the only such lines are"),
            (
                "-- provisioner: concurrently\ndrop index concurrently if exists a cascade",
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
        for fine in [
            "select '{}'::text[], '{\"a\": 1}', '{x}' -- {x}",
            "do $$ begin commit_it(); end $$",
            "select 'commit' /* ; commit; */ -- ; commit",
            "/*\n-- provisioner: nothing\n*/ select '\n-- provisioner: nothing'",
            "select 1 as \"agents references agents\"; create table {prefix}_a (a int references {prefix}_agents)",
            "set local a.b = 1; set constraints all deferred",
            &brim,
        ] {
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
                "drop index concurrently if exists agt_6f78_concurrently"
            ]
        );
        let expected = "-- Why.\n-- provisioner: concurrently\ncreate index \n     agt_6f78_a on t (b);\n\
                        drop index  if exists agt_6f78_concurrently -- 7\n;\n";
        assert_eq!(file.render(&prefix, id).to_string(), expected);
    }

    #[test]
    fn loading_is_linear_in_the_number_of_statements() {
        let found = |count: usize| {
            let statement = "insert into public.{prefix}_t values ('a;b'); -- ;\n";
            let before = FOUND.get();
            let file = Template::parse("0002_x.sql", &statement.repeat(count)).unwrap();
            let script = file.render(&"agt_a".parse().unwrap(), AgentId(7));
            assert_eq!(script.places().len(), count);
            FOUND.get() - before
        };
        let (few, many) = (found(500), found(50_000));
        assert!(
            many <= few * 101,
            "{few} tokens were looked at, and {many} for 100 times the text"
        );
    }

    proptest::proptest! {
        #[test]
        fn rendering_fills_in_and_changes_nothing_else(
            prefix in "[a-z][a-z0-9_]{1,19}", id in proptest::num::i64::ANY
        ) {
            let (prefix, id) = (prefix.parse::<Prefix>().unwrap(), AgentId(id));
            for template in crate::templates::Templates::from(None, &[]).unwrap().files() {
                let rendered = template.render(&prefix, id).to_string();
                let (own, filled) = (sql_text::split(&template.text), sql_text::split(&rendered));
                proptest::prop_assert_eq!(own.len(), filled.len());
                for (own, filled) in own.iter().zip(filled) {
                    let text = own.text.replace("{prefix}", prefix.as_str());
                    proptest::prop_assert_eq!(text.replace("{agent_id}", &id.0.to_string()), filled.text);
                }
            }
        }
    }
}
