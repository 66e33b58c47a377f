//! A claimed job: what it is, and what is wanted of it.

use tokio_postgres::Row;

use super::attempt::Failure;
use crate::agent::{Agent, AgentId, InvalidPrefix, Reference, Registered};
use crate::retry_policy::RetryPolicy;

/// What this program does with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Give an agent its tables.
    Provision,
    /// Take them away.
    Deprovision,
    /// Make good what went missing.
    Repair,
    /// Run the template files that it lacks.
    Upgrade,
    /// Tie it to `agents` in another way.
    Convert,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Deprovision => "deprovision",
            Self::Repair => "repair",
            Self::Upgrade => "upgrade",
            Self::Convert => "convert",
        }
    }
}

/// A claimed job.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of the claim")]
pub(super) struct Job {
    pub(super) id: i64,
    pub(super) kind: Kind,
    pub(super) agent_id: AgentId,
    /// As the agents row had it; to be parsed.
    pub(super) prefix: String,
    /// Failed attempts before this one.
    pub(super) attempts: i32,
    /// A later job takes its agent away.
    pub(super) superseded: bool,
    pub(super) registered: Registered,
    /// Of what is registered for the prefix, if anything is.
    pub(super) version: i32,
    pub(super) reference: Reference,
    /// What is wanted of the job, where its kind alone does not say it.
    pub(super) argument: Option<String>,
    /// Others are due, too.
    pub(super) more: bool,
    /// A deletion that nobody asked for: the tables were found without their agent.
    pub(super) unreported: bool,
    /// An operator approved this deletion.
    pub(super) deletion_confirmed: bool,
}

/// What `argument` says of a deletion that has passed the limits and has taken keys off.
pub(super) const KEYS_REMOVED: &str = "keys_removed";

impl Job {
    /// Whether the first part of a deletion is done. The limits are not asked again, and it counts with those
    /// that are done.
    pub(super) fn has_begun(&self) -> bool {
        self.argument.as_deref() == Some(KEYS_REMOVED)
    }

    pub(super) fn agent(&self) -> Result<Agent, InvalidPrefix> {
        Ok(Agent { id: self.agent_id, prefix: self.prefix.parse()? })
    }

    /// What becomes of it after a failed attempt, as `provisioning.jobs.state` spells it.
    pub(super) fn next_state(&self, failure: &Failure, max_attempts: i32) -> &'static str {
        match failure.policy {
            RetryPolicy::Retry if self.attempts + 1 >= max_attempts => "dead",
            RetryPolicy::Retry | RetryPolicy::RetryWithoutCounting(_) => "pending",
            RetryPolicy::Fail => "dead",
            RetryPolicy::Pause => "paused",
        }
    }

    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let agent_id = AgentId(row.try_get("agent_id")?);
        let kind = match row.try_get("kind")? {
            "deprovision" => Kind::Deprovision,
            "repair" => Kind::Repair,
            "upgrade" => Kind::Upgrade,
            "convert" => Kind::Convert,
            _ => Kind::Provision, // the claim asks for no other
        };
        let registered: Option<i64> = row.try_get("registered")?;
        let kept: Option<i64> = row.try_get("kept")?;
        let registered = match (registered.map(AgentId), kept) {
            (None, _) => Registered::Nobody,
            (Some(agent), _) if agent == agent_id => Registered::This,
            (Some(agent), Some(job)) => Registered::Kept { agent, job },
            (Some(agent), None) => Registered::Former(agent),
        };
        Ok(Self {
            id: row.try_get("id")?,
            kind,
            agent_id,
            prefix: row.try_get("agent_prefix")?,
            attempts: row.try_get("attempts")?,
            superseded: row.try_get("superseded")?,
            registered,
            version: row.try_get::<_, Option<i32>>("template_version")?.unwrap_or_default(),
            reference: match row.try_get("reference")? {
                Some("check") => Reference::Check,
                Some(_) | None => Reference::ForeignKey,
            },
            argument: row.try_get("argument")?,
            more: row.try_get("more")?,
            unreported: row.try_get("unreported")?,
            deletion_confirmed: row.try_get("deletion_confirmed")?,
        })
    }
}
