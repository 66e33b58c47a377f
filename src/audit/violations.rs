//! What stands next to a statement that rows can make fail: a query that finds these rows. Nobody has run it: the database
//! is only read, and its catalog alone.

use crate::schema::Fact;
use crate::sql_text::{Reader, Token, tokens};

/// A statement that forbids nulls in a column, after a comment. It changes nothing while rows have some.
pub(super) fn before_not_null(column: &Fact, statement: &str) -> String {
    const WHY: &str =
        "Left out, with a warning, while rows have no value. Give them one and run it again.";
    let Fact { relation, part, .. } = column;
    let query = format!("select * from {relation} where {part} is null");
    commented(WHY, Some(&query), &guarded(statement))
}

/// A statement that changes nothing, and warns, where rows stand in the way, or where what it needs was left out for that.
/// Else one such row would take back the whole transaction.
pub(super) fn guarded(statement: &str) -> String {
    if statement.contains("$fix$") {
        return statement.to_owned();
    }
    format!(
        "do $fix$ begin\n  {statement};\nexception when integrity_constraint_violation or invalid_foreign_key \
         or undefined_object or object_not_in_prerequisite_state then\n  raise warning '%', sqlerrm;\nend $fix$"
    )
}

/// A statement that makes a unique constraint or index, after a comment; any other as it is.
pub(super) fn before_unique(fact: &Fact, statement: String) -> String {
    const WHY: &str = "Not possible while rows have the same values, or a null in a primary key.";
    let definition = fact.definition.as_str();
    let starts = |word: &str| definition.starts_with(word);
    if starts("CREATE UNIQUE INDEX ") {
        let why = format!(
            "{WHY} A try leaves an invalid index; before the next one: drop index {};",
            fact.part
        );
        return commented(&why, duplicates(fact).as_deref(), &statement);
    }
    if is_unique(fact) {
        return commented(WHY, duplicates(fact).as_deref(), &statement);
    }
    statement
}

/// Whether a constraint compares rows with each other.
pub(super) fn is_unique(constraint: &Fact) -> bool {
    ["UNIQUE ", "PRIMARY KEY ", "EXCLUDE "]
        .iter()
        .any(|word| constraint.definition.starts_with(word))
}

/// A statement that checks the rows that are there, after a comment.
pub(super) fn before_validation(fact: &Fact, statement: &str) -> String {
    let query = if fact.definition.starts_with("CHECK ") { unchecked(fact) } else { orphans(fact) };
    commented("It fails while rows break the constraint.", query.as_deref(), statement)
}

/// The rows of which a check is not true.
fn unchecked(Fact { relation, definition, .. }: &Fact) -> Option<String> {
    let condition = definition.strip_prefix("CHECK ")?;
    let condition = condition.strip_suffix(" NO INHERIT").unwrap_or(condition);
    Some(format!("select * from {relation} where not {condition}"))
}

/// The rows that refer to no row.
fn orphans(Fact { relation, definition, .. }: &Fact) -> Option<String> {
    let (own, rest) = keys_of(definition)?;
    let mut reader = Reader::new(rest);
    reader.words("references").then_some(())?;
    let (from, target) = (reader.peek()?.at, reader.qualified()?);
    let end = reader.peek()?.at;
    let table = rest.get(from..end).filter(|_| !target.is_empty())?.trim();
    let (keys, options) = keys_of(rest.get(end..)?)?;
    let full = options.starts_with(" MATCH FULL");
    let pairs: Vec<String> =
        own.iter().zip(&keys).map(|(own, key)| format!("t.{key} = s.{own}")).collect();
    let has = |join: &str| {
        own.iter().map(|own| format!("s.{own} is not null")).collect::<Vec<_>>().join(join)
    };
    // With `full` a key is whole or null; else a null in it is enough.
    let some = if full { format!("({})", has(" or ")) } else { has(" and ") };
    let pairs = pairs.join(" and ");
    Some(format!(
        "select s.* from {relation} s where {some} and not exists (select from {table} t where {pairs})"
    ))
}

fn commented(why: &str, query: Option<&str>, statement: &str) -> String {
    let query = query.map(|query| format!("\n--   {};", query.replace(['\n', '\r'], " ")));
    let found = if query.is_some() { " These rows are found by:" } else { "" };
    format!("-- {why}{found}{}\n{statement}", query.unwrap_or_default())
}

