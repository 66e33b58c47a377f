//! SQL that is printed to be pasted.

use std::fmt::Write as _;

use super::statement::{blank, quoted, token};
use crate::printable::{Printable, is_printable};

/// The same statements, without a character that acts on a terminal or cannot be seen.
///
/// In quotes such a character becomes an escape that the server reads back, as in `U&"a\+00001b"`. Elsewhere none
/// has a meaning.
pub fn pasteable(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let length = match blank(rest) {
            0 => whole(rest, sql.get(..at).and_then(|before| before.chars().next_back())),
            skipped => skipped,
        };
        let piece = rest.get(..length).unwrap_or(rest);
        text += &shown(piece);
        at += piece.len();
    }
    text
}

/// The length of a token. A doubled quote belongs to what it is in.
fn whole(rest: &str, before: Option<char>) -> usize {
    let mut length = token(rest, before);
    let token = rest.get(..length).unwrap_or_default();
    let Some(quote @ ('\'' | '"')) = token.chars().next_back() else { return length };
    let escapes = !token.starts_with(quote);
    while let Some(next) = rest.get(length..).filter(|next| next.starts_with(quote)) {
        length += quoted(next, quote, escapes);
    }
    length
}

fn shown(piece: &str) -> String {
    match piece.chars().next() {
        _ if piece.chars().all(is_printable) => piece.to_owned(),
        Some('"' | '\'') => {
            let escape = |text: &mut String, c| match c {
                '\\' => text.write_str(r"\\"),
                seen if is_printable(seen) => text.write_char(seen),
                hidden => write!(text, r"\+{:06x}", u32::from(hidden)),
            };
            let mut text = "U&".to_owned();
            // A string takes everything.
            let _never = piece.chars().try_for_each(|c| escape(&mut text, c)).is_err();
            text
        }
        Some('e' | 'E') => escaped(piece),
        // A body is SQL itself.
        Some('$') => {
            let end = 2 + piece.get(1..).and_then(|rest| rest.find('$')).unwrap_or_default();
            let (tag, rest) = piece.split_at_checked(end).unwrap_or((piece, ""));
            let body = rest.strip_suffix(tag);
            let body = (pasteable(body.unwrap_or(rest)), body.map_or("", |_| tag));
            format!("{tag}{}{}", body.0, body.1)
        }
        // A comment keeps its lines, and other white space is as good as any.
        _ => {
            let lines: Vec<_> = piece.split('\n').map(|line| Printable(line).to_string()).collect();
            if piece.trim().is_empty() && lines.len() == 1 {
                " ".to_owned()
            } else {
                lines.join("\n")
            }
        }
    }
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
            ("a\t\r\u{2028}b -- \u{1b}\nc", "a   b -- \\u{1b}\nc"),
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
