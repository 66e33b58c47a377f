//! What clears the way for a dead job, looked up in the catalog by the session of the operator who asks.
//!
//! The worker's role has written the job's error. Its text may be anything, so no statement is taken from it.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use super::registered_objects::RegisteredObjects;
use super::unmanaged;
use crate::agent::AgentId;
use crate::queue::ErrorCode;
use crate::queue::admin::{JobView, State, WayOut, is_plain, own_names};

/// Empty for a job that is not dead, and for a role that may not look.
pub(crate) async fn way_out(client: &Client, job: &JobView) -> Result<WayOut, Error> {
    if job.state != State::Dead {
        return Ok(WayOut::default());
    }
    match look(client, job).await {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Ok(WayOut::default())
        }
        found => found,
    }
}

async fn look(client: &Client, job: &JobView) -> Result<WayOut, Error> {
    let id = AgentId(job.agent_id);
    let statements = match job.cause.error_code.as_deref().and_then(ErrorCode::parse) {
        Some(ErrorCode::RelationInTheWay) => return in_the_way(client, job).await,
        Some(ErrorCode::PrefixKept) => return kept(client, job).await,
        Some(ErrorCode::TablesNotAdopted) => unmanaged::ties(client, &job.agent_prefix).await?,
        Some(ErrorCode::TablesRenamed) => RegisteredObjects::read(client, id).await?.names_back(),
        Some(ErrorCode::TablesAttached) => {
            let oids = RegisteredObjects::read(client, id).await?.oids();
            let attached = unmanaged::attached(client, &oids, true).await?;
            attached.into_iter().map(|attached| attached.fix).collect()
        }
        _ => Vec::new(),
    };
    Ok(WayOut { statements, ..WayOut::default() })
}

/// Only what is under the agent's own prefix and registered to nobody, in plain characters.
async fn in_the_way(client: &Client, job: &JobView) -> Result<WayOut, Error> {
    let Some(names) = own_names(job) else { return Ok(WayOut::default()) };
    let sql = include_str!("../../sql/provisioning/way_out_in_the_way.sql");
    let rows = client
        .query_typed(sql, &[(&job.agent_prefix, Type::TEXT), (&names, Type::TEXT_ARRAY)])
        .await
        .map_err(query("look for what is in the way"))?;
    let text = |row: &Row, column| row.get::<_, String>(column);
    let mut found = WayOut::default();
    for row in rows.iter().filter(|row| is_plain(row.get("name"))) {
        let (kind, name, free) = (text(row, "kind"), text(row, "name"), text(row, "free"));
        found.statements.push(format!("alter {kind} public.{name} rename to {free}"));
        found.adoptable |= row.get::<_, bool>("adoptable");
        if row.get("asked") {
            found.relations.push(format!("public.{name}"));
        }
    }
    Ok(found)
}

async fn kept(client: &Client, job: &JobView) -> Result<WayOut, Error> {
    let sql = include_str!("../../sql/provisioning/way_out_kept.sql");
    let rows = client
        .query_typed(sql, &[(&job.agent_prefix, Type::TEXT), (&job.agent_id, Type::INT8)])
        .await
        .map_err(query("look for the deletion that was cancelled"))?;
    let kept = rows.first().map(|row| (row.get("agent_id"), row.get("job")));
    Ok(WayOut { kept, ..WayOut::default() })
}
