//! Names in SQL.

use super::lexer::{Token, tokens};
use super::reader::name;
use super::references::quoted;

/// SQL with a word in quotes wherever it stands as a name by itself, as the server shows such a name. Within a literal
/// only after a schema.
pub(crate) fn quote_word(sql: &str, word: &str) -> String {
    let mut quoted = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut literal = false;
    while let Some((before, after)) = rest.split_once(word) {
        quoted.push_str(before);
        literal ^= before.matches('\'').count() % 2 == 1;
        let last = quoted.chars().next_back();
        let ends = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || "_$\"".contains(c));
        let is_name = ends(last) && ends(after.chars().next()) && (!literal || last == Some('.'));
        let mark = if is_name { "\"" } else { "" };
        quoted.extend([mark, word, mark]);
        rest = after;
    }
    quoted.push_str(rest);
    quoted
}

/// SQL with other names wherever these stand as names, outside of literals.
pub(crate) fn rename(sql: &str, names: &[(&str, &str)]) -> String {
    let other = |token: &Token<'_>| {
        let own = name(token)?;
        names.iter().find(|(from, _)| *from == own).map(|(_, to)| quoted(to))
    };
    let piece = |token: Token<'_>| other(&token).unwrap_or_else(|| token.text.to_owned());
    tokens(sql).map(piece).collect()
}

/// Whether a name stands in SQL as a name, outside of literals.
pub(crate) fn mentions(sql: &str, wanted: &str) -> bool {
    tokens(sql).any(|token| name(&token).as_deref() == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_it_is_a_name() {
        let cases = [
            ("public.session_user", "public.\"session_user\""),
            ("public.session_user_id_seq", "public.session_user_id_seq"),
            ("public.\"session_user\"", "public.\"session_user\""),
            (
                "f('session_user', 'public.session_user'::regclass)",
                "f('session_user', 'public.\"session_user\"'::regclass)",
            ),
            ("a_session_user", "a_session_user"),
            ("session_user.a", "\"session_user\".a"),
        ];
        for (sql, quoted) in cases {
            assert_eq!(quote_word(sql, "session_user"), quoted);
        }
    }

    #[test]
    fn names_are_replaced_where_they_are_names() {
        let sql = "create table b () inherits (public.A); select 'a', \"a\", a1, \"A\" -- a";
        let renamed =
            "create table a () inherits (public.\"x y\"); select 'a', \"x y\", a1, \"A\" -- a";
        assert_eq!(rename(sql, &[("a", "x y"), ("b", "a")]), renamed);
    }
}
