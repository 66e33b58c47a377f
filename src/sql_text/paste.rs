//! SQL that is printed to be pasted.

use std::fmt::Write as _;

use super::lexer::{Kind, Token, tokens};
use crate::telemetry::{Printable, is_printable};

/// The same statements, without a character that acts on a terminal or cannot be seen.
///
/// In names and strings such a character becomes an escape that the server reads back, as in `U&"a\+00001b"`. Elsewhere
/// none has a meaning.
pub fn pasteable(sql: &str) -> String {
    tokens(sql).map(|token| shown(&token)).collect()
}

fn shown(token: &Token<'_>) -> String {
    let text = token.text;
    if text.chars().all(|c| is_printable(c) || (c == '\n' && token.is_blank())) {
        return text.to_owned();
    }
    match token.kind {
        Kind::Text if token.escapes => escaped(text),
        Kind::Text if text.starts_with('$') => body(text),
        Kind::Text | Kind::Quoted => unicode(text),
        // The server takes any character that it does not know for a letter.
        Kind::Word => unicode(&format!("\"{}\"", text.to_ascii_lowercase())),
        Kind::Comment => {
            let lines: Vec<_> = text.split('\n').map(|line| Printable(line).to_string()).collect();
            lines.join("\n")
        }
        Kind::Space | Kind::Number | Kind::Mark => {
            text.chars().map(|c| if is_printable(c) || c == '\n' { c } else { ' ' }).collect()
        }
    }
}

/// A string in dollars. It is SQL itself.
fn body(text: &str) -> String {
    let end = 2 + text.get(1..).and_then(|rest| rest.find('$')).unwrap_or_default();
    let (tag, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let (body, closing) = rest.strip_suffix(tag).map_or((rest, ""), |body| (body, tag));
    if tag.chars().all(is_printable) {
        return format!("{tag}{}{closing}", pasteable(body));
    }
    unicode(&format!("'{}'", body.replace('\'', "''")))
}

/// What is in quotes, without escapes so far.
fn unicode(quoted: &str) -> String {
    let escape = |text: &mut String, c| match c {
        '\\' => text.write_str(r"\\"),
        seen if is_printable(seen) => text.write_char(seen),
        hidden => write!(text, r"\+{:06x}", u32::from(hidden)),
    };
    let mut text = "U&".to_owned();
    // A string takes everything.
    let _never = quoted.chars().try_for_each(|c| escape(&mut text, c)).is_err();
    text
}

/// The same for a string with escapes of its own.
fn escaped(piece: &str) -> String {
    let (mut text, mut chars) = (String::new(), piece.chars());
    while let Some(c) = chars.next() {
        let (slash, c) = if c == '\\' { (r"\", chars.next().unwrap_or('\\')) } else { ("", c) };
        if is_printable(c) {
            text += slash;
            text.push(c);
        } else {
            text.extend([r"\U", &format!("{:08x}", u32::from(c))]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_hidden_in_quotes_is_escaped_as_the_server_reads_it() {
        let cases = [
            ("drop table \"a\\ b\";\nselect 'ä';", "drop table \"a\\ b\";\nselect 'ä';"),
            (
                "drop function \"f\u{1b}\"(\"\\\n\"\"\")",
                r#"drop function U&"f\+00001b"(U&"\\\+00000a""")"#,
            ),
            ("check (a <> 'x''\u{202e};'::text)", r"check (a <> U&'x''\+00202e;'::text)"),
            ("select E'a\\\\\u{7}\\'''\u{7}'", r"select E'a\\\U00000007\'''\U00000007'"),
            ("do $x$ drop table \"a\u{7}\" $x$", r#"do $x$ drop table U&"a\+000007" $x$"#),
            ("a\t\r\u{b}b -- \u{1b}\nc\u{1}", "a   b -- \\u{1b}\nc "),
            ("do $\u{202e}$it's$\u{202e}$", "do U&'it''s'"),
            ("A\u{2028}b", r#"U&"a\+002028b""#),
        ];
        for (sql, expected) in cases {
            assert_eq!(pasteable(sql), expected, "{sql:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_that_is_seen_as_it_is(
            sql in "[a-eE;'\"$\\-/*\\\\ \n\u{1b}\u{202e}é]{0,60}",
        ) {
            let once = pasteable(&sql);
            prop_assert!(once.chars().all(|c| c == '\n' || is_printable(c)), "{:?}", once);
            if sql.chars().all(is_printable) {
                prop_assert_eq!(once, sql);
            }
        }
    }
}
