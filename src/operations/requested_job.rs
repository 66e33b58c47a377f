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

/// The agent's last job of this kind. Where the open transaction has queued it, it says who asked.
pub(super) async fn requested_job(
    client: &Client,
    actor: &Actor,
    agent: i64,
    kind: Kind,
) -> Result<Option<i64>, Error> {
    let doing = || query("look for the job");
    let sql = include_str!("../../sql/operations/requested_job.sql");
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&agent, Type::INT8), (&kind.as_str(), Type::TEXT), (&actor.name(), Type::TEXT)];
    let rows = client.query_typed(sql, &parameters).await.map_err(doing())?;
    match rows.first() {
        Some(row) => Ok(row.try_get("id").map_err(doing())?),
        None => Ok(None),
    }
}
