//! The tokens of SQL.
//!
//! The one place that knows how the server reads a text: everything else asks for tokens. The rules are those of the
//! server's own lexer (`scan.l`; manual, section 4.1), for `standard_conforming_strings = on`, which every session of
//! ours sets.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Space,
    /// To the end of its line, or nested between `/*` and `*/`.
    Comment,
    /// A key word or a name without quotes.
    Word,
    /// A name in quotes.
    Quoted,
    /// A string of any kind, also in dollars.
    Text,
    /// Also a parameter, as in `$1`.
    Number,
    /// One character.
    Mark,
}

/// A piece of a text. The tokens of a text, one after the other, are the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// Its first byte, from 0.
    pub(crate) at: usize,
    /// The line of its first byte, from 1.
    pub(crate) line: usize,
    /// Whether its end is there, which a quote or a comment may lack.
    pub(crate) closed: bool,
    /// Whether a backslash in it is an escape.
    pub(crate) escapes: bool,
}

impl Token<'_> {
    /// Whether it has no meaning.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment)
    }

    /// Whether it is this key word, or this name without quotes.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this character.
    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark && self.text.starts_with(mark)
    }

    /// The first byte after it.
    pub(crate) fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// The tokens of a text, each found once.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    sql: &'a str,
    at: usize,
    line: usize,
    /// Where a string with escapes goes on, after a line break.
    resumes: Option<usize>,
}

/// The tokens of a text.
pub(crate) fn tokens(sql: &str) -> Tokens<'_> {
    Tokens { sql, at: 0, line: 1, resumes: None }
}

/// How many lines end in a text: by LF, by CR, or by both.
pub(crate) fn line_ends(text: &str) -> usize {
    let count = |pattern: &str| text.matches(pattern).count();
    count("\n") + count("\r") - count("\r\n")
}

#[cfg(test)]
thread_local! {
    /// How many tokens were found in this thread.
    pub(crate) static FOUND: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let (at, line) = (self.at, self.line);
        let rest = self.sql.get(at..)?;
        let Piece { kind, length, closed, escapes } = Piece::first(rest, self.resumes == Some(at))?;
        let text = rest.get(..length)?;
        #[cfg(test)]
        FOUND.with(|found| found.set(found.get() + 1));
        self.at += length;
        self.line += line_ends(text);
        if escapes {
            let after = rest.get(length..).and_then(resumption);
            self.resumes = after.map(|after| self.at + after);
        }
        Some(Token { kind, text, at, line, closed, escapes })
    }
}

struct Piece {
    kind: Kind,
    length: usize,
    closed: bool,
    escapes: bool,
}

impl Piece {
    fn new(kind: Kind, length: usize) -> Self {
        Self { kind, length, closed: true, escapes: false }
    }

    /// The token at the start of `rest`.
    fn first(rest: &str, resumes: bool) -> Option<Self> {
        let mut chars = rest.chars();
        let (first, second, third) = (chars.next()?, chars.next(), chars.next());
        Some(match (first, second, third) {
            (' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}', ..) => {
                Self::new(Kind::Space, head(rest, is_space))
            }
            ('-', Some('-'), _) => Self::new(Kind::Comment, head(rest, |c| !is_line_end(c))),
            ('/', Some('*'), _) => comment(rest),
            ('\'', ..) => quote(Kind::Text, rest, 0, resumes),
            ('"', ..) => quote(Kind::Quoted, rest, 0, false),
            ('e' | 'E', Some('\''), _) => quote(Kind::Text, rest, 1, true),
            ('b' | 'B' | 'x' | 'X' | 'n' | 'N', Some('\''), _) => quote(Kind::Text, rest, 1, false),
            ('u' | 'U', Some('&'), Some('\'')) => quote(Kind::Text, rest, 2, false),
            ('u' | 'U', Some('&'), Some('"')) => quote(Kind::Quoted, rest, 2, false),
            ('$', ..) => dollar(rest),
            ('0'..='9', ..) => Self::new(Kind::Number, head(rest, |c| is_word(c) && c != '$')),
            (c, ..) if is_word(c) => Self::new(Kind::Word, head(rest, is_word)),
            (c, ..) => Self::new(Kind::Mark, c.len_utf8()),
        })
    }
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// To the server no other character is white space, whatever Unicode says: it is part of a name.
fn is_space(c: char) -> bool {
    is_line_end(c) || matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}')
}

/// Whether a character may stand in a name without quotes. At its beginning digits and `$` may not.
pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

fn head(rest: &str, belongs: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !belongs(c)).unwrap_or(rest.len())
}

fn comment(rest: &str) -> Piece {
    let mut depth = 0_usize;
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek().map(|(_, next)| *next)) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) if depth == 1 => return Piece::new(Kind::Comment, at + 2),
            ('*', Some('/')) => depth -= 1,
            _ => continue,
        }
        chars.next();
    }
    Piece { closed: false, ..Piece::new(Kind::Comment, rest.len()) }
}

/// What is between two quotes of a kind, after so many bytes before the first. A doubled one belongs to it.
fn quote(kind: Kind, rest: &str, before: usize, escapes: bool) -> Piece {
    let mut chars = rest.char_indices().skip(before).peekable();
    let quote = chars.next().map(|(_, quote)| quote);
    while let Some((at, c)) = chars.next() {
        if Some(c) == quote && chars.next_if(|(_, next)| Some(*next) == quote).is_none() {
            return Piece { escapes, ..Piece::new(kind, at + 1) };
        }
        if escapes && c == '\\' {
            chars.next();
        }
    }
    Piece { closed: false, escapes, ..Piece::new(kind, rest.len()) }
}

