//! How the server may have us prove who we are: libpq's `require_auth` (PostgreSQL manual, 34.1.2).
//!
//! A server that is not verified may be anybody. What it gets by asking for the password in clear text is the
//! password, and by asking for its MD5 hash what opens the door to every server that takes MD5. With SCRAM it gets
//! nothing.

use std::io;

/// Length of the kind, the length and the code of an authentication message.
const HEAD: usize = 9;

/// Ways of authentication that the driver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods {
    none: bool,
    password: bool,
    md5: bool,
    scram: bool,
}

impl Methods {
    pub(super) const ALL: Self = Self { none: true, password: true, md5: true, scram: true };
    /// Those that give nothing away.
    pub(super) const SAFE: Self = Self { password: false, md5: false, ..Self::ALL };
    const NONE: Self = Self { none: false, scram: false, ..Self::SAFE };

    /// A list of methods, or of methods with `!` before each: all but these. `None`: it is not one.
    pub(super) fn parse(list: &str) -> Option<Self> {
        let excludes = list.starts_with('!');
        let mut methods = if excludes { Self::ALL } else { Self::NONE };
        for item in list.split(',') {
            let name = if excludes { item.strip_prefix('!')? } else { item };
            match name {
                "none" => methods.none = !excludes,
                "password" => methods.password = !excludes,
                "md5" => methods.md5 = !excludes,
                "scram-sha-256" => methods.scram = !excludes,
                // Of no driver here: they can neither be allowed nor be asked for.
                "gss" | "sspi" | "oauth" => {}
                _ => return None,
            }
        }
        Some(methods)
    }

    /// Whether they allow what the code of an authentication message asks for.
    fn allow(self, code: [u8; 4]) -> Result<(), Refused> {
        let (allowed, refused) = match u32::from_be_bytes(code) {
            0 => (self.none, Refused::None),
            3 => (self.password, Refused::Password),
            5 => (self.md5, Refused::Md5),
            10 => (self.scram, Refused::Scram),
            _ => return Ok(()), // the driver refuses it
        };
        if allowed { Ok(()) } else { Err(refused) }
    }
}

/// What the server asks for and does not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error(
        "the server asks for the password in clear text, and nothing proves that it is the right server: \
         set sslmode=verify-full and sslrootcert. Where that is meant: sslmode=disable, or \
         require_auth=password in the URL"
    )]
    Password,
    #[error(
        "the server asks for an MD5 hash of the password, and nothing proves that it is the right server: \
         set sslmode=verify-full and sslrootcert, or give the role a SCRAM password. Where that is meant: \
         sslmode=disable, or require_auth=md5 in the URL"
    )]
    Md5,
    #[error("the server asks for a SCRAM proof, which require_auth does not allow")]
    Scram,
    #[error("the server asks for no proof at all, which require_auth does not allow")]
    None,
}

/// Reads along until the server has asked.
///
/// Its first message decides: the driver takes no other way than the one that it began.
#[derive(Debug)]
pub(super) struct Gate {
    allowed: Methods,
    head: Vec<u8>,
}

impl Gate {
    pub(super) fn new(allowed: Methods) -> Self {
        Self { allowed, head: Vec::with_capacity(HEAD) }
    }

    /// Fails before the driver could answer.
    pub(super) fn pass(&mut self, read: &[u8]) -> io::Result<()> {
        let missing = HEAD.saturating_sub(self.head.len());
        if missing == 0 {
            return Ok(());
        }
        self.head.extend(read.iter().take(missing));
        match self.head.as_slice() {
            [b'R', _, _, _, _, code @ ..] => match <[u8; 4]>::try_from(code) {
                Ok(code) => self.allowed.allow(code).map_err(io::Error::other),
                Err(_) => Ok(()), // to be continued
            },
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_what_it_names_or_all_else() {
        let of = |none, password, md5, scram| Some(Methods { none, password, md5, scram });
        let cases = [
            ("scram-sha-256", of(false, false, false, true)),
            ("password,md5", of(false, true, true, false)),
            ("none", of(true, false, false, false)),
            ("gss", of(false, false, false, false)),
            ("!password,!md5", of(true, false, false, true)),
            ("", None),
            ("scram", None),
            ("password,!md5", None),
            ("!password,md5", None),
        ];
        for (list, methods) in cases {
            assert_eq!(Methods::parse(list), methods, "{list}");
        }
    }

    #[test]
    fn a_message_that_comes_in_pieces_is_refused_with_its_last() {
        let asked = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
        for cut in 0..asked.len() {
            let mut gate = Gate::new(Methods::SAFE);
            let (first, rest) = asked.split_at(cut);
            assert!(gate.pass(first).is_ok());
            assert!(gate.pass(rest).is_err(), "{cut}");
        }
        let mut gate = Gate::new(Methods::SAFE);
        for read in [&b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"[..], &asked] {
            assert!(gate.pass(read).is_ok(), "only the first message counts");
        }
    }
}
