//! The inside of a string constant.

use crate::sql_text::Token;

/// What is between the quotes, and how many bytes stand before it.
pub(super) fn content<'a>(token: &Token<'a>) -> Option<(usize, &'a str)> {
    let (open, close) = if token.text.starts_with('$') {
        let tag = token.text.get(1..)?.find('$')? + 2;
        (tag, tag)
    } else {
        (token.text.find('\'')? + 1, 1)
    };
    Some((open, token.text.get(open..token.text.len().checked_sub(close)?)?))
}
