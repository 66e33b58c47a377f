//! The trash: deleted agents' tables, kept for a while out of everybody's reach.
//!
//! A table moves with its rows, indexes, sequences, policies and triggers. What would tie it to the
//! world outside (privileges, publications, foreign keys to tables that stay) is taken off, and what
//! gives it back is kept with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::error::{Error, query};
use super::registered_objects::RegisteredObjects;
use super::unmanaged::require_detached;
use crate::agent::AgentId;
use crate::postgres::run_each;

/// Writes an agent down for the trash; its number there, and the statements that take privileges off its tables and move
/// them. The server reads in the catalog what is to be given back.
///
/// What could not be dropped is not moved either: a view would go on showing its rows. The caller has the
/// tables locked, so it stays like that.
pub(crate) async fn note(
    client: &Client,
    retention: Duration,
    id: AgentId,
    objects: &RegisteredObjects,
) -> Result<(i64, Vec<String>), Error> {
    let mut trial = vec!["savepoint trash".to_owned()];
    trial.extend(objects.drop());
    trial.extend(["rollback to savepoint trash", "release savepoint trash"].map(str::to_owned));
    run_each(client, &trial, "take the agent's tables out of use").await?;
    let sql = "select * from provisioning.trash_agent($1, $2, $3)";
    let asked: [(&(dyn ToSql + Sync), Type); 3] = [
        (&id.0, Type::INT8),
        (&retention.as_secs_f64(), Type::FLOAT8),
        (&service_clock(), Type::FLOAT8),
    ];
    let noted = client.query_typed(sql, &asked).await;
    let noted = noted.map_err(query("write the agent down for the trash"))?;
    let row = noted.first().filter(|row| row.get::<_, Option<i64>>("item").is_some());
    let Some(row) = row else { return Err(Error::Swallowed("provisioning.trash")) };
    let noted: Option<i64> = row.get("tables");
    if noted.and_then(|noted| usize::try_from(noted).ok()) != Some(objects.oids().len()) {
        return Err(Error::Swallowed("provisioning.trash_relations"));
    }
    let statements = ["revokes", "moves"].map(|column| row.get::<_, Option<Vec<String>>>(column));
    Ok((row.get("item"), statements.into_iter().flatten().flatten().collect()))
}

/// Seconds since 1970 by this machine's clock. The trash stores the difference to the database's clock.
pub(crate) fn service_clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Drops for good what is in the trash under a number; whose it was. `None`: somebody else has it in hands, or
/// `due` was asked for and it is not.
pub(crate) async fn purge(
    client: &Client,
    item: i64,
    due: bool,
) -> Result<Option<(AgentId, String)>, Error> {
    let sql = "select * from provisioning.purge_item($1, $2)";
    let rows = client.query_typed(sql, &[(&item, Type::INT8), (&due, Type::BOOL)]).await;
    let rows = rows.map_err(query("take an agent off the trash's books"))?;
    let Some(row) = rows.first() else { return Ok(None) };
    if !row.get::<_, bool>("gone") {
        return Err(Error::Swallowed("provisioning.trash"));
    }
    let (tables, types): (Vec<&str>, Vec<&str>) = (row.get("tables"), row.get("types"));
    if !tables.is_empty() {
        let lock = format!("lock table only {} in access exclusive mode", tables.join(", only "));
        client.batch_execute(&lock).await.map_err(query("lock what is in the trash"))?;
        require_detached(client, &row.get::<_, Vec<u32>>("oids"), false).await?;
    }
    for (kind, names) in [("table", tables), ("type", types)] {
        if !names.is_empty() {
            let dropped = client.batch_execute(&format!("drop {kind} {}", names.join(", "))).await;
            dropped.map_err(query("drop what is in the trash"))?;
        }
    }
    Ok(Some((AgentId(row.get("agent_id")), row.get("agent_prefix"))))
}
