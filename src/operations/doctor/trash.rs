//! Whether a deletion can be undone, and whether the trash is emptied in time.

use tokio_postgres::Client;

use super::finding::{Finding, failure, number, ok, warning};
use crate::config::Config;
use crate::telemetry::ErrorReport;

const SQL: &str = "select \
    (select count(*) from provisioning.agents where reference = 'foreign_key') as keyed, \
    (select to_char(held_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || ', by ' || clock_moved \
     from provisioning.purge_holds where released_at is null) as held";

pub(crate) async fn check(client: &Client, config: &Config) -> Vec<Finding> {
    let rows = match client.query_typed(SQL, &[]).await {
        Ok(rows) => rows,
        Err(error) => {
            let fix = "run deploy/roles.sql as postgres and log in as agent_provisioner";
            return vec![failure("trash", ErrorReport(&error).to_string(), fix)];
        }
    };
    let Some(row) = rows.first() else { return Vec::new() };
    vec![undo(config, row.get("keyed")), purge(row.get("held"))]
}

fn undo(config: &Config, keyed: i64) -> Finding {
    const WHAT: &str = "undo";
    let retention = humantime::format_duration(config.deprovision.retention);
    if config.deprovision.retention.is_zero() {
        return ok(WHAT, "deletions are final: deprovision.retention is 0s".to_owned());
    }
    if keyed == 0 {
        return ok(WHAT, format!("deleted agents can be restored for {retention}"));
    }
    let found = format!(
        "{} a foreign key to public.agents: a plain DELETE of an agent empties its tables \
         before the service hears of it, and `agents restore` brings empty tables back",
        number(keyed, ["agent has", "agents have"])
    );
    let fix = "delete agents by select * from public.delete_agent(ID), or give the keys up: \
                agent-provisioner agents convert --reference check, and reference = \"check\" in the configuration";
    // As documented, and so no warning.
    ok(WHAT, found).with_fix(fix.to_owned())
}

fn purge(held: Option<&str>) -> Finding {
    const WHAT: &str = "purge";
    let Some(held) = held else {
        return ok(WHAT, "the trash is emptied in time".to_owned());
    };
    let found = format!(
        "nothing is purged from the trash: the database's clock moved against the service's (seen {held})"
    );
    let fix = "see that both clocks are right, look at agent-provisioner agents trash, then run \
                agent-provisioner agents purge --resume --yes";
    warning(WHAT, found, fix)
}
