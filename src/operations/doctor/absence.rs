//! Whether this role can tell which agents are gone.

use tokio_postgres::{Client, Row};

use super::finding::{Finding, failure, number, ok, unseen, warning};
use crate::sql_text::pasteable;
use crate::telemetry::ErrorReport;

const WHAT: &str = "agents";
/// So many are named.
const NAMED: usize = 5;

pub(crate) async fn check(client: &Client) -> Finding {
    let sql = include_str!("../../../sql/operations/doctor/absence.sql");
    match client.query_typed(sql, &[]).await {
        Ok(rows) => rows.first().map_or_else(|| ok(WHAT, "none".to_owned()), of_row),
        Err(error) => {
            let found = format!(
                "nobody can tell which agents are gone, so no tables are dropped for being without an \
                 agent: {}",
                ErrorReport(&error)
            );
            let fix = "run deploy/roles.sql as postgres; where row security of public.agents is forced: \
                       alter table public.agents no force row level security;";
            unseen(WHAT, error.code(), found, fix)
        }
    }
}

fn of_row(row: &Row) -> Finding {
    let (living, hidden): (i64, i64) = (row.get("living"), row.get("hidden"));
    let restrictive: Vec<String> = row.get("restrictive");
    if row.get("without_policy") {
        let found = format!(
            "public.agents has no policy for this role, which so sees none of {}. All tables are kept",
            number(living, ["agent", "agents"])
        );
        return failure(WHAT, found, "run deploy/roles.sql as postgres");
    }
    let kept: Vec<String> = row.get("kept");
    if restrictive.is_empty() && hidden == 0 && !kept.is_empty() {
        let found = format!(
            "{} gone but for the tables, since the deletion was cancelled: {}",
            number(i64::try_from(kept.len()).unwrap_or(i64::MAX), ["agent is", "agents are"]),
            kept.get(..NAMED).unwrap_or(&kept).join(", ")
        );
        let fix = "agent-provisioner agents show PREFIX, then jobs replay ID to delete it after all; or insert \
                   the agent's row again, with its id";
        return warning(WHAT, found, fix);
    }
    if restrictive.is_empty() && hidden == 0 {
        return ok(
            WHAT,
            format!(
                "this role sees {}",
                number(
                    living,
                    ["row of public.agents, which is all", "rows of public.agents, which are all"]
                )
            ),
        );
    }
    let by = if restrictive.is_empty() {
        "a policy".to_owned()
    } else {
        format!("the restrictive policies {}", restrictive.join(", "))
    };
    let found = format!(
        "{by} of public.agents can hide agents from this role; {hidden} of {living} are hidden now. Their \
         tables are kept: an agent is deleted when its row is"
    );
    // So the policy binds the roles of the API, and not this one.
    let alter = |policy: &String| {
        let policy = pasteable(policy);
        format!("alter policy {policy} on public.agents to anon, authenticated, service_role;")
    };
    let fix: Vec<String> = restrictive.iter().map(alter).collect();
    let fix = if fix.is_empty() { "run deploy/roles.sql as postgres" } else { &*fix.join(" ") };
    warning(WHAT, found, fix)
}
