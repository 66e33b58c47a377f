//! Who holds up jobs that wait for a lock.

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Row};

use crate::telemetry::Printable;

/// A session, or a prepared transaction, with a lock that a job cannot have beside it. None of our own workers, which
/// give way by themselves.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct LockHolder {
    /// Null: a prepared transaction.
    pub(crate) pid: Option<i32>,
    pub(crate) user: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) state: Option<String>,
    /// The age of its transaction; null where the owner of the schema may not see it.
    pub(crate) seconds: Option<f64>,
    /// A table that it has locked.
    pub(crate) relation: Option<String>,
    /// The prefix that it has locked, by an advisory lock or by the row of a pending job, which is in `relation` then: until it
    /// is gone nobody takes a job of this prefix.
    pub(crate) prefix: Option<String>,
    /// The statement that ends it.
    pub(crate) way_out: String,
    /// Whose table that is; `None`: all agents share it.
    #[serde(skip)]
    agent: Option<i64>,
    /// Whether it keeps writers off, too.
    #[serde(skip)]
    writers: bool,
    /// Whether it keeps off even who deletes a row.
    #[serde(skip)]
    rows: bool,
}

/// Each transaction once.
pub(crate) fn distinct(mut holders: Vec<LockHolder>) -> Vec<LockHolder> {
    let mut seen = HashSet::new();
    holders.retain(|holder| seen.insert(holder.way_out.clone()));
    holders
}

/// All of them, the oldest transaction first; one with several locks more than once.
pub(crate) async fn lock_holders(client: &Client) -> Result<Vec<LockHolder>, Error> {
    let rows = client.query_typed("select * from provisioning.lock_holders()", &[]).await?;
    rows.iter().map(LockHolder::read).collect()
}

/// The same for a role that may not ask, which is told of nobody.
pub(crate) async fn visible_lock_holders(client: &Client) -> Result<Vec<LockHolder>, Error> {
    match lock_holders(client).await {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(Vec::new()),
        found => found,
    }
}

impl LockHolder {
    /// Whether it has a table of the queue or the registry locked, so that no worker gets on.
    pub(crate) fn holds_up_all(&self) -> bool {
        self.prefix.is_none()
            && self
                .relation
                .as_deref()
                .is_some_and(|relation| relation.starts_with("provisioning."))
    }

    /// Whether it holds up a job of this agent that waits for this, as `provisioning.jobs.lock_wanted`
    /// spells it.
    pub(crate) fn holds_up(&self, agent: i64, wanted: &str) -> bool {
        match self.agent {
            _ if self.prefix.is_some() => false, // nobody has taken the job
            _ if self.holds_up_all() => true,
            Some(own) => own == agent,
            None => {
                wanted == "access exclusive"
                    || (wanted == "share row exclusive" && self.writers)
                    || (wanted == "own tables" && self.rows)
            }
        }
    }

    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            pid: row.try_get("pid")?,
            user: row.try_get("role")?,
            application: row.try_get("application")?,
            state: row.try_get("state")?,
            seconds: row.try_get("seconds")?,
            relation: row.try_get("relation")?,
            prefix: row.try_get("prefix")?,
            way_out: row.try_get("way_out")?,
            agent: row.try_get("agent_id")?,
            writers: row.try_get("writers")?,
            rows: row.try_get("rows")?,
        })
    }
}

/// Names are its own choice: they do not steer a terminal.
impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean = |text: &str| Printable(text).to_string();
        match self.pid {
            Some(pid) => write!(f, "backend {pid} (")?,
            None => f.write_str("a prepared transaction (")?,
        }
        let named =
            |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(clean);
        let user = named(&self.user).map(|user| format!("user {user}"));
        let age = self.seconds.map(|seconds| format!("transaction open for {seconds:.1} s"));
        let facts = [named(&self.application), user, named(&self.state), age];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        write!(f, "{}), which has locked ", facts.join(", "))?;
        match (&self.relation, &self.prefix) {
            (Some(_), Some(prefix)) => write!(f, "the row of a job of {}", clean(prefix)),
            (Some(relation), None) if relation == "public.agents" && self.agent.is_some() => {
                write!(f, "the row of agent {} in {relation}", self.agent.unwrap_or_default())
            }
            (Some(relation), None) => f.write_str(&clean(relation)),
            (None, prefix) => {
                write!(
                    f,
                    "prefix {}, by an advisory lock",
                    clean(prefix.as_deref().unwrap_or_default())
                )
            }
        }
    }
}
