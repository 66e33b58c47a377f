//! A claimed job: what it is, and what is wanted of it.

use tokio_postgres::Row;

use super::kind::{Kind, Work};
use crate::agent::{Agent, AgentId, InvalidPrefix, Reference};

/// Whose tables a prefix stands for, according to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrefixOwner {
    /// Nobody's.
    Nobody,
    /// This agent's.
    This,
    /// Those of a former agent, whose deletion is not done yet.
    Former(AgentId),
    /// Those of a former agent, whose deletion an operator cancelled.
    Kept {
        /// The former.
        agent: AgentId,
        /// The cancelled deletion.
        job: i64,
    },
}

/// A claimed job.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of the claim")]
pub(crate) struct Job {
    pub(crate) id: i64,
    pub(crate) work: Work,
    pub(crate) agent_id: AgentId,
    /// As the agents row had it; to be parsed.
    pub(crate) prefix: String,
    /// Failed attempts before this one.
    pub(crate) attempts: i32,
    /// A later job takes its agent away.
    pub(crate) superseded: bool,
    pub(crate) registered: PrefixOwner,
    /// Of what is registered for the prefix, if anything is.
    pub(crate) version: i32,
    pub(crate) reference: Reference,
    /// Others are due, too.
    pub(crate) more: bool,
    /// A deletion that nobody asked for: the tables were found without their agent.
    pub(crate) unreported: bool,
    /// An operator approved this deletion.
    pub(crate) deletion_confirmed: bool,
    /// The checksum of what this repair may run; `None`: anything.
    pub(crate) plan: Option<String>,
    /// Seconds since it could have run first.
    pub(crate) waited: f64,
}

impl Job {
    /// Whether the first part of a deletion is done. The limits are not asked again, and it counts with those
    /// that are done.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.work, Work::Deprovision { keys_removed: true })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.work.kind()
    }

    pub(crate) fn agent(&self) -> Result<Agent, InvalidPrefix> {
        Ok(Agent { id: self.agent_id, prefix: self.prefix.parse()? })
    }

    pub(crate) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let agent_id = AgentId(row.try_get("agent_id")?);
        let registered: Option<i64> = row.try_get("registered")?;
        let kept: Option<i64> = row.try_get("kept")?;
        let registered = match (registered.map(AgentId), kept) {
            (None, _) => PrefixOwner::Nobody,
            (Some(agent), _) if agent == agent_id => PrefixOwner::This,
            (Some(agent), Some(job)) => PrefixOwner::Kept { agent, job },
            (Some(agent), None) => PrefixOwner::Former(agent),
        };
        Ok(Self {
            id: row.try_get("id")?,
            work: Work::read(row)?,
            agent_id,
            prefix: row.try_get("agent_prefix")?,
            attempts: row.try_get("attempts")?,
            superseded: row.try_get("superseded")?,
            registered,
            version: row.try_get::<_, Option<i32>>("template_version")?.unwrap_or_default(),
            reference: reference(row.try_get("reference")?),
            more: row.try_get("more")?,
            unreported: row.try_get("unreported")?,
            deletion_confirmed: row.try_get("deletion_confirmed")?,
            plan: row.try_get("plan")?,
            waited: row.try_get("waited")?,
        })
    }
}

impl Work {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(match row.try_get("kind")? {
            Kind::Provision => Self::Provision,
            Kind::Deprovision => Self::Deprovision { keys_removed: row.try_get("keys_removed")? },
            Kind::Upgrade => Self::Upgrade { to: row.try_get("wanted_version")? },
            Kind::Repair => Self::Repair { force: row.try_get("force")? },
            Kind::Convert => Self::Convert { to: reference(row.try_get("wanted_reference")?) },
            Kind::Restore => Self::Restore,
        })
    }
}

/// The columns' checks know no other.
fn reference(name: Option<&str>) -> Reference {
    match name {
        Some("check") => Reference::Check,
        Some(_) | None => Reference::ForeignKey,
    }
}
