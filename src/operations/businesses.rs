//! Businesses with their members and numbers, without anything secret.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::error::Error;
use crate::postgres::query;
use crate::service::Instance;

/// A business, and how much there is of it.
#[derive(Debug)]
pub(crate) struct Business {
    pub id: String,
    pub name: String,
    pub kind: Option<String>,
    pub created_at: String,
    pub members: i64,
    pub agents: i64,
    pub numbers: i64,
}

/// The user is an id: names and addresses are not read.
#[derive(Debug)]
pub(crate) struct Member {
    pub user: String,
    pub role: String,
    pub since: String,
}

#[derive(Debug)]
pub(crate) struct WhatsAppPhone {
    pub phone_number_id: String,
    pub display_number: String,
    pub is_active: bool,
    pub app_id: String,
    pub agent_prefix: Option<String>,
    pub has_token: bool,
}

const TIME: &str = "to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";

/// By name, from after one of them on; with this in their name, or all.
pub(crate) async fn list(
    instance: &Instance,
    part: Option<&str>,
    after: Option<&str>,
    most: i64,
) -> Result<Vec<Business>, Error> {
    let sql = format!(
        "select id::text, name, type, {TIME} as created_at, members, agents, numbers \
         from provisioning.list_businesses($1, $2::text::uuid, $3)"
    );
    let asked: [(&(dyn ToSql + Sync), Type); 3] =
        [(&part, Type::TEXT), (&after, Type::TEXT), (&most, Type::INT8)];
    read(instance, &sql, &asked, |row| {
        Ok(Business {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            kind: row.try_get("type")?,
            created_at: row.try_get("created_at")?,
            members: row.try_get("members")?,
            agents: row.try_get("agents")?,
            numbers: row.try_get("numbers")?,
        })
    })
    .await
}

/// Owners first.
pub(crate) async fn members(
    instance: &Instance,
    business: &str,
    most: i64,
) -> Result<Vec<Member>, Error> {
    let sql = format!(
        "select user_id::text, role, {TIME} as since \
         from provisioning.list_members($1::text::uuid, $2)"
    );
    read(instance, &sql, &[(&business, Type::TEXT), (&most, Type::INT8)], |row| {
        Ok(Member {
            user: row.try_get("user_id")?,
            role: row.try_get("role")?,
            since: row.try_get("since")?,
        })
    })
    .await
}

pub(crate) async fn numbers(
    instance: &Instance,
    business: &str,
    most: i64,
) -> Result<Vec<WhatsAppPhone>, Error> {
    let sql = "select phone_number_id, display_number, is_active, app_id, agent_prefix, has_token \
               from provisioning.list_numbers($1::text::uuid, $2)";
    read(instance, sql, &[(&business, Type::TEXT), (&most, Type::INT8)], |row| {
        Ok(WhatsAppPhone {
            phone_number_id: row.try_get("phone_number_id")?,
            display_number: row.try_get("display_number")?,
            is_active: row.try_get("is_active")?,
            app_id: row.try_get("app_id")?,
            agent_prefix: row.try_get("agent_prefix")?,
            has_token: row.try_get("has_token")?,
        })
    })
    .await
}

async fn read<T>(
    instance: &Instance,
    sql: &str,
    asked: &[(&(dyn ToSql + Sync), Type)],
    one: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Vec<T>, Error> {
    let client = instance.current().await?;
    let doing = || query("read the businesses");
    let rows = client.query_typed(sql, asked).await.map_err(doing())?;
    Ok(rows.iter().map(one).collect::<Result<_, _>>().map_err(doing())?)
}

/// The id of a business as the database writes it; none where none is named.
pub(super) async fn find_business(
    client: &Client,
    named: Option<&str>,
) -> Result<Option<String>, Error> {
    let doing = || query("look for the business");
    let Some(named) = named else { return Ok(None) };
    let sql =
        "select b.id::text from public.businesses b where b.id::text = lower($1 collate \"C\")";
    let rows = client.query_typed(sql, &[(&named, Type::TEXT)]).await.map_err(doing())?;
    let row = rows.first().ok_or_else(|| Error::NoBusiness(named.to_owned()))?;
    Ok(Some(row.try_get(0).map_err(doing())?))
}
