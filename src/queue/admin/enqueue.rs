//! Work that an operator asks for.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use crate::queue::Work;

/// New agents overtake everything that is asked of the fleet: lower goes first, and they have 0.
const BEHIND_NEW_AGENTS: i16 = 10;

/// Queues a job for each of these registered agents, all in one statement; the jobs' ids in order. `who` asks, besides
/// the database role. `plans`: for each agent the checksum of what its repair may run. The server refuses a provision and a deletion.
pub(crate) async fn enqueue(
    client: &Client,
    work: Work,
    agents: &[i64],
    plans: Option<&[String]>,
    who: Option<&str>,
) -> Result<Vec<i64>, Error> {
    let force = matches!(work, Work::Repair { force: true });
    let version = if let Work::Upgrade { to } = work { to } else { None };
    let reference = if let Work::Convert { to } = work { Some(to.as_str()) } else { None };
    let sql = "select id from provisioning.enqueue($1, $2, $3, $4, $5, $6, $7, $8)";
    let rows = client
        .query_typed(
            sql,
            &[
                (&work.kind().as_str(), Type::TEXT),
                (&agents, Type::INT8_ARRAY),
                (&force, Type::BOOL),
                (&version, Type::INT4),
                (&reference, Type::TEXT),
                (&who, Type::TEXT),
                (&BEHIND_NEW_AGENTS, Type::INT2),
                (&plans, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(|row| row.try_get("id")).collect()
}

/// Queues repairs that run the plans with these checksums and nothing else, one an agent, for a reason.
pub(crate) async fn repair_as_shown(
    client: &Client,
    agents: &[i64],
    plans: &[&str],
    reason: &str,
    who: Option<&str>,
) -> Result<Vec<i64>, Error> {
    let sql = "select id from provisioning.repair_as_shown($1, $2, $3, $4)";
    let asked: [(&(dyn ToSql + Sync), Type); 4] = [
        (&agents, Type::INT8_ARRAY),
        (&plans, Type::TEXT_ARRAY),
        (&reason, Type::TEXT),
        (&who, Type::TEXT),
    ];
    let rows = client.query_typed(sql, &asked).await?;
    rows.iter().map(|row| row.try_get("id")).collect()
}
