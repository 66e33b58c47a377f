//! Work that an operator asks for.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

/// What a job is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    /// As `provisioning.jobs` spells it.
    pub(crate) kind: &'a str,
    pub(crate) argument: Option<&'a str>,
    /// Lower goes first; new agents have 0.
    pub(crate) priority: i16,
}

/// New agents overtake everything that is asked of the fleet.
pub(crate) const BEHIND_NEW_AGENTS: i16 = 10;

/// Queues a job for each of these registered agents, all in one statement; the jobs' ids in order. A deletion
/// is refused.
pub(crate) async fn ask(
    client: &Client,
    work: Work<'_>,
    agents: &[i64],
) -> Result<Vec<i64>, Error> {
    let sql = "select id from provisioning.enqueue($1, $2, $3, $4)";
    let rows = client
        .query_typed(
            sql,
            &[
                (&work.kind, Type::TEXT),
                (&agents, Type::INT8_ARRAY),
                (&work.argument, Type::TEXT),
                (&work.priority, Type::INT2),
            ],
        )
        .await?;
    rows.iter().map(|row| row.try_get("id")).collect()
}
