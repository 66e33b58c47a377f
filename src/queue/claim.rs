//! Taking a job from the queue.
//!
//! Claim and work are one transaction: the lock on the job's row is held by the very transaction
//! that does the work, so a free row means that nothing can commit for it any more, and the effect
//! and its record commit together. Statements are sent unnamed and with their types, so nothing of
//! them stays in a session: a transaction-mode pooler is fine.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::job::Job;
use super::kind::Kind;
use crate::postgres;

/// What a worker takes; other kinds wait for a program that knows them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimFilter {
    /// Upgrades up to this template version; `None`: none, since they may take long.
    pub(crate) upgrades: Option<i32>,
}

impl ClaimFilter {
    fn kinds(self) -> Vec<&'static str> {
        let taken = |kind: &&Kind| self.upgrades.is_some() || !kind.works_beside_transaction();
        Kind::ALL.iter().filter(taken).map(|kind| kind.as_str()).collect()
    }
}

/// What a look at the queue says about the next one.
#[derive(Debug, Default)]
pub(crate) struct NextDue {
    /// Seconds until a job is due, at most; 0: one is due and may be had soon. `None`: never.
    pub(crate) wait: Option<f64>,
    /// Of the schema.
    pub(crate) version: i32,
}

/// Opens a transaction and claims the next job, in one round trip. `None`: nothing to do now.
///
/// The transaction is open afterwards, in both cases; an error leaves the connection unfit for use.
pub(crate) async fn claim(
    client: &Client,
    begin: &str,
    takes: ClaimFilter,
) -> Result<Option<Job>, tokio_postgres::Error> {
    // The name shows a DBA in pg_stat_activity what this transaction is doing.
    // The other two show who it was in the job's history.
    let sql = "select c.*, set_config('application_name', 'agent-provisioner job ' || c.id, true), \
                      set_config('provisioning.host', $4, true), set_config('provisioning.pid', $5, true) \
               from provisioning.claim($1, $2, $3) c";
    let asked: [(&(dyn ToSql + Sync), Type); 5] = [
        (&takes.kinds(), Type::TEXT_ARRAY),
        (&postgres::schema_version(), Type::INT4),
        (&takes.upgrades, Type::INT4),
        (&postgres::host(), Type::TEXT),
        (&std::process::id().to_string(), Type::TEXT),
    ];
    let (opened, claimed) = tokio::join!(
        biased;
        client.batch_execute(begin),
        client.query_typed(sql, &asked),
    );
    opened?;
    claimed?.first().map(Job::read).transpose()
}

/// What there is to come, for a worker that has nothing to do.
pub(crate) async fn next_due(
    client: &Client,
    takes: ClaimFilter,
) -> Result<NextDue, tokio_postgres::Error> {
    let sql = "select * from provisioning.next_due($1, $2)";
    let (kinds, version) = (takes.kinds(), takes.upgrades);
    let rows =
        client.query_typed(sql, &[(&kinds, Type::TEXT_ARRAY), (&version, Type::INT4)]).await?;
    let Some(row) = rows.first() else { return Ok(NextDue::default()) };
    Ok(NextDue { wait: row.try_get("wait")?, version: row.try_get("version")? })
}
