//! An agent's identity: its key, its prefix, and what ties it to `agents`.

mod prefix;

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

pub use prefix::{InvalidPrefix, Prefix};

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
