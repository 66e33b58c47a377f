//! Where one SQL statement ends and the next begins.

/// One statement of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// From its first word up to, and without, its semicolon.
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

    /// Whether its leading words are these, in any case.
    pub fn starts_with(&self, words: &str) -> bool {
        let mut own = self.text.split_whitespace();
        words.split(' ').all(|word| own.next().is_some_and(|w| w.eq_ignore_ascii_case(word)))
    }
}

/// Splits SQL at the semicolons that end statements, as psql does.
///
/// Strings (also `E'…'` and `$tag$…$tag$`), quoted identifiers, and line and nested block comments
/// hide a semicolon. Bodies of functions (`begin atomic`) and rules would too: templates must not
/// contain any. Source: PostgreSQL manual, section 4.1.
pub fn split(sql: &str) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let mut start = None; // where the current statement's first word stands
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let skipped = blank(rest);
        if skipped > 0 {
            at += skipped;
        } else if rest.starts_with(';') {
            push(&mut statements, sql, start.take(), at);
            at += 1;
        } else {
            start.get_or_insert(at);
            at += token(rest, sql.get(..at).and_then(|before| before.chars().next_back()));
        }
    }
    push(&mut statements, sql, start, sql.len());
    statements
}

/// The words of SQL: names with their dots and quotes, key words and numbers. Neither comments nor strings.
pub(super) fn words(sql: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut at) = (None, 0); // where the current word stands
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let before = sql.get(..at).and_then(|before| before.chars().next_back());
        let skipped = blank(rest);
        let length = if skipped > 0 { skipped } else { token(rest, before) };
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '"');
        let token = rest.get(..length).unwrap_or_default();
        // A string, with its prefix or in dollars.
        let hides = length > 1 && (rest.starts_with('$') || token.ends_with('\''));
        if skipped == 0 && !hides && rest.starts_with(is_part) {
            start.get_or_insert(at);
        } else {
            words.extend(start.take().and_then(|start: usize| sql.get(start..at)));
        }
        at += length;
    }
    words.extend(start.and_then(|start| sql.get(start..)));
    words
}

fn push<'a>(statements: &mut Vec<Statement<'a>>, sql: &'a str, start: Option<usize>, end: usize) {
    let Some(start) = start else { return };
    let (Some(before), Some(text)) = (sql.get(..start), sql.get(start..end)) else { return };
    let line = 1 + before.matches('\n').count();
    statements.push(Statement { text: text.trim_end(), line, at: start });
}

/// The length of the white space or the comment at the start of `rest`.
pub(super) fn blank(rest: &str) -> usize {
    if rest.starts_with("--") {
        return rest.find('\n').map_or(rest.len(), |end| end + 1);
    }
    if rest.starts_with("/*") {
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
            if tail.starts_with("/*") {
                (depth, at) = (depth + 1, at + 2);
            } else if tail.starts_with("*/") {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            } else {
                at += first_len(tail);
            }
        }
        return rest.len();
    }
    rest.chars().next().filter(|c| c.is_whitespace()).map_or(0, char::len_utf8)
}

/// The length of the token at the start of `rest`: a quoted thing as a whole, or one character.
pub(super) fn token(rest: &str, before: Option<char>) -> usize {
    let mid_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
    let escapes = rest.get(..2).is_some_and(|two| two.eq_ignore_ascii_case("e'")) && !mid_word;
    if escapes {
        return 1 + quoted(rest.get(1..).unwrap_or_default(), '\'', true);
    }
    match rest.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(rest, quote, false),
        Some('$') if !mid_word => dollar(rest).unwrap_or(1),
        _ => first_len(rest),
    }
}

/// The length of a quoted thing.
pub(super) fn quoted(rest: &str, quote: char, escapes: bool) -> usize {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return at + 1; // a doubled quote goes on as a string that follows at once
        }
        if escapes && c == '\\' {
            chars.next();
        }
    }
    rest.len()
}

fn dollar(rest: &str) -> Option<usize> {
    let tag_end = 1 + rest.get(1..)?.find('$')? + 1;
    let tag = rest.get(..tag_end)?;
    let name = tag.trim_matches('$');
    let is_tag = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    let closing = is_tag.then(|| rest.get(tag_end..).and_then(|body| body.find(tag)))?;
    Some(closing.map_or(rest.len(), |at| tag_end + at + tag_end))
}

fn first_len(rest: &str) -> usize {
    rest.chars().next().map_or(1, char::len_utf8)
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
        let cases: [(&str, &[&str]); 10] = [
            ("select 1; select 2", &["select 1", "select 2"]),
            (";; select 1 ;;", &["select 1"]),
            ("select ';'';', \";\" ; x", &["select ';'';', \";\"", "x"]),
            (r"select e'\';', 'a\'; b", &[r"select e'\';', 'a\'", "b"]),
            ("do $$ a; $$; do $x$ $$; $x$", &["do $$ a; $$", "do $x$ $$; $x$"]),
            ("a -- ;\n b; /* ; /* ; */ ; */ c", &["a -- ;\n b", "c"]),
            ("select $1; select a$b$;c$b$", &["select $1", "select a$b$", "c$b$"]),
            ("select 'open; end", &["select 'open; end"]),
            ("-- only a comment", &[]),
            ("é;ü$é$;$é$;", &["é", "ü$é$", "$é$;"]),
        ];
        for (sql, expected) in cases {
            assert_eq!(texts(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_statement_knows_its_line_and_its_words() {
        let statements = split("-- head\n\ncreate  TABLE a (\n  b int);\nx;");
        let lines: Vec<_> = statements.iter().map(|s| (s.line, s.head())).collect();
        assert_eq!(lines, [(3, "create  TABLE a ("), (5, "x")]);
        assert!(statements.iter().any(|s| s.starts_with("create table")));
        assert!(!statements.iter().any(|s| s.starts_with("create table a b")));
    }

    #[test]
    fn words_are_names_and_key_words() {
        let cases: [(&str, &[&str]); 5] = [
            ("a int references public.b (c),", &["a", "int", "references", "public.b", "c"]),
            ("references \"A b\".\"c\"(d)", &["references", "\"A b\".\"c\"", "d"]),
            ("a -- references b\n/* references */ 'references c'", &["a"]),
            ("e'\\' references b' $$references b$$ c", &["c"]),
            ("a$b$;x", &["a$b$", "x"]),
        ];
        for (sql, expected) in cases {
            assert_eq!(words(sql), expected, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_splits_without_a_panic(sql in r#"[a-e;'"$\-/*\\ \n{}é]{0,60}"#) {
            for statement in split(&sql) {
                prop_assert!(!statement.text.is_empty());
                prop_assert!(statement.line <= 1 + sql.matches('\n').count());
            }
            prop_assert!(words(&sql).iter().all(|word| !word.is_empty()));
        }
    }
}
