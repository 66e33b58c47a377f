//! How the server may have us prove who we are: libpq's `require_auth` (PostgreSQL manual, 34.1.2).
//!
//! A server that is not verified may be anybody. What it gets by asking for the password in clear text is the
//! password, and by asking for its MD5 hash what opens the door to every server that takes MD5. With SCRAM it gets
//! nothing.

use std::io;

/// Length of the kind, the length and the code of an authentication message.
const HEAD: usize = 9;

/// A set of ways of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods(u8);

/// Those that the driver knows, by libpq's names and the codes of their messages.
const KNOWN: [(&str, u32); 4] = [("none", 0), ("password", 3), ("md5", 5), ("scram-sha-256", 10)];

/// Of those that it does not know none can be had, allowed or not.
const UNKNOWN: [&str; 3] = ["gss", "sspi", "oauth"];

impl Methods {
    pub(crate) const ALL: Self = Self(0b1111);
    /// Those that give nothing away.
    pub(crate) const SAFE: Self = Self(0b1001);

    /// A list of methods, or of methods with `!` before each: all but these. `None`: it is not one.
    pub(crate) fn parse(list: &str) -> Option<Self> {
        let excludes = list.starts_with('!');
        let mut listed = 0;
        for item in list.split(',') {
            let name = if excludes { item.strip_prefix('!')? } else { item };
            match KNOWN.iter().position(|(known, _)| *known == name) {
                Some(index) => listed |= 1 << index,
                None if UNKNOWN.contains(&name) => {}
                None => return None,
            }
        }
        Some(if excludes { Self(Self::ALL.0 & !listed) } else { Self(listed) })
    }

    /// The name of what the code of an authentication message asks for, unless they allow it.
    fn refuse(self, code: u32) -> Option<&'static str> {
        let (index, (name, _)) = KNOWN.iter().enumerate().find(|(_, (_, known))| *known == code)?;
        (self.0 & (1 << index) == 0).then_some(name) // another code is the driver's to refuse
    }
}

/// What the server asks for and does not get.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(
        "the server asks for authentication by {0}, and nothing proves that it is the right server, so it gets \
         neither the password nor its hash: set sslmode=verify-full and sslrootcert. If that is meant, set \
         sslmode=disable, or require_auth={0} in the URL"
    )]
    Unverified(&'static str),
    #[error("the server asks for authentication by {0}, which require_auth does not allow")]
    Unlisted(&'static str),
}

/// Reads along until the server has asked.
///
/// Its first message decides: the driver takes no other way than the one that it began.
#[derive(Debug)]
pub(crate) struct Gate {
    allowed: Methods,
    refuse: fn(&'static str) -> Refused,
    head: Vec<u8>,
}

impl Gate {
    /// What the URL lists is allowed; else everything where the server is trusted.
    pub(crate) fn new(listed: Option<Methods>, trusted: bool) -> Self {
        let (allowed, refuse): (_, fn(_) -> _) = match listed {
            Some(listed) => (listed, Refused::Unlisted),
            None if trusted => (Methods::ALL, Refused::Unverified),
            None => (Methods::SAFE, Refused::Unverified),
        };
        Self { allowed, refuse, head: Vec::with_capacity(HEAD) }
    }

    /// Fails before the driver could answer.
    pub(crate) fn pass(&mut self, read: &[u8]) -> io::Result<()> {
        let missing = HEAD.saturating_sub(self.head.len());
        if missing == 0 {
            return Ok(());
        }
        self.head.extend(read.iter().take(missing));
        let [b'R', _, _, _, _, code @ ..] = self.head.as_slice() else { return Ok(()) };
        let Ok(code) = <[u8; 4]>::try_from(code) else { return Ok(()) }; // to be continued
        match self.allowed.refuse(u32::from_be_bytes(code)) {
            Some(method) => Err(io::Error::other((self.refuse)(method))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_what_it_names_or_all_else() {
        let cases: [(&str, Option<&[u32]>); 9] = [
            ("scram-sha-256", Some(&[10])),
            ("password,md5", Some(&[3, 5])),
            ("none", Some(&[0])),
            ("gss", Some(&[])),
            ("!password,!md5", Some(&[0, 10])),
            ("", None),
            ("scram", None),
            ("password,!md5", None),
            ("!password,md5", None),
        ];
        for (list, codes) in cases {
            let methods = Methods::parse(list);
            let allowed = methods.map(|methods| {
                [0, 3, 5, 10].into_iter().filter(|code| methods.refuse(*code).is_none()).collect()
            });
            assert_eq!(allowed, codes.map(<[u32]>::to_vec), "{list}");
        }
    }

    #[test]
    fn a_message_that_comes_in_pieces_is_refused_with_its_last() {
        let asked = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
        for cut in 0..asked.len() {
            let mut gate = Gate::new(None, false);
            let (first, rest) = asked.split_at(cut);
            assert!(gate.pass(first).is_ok());
            assert!(gate.pass(rest).is_err(), "{cut}");
        }
        let mut gate = Gate::new(None, false);
        for read in [&b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"[..], &asked] {
            assert!(gate.pass(read).is_ok(), "only the first message counts");
        }
    }
}