fn dollar(rest: &str) -> Piece {
    let after = rest.get(1..).unwrap_or_default();
    let digits = head(after, |c| c.is_ascii_digit());
    if digits > 0 {
        return Piece::new(Kind::Number, 1 + digits);
    }
    let name = head(after, |c| is_word(c) && c != '$');
    let tag = rest.get(..name + 2).filter(|tag| tag.ends_with('$'));
    let Some(tag) = tag else { return Piece::new(Kind::Mark, 1) };
    match rest.get(tag.len()..).and_then(|body| body.find(tag)) {
        Some(end) => Piece::new(Kind::Text, end + 2 * tag.len()),
        None => Piece { closed: false, ..Piece::new(Kind::Text, rest.len()) },
    }
}

/// Where a string goes on: behind a line break, with nothing before it but white space and `--`.
fn resumption(after: &str) -> Option<usize> {
    let (mut at, mut breaks) = (0, false);
    loop {
        let rest = after.get(at..)?;
        let space = head(rest, is_space);
        if space > 0 {
            breaks |= rest.get(..space).is_some_and(|space| space.contains(is_line_end));
            at += space;
        } else if rest.starts_with("--") {
            at += head(rest, |c| !is_line_end(c));
        } else {
            return (breaks && rest.starts_with('\'')).then_some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        let seen = tokens(sql).filter(|token| token.kind != Kind::Space);
        seen.map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn the_server_s_rules_are_kept() {
        use Kind::{Comment, Mark, Number, Quoted, Text, Word};
        let cases: [(&str, &[(Kind, &str)]); 17] = [
            ("a/* b /* c */ d */e", &[(Word, "a"), (Comment, "/* b /* c */ d */"), (Word, "e")]),
            ("-- a\rb\u{b}-- c", &[(Comment, "-- a"), (Word, "b"), (Comment, "-- c")]),
            ("a*--b", &[(Word, "a"), (Mark, "*"), (Comment, "--b")]),
            (r"E'\'' 'a\'b", &[(Text, r"E'\''"), (Text, r"'a\'"), (Word, "b")]),
            // The first part decides how the others are read, if there is a line break between.
            (
                "e'a' -- x\n '\\'' b",
                &[(Text, "e'a'"), (Comment, "-- x"), (Text, "'\\''"), (Word, "b")],
            ),
            ("e'a' '\\' b", &[(Text, "e'a'"), (Text, "'\\'"), (Word, "b")]),
            ("e'a'/**/\n'\\' b", &[(Text, "e'a'"), (Comment, "/**/"), (Text, "'\\'"), (Word, "b")]),
            ("'a''b' \"a\"\"b\"", &[(Text, "'a''b'"), (Quoted, "\"a\"\"b\"")]),
            (
                "U&'\\' u&\"a\" u&b",
                &[(Text, "U&'\\'"), (Quoted, "u&\"a\""), (Word, "u"), (Mark, "&"), (Word, "b")],
            ),
            ("x'1f' N'a' ae'b'", &[(Text, "x'1f'"), (Text, "N'a'"), (Word, "ae"), (Text, "'b'")]),
            ("$$ $a$ $$ $a$ $$ $ab$ $a$", &[(Text, "$$ $a$ $$"), (Text, "$a$ $$ $ab$ $a$")]),
            ("$1$$a$$ a$$b", &[(Number, "$1"), (Text, "$$a$$"), (Word, "a$$b")]),
            ("1$$a$$ $é$;$é$", &[(Number, "1"), (Text, "$$a$$"), (Text, "$é$;$é$")]),
            ("$ $a 1e5", &[(Mark, "$"), (Mark, "$"), (Word, "a"), (Number, "1e5")]),
            ("ü\u{a0}\u{feff}b", &[(Word, "ü\u{a0}\u{feff}b")]),
            ("a.\"b\"", &[(Word, "a"), (Mark, "."), (Quoted, "\"b\"")]),
            ("{a}", &[(Mark, "{"), (Word, "a"), (Mark, "}")]),
        ];
        for (sql, expected) in cases {
            assert_eq!(kinds(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_not_closed_is_told_with_its_line() {
        for sql in ["'a", "e'\\'", "\"a", "$a$ $b$", "/* /* */", "'a''"] {
            let sql = format!("a\r\nb\r\n\rc\n{sql}");
            let open: Vec<_> = tokens(&sql).filter(|token| !token.closed).collect();
            assert_eq!(open.len(), 1, "{sql}");
            assert_eq!(open.first().map(|token| token.line), Some(5), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn the_tokens_of_any_text_are_the_text(sql in "[a-eEuU&;'\"$\\-/*\\\\ \n\r{}1é]{0,60}") {
            let all: String = tokens(&sql).map(|token| token.text).collect();
            prop_assert_eq!(&all, &sql);
            let end = tokens(&sql).last().map_or(1, |last| last.line + line_ends(last.text));
            prop_assert_eq!(end, 1 + line_ends(&sql));
        }
    }
}
