//! Deleting agents, as the backend does.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::actor::Actor;
use super::agents::{self, Shown};
use super::error::Error;
use super::requested_job::{RequestedJob, accepted, requested_job, require_owner};
use crate::agent::Prefix;
use crate::postgres::query;
use crate::queue::Kind;
use crate::queue::admin::End;
use crate::service::Instance;
use crate::telemetry::ErrorReport;

const DOING: &str = "delete the agent";

/// What a deletion of one agent takes, and what came of the request.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Report {
    pub prefix: String,
    pub id: i64,
    /// How many tables it has.
    pub tables: i64,
    /// The rows in them, by the server's estimate. Null where it has none of one of them.
    pub rows: Option<i64>,
    /// Drops the tables, or waits for an operator. null: nothing was asked for.
    pub job: Option<i64>,
    /// That job waits for an operator's approval.
    pub paused: bool,
    /// How that job ended, where somebody waited for it.
    pub end: Option<End>,
    pub error: Option<String>,
}

/// What a deletion of these agents would take. Fails where one of them has no row in `agents`.
pub(crate) async fn plan(instance: &Instance, prefixes: &[Prefix]) -> Result<Vec<Report>, Error> {
    let mut reports: Vec<Report> = Vec::new();
    for prefix in prefixes {
        if reports.iter().any(|report| report.prefix == prefix.as_str()) {
            continue;
        }
        let shown = agents::show(instance, prefix.as_str()).await?;
        let alive = shown.into_iter().find(|shown| shown.agent.alive);
        let Shown { agent, tables } =
            alive.ok_or_else(|| Error::RowGone(prefix.as_str().to_owned()))?;
        reports.push(Report {
            prefix: agent.prefix,
            id: agent.id,
            tables: agent.tables,
            rows: tables.iter().map(|table| table.rows).sum(),
            job: None,
            paused: false,
            end: None,
            error: None,
        });
    }
    Ok(reports)
}

/// Asks for the deletion of the planned agents, one transaction an agent. A refusal keeps no other from being deleted.
pub(crate) async fn request(
    actor: &Actor,
    instance: &Instance,
    plan: &mut [Report],
) -> Result<(), Error> {
    let mut client = actor.client(instance).await?;
    require_owner(&client).await?;
    for report in plan {
        let tx = client.transaction().await.map_err(query("begin a transaction"))?;
        match delete(tx.client(), actor, report.id).await {
            Ok(job) => {
                tx.commit().await.map_err(query(DOING))?;
                report.job = job.as_ref().map(|job| job.id);
                report.paused = job.is_some_and(|job| job.is_paused);
            }
            Err(error) => {
                tx.rollback().await.map_err(query(DOING))?;
                report.error = Some(ErrorReport(&error).to_string());
            }
        }
    }
    Ok(())
}

async fn delete(client: &Client, actor: &Actor, id: i64) -> Result<Option<RequestedJob>, Error> {
    let sql = "select d.success, d.message from public.delete_agent($1) d";
    let rows = client.query_typed(sql, &[(&id, Type::INT8)]).await.map_err(query(DOING))?;
    accepted(&rows, DOING)?;
    requested_job(client, actor, id, Kind::Deprovision).await
}
