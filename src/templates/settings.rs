//! Settings that a template makes: those of the session are refused, those of the transaction end with their file.

use std::collections::BTreeSet;

use super::refusal::Refusal;
use crate::sql_text::{Kind, Reader, Statement, Token, line_ends, name};

/// The names of the settings that statements make for the transaction. Refuses what holds longer, and names each line of it.
pub(crate) fn check(statements: &[Statement<'_>]) -> Result<BTreeSet<String>, Refusal> {
    let (mut made, mut lines) = (BTreeSet::new(), Vec::new());
    for statement in statements {
        match Setting::of(statement) {
            Setting::None => {}
            Setting::Local(names) => made.extend(names),
            Setting::Session => {
                lines.push((statement.line, statement.line + line_ends(statement.text)));
            }
        }
    }
    let Some((first, _)) = lines.first() else { return Ok(made) };
    let reason = format!(
        "a setting of the session would hold for other files and agents, too: delete {}, or, where the file needs the \
         setting, write `set local …`, which ends with the file",
        ranges(&lines)
    );
    Err((*first, reason))
}

/// Lines that follow each other, as people write them.
fn ranges(lines: &[(usize, usize)]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (from, to) in lines {
        match ranges.last_mut() {
            Some(last) if *from <= last.1 + 1 => last.1 = last.1.max(*to),
            Some(_) | None => ranges.push((*from, *to)),
        }
    }
    let one = ranges.len() == 1 && ranges.iter().all(|(from, to)| from == to);
    let show = |(from, to): &(usize, usize)| {
        if from == to { from.to_string() } else { format!("{from} to {to}") }
    };
    let shown: Vec<_> = ranges.iter().map(show).collect();
    format!("line{} {}", if one { "" } else { "s" }, shown.join(", "))
}

#[derive(Debug, PartialEq, Eq)]
enum Setting {
    None,
    /// Of the transaction.
    Local(Vec<String>),
    /// Or of unknown duration.
    Session,
}

impl Setting {
    fn of(statement: &Statement<'_>) -> Self {
        let mut rest = Reader::new(statement.text);
        if rest.words("reset") {
            return Self::Session;
        }
        if !rest.words("set") {
            return Self::called(statement);
        }
        if rest.words("constraints") {
            return Self::None;
        }
        if !rest.words("local") {
            return Self::Session;
        }
        local(&mut rest).map_or(Self::Session, |name| Self::Local(vec![name]))
    }

    /// By `set_config(name, value, is_local)`.
    fn called(statement: &Statement<'_>) -> Self {
        let tokens: Vec<_> = statement.tokens().collect();
        let (mut names, mut from) = (Vec::new(), tokens.as_slice());
        while let Some(at) = from.windows(2).position(is_call) {
            from = from.get(at + 2..).unwrap_or_default();
            match local_call(from) {
                Some(name) => names.push(name),
                None => return Self::Session,
            }
        }
        if names.is_empty() { Self::None } else { Self::Local(names) }
    }
}

fn is_call(pair: &[Token<'_>]) -> bool {
    let [function, open] = pair else { return false };
    open.is_mark('(') && name(function).is_some_and(|name| name == "set_config")
}

/// Of the arguments of a call: the setting's name, if it is of the transaction.
fn local_call(arguments: &[Token<'_>]) -> Option<String> {
    let [setting, comma, rest @ ..] = arguments else { return None };
    let mut depth = 0_usize;
    let end = rest.iter().position(|token| {
        let ends = depth == 0 && token.is_mark(')');
        depth += usize::from(token.is_mark('('));
        depth = depth.saturating_sub(usize::from(token.is_mark(')')));
        ends
    })?;
    let [.., before, last] = rest.get(..end)? else { return None };
    let plain = setting.text.strip_prefix('\'')?.strip_suffix('\'')?;
    let is_local = comma.is_mark(',') && before.is_mark(',') && last.is("true");
    restorable(plain).filter(|_| is_local)
}

/// The name after `set local`. `None` for what is no setting like others.
fn local(rest: &mut Reader<'_>) -> Option<String> {
    for (words, setting) in
        [("time zone", "TimeZone"), ("schema", "search_path"), ("xml option", "xmloption")]
    {
        if rest.words(words) {
            return Some(setting.to_owned());
        }
    }
    let name = rest.qualified()?.join(".");
    let assigns = rest.next().is_some_and(|next| next.is_mark('=') || next.is("to"));
    restorable(&name).filter(|_| assigns)
}

/// Those that are left cannot be put back within a transaction, or change who acts in it.
fn restorable(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let of_transaction = name.starts_with("transaction_");
    let special = matches!(name.as_str(), "role" | "session_authorization" | "seed");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let fits = !name.is_empty() && name.chars().all(plain) && !of_transaction && !special;
    fits.then_some(name)
}

/// Whether a token in quotes says the same as a string without escapes.
pub(crate) fn plain_text<'a>(token: &Token<'a>) -> Option<&'a str> {
    (token.kind == Kind::Text).then(|| token.text.strip_prefix('\'')?.strip_suffix('\''))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql_text::split;

    fn names(sql: &str) -> Result<Vec<String>, Refusal> {
        check(&split(sql)).map(|names| names.into_iter().collect())
    }

    #[test]
    fn settings_of_the_transaction_are_known_by_name() {
        let cases: [(&str, &[&str]); 8] = [
            ("select 1; set constraints all deferred", &[]),
            ("set/**/local search_path to public; SET LOCAL App.X = 1", &["app.x", "search_path"]),
            ("set local time zone 'UTC'", &["TimeZone"]),
            ("select pg_catalog.set_config('a.b', f(1, (2)), TRUE)", &["a.b"]),
            ("select set_config('x', '', true), set_config ('y', '', true)", &["x", "y"]),
            ("select 'set_config(1, 2, false)', set_config", &[]),
            ("update t set a = 1", &[]),
            ("do $$ begin set x = 1; end $$", &[]),
        ];
        for (sql, expected) in cases {
            assert_eq!(
                names(sql),
                Ok(expected.iter().map(|&name| name.to_owned()).collect()),
                "{sql}"
            );
        }
    }

    #[test]
    fn what_holds_longer_is_refused_with_all_its_lines() {
        let cases = [
            ("set a = 1", 1, "delete line 1,"),
            (
                "\nSET a = 1;\nset b to 2;\nselect 1;\nreset\nall;\n-- c\nset session d = 1",
                2,
                "lines 2 to 3, 5 to 6, 8,",
            ),
            ("select set_config('a', '', false)", 1, "line 1,"),
            ("select set_config('a', '', x), 1", 1, "line 1,"),
            ("select \"set_config\"('a', 'b,true', false and true)", 1, "line 1,"),
            ("select set_config('role', 'anon', true)", 1, "line 1,"),
            ("set local role anon", 1, "line 1,"),
            ("set local session authorization x", 1, "line 1,"),
            ("set local transaction_read_only = on", 1, "line 1,"),
            ("set role x; set names 'x'", 1, "line 1,"),
        ];
        for (sql, line, text) in cases {
            let refusal = names(sql).unwrap_err();
            assert!(refusal.0 == line && refusal.1.contains(text), "{sql}: {refusal:?}");
        }
    }
}
