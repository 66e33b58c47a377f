//! What the text of a file says that it makes, and where.

use super::files::SqlFile;
use crate::schema::{Fact, Kind};
use crate::sql_text::{self, Reader, Statement, Token};

/// A statement that makes something, and what that is by the words of the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// As `create` calls it: `table`, `function`…
    pub(super) what: &'static str,
    /// Qualified, without quotes; of a function with its arguments, of a policy or trigger after its table.
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) text: String,
}

const WHAT: [&str; 11] = [
    "table",
    "view",
    "function",
    "procedure",
    "type",
    "domain",
    "policy",
    "trigger",
    "index",
    "sequence",
    "publication",
];
/// Words that may stand between `create` and what it makes.
const BEFORE: [&str; 9] = [
    "or",
    "replace",
    "unlogged",
    "materialized",
    "unique",
    "constraint",
    "recursive",
    "event",
    "global",
];

impl Definition {
    /// What a statement makes by its own words. Nothing of what it makes by executing a text.
    pub(super) fn of(statement: &Statement<'_>) -> Option<Self> {
        let mut rest = Reader::new(statement.text);
        if !rest.words("create") {
            return None;
        }
        while let Some(next) = rest.peek() {
            if !BEFORE.iter().any(|word| next.is(word)) {
                break;
            }
            rest.next();
        }
        let next = rest.next()?;
        let what = *WHAT.iter().find(|word| next.is(word))?;
        rest.words("concurrently");
        rest.words("if not exists");
        let name = match what {
            "policy" | "trigger" => {
                let own = rest.name()?;
                for token in rest.by_ref() {
                    if token.is("on") {
                        break;
                    }
                }
                format!("{}.{own}", public(rest.qualified()?))
            }
            "function" | "procedure" => {
                let own = public(rest.qualified()?);
                format!("{own}({})", arguments(&mut rest))
            }
            "publication" => rest.name()?,
            "index" if rest.peek()?.is("on") => return None,
            "index" => index(&mut rest)?,
            _ => public(rest.qualified()?),
        };
        Some(Self { what, name, line: statement.line, text: statement.text.to_owned() })
    }

    /// The same words, whatever stands between them.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        words(&self.text).eq(words(&other.text))
    }
}

/// In the schema of its table.
fn index(rest: &mut Reader<'_>) -> Option<String> {
    let name = rest.name()?;
    rest.words("on");
    rest.words("only");
    let table = public(rest.qualified()?);
    let schema = table.split_once('.').map_or("public", |(schema, _)| schema);
    Some(format!("{schema}.{name}"))
}

/// A qualified name without quotes. Without a schema it is one of `public`.
pub(super) fn public(mut parts: Vec<String>) -> String {
    if parts.len() == 1 {
        parts.insert(0, "public".to_owned());
    }
    parts.join(".")
}

/// The words between the brackets, without defaults.
fn arguments(rest: &mut Reader<'_>) -> String {
    let (mut depth, mut words, mut default) = (0_usize, Vec::new(), false);
    for token in rest {
        if token.is_mark('(') {
            depth += 1;
            if depth == 1 {
                continue;
            }
        } else if token.is_mark(')') {
            depth -= 1;
            if depth == 0 {
                break;
            }
        } else if depth == 1 && token.is_mark(',') {
            default = false;
        } else if token.is("default") || token.is_mark('=') {
            default = true;
        }
        if !default {
            words.push(token.text.to_ascii_lowercase());
        }
    }
    words.join(" ")
}

/// In any case, and without the words that only say what to do if it is there.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let skipped = ["or", "replace", "if", "not", "exists"];
    let mut head = true;
    sql_text::tokens(text).filter(|token| !token.is_blank()).filter_map(move |token| {
        head &= !token.is_mark('(');
        if head && skipped.iter().any(|word| token.is(word)) {
            return None;
        }
        let is_word = token.kind == sql_text::Kind::Word;
        Some(if is_word { token.text.to_ascii_lowercase() } else { token.text.replace('\r', "") })
    })
}

/// The statement of a file that most likely made a fact: that names it, and does what makes such a thing.
pub(super) fn line_of(fact: &Fact, file: &SqlFile) -> usize {
    let statements = file.statements();
    let scored = statements.iter().map(|statement| (score(fact, statement), statement.line));
    // Of two the later: it wins.
    let best = scored.max_by_key(|(score, line)| (*score, *line));
    best.filter(|(score, _)| *score > 0)
        .map_or_else(|| statements.first().map_or(1, |first| first.line), |(_, line)| line)
}

