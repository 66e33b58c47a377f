//! What may be shown of SQL without a name that tells anything: a literal is shown only if its looks are harmless.
//!
//! Words, numbers, dates, formats and patterns are; what mixes letters and digits as no name does is not. So a key of a kind
//! that nobody knows is masked, too.

use std::ops::Range;

use super::quoted::content;
use super::shape::is_uuid;
use crate::sql_text::{Kind, tokens};

/// A word of a language is not longer.
const LONGEST: usize = 24;
/// Nor has it so many consonants in a row.
const CONSONANTS: usize = 6;
/// A number of more digits may be that of a card.
const DIGITS: usize = 12;

/// Literals that do not look harmless. Bodies of functions are searched, and not literals.
pub(super) fn others(sql: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for token in tokens(sql).filter(|token| token.kind == Kind::Text && token.closed) {
        let Some((open, inner)) = content(&token) else { continue };
        let start = token.at + open;
        let is_body = token.text.starts_with('$') && inner.contains(char::is_whitespace);
        if is_body {
            let within = others(inner).into_iter();
            places.extend(within.map(|place| start + place.start..start + place.end));
        } else if !inner.contains(super::MASK) && !is_harmless(inner) {
            places.push(start..start + inner.len());
        }
    }
    places
}

fn is_harmless(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let is_time = text.get(..10).is_some_and(|date| {
        date.split('-').map(str::len).eq([4, 2, 2])
            && date.chars().all(|c| c == '-' || c.is_ascii_digit())
    });
    let words = || text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    is_uuid(text)
        || is_time && text.len() <= 40
        || !text.contains("://") && digits <= DIGITS && words().all(is_word)
}

/// Whether it is a word, a number, or as short as `v1`, `utf8` or `sha256`.
fn is_word(word: &str) -> bool {
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = word.len() - letters.len();
    if letters.is_empty() || digits > 0 {
        return letters.chars().all(char::is_alphabetic) && letters.chars().count() <= 3;
    }
    let (mut humps, mut row, mut longest, mut last) = (0, 0, 0, 'A');
    for c in letters.chars() {
        humps += usize::from(last.is_lowercase() && c.is_uppercase());
        let is_vowel = "aeiouy".contains(c.to_ascii_lowercase()) || !c.is_ascii();
        row = if is_vowel { 0 } else { row + 1 };
        longest = longest.max(row);
        last = c;
    }
    let is_upper = letters.chars().all(char::is_uppercase);
    letters.chars().all(char::is_alphabetic)
        && letters.chars().count() <= LONGEST
        && humps * 3 <= letters.len()
        && (longest < CONSONANTS || is_upper && letters.len() <= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_harmless_is_shown() {
        for text in [
            "",
            "open",
            "in-progress",
            "Own rows",
            "What was sold.",
            "v1",
            "sha256",
            "utf8",
            "2024-01-01 00:00:00+00",
            "6f1c0b1e-0f6b-4a3c-9a53-000000000001",
            "12.50",
            "{}",
            "YYYYMMDD",
            "^[a-z][a-z0-9_]{1,19}$",
            "Order % was not found",
            "app.settings.kind",
            "orders_owner_fkey",
            "10 minutes",
        ] {
            assert!(is_harmless(text), "{text}");
        }
        for text in [
            "hunter2",
            "P4ssw0rd!",
            "4111111111111111",
            "s3cr3t",
            "Tr0ub4dor&3",
            "xkqzvbnm",
            "aB3dE6gH",
            "https://hooks.example/services/T0/B0/x",
            "dXNlcjpwYXNz",
            "0123456789abcdef",
        ] {
            assert!(!is_harmless(text), "{text}");
        }
    }
}
