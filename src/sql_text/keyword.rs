//! Names that are words of SQL.

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
}
