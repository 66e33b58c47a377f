//! Meta apps, which WhatsApp numbers belong to.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::actor::Actor;
use super::businesses::find_business;
use super::error::Error;
use super::meta_id::MetaId;
use super::numbers::Added;
use super::requested_job::require_owner;
use super::secrets::SecretState;
use crate::postgres::query;
use crate::service::Instance;

#[derive(Debug, JsonSchema, Serialize)]
#[expect(clippy::struct_field_names, reason = "Meta's names")]
pub(crate) struct App {
    pub id: String,
    pub app_id: String,
    pub name: String,
    /// null: it is the platform's.
    pub business_id: Option<String>,
    pub business: Option<String>,
    /// How many numbers belong to it.
    pub numbers: i64,
    /// null: none is set.
    pub app_secret: Option<SecretState>,
    /// null: none is set.
    pub verify_token: Option<SecretState>,
}

pub(crate) async fn list(instance: &Instance) -> Result<Vec<App>, Error> {
    let doing = || query("list the apps");
    let client = instance.current().await?;
    require_owner(&client).await?;
    let sql = include_str!("../../sql/operations/apps.sql");
    let rows = client.query_typed(sql, &[]).await.map_err(doing())?;
    let app = |row: &tokio_postgres::Row| {
        Ok(App {
            id: row.try_get("id")?,
            app_id: row.try_get("app_id")?,
            name: row.try_get("name")?,
            business_id: row.try_get("business_id")?,
            business: row.try_get("business")?,
            numbers: row.try_get("numbers")?,
            app_secret: SecretState::of(row, "app_secret_")?,
            verify_token: SecretState::of(row, "verify_token_")?,
        })
    };
    Ok(rows.iter().map(app).collect::<Result<_, _>>().map_err(doing())?)
}

/// In characters.
const LONGEST_NAME: usize = 200;

/// Without a business it is the platform's.
pub(crate) async fn add(
    actor: &Actor,
    instance: &Instance,
    app_id: &MetaId,
    name: &str,
    business: Option<&str>,
) -> Result<Added, Error> {
    let doing = || query("add the app");
    if !(1..=LONGEST_NAME).contains(&name.trim().chars().count()) {
        return Err(Error::AppName);
    }
    let client = actor.client(instance).await?;
    require_owner(&client).await?;
    let business = find_business(&client, business).await?;
    let sql = "insert into public.meta_apps (app_id, name, business_id) values ($1, $2, $3::uuid) \
               on conflict (app_id) do nothing returning id::text";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&app_id.as_str(), Type::TEXT), (&name, Type::TEXT), (&business, Type::TEXT)];
    let rows = client.query_typed(sql, &parameters).await.map_err(doing())?;
    let row = rows.first().ok_or_else(|| Error::AppTaken(app_id.to_string()))?;
    Ok(Added { id: row.try_get(0).map_err(doing())? })
}
