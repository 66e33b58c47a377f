//! Secrets of numbers and apps as the database holds them: encrypted, with keys that it never sees.
//!
//! `docs/tokens.md` has the format byte by byte.

mod binding;
mod error;
mod key;
mod key_id;
mod key_ring;
mod sealed;
mod secret;
mod weakness;

pub(crate) use binding::{Binding, Kind};
pub(crate) use error::Error;
pub(crate) use key::Key;
pub(crate) use key_ring::{KeyRing, append_new_key};
pub(crate) use secret::Secret;
