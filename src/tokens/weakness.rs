//! Why a key is weak: its bytes are not random. Random bytes are taken for weak less than once in 10^12 times.

use std::collections::BTreeSet;
use std::fmt;

use sha2::{Digest, Sha256};

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weakness {
    /// The same few bytes again and again.
    FewBytes,
    /// A word or a sentence, also with zeros or line ends behind it.
    Text,
    /// Bytes that count up or down, or parts that follow from each other.
    Pattern,
    /// Everybody can look it up: a standard's example, or the hash of a password that many take.
    Known,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FewBytes => "it has few different bytes",
            Self::Text => "it is text",
            Self::Pattern => "its bytes follow a pattern",
            Self::Known => "it is published: an example, or the SHA-256 of a common word",
        })
    }
}

/// Of 32 random bytes at least so many differ.
const FEWEST_BYTES: usize = 16;

/// How far apart bytes are compared, and at least so many differences are unlike in random bytes.
const FEWEST_DIFFERENCES: [(usize, usize); 5] = [(1, 8), (2, 8), (4, 8), (8, 6), (16, 4)];

/// Of which somebody has taken the SHA-256 for a key.
const WORDS: [&str; 24] = [
    "",
    "0",
    "1",
    "12345",
    "123456",
    "12345678",
    "123456789",
    "admin",
    "changeme",
    "default",
    "demo",
    "example",
    "foo",
    "hello",
    "key",
    "letmein",
    "master",
    "password",
    "passphrase",
    "qwerty",
    "secret",
    "test",
    "token",
    "whatsapp",
];

/// In hex, from specifications.
const PUBLISHED: [&str; 8] = [
    // AES-256 in NIST SP 800-38A, F.1.5.
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
    // ChaCha20-Poly1305 in RFC 8439, A.5.
    "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
    // Curve25519 in RFC 7748, 5.2 and 6.1.
    "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
    "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
    "77076d0a7318a57d3c16c17251b26645df18bfb30123f0bc2acdd9e6c6e5b6e4",
    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    // Ed25519 in RFC 8032, 7.1.
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
];

pub(super) fn of(key: &[u8]) -> Option<Weakness> {
    if is_text(key) {
        Some(Weakness::Text)
    } else if is_pattern(key) {
        Some(Weakness::Pattern)
    } else if distinct(key.iter()) < FEWEST_BYTES {
        Some(Weakness::FewBytes)
    } else if is_known(key) {
        Some(Weakness::Known)
    } else {
        None
    }
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> usize {
    values.collect::<BTreeSet<_>>().len()
}

fn is_text(key: &[u8]) -> bool {
    let filled = |byte: &u8| matches!(byte, 0 | b'\r' | b'\n');
    let end = key.iter().rposition(|byte| !filled(byte)).map_or(0, |last| last + 1);
    let text = key.get(..end).and_then(|text| str::from_utf8(text).ok());
    text.is_some_and(|text| !text.is_empty() && !text.chars().any(char::is_control))
}

/// Counting, repetition and inversion all leave few differences between bytes that are equally far apart.
fn is_pattern(key: &[u8]) -> bool {
    let pairs = |apart: usize| key.iter().zip(key.iter().skip(apart));
    let few = |(apart, fewest): (usize, usize)| {
        distinct(pairs(apart).map(|(a, b)| b.wrapping_sub(*a))) < fewest
            || distinct(pairs(apart).map(|(a, b)| a ^ b)) < fewest
    };
    let is_mirrored = key.iter().eq(key.iter().rev());
    is_mirrored || FEWEST_DIFFERENCES.into_iter().any(few)
}

fn is_known(key: &[u8]) -> bool {
    let hex = key.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    PUBLISHED.contains(&&*hex) || WORDS.iter().any(|word| Sha256::digest(word).as_slice() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 32;

    fn filled(text: &[u8], with: u8) -> [u8; LENGTH] {
        let mut key = [with; LENGTH];
        key.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        key
    }

    fn made(of: impl Fn(u8) -> u8) -> [u8; LENGTH] {
        std::array::from_fn(|index| of(u8::try_from(index).unwrap()))
    }

    /// Bytes that look random.
    fn random(index: u8) -> u8 {
        Sha256::digest([index]).into_iter().next().unwrap()
    }

    #[test]
    fn what_is_not_random_is_found() {
        let half = |index: u8| random(index % 16);
        for (key, weakness) in [
            ([0; LENGTH], Weakness::Pattern),
            ([b'k'; LENGTH], Weakness::Text),
            (made(|i| random(i) % 15), Weakness::FewBytes),
            (filled(b"Tr0ub4dor&3 is a password", 0), Weakness::Text),
            (filled(b"correct horse battery staple, my!", 0), Weakness::Text),
            (filled("pälzische Grumbeersupp für fünf".as_bytes(), b'\n'), Weakness::Text),
            (made(|i| i), Weakness::Pattern),
            (made(|i| 255 - i), Weakness::Pattern),
            (made(|i| i.wrapping_mul(7).wrapping_add(200)), Weakness::Pattern),
            (made(|i| (i % 16) * 17), Weakness::Pattern),
            (made(|i| if i % 2 == 0 { i } else { 255 - i }), Weakness::Pattern),
            (made(half), Weakness::Pattern),
            (made(|i| if i < 16 { half(i) } else { !half(i) }), Weakness::Pattern),
            (made(|i| random(i.min(31 - i))), Weakness::Pattern),
            (Sha256::digest("password").into(), Weakness::Known),
            (Sha256::digest("").into(), Weakness::Known),
        ] {
            assert_eq!(of(&key), Some(weakness), "{key:02x?}");
        }
        for hex in PUBLISHED {
            let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
            let key: Vec<u8> = hex.as_bytes().chunks(2).map(byte).collect();
            assert_eq!(of(&key), Some(Weakness::Known), "{hex}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(20_000))]
        #[test]
        fn random_bytes_are_no_weak_key(seed: [u64; 4]) {
            // Not proptest's own bytes, which it makes alike.
            let key = Sha256::digest(seed.map(u64::to_be_bytes).concat());
            proptest::prop_assert_eq!(of(&key), None);
        }
    }
}
