//! Whether the ids that a database gives to agents are of a range of its own, and whether that lasts.

use tokio_postgres::Client;

use super::finding::{Finding, ok, unseen, warning};
use crate::config::Config;
use crate::telemetry::ErrorReport;

const WHAT: &str = "ids";

/// Who may not read the sequence sees the highest id that an agent has.
const SQL: &str = "select q.seqmin, q.seqmax, coalesce( \
                       case when has_sequence_privilege(q.seqrelid, 'select, usage') then pg_sequence_last_value(q.seqrelid) \
                            else (select max(a.id) from public.agents a where a.id between q.seqmin and q.seqmax) end, \
                       q.seqmin - 1) as last \
                   from pg_catalog.pg_sequence q where q.seqrelid = to_regclass('public.agents_id_seq')";

/// A range of which this much is used is not enough for long.
const USED: f64 = 0.9;

pub(crate) async fn check(client: &Client, config: &Config) -> Finding {
    let rows = match client.query_typed(SQL, &[]).await {
        Ok(rows) => rows,
        Err(error) => {
            let found = ErrorReport(&error).to_string();
            return unseen(WHAT, error.code(), found, "run deploy/roles.sql as postgres");
        }
    };
    let Some(row) = rows.first() else {
        return ok(WHAT, "agents draw their ids from no sequence of ours".to_owned());
    };
    let chosen = config.name.as_ref().map(|name| format!(" --database {name}")).unwrap_or_default();
    let command = format!("agent-provisioner{chosen} migrate --id-range FROM-TO");
    let (first, end, drawn): (i64, i64, i64) =
        (row.get("seqmin"), row.get("seqmax"), row.get("last"));
    if first == 1 && end == i64::MAX {
        let found = "agents get ids from 1 on";
        if config.name.is_none() {
            return ok(WHAT, found.to_owned());
        }
        let found =
            format!("{found}, as in other databases: an agent that is moved finds its id taken");
        let fix = format!("give each database a range of its own: {command}");
        return warning(WHAT, found, &fix);
    }
    let last = if drawn < first {
        "none was given yet".to_owned()
    } else {
        format!("{drawn} was the last one")
    };
    let found = format!("agents get ids of the range {first}-{end}; {last}");
    // What is lost of numbers as large as that is no agent.
    #[expect(clippy::cast_precision_loss, reason = "a share of a range, to the percent")]
    let used = (drawn - first + 1) as f64 / (end - first + 1) as f64;
    if used < USED {
        return ok(WHAT, found);
    }
    let fix = format!("give it another range before that one is used up: {command}");
    warning(WHAT, found, &fix)
}
