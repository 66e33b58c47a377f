//! Where one SQL statement ends and the next begins.

use super::lexer::{Token, tokens};
use super::reader::Reader;

/// One statement of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// From its first word to its last, without what follows: a comment, a semicolon.
    pub text: &'a str,
    /// The line of its first word, from 1.
    pub line: usize,
    /// The byte of its first word, from 0.
    pub at: usize,
}

impl<'a> Statement<'a> {
    /// The first line, by which a person finds the statement again.
    pub fn head(&self) -> &'a str {
        self.text.lines().next().unwrap_or_default().trim_end()
    }

    /// Whether its leading words are these, in any case, whatever stands between them.
    pub fn starts_with(&self, words: &str) -> bool {
        Reader::new(self.text).words(words)
    }

    /// Its tokens but for white space and comments. Their places are counted from its beginning.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token<'a>> + use<'a> {
        tokens(self.text).filter(|token| !token.is_blank())
    }

    /// The line of one of its tokens.
    pub(crate) fn line_of(&self, token: &Token<'_>) -> usize {
        self.line + token.line - 1
    }
}

/// Splits SQL at its semicolons, as psql does. Bodies of functions (`begin atomic`) and rules have semicolons of their
/// own, which are taken for ends: templates must not contain any.
pub fn split(sql: &str) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let mut open: Option<(Token<'_>, usize)> = None; // the current one's first token, and its end
    for token in tokens(sql).filter(|token| !token.is_blank()) {
        if token.is_mark(';') {
            statements.extend(open.take().and_then(|(first, end)| statement(sql, first, end)));
        } else {
            open = Some((open.map_or(token, |(first, _)| first), token.end()));
        }
    }
    statements.extend(open.and_then(|(first, end)| statement(sql, first, end)));
    statements
}

fn statement<'a>(sql: &'a str, first: Token<'a>, end: usize) -> Option<Statement<'a>> {
    Some(Statement { text: sql.get(first.at..end)?, line: first.line, at: first.at })
}

/// Whether nothing that comes on the next line would belong to the last statement.
pub(crate) fn is_terminated(sql: &str) -> bool {
    let last = tokens(sql).filter(|token| !token.is_blank()).last();
    last.is_none_or(|last| last.is_mark(';'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        split(sql).iter().map(|s| s.text).collect()
    }

    #[test]
    fn only_a_bare_semicolon_ends_a_statement() {
        let cases: [(&str, &[&str]); 12] = [
            ("select 1; select 2", &["select 1", "select 2"]),
            (";; select 1 ;;", &["select 1"]),
            ("select ';'';', \";\" ; x", &["select ';'';', \";\"", "x"]),
            (r"select e'\';', 'a\'; b", &[r"select e'\';', 'a\'", "b"]),
            ("do $$ a; $$; do $x$ $$; $x$", &["do $$ a; $$", "do $x$ $$; $x$"]),
            ("a -- ;\n b; /* ; /* ; */ ; */ c", &["a -- ;\n b", "c"]),
            ("a -- x\r; b /* y */", &["a", "b"]),
            ("select $1; select a$b$;c$b$", &["select $1", "select a$b$", "c$b$"]),
            ("select 'open; end", &["select 'open; end"]),
            ("-- only a comment", &[]),
            ("é;ü$é$;$é$;", &["é", "ü$é$", "$é$;"]),
            ("e'a'\n'\\';'; b", &["e'a'\n'\\';'", "b"]),
        ];
        for (sql, expected) in cases {
            assert_eq!(texts(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_statement_knows_its_line_and_its_words() {
        let statements = split("-- head\n\ncreate  TABLE/**/a (\n  b int);\rx;");
        let lines: Vec<_> = statements.iter().map(|s| (s.line, s.head())).collect();
        assert_eq!(lines, [(3, "create  TABLE/**/a ("), (5, "x")]);
        assert!(statements.iter().any(|s| s.starts_with("create table")));
        assert!(!statements.iter().any(|s| s.starts_with("create table a b")));
    }

    #[test]
    fn an_end_is_known() {
        for (sql, terminated) in
            [("a", false), ("a;", true), ("a; -- b", true), ("a -- ;", false), ("", true)]
        {
            assert_eq!(is_terminated(sql), terminated, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_splits_without_a_panic(sql in r#"[a-e;'"$\-/*\\ \n{}é]{0,60}"#) {
            for statement in split(&sql) {
                prop_assert!(!statement.text.is_empty());
                prop_assert!(statement.line <= 1 + sql.matches('\n').count());
            }
        }
    }
}