fn score(fact: &Fact, statement: &Statement<'_>) -> u32 {
    let bare = |name: &str| {
        let last = name.split('(').next().unwrap_or(name).rsplit('.').next().unwrap_or(name);
        last.trim_matches('"').replace("\"\"", "\"")
    };
    let tokens: Vec<Token<'_>> = statement.tokens().collect();
    let mentions = |name: &str| {
        let name = bare(name);
        !name.is_empty()
            && tokens.iter().any(|token| match sql_text::name(token) {
                Some(word) => word == name,
                None => token.kind == sql_text::Kind::Text && token.text.contains(&name),
            })
    };
    let named = u32::from(mentions(&fact.relation)) * 2 + u32::from(mentions(&fact.part)) * 4;
    if named == 0 {
        return 0;
    }
    let heads = heads(fact.kind);
    let is_head = heads.iter().any(|head| statement.starts_with(head));
    // A name that the server has given stands nowhere: then most likely the table's own statement made it.
    let table = statement.starts_with("create table") && fact.kind != Kind::RowSecurity;
    named + u32::from(is_head) * 8 + u32::from(is_head && table)
}

/// How statements begin that make facts of a kind.
fn heads(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Table => &["create table", "create unlogged table"],
        Kind::Index => &["create index", "create unique index"],
        Kind::Policy => &["create policy", "alter policy"],
        Kind::Trigger => {
            &["create trigger", "create constraint trigger", "create or replace trigger"]
        }
        Kind::Function => {
            &["create function", "create or replace function", "create or replace procedure"]
        }
        Kind::View => &["create view", "create or replace view", "create materialized view"],
        Kind::Type => &["create type", "alter type", "create domain"],
        Kind::Grant | Kind::ColumnGrant => &["grant", "revoke"],
        Kind::Comment => &["comment"],
        Kind::Publication | Kind::PublicationOptions => {
            &["create publication", "alter publication"]
        }
        Kind::Schema => &["create schema"],
        Kind::Column | Kind::Default | Kind::Constraint | Kind::RowSecurity => {
            &["alter table", "create table"]
        }
        Kind::Extension
        | Kind::Sequence
        | Kind::Identity
        | Kind::ColumnStorage
        | Kind::ColumnCompression
        | Kind::ColumnStatistics
        | Kind::ColumnOptions
        | Kind::IndexParameter
        | Kind::IndexStatistics
        | Kind::Cluster
        | Kind::ReplicaIdentity
        | Kind::Parent
        | Kind::Child
        | Kind::OwnerRights
        | Kind::ConstraintTriggers
        | Kind::OwnConstraint
        | Kind::InheritedColumn
        | Kind::PartitionTrigger
        | Kind::Rule
        | Kind::Name
        | Kind::SequenceName
        | Kind::Owner
        | Kind::Position => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_says_what_it_makes() {
        let cases = [
            ("create table if not exists Users (id int)", "table", "public.users"),
            (
                "create or replace function f(a int default 1, b text) returns int as $$ $$",
                "function",
                "public.f(a int , b text)",
            ),
            ("create policy \"Own rows\" on app.users for select", "policy", "app.users.Own rows"),
            ("create trigger t before insert or update on users", "trigger", "public.users.t"),
            ("create unique index concurrently if not exists i on users (a)", "index", "public.i"),
            ("create index i on only app.t (a)", "index", "app.i"),
            ("create materialized view v as select 1", "view", "public.v"),
        ];
        for (sql, what, name) in cases {
            let statement = sql_text::split(sql)[0];
            let found = Definition::of(&statement).unwrap();
            assert_eq!((found.what, found.name.as_str()), (what, name));
        }
        for sql in ["alter table a add b int", "create index on a (b)", "create role x"] {
            assert_eq!(Definition::of(&sql_text::split(sql)[0]), None, "{sql}");
        }
    }

    #[test]
    fn two_texts_are_the_same_but_for_case_blanks_and_guards() {
        let of = |sql: &str| Definition::of(&sql_text::split(sql)[0]).unwrap();
        let one = of("create table if not exists a (b int)");
        assert!(one.is_same(&of("CREATE TABLE a (\n  b INT -- x\n)")));
        assert!(!one.is_same(&of("create table a (b bigint)")));
    }
}
