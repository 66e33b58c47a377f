//! Extensions on the shadow, and who makes them.
//!
//! The script of an extension runs with the rights of whoever makes it, and finds by name what files have put in its way. The
//! platform makes extensions for roles that may not. So does `root` here, but only where nothing is in the way.

use tokio_postgres::types::Type;

use super::error::Error;
use super::session::Session;
use crate::postgres::query;
use crate::sql_text::in_quotes;

const DOING: &str = "make an extension on the shadow";

/// Extensions that may be left out: nothing breaks but what calls them, and that has stand-ins or is told.
const HARMLESS: [&str; 15] = [
    "pg_cron",
    "pg_net",
    "pg_graphql",
    "pg_stat_statements",
    "pgsodium",
    "supabase_vault",
    "plpgsql_check",
    "pgaudit",
    "pg_stat_monitor",
    "hypopg",
    "index_advisor",
    "pgjwt",
    "http",
    "wrappers",
    "vector",
];

/// Makes an extension if it is not there: as `root`, or as the role of the files where these have made something that the
/// script may find. Otherwise says why it is not there.
///
/// Without a schema it goes to `public`, and where it says itself where it belongs, there.
pub(super) async fn make(
    session: &Session,
    root: &Session,
    name: &str,
    schema: Option<&str>,
) -> Result<Result<(), &'static str>, Error> {
    let schema = schema.unwrap_or("public");
    let planted = has_planted(session, root, name, schema).await?;
    let (quoted, within) = (in_quotes(name), in_quotes(schema));
    let mut sql = format!("create extension if not exists {quoted} schema {within} cascade");
    if !planted {
        sql = format!("create schema if not exists {within}; {sql}");
    }
    let maker = if planted { session } else { root };
    match maker.client.batch_execute(&sql).await {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.as_db_error().is_none() => Err(query(DOING)(error).into()),
        Err(_) if planted => Ok(Err(
            "the files have made functions or operators that its script could call, so their role would have to make \
             it, and may not",
        )),
        Err(_) => Ok(Err("the shadow's server has it not")),
    }
}

/// Nobody but these two sessions is in the database from then on, so the answer stays true.
async fn has_planted(
    session: &Session,
    root: &Session,
    name: &str,
    schema: &str,
) -> Result<bool, Error> {
    let others = include_str!("../../sql/audit/extension_others.sql");
    let ended = root.client.query_typed(others, &[(&session.pid, Type::INT4)]).await;
    ended.map_err(query(DOING))?;
    let planted = include_str!("../../sql/audit/extension_planted.sql");
    let found =
        root.client.query_typed(planted, &[(&name, Type::TEXT), (&schema, Type::TEXT)]).await;
    Ok(found.map_err(query(DOING))?.first().is_some_and(|row| row.get(0)))
}

/// Whether an extension that is left out takes nothing with it.
pub(super) fn is_harmless(extension: &str) -> bool {
    HARMLESS.contains(&extension)
}

/// Makes what stands in for an extension that is left out, where there is something.
pub(super) async fn stand_in(
    root: &Session,
    name: &str,
    schema: Option<&str>,
) -> Result<(), Error> {
    if !is_harmless(name) {
        return Ok(());
    }
    let schema = in_quotes(schema.unwrap_or("public"));
    let sql = match name {
        "vector" => include_str!("../../sql/audit/stub_vector.sql").replace("{schema}", &schema),
        _ => include_str!("../../sql/audit/stub_extensions.sql").to_owned(),
    };
    Ok(root.client.batch_execute(&sql).await.map_err(query("stand in for an extension"))?)
}
