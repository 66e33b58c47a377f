//! One agent: its tables, how they are built and how they go.
//!
//! Nothing here knows of jobs or of the service; everything works inside a transaction that the
//! caller opened.

mod adopt;
mod agents_key;
mod built;
mod catalog;
mod concurrent;
mod convert;
mod deprovision;
mod drift;
mod echo;
mod error;
mod exposure;
mod keys;
mod ledger;
mod manifest;
mod mend;
mod object;
mod paste;
mod prefix;
mod provision;
mod refusal;
mod rehearsal;
mod repair;
mod reshape;
mod restore;
mod script;
mod search_path;
mod shared_lock;
pub mod statement;
mod template;
mod templates;
mod trash;
mod trial;
mod unmanaged;
mod upgrade;

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

pub use adopt::{Candidate, Found, Refused, Taken, candidates, others, take};
pub use built::{Built, drift};
pub use concurrent::run_concurrently;
pub use convert::{check_keys, convert};
pub use deprovision::{Leaving, deprovision};
pub use drift::{Change, Drift, headlines};
pub use error::Error;
pub use exposure::Public;
pub use keys::{KeyOff, keys_off};
pub use ledger::{Changed, changed, record};
pub use manifest::Manifest;
pub use mend::{Mend, mend};
pub use object::{Kind, Object};
pub use paste::pasteable;
pub use prefix::{InvalidPrefix, Prefix};
pub use provision::{Blueprint, Outcome, Registered, provision};
pub use rehearsal::worker_role;
pub use repair::repair;
pub use restore::{Restored, Trashed, restore};
pub use shared_lock::{LockMode, Refusal, require_turn};
pub use template::Template;
pub use templates::{Error as TemplateError, Templates};
pub use trash::{purge, service_clock};
pub use upgrade::{Stage, require_own, upgrade};

/// The key of a row of `agents`; never used again for another agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AgentId(pub i64);

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An agent as a job names it. Its row may be gone.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The row's key.
    pub id: AgentId,
    /// The head of its tables' names.
    pub prefix: Prefix,
}

/// What keeps an agent's customers tied to its row in `agents`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The documented foreign key, with its cost: each deletion of an agent checks every other
    /// agent's table.
    #[default]
    ForeignKey,
    /// The CHECK on `agent_id` alone; the drop replaces the cascade.
    Check,
}

impl Reference {
    /// As the configuration and `provisioning.agents.reference` spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ForeignKey => "foreign_key",
            Self::Check => "check",
        }
    }
}

/// The text is no reference.
#[derive(Debug, thiserror::Error)]
#[error("the reference is \"foreign_key\" or \"check\", not {0:?}")]
pub struct InvalidReference(String);

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::ForeignKey, Self::Check]
            .into_iter()
            .find(|reference| reference.as_str() == text)
            .ok_or_else(|| InvalidReference(text.to_owned()))
    }
}
