//! Whether the operator's console can log in, and reads no customer.

use tokio_postgres::Row;

use super::finding::{Finding, failure, ok};
use crate::config::Config;
use crate::postgres::query;
use crate::service::Instance;
use crate::telemetry::ErrorReport;

const WHAT: &str = "console";
const FIX: &str =
    "run deploy/roles.sql as postgres, and give console.database_url the URL of agent_console";

pub(super) async fn check(config: &Config) -> Finding {
    let Some(address) = config.console.listen else {
        return ok(WHAT, "is off: console.listen is not set".to_owned());
    };
    let database = match config.console.database(&config.database) {
        Ok(database) => database,
        Err(error) => return failure(WHAT, ErrorReport(&error).to_string(), FIX),
    };
    match look(Config { database, ..Config::default() }).await {
        Ok((role, reads)) if reads.is_empty() => {
            ok(WHAT, format!("on {address}; its role {role} reads the queue, and no customer"))
        }
        Ok((role, reads)) => {
            let found = format!("its role {role} reads {}, and may read more", reads.join(", "));
            failure(WHAT, found, FIX)
        }
        Err(error) => failure(WHAT, error, FIX),
    }
}

/// The role, and what it reads and must not.
async fn look(config: Config) -> Result<(String, Vec<String>), String> {
    let instance = Instance::new(config, 1).map_err(|error| ErrorReport(&error).to_string())?;
    let client = instance.db.get().await.map_err(|error| ErrorReport(&error).to_string())?;
    let doing = || query("see what the console's role reads");
    let sql = include_str!("../../../sql/operations/doctor/console.sql");
    let row = client.query_typed_one(sql, &[]).await.map_err(doing());
    let row: Row = row.map_err(|error| ErrorReport(&error).to_string())?;
    let role: String = row.get("role");
    if row.get("reads_queue") {
        Ok((role, row.get("reads")))
    } else {
        Err(format!("its role {role} does not read the queue"))
    }
}
