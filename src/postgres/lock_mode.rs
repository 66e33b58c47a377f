//! The modes in which shared tables are locked, and what the server says where a lock is not granted.

use tokio_postgres::error::{DbError, SqlState};

/// What everybody is kept from while a lock lasts, and so who holds it up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockMode {
    /// Writing: a new foreign key.
    #[default]
    ShareRowExclusive,
    /// Reading, too: a foreign key that goes.
    AccessExclusive,
}

/// A lock that was not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub mode: LockMode,
    /// Whether it was waited for, in vain. Otherwise others ask for it, or have waited a moment ago.
    pub waited: bool,
}

impl LockMode {
    /// As SQL spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ShareRowExclusive => "share row exclusive",
            Self::AccessExclusive => "access exclusive",
        }
    }
}

impl Refusal {
    /// As `provisioning.lock_shared` says it.
    pub(crate) fn read(error: &DbError) -> Option<Self> {
        let mode = match (error.code() == &SqlState::LOCK_NOT_AVAILABLE, error.datatype()) {
            (true, Some("share row exclusive")) => LockMode::ShareRowExclusive,
            (true, Some("access exclusive")) => LockMode::AccessExclusive,
            _ => return None,
        };
        Some(Self { mode, waited: error.constraint() == Some("waited") })
    }
}
