//! Whether the base schema's sequences are behind their columns, as after a load of the rows alone.

use tokio_postgres::{Client, Error};

use super::finding::{Finding, ok, unseen, warning};
use crate::telemetry::ErrorReport;

const WHAT: &str = "sequences";

/// One finding for each sequence that is behind. Those of agents' tables are `agents verify`'s.
pub(crate) async fn check(client: &Client) -> Vec<Finding> {
    match behind(client).await {
        Ok((findings, unread)) if findings.is_empty() => {
            let unseen = match unread {
                0 => String::new(),
                unread => format!("; {unread} may not be read by this role: ask as postgres"),
            };
            vec![ok(WHAT, format!("none of the base schema is behind its column{unseen}"))]
        }
        Ok((findings, _)) => findings,
        Err(error) => {
            let found = ErrorReport(&error).to_string();
            vec![unseen(WHAT, error.code(), found, "run deploy/roles.sql as postgres")]
        }
    }
}

/// And how many this role may not read.
async fn behind(client: &Client) -> Result<(Vec<Finding>, usize), Error> {
    let sql = include_str!("../../../sql/operations/doctor/sequences.sql");
    let (mut findings, mut unread) = (Vec::new(), 0);
    for column in client.query_typed(sql, &[]).await? {
        let Some(reads) = column.try_get::<_, Option<String>>("reads")? else {
            unread += 1;
            continue;
        };
        let rows = client.query_typed(&reads, &[]).await?;
        let Some(row) = rows.first() else { continue };
        let (greatest, last): (Option<i64>, i64) =
            (row.try_get("greatest")?, row.try_get("last_value")?);
        if greatest.is_some_and(|greatest| greatest > last) {
            let name: String = column.try_get("column_name")?;
            let found = format!(
                "the sequence of {name} is behind its rows, as after a load of the rows alone: the next row gets a \
                 value that is taken, and is refused"
            );
            let way_out: String = column.try_get("way_out")?;
            let fix = format!("as postgres: {way_out}");
            findings.push(warning(WHAT, found, &fix).about(&name));
        }
    }
    Ok((findings, unread))
}