/// The values that several rows have. `None` for what is compared by another operator than `=`.
fn duplicates(Fact { relation, definition, .. }: &Fact) -> Option<String> {
    let keys = match definition.split_once(" USING ") {
        _ if definition.starts_with("EXCLUDE ") => return None,
        Some((_, keys)) => keys,
        None => definition,
    };
    let (keys, rest) = keys_of(keys)?;
    let list = keys.join(", ");
    let nulls =
        |test: &str| -> Vec<String> { keys.iter().map(|key| format!("{key} {test}")).collect() };
    let mut having = vec!["count(*) > 1".to_owned()];
    let mut only = Vec::new();
    if definition.starts_with("PRIMARY KEY ") {
        having.extend(nulls("is null"));
    } else if !definition.contains(" NULLS NOT DISTINCT") {
        only.extend(nulls("is not null"));
    }
    only.extend(rest.split_once(" WHERE ").map(|(_, rows)| rows.to_owned()));
    let only =
        if only.is_empty() { String::new() } else { format!(" where {}", only.join(" and ")) };
    let having = having.join(" or ");
    Some(format!("select {list}, count(*) from {relation}{only} group by {list} having {having}"))
}

/// What is between the first parentheses, without how it is sorted, and what follows them.
fn keys_of(text: &str) -> Option<(Vec<&str>, &str)> {
    let (mut keys, mut depth, mut from) = (Vec::new(), 0, 0);
    for token in tokens(text) {
        depth += nesting(&token);
        if depth == 1 && token.is_mark('(') {
            from = token.end();
        }
        let is_end = depth == 0 && token.is_mark(')');
        if is_end || depth == 1 && token.is_mark(',') {
            keys.push(bare(text.get(from..token.at)?.trim()));
            from = token.end();
        }
        if is_end {
            return Some((keys, text.get(from..)?));
        }
    }
    None
}

/// A key without collation, operators and order: a name, a call, or what is in parentheses.
fn bare(key: &str) -> &str {
    let (mut depth, mut end, mut goes_on) = (0, 0, true);
    for token in tokens(key) {
        if !goes_on && depth == 0 && !token.is_mark('(') && !token.is_mark('.') {
            break;
        }
        depth += nesting(&token);
        goes_on = token.is_mark('.');
        end = token.end();
    }
    key.get(..end).unwrap_or(key)
}

fn nesting(token: &Token<'_>) -> i32 {
    i32::from(token.is_mark('(')) - i32::from(token.is_mark(')'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Kind;

    fn fact(definition: &str) -> Fact {
        Fact {
            kind: Kind::Constraint,
            home: "public.t".to_owned(),
            relation: "public.t".to_owned(),
            part: "x".to_owned(),
            definition: definition.to_owned(),
            echo: None,
        }
    }

    #[test]
    fn a_query_finds_values_that_several_rows_have() {
        let index = "CREATE UNIQUE INDEX x ON public.t USING btree";
        let cases = [
            (
                "UNIQUE (a, \"b,(\")",
                "a, \"b,(\"",
                " where a is not null and \"b,(\" is not null",
                "",
            ),
            ("UNIQUE NULLS NOT DISTINCT (a)", "a", "", ""),
            ("PRIMARY KEY (a)", "a", "", " or a is null"),
            (
                &format!(
                    "{index} (lower(a), ((b -> 'x'::text)) DESC, c COLLATE \"C\" text_pattern_ops) INCLUDE (d) WHERE (e > 1)"
                ),
                "lower(a), ((b -> 'x'::text)), c",
                " where lower(a) is not null and ((b -> 'x'::text)) is not null and c is not null and (e > 1)",
                "",
            ),
        ];
        for (definition, keys, only, or) in cases {
            let expected = format!(
                "select {keys}, count(*) from public.t{only} group by {keys} having count(*) > 1{or}"
            );
            assert_eq!(duplicates(&fact(definition)), Some(expected), "{definition}");
        }
        assert_eq!(duplicates(&fact("EXCLUDE USING gist (a WITH &&)")), None);
    }

    #[test]
    fn a_query_finds_rows_that_break_a_constraint() {
        let cases = [
            ("CHECK ((a > 1)) NO INHERIT", "select * from public.t where not ((a > 1))"),
            (
                "FOREIGN KEY (a, \"B c\") REFERENCES \"S\".u(x, y) MATCH FULL ON DELETE CASCADE",
                "select s.* from public.t s where (s.a is not null or s.\"B c\" is not null) and not exists \
                 (select from \"S\".u t where t.x = s.a and t.y = s.\"B c\")",
            ),
            (
                "FOREIGN KEY (a) REFERENCES u(x)",
                "select s.* from public.t s where s.a is not null and not exists (select from u t where t.x = s.a)",
            ),
        ];
        for (definition, query) in cases {
            let text = before_validation(&fact(definition), "x");
            assert!(text.contains(&format!("\n--   {query};\n")), "{text}");
        }
    }

    #[test]
    fn only_what_rows_can_break_has_a_comment() {
        for (definition, is_told) in [
            ("UNIQUE (a)", true),
            ("EXCLUDE USING gist (a WITH &&)", true),
            ("CHECK ((a > 1))", false),
        ] {
            let statement = before_unique(&fact(definition), "alter table t".to_owned());
            assert!(statement.ends_with("alter table t"));
            assert_eq!(statement.starts_with("-- "), is_told, "{definition}");
            assert_eq!(statement.contains("count(*)"), definition.starts_with("UNIQUE"));
        }
    }
}
