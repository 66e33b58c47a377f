//! WhatsApp numbers of businesses.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::actor::Actor;
use super::error::Error;
use super::requested_job::{accepted, require_owner};
use super::secrets::SecretState;
use crate::agent::Prefix;
use crate::postgres::query;
use crate::service::Instance;

#[derive(Debug, JsonSchema, Serialize)]
#[expect(clippy::struct_field_names, reason = "the database's names")]
pub(crate) struct Number {
    pub id: String,
    pub phone_number_id: String,
    /// Digits, the country's code first.
    pub display_number: String,
    pub business_id: String,
    pub business: String,
    /// Of its Meta app.
    pub app_id: String,
    /// The agent that answers. null: none.
    pub agent_prefix: Option<String>,
    pub is_active: bool,
    /// null: none is set.
    pub token: Option<SecretState>,
}

pub(crate) async fn list(instance: &Instance) -> Result<Vec<Number>, Error> {
    let doing = || query("list the numbers");
    let client = instance.current().await?;
    require_owner(&client).await?;
    let sql = include_str!("../../sql/operations/numbers.sql");
    let rows = client.query_typed(sql, &[]).await.map_err(doing())?;
    let number = |row: &tokio_postgres::Row| {
        let text = |name| row.try_get::<_, String>(name);
        Ok(Number {
            id: text("id")?,
            phone_number_id: text("phone_number_id")?,
            display_number: text("display_number")?,
            business_id: text("business_id")?,
            business: text("business")?,
            app_id: text("app_id")?,
            agent_prefix: row.try_get("agent_prefix")?,
            is_active: row.try_get("is_active")?,
            token: SecretState::of(row, "")?,
        })
    };
    Ok(rows.iter().map(number).collect::<Result<_, _>>().map_err(doing())?)
}

/// A number that is to be added.
pub(crate) struct NewNumber<'a> {
    pub phone_number_id: &'a str,
    pub business_account_id: &'a str,
    /// As people write it.
    pub display_number: &'a str,
    pub app_id: &'a str,
    /// An id; none: its app's or its agent's.
    pub business: Option<&'a str>,
    pub agent: Option<&'a Prefix>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Added {
    pub id: String,
}

pub(crate) async fn add(
    actor: &Actor,
    instance: &Instance,
    number: &NewNumber<'_>,
) -> Result<Added, Error> {
    const DOING: &str = "add the number";
    let client = actor.client(instance).await?;
    require_owner(&client).await?;
    let app = "select from public.meta_apps where app_id = $1";
    let app =
        client.query_typed(app, &[(&number.app_id, Type::TEXT)]).await.map_err(query(DOING))?;
    if app.is_empty() {
        return Err(Error::NoApp(number.app_id.to_owned()));
    }
    let sql = include_str!("../../sql/operations/add_number.sql");
    let agent = number.agent.map(Prefix::as_str);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
        (&number.phone_number_id, Type::TEXT),
        (&number.business_account_id, Type::TEXT),
        (&number.display_number, Type::TEXT),
        (&number.app_id, Type::TEXT),
        (&number.business, Type::TEXT),
        (&agent, Type::TEXT),
    ];
    let rows = client.query_typed(sql, &parameters).await.map_err(query(DOING))?;
    if let (Some(prefix), []) = (agent, rows.as_slice()) {
        return Err(Error::NoAgent(prefix.to_owned()));
    }
    let row = accepted(&rows, DOING)?;
    Ok(Added { id: row.try_get("id").map_err(query(DOING))? })
}
