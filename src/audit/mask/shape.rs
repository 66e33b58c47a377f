//! What is a secret by its looks.

use std::ops::Range;

/// How well-known keys begin, and how many characters follow at least.
const KEYS: [(&str, usize); 37] = [
    ("eyJ", 10), // a JWT
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("pk_live_", 8),
    ("pk_test_", 8),
    ("rk_live_", 8),
    ("rk_test_", 8),
    ("whsec_", 8),
    ("sb_secret_", 8),
    ("sbp_", 16),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 16),
    ("glpat-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ya29.", 8),
    ("sk-", 16),
    ("SG.", 20),
    ("EAA", 40),
    ("npm_", 20),
    ("pypi-", 16),
    ("hf_", 20),
    ("dop_v1_", 8),
    ("shpat_", 16),
    ("AGE-SECRET-KEY-", 20),
    ("lin_api_", 16),
];
/// A word as long that mixes letters and digits is a key, unless it is made of words.
const LONG: usize = 20;
/// So much of it has to be no word.
const ODD: usize = 10;

/// Keys, PEM blocks and the logins of URLs, wherever they stand.
pub(super) fn known(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (head, least) in KEYS {
        for (at, _) in text.match_indices(head) {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let rest = text.get(at..).unwrap_or_default();
            let whole = rest.find(|c| !is_key(c)).unwrap_or(rest.len());
            let length = rest.get(..whole).unwrap_or_default().trim_end_matches('.').len();
            if !before.is_some_and(|c| c.is_ascii_alphanumeric()) && length >= head.len() + least {
                places.push(at..at + length);
            }
        }
    }
    places.extend(text.match_indices("-----BEGIN ").map(|(at, _)| at..pem_end(text, at)));
    places.extend(text.match_indices("://").filter_map(|(at, _)| login(text, at + 3)));
    places.extend(text.match_indices("://").flat_map(|(at, _)| query(text, at + 3)));
    places
}

fn is_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '=')
}

/// Behind the block; one that was cut off goes to the end of the text.
fn pem_end(text: &str, at: usize) -> usize {
    let end = text.get(at..).and_then(|rest| {
        let end = rest.find("-----END ")?;
        Some(end + rest.get(end + 9..)?.find("-----")? + 14)
    });
    end.map_or(text.len(), |end| at + end)
}

/// `user:password` of a URL, whose host begins there.
fn login(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '<' | '>');
    let rest = rest.get(..rest.find(ends).unwrap_or(rest.len()))?;
    let login = rest.rsplit_once('@')?.0;
    // `@` may stand in a path, too.
    let host = login.split(['/', '?', '#']).next()?;
    (host == login || host.contains(':')).then_some(at..at + login.len())
}

/// The values in the query of a URL, whose host begins there.
fn query(text: &str, at: usize) -> Vec<Range<usize>> {
    let rest = text.get(at..).unwrap_or_default();
    let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '<' | '>' | '#');
    let url = rest.get(..rest.find(ends).unwrap_or(rest.len())).unwrap_or_default();
    let Some((before, query)) = url.split_once('?') else { return Vec::new() };
    let (mut places, mut start) = (Vec::new(), at + before.len() + 1);
    for pair in query.split('&') {
        if let Some((name, value)) = pair.split_once('=').filter(|(_, value)| !value.is_empty()) {
            let from = start + name.len() + 1;
            places.push(from..from + value.len());
        }
        start += pair.len() + 1;
    }
    places
}

/// Long words that mix letters and digits like no name does.
pub(super) fn random(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut at = 0;
    for word in text.split(|c| !(is_key(c) || c == '~')) {
        if is_random(word) {
            places.push(at..at + word.len());
        }
        at += word.len();
        at += text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    }
    places
}

fn is_random(word: &str) -> bool {
    let has = |kind: fn(&char) -> bool| word.chars().any(|c| kind(&c));
    if word.len() < LONG || !has(char::is_ascii_alphabetic) || !has(char::is_ascii_digit) {
        return false;
    }
    let is_base64 = word.contains('+') || word.ends_with('=');
    let pieces = word.split(['/', '.', '=', '+', '~']).filter(|piece| !is_uuid(piece));
    let parts = pieces.flat_map(|piece| piece.split(['_', '-']));
    let odd = parts.filter(|part| is_odd(part, usize::from(!is_base64)));
    odd.map(str::len).sum::<usize>() >= ODD
}

pub(super) fn is_uuid(word: &str) -> bool {
    let lengths = word.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// Whether it is neither words, in any usual case, nor a number, nor words with `numbers`.
fn is_odd(part: &str, numbers: usize) -> bool {
    let (mut letters, mut mixed, mut humps) = (0_usize, 0_usize, 0_usize);
    let mut last = None;
    for c in part.chars() {
        letters += usize::from(c.is_alphabetic());
        if let Some(last) = last.replace(c) {
            mixed += usize::from(last.is_ascii_digit() != c.is_ascii_digit());
            humps += usize::from(last.is_lowercase() && c.is_uppercase());
        }
    }
    mixed > numbers || humps * 3 > letters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, places: &[Range<usize>]) -> Vec<String> {
        places.iter().filter_map(|place| text.get(place.clone())).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn keys_logins_and_blocks_are_known_anywhere() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123";
        let cases = [
            (format!("x '{jwt}'"), jwt),
            ("a_sk_live_abcdefgh1.".to_owned(), "sk_live_abcdefgh1"),
            ("ghp_abcdefghijklmnopqrst".to_owned(), "ghp_abcdefghijklmnopqrst"),
            ("sb_secret_0123456789".to_owned(), "sb_secret_0123456789"),
            ("postgres://u:p/w@h:5432/db".to_owned(), "u:p/w"),
            ("connect https://only@host/x".to_owned(), "only"),
            ("get https://host/x?key=abc&a".to_owned(), "abc"),
            ("dop_v1_0123456789".to_owned(), "dop_v1_0123456789"),
            ("ya29.a0Ab_cdefg".to_owned(), "ya29.a0Ab_cdefg"),
            (
                "a -----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY----- b".to_owned(),
                "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----",
            ),
            ("-----BEGIN EC PRIVATE KEY-----\nx".to_owned(), "-----BEGIN EC PRIVATE KEY-----\nx"),
        ];
        for (text, secret) in cases {
            assert_eq!(shown(&text, &known(&text)).first().unwrap(), secret, "{text}");
        }
        for text in
            ["keyJacket", "sk_live_", "task-force-of-many-words", "https://h/@user", "a://b 'c@d'"]
        {
            assert_eq!(shown(text, &known(text)), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_long_word_is_random_or_made_of_words() {
        for text in
            ["3f9aK2mQ8xZ1pL7vR4tY", "d41d8cd98f00b204e9800998ecf8427e", "abcDEF123+/ghiJKL456=="]
        {
            assert_eq!(shown(text, &random(text)), [text], "{text}");
        }
        for text in [
            "public.agt_a1_orders_items_2024",
            "6f1c0b1e-0f6b-4a3c-9a53-000000000001",
            "avatars/6f1c0b1e-0f6b-4a3c-9a53-000000000001.png",
            "2024-01-01T00:00:00.000000Z",
            "createOrderFromWebhook2",
            "fk_orders_customer_id_20240101120000",
            "short1a2b3c",
            "application/vnd.ms-excel.sheet.macroEnabled.12",
        ] {
            assert_eq!(shown(text, &random(text)), [""; 0], "{text}");
        }
    }
}
