//! What a function of the API answers an operator, and the job that it queued.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::actor::Actor;
use super::error::Error;
use crate::postgres::query;
use crate::queue::Kind;

/// The row that such a function answers; its message as the error where it refuses.
pub(super) fn accepted<'r>(rows: &'r [Row], doing: &'static str) -> Result<&'r Row, Error> {
    let row = rows.first().ok_or(Error::Refused("no answer".to_owned()))?;
    if row.try_get("success").map_err(query(doing))? {
        return Ok(row);
    }
    Err(Error::Refused(row.try_get("message").map_err(query(doing))?))
}

/// Refuses a role that has not the rights of the owner of schema `provisioning`.
pub(super) async fn require_owner(client: &Client) -> Result<(), Error> {
    let doing = || query("look for the owner of schema provisioning");
    let sql = "select quote_ident(r.rolname), current_user::text \
               from pg_catalog.pg_namespace n join pg_catalog.pg_roles r on r.oid = n.nspowner \
               where n.nspname = 'provisioning' and not pg_catalog.pg_has_role(r.oid, 'usage')";
    let rows = client.query_typed(sql, &[]).await.map_err(doing())?;
    let Some(row) = rows.first() else { return Ok(()) };
    let text = |index| row.try_get::<usize, String>(index).map_err(doing());
    Err(Error::NotOwner { owner: text(0)?, role: text(1)? })
}

/// What works on a request.
pub(super) struct RequestedJob {
    pub(super) id: i64,
    /// It waits for an operator's approval.
    pub(super) is_paused: bool,
}

/// The agent's last job of this kind. Where the open transaction has queued it, it says who asked.
pub(super) async fn requested_job(
    client: &Client,
    actor: &Actor,
    agent: i64,
    kind: Kind,
) -> Result<Option<RequestedJob>, Error> {
    let doing = || query("look for the job");
    let sql = include_str!("../../sql/operations/requested_job.sql");
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&agent, Type::INT8), (&kind.as_str(), Type::TEXT), (&actor.name(), Type::TEXT)];
    let rows = client.query_typed(sql, &parameters).await.map_err(doing())?;
    let Some(row) = rows.first() else { return Ok(None) };
    let id = row.try_get("id").map_err(doing())?;
    Ok(Some(RequestedJob { id, is_paused: row.try_get("is_paused").map_err(doing())? }))
}
