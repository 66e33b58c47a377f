//! Taking one agent's tables away, in a transaction that the caller opened.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::agent_row::is_alive;
use super::build_spec::BuildSpec;
use super::error::{Error, query};
use super::registered_objects::RegisteredObjects;
use super::{outside_keys, trash, unmanaged};
use crate::agent::AgentId;
use crate::postgres::{LOCK_GATE, run_each};
use crate::queue::Outcome;

/// What nobody asked to delete can be restored for so long, also where deletions are final.
const UNREPORTED_KEPT: Duration = Duration::from_hours(7 * 24);

/// An agent that goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deletion<'a> {
    /// Whose row is deleted, or was.
    pub id: AgentId,
    /// As the row had it; it may be against the rule.
    pub prefix: &'a str,
    /// Nobody asked for it: the tables were found without their agent.
    pub unreported: bool,
}

/// Drops an agent's registered tables or moves them into the trash, deletes its row if it is still
/// there, and switches off the WhatsApp configuration of the user who owns the agent at that moment, unless
/// the user has another agent. Where the owner is not known it switches off nothing.
///
/// Nothing unregistered is dropped, whatever its name; a view of somebody's that depends on a table
/// makes this fail with the server's detail. Where a registered table was renamed, nothing goes. An agent that exists after all, although nobody asked for its
/// deletion, is `Superseded`, and the caller must roll back. Where row security may hide it, this fails.
///
/// A foreign key to a table that stays would lock that table against readers until the commit. So such keys
/// go by themselves, and this is `MoreToDo`: from then on tables and row go without such a lock.
pub(crate) async fn delete(
    client: &Client,
    build_spec: &BuildSpec,
    leaving: Deletion<'_>,
) -> Result<Outcome, Error> {
    let Deletion { id, prefix, unreported } = leaving;
    let (alive, objects, keys) = tokio::join!(
        biased;
        is_alive(client, id),
        RegisteredObjects::read(client, id),
        outside_keys::read(client, id),
    );
    let (alive, objects) = (alive?, objects?);
    if alive && unreported {
        return Ok(Outcome::Superseded);
    }
    objects.require_names()?;
    let left = unmanaged::has_old_tables(client, &build_spec.expected_schema, prefix, alive)
        .await?
        && !objects.registered;
    if outside_keys::take_off(client, id, &keys?).await? {
        return Ok(Outcome::MoreToDo);
    }
    let retention = retention(build_spec, unreported);
    let keep = !retention.is_zero() && !objects.tables.is_empty();
    let oids = objects.oids();
    let (locked, detached) = tokio::join!(
        biased;
        objects.lock(client),
        unmanaged::require_detached(client, &oids, keep),
    );
    locked?;
    detached?;
    let (mut statements, item) = if keep {
        let (item, moves) = trash::note(client, retention, id, &objects).await?;
        (moves, Some(item))
    } else {
        (objects.drop(), None)
    };
    statements.extend(if alive { owner_rights(client).await? } else { Vec::new() });
    statements.push(LOCK_GATE.to_owned());
    // One round trip.
    let (taken, removed) = tokio::join!(
        biased;
        run_each(client, &statements, "take the agent's tables away"),
        Removed::of(client, leaving, item),
    );
    taken?;
    let removed = removed?;
    if removed.superseded {
        return Ok(Outcome::Superseded);
    }
    if !removed.owner_known {
        tracing::warn!(
            agent.id = id.0,
            agent.prefix = prefix,
            "the agent's owner is not known: no WhatsApp configuration was switched off"
        );
    }
    Ok(match item {
        Some(_) => Outcome::Trashed,
        None if left => Outcome::RowDeleted,
        None => Outcome::Deprovisioned,
    })
}

/// The statements that give owners their own rights back where the end of the agent's row needs them.
async fn owner_rights(client: &Client) -> Result<Vec<String>, Error> {
    let sql = include_str!("../../sql/provisioning/delete_owner_rights.sql");
    let rows = client.query_typed(sql, &[]).await;
    let rows = rows.map_err(query("look for tables whose owner has lost its rights"))?;
    Ok(rows.iter().map(|row| row.get("statement")).collect())
}

/// How long the tables are kept; zero: not at all.
fn retention(build_spec: &BuildSpec, unreported: bool) -> Duration {
    if unreported && build_spec.retention.is_zero() {
        UNREPORTED_KEPT
    } else {
        build_spec.retention
    }
}

/// What became of the row.
struct Removed {
    superseded: bool,
    owner_known: bool,
}

impl Removed {
    async fn of(client: &Client, leaving: Deletion<'_>, item: Option<i64>) -> Result<Self, Error> {
        let sql = "select * from provisioning.remove_agent($1, $2)";
        let asked: [(&(dyn ToSql + Sync), Type); 2] =
            [(&leaving.id.0, Type::INT8), (&item, Type::INT8)];
        let rows = client.query_typed(sql, &asked).await;
        let rows = rows.map_err(query("delete the agent's row and registration"))?;
        let Some(row) = rows.first() else { return Err(Error::Swallowed("public.agents")) };
        Ok(Self { superseded: row.get("superseded"), owner_known: row.get("owner_known") })
    }
}
