//! What belongs to the platform, and what is asked of all else.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::postgres::{QueryError, query};

/// The schemas of the platform and of this program, which no project's files make.
pub(super) const PLATFORM: [&str; 19] = [
    "auth",
    "storage",
    "realtime",
    "_realtime",
    "extensions",
    "graphql",
    "graphql_public",
    "vault",
    "pgbouncer",
    "pgsodium",
    "pgsodium_masks",
    "supabase_functions",
    "supabase_migrations",
    "net",
    "cron",
    "_analytics",
    "_supavisor",
    "provisioning",
    "provisioning_trash",
];

/// The answer to a query about a project: its only parameter is [`PLATFORM`]. `doing` is what an error says was to be done.
pub(super) async fn ask(
    client: &Client,
    sql: &str,
    doing: &'static str,
) -> Result<Vec<Row>, QueryError> {
    let platform = PLATFORM.as_slice();
    let rows = client.query_typed(sql, &[(&platform, Type::TEXT_ARRAY)]).await;
    rows.map_err(query(doing))
}
