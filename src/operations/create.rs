//! Creating an agent, as the backend does.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::actor::Actor;
use super::businesses::find_business;
use super::error::Error;
use super::requested_job::{accepted, requested_job, require_owner};
use crate::agent::Prefix;
use crate::postgres::query;
use crate::queue::Kind;
use crate::queue::admin::End;
use crate::service::Instance;

const DOING: &str = "create the agent";

/// A new agent.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Created {
    pub id: i64,
    pub prefix: String,
    /// Builds its tables. null: the trigger on `agents` is off, and reconcile has to find the agent.
    pub job: Option<i64>,
    /// How that job ended, where somebody waited for it.
    pub end: Option<End>,
}

/// Creates an agent for a user, and has its tables built. Without a prefix one is drawn. Users are named by id or by
/// e-mail address; who creates the agent is its user where nobody else is named. The business may be left out where only one can be meant.
pub(crate) async fn create(
    actor: &Actor,
    instance: &Instance,
    prefix: Option<&Prefix>,
    user: &str,
    creator: Option<&str>,
    business: Option<&str>,
) -> Result<Created, Error> {
    let mut client = actor.client(instance).await?;
    require_owner(&client).await?;
    let tx = client.transaction().await.map_err(query("begin a transaction"))?;
    let user = find_user(tx.client(), user).await?;
    let creator = match creator {
        Some(creator) => find_user(tx.client(), creator).await?,
        None => user.clone(),
    };
    let business = find_business(tx.client(), business).await?;
    let sql = include_str!("../../sql/operations/create_agent.sql");
    let prefix = prefix.map(Prefix::as_str);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
        (&prefix, Type::TEXT),
        (&user, Type::TEXT),
        (&creator, Type::TEXT),
        (&business, Type::TEXT),
    ];
    let rows = tx.query_typed(sql, &parameters).await.map_err(query(DOING))?;
    let row = accepted(&rows, DOING)?;
    let id: i64 = row.try_get("id").map_err(query(DOING))?;
    let job = requested_job(tx.client(), actor, id, Kind::Provision).await?.map(|job| job.id);
    let prefix = row.try_get("prefix").map_err(query(DOING))?;
    tx.commit().await.map_err(query(DOING))?;
    Ok(Created { id, prefix, job, end: None })
}

async fn find_user(client: &Client, named: &str) -> Result<String, Error> {
    let sql = include_str!("../../sql/operations/find_user.sql");
    let rows = client.query_typed(sql, &[(&named, Type::TEXT)]).await;
    let rows = rows.map_err(query("look for the user"))?;
    let user = rows.first().ok_or_else(|| Error::NoUser(named.to_owned()))?;
    Ok(user.try_get("id").map_err(query("look for the user"))?)
}
