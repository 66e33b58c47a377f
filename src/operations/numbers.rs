//! WhatsApp numbers of businesses.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::actor::Actor;
use super::businesses::find_business;
use super::error::Error;
use super::meta_id::MetaId;
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
    pub phone_number_id: &'a MetaId,
    pub business_account_id: &'a MetaId,
    /// As people write it.
    pub display_number: &'a str,
    pub app_id: &'a MetaId,
    /// An id; none: its app's or its agent's.
    pub business: Option<&'a str>,
    pub agent: Option<&'a Prefix>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Added {
    pub id: String,
}

/// The ids of what a new number belongs to.
struct Place {
    app: String,
    agent: Option<i64>,
    business: String,
}

const ADD: &str = "add the number";

pub(crate) async fn add(
    actor: &Actor,
    instance: &Instance,
    number: &NewNumber<'_>,
) -> Result<Added, Error> {
    let client = actor.client(instance).await?;
    require_owner(&client).await?;
    let place = place(&client, number).await?;
    let sql = "select r.success, r.message, r.number ->> 'id' as id \
               from public.add_whatsapp_number($1::uuid, $2::uuid, $3, $4, $5, $6) r";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
        (&place.business, Type::TEXT),
        (&place.app, Type::TEXT),
        (&number.phone_number_id.as_str(), Type::TEXT),
        (&number.business_account_id.as_str(), Type::TEXT),
        (&number.display_number, Type::TEXT),
        (&place.agent, Type::INT8),
    ];
    let rows = client.query_typed(sql, &parameters).await.map_err(query(ADD))?;
    let row = accepted(&rows, ADD)?;
    Ok(Added { id: row.try_get("id").map_err(query(ADD))? })
}

async fn place(client: &Client, number: &NewNumber<'_>) -> Result<Place, Error> {
    let business = find_business(client, number.business).await?;
    let sql = include_str!("../../sql/operations/number_place.sql");
    let agent = number.agent.map(Prefix::as_str);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&number.app_id.as_str(), Type::TEXT), (&agent, Type::TEXT), (&business, Type::TEXT)];
    let row = client.query_typed_one(sql, &parameters).await.map_err(query(ADD))?;
    let app: Option<String> = row.try_get("app").map_err(query(ADD))?;
    let app = app.ok_or_else(|| Error::NoApp(number.app_id.to_string()))?;
    let id: Option<i64> = row.try_get("agent").map_err(query(ADD))?;
    if let (Some(prefix), None) = (agent, id) {
        return Err(Error::NoAgent(prefix.to_owned()));
    }
    let business: Option<String> = row.try_get("business").map_err(query(ADD))?;
    let which = || Error::WhichBusiness(number.phone_number_id.to_string());
    Ok(Place { app, agent: id, business: business.ok_or_else(which)? })
}
