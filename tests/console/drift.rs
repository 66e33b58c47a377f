//! Drift in the console: what differs, and a repair that runs what was shown or nothing.

use super::{Site, field};
use crate::support::{Admin, Database, WORKER, ask};

/// Two agents that lack an index, which is known.
pub async fn drifted(settings: &[(&str, &str)]) -> (Database, Admin, Site) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, settings).await;
    admin.create("agt_a").await;
    admin.create("agt_b").await;
    admin.settled().await;
    admin.run("drop index public.agt_a_customers_phone_idx; drop index public.agt_b_customers_phone_idx").await;
    compared(&db).await;
    (db, admin, site)
}

/// As the service does it from time to time.
pub async fn compared(db: &Database) {
    assert_eq!(ask(&db.url(WORKER), &["agents", "verify"]).await.status.code(), Some(1));
}

const REPAIRS: &str = "select agent_prefix, state, outcome, force, plan is not null,
    requested_by ~ '^agent_console [(]os user ' from provisioning.jobs where kind = 'repair' order by id";

#[tokio::test]
async fn drift_is_grouped_and_a_repair_runs_what_was_shown_or_nothing() {
    let (_db, admin, site) = drifted(&[]).await;
    let page = site.get("/drift").body;
    for shown in [
        "2 agents differed when they were last compared",
        "{prefix}_customers_phone_idx</code>: 2 agents",
        "value=\"agt_a\"",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!site.get("/drift?prefix=t_b").body.contains("agt_a"));
    let agent = site.get("/agents/agt_a").body;
    assert!(agent.contains("drift/act?action=repair&amp;prefix=agt%5Fa"), "{agent}");
    let page = site.get("/drift/act?action=repair&prefix=agt_a&prefix=agt_b").body;
    for shown in [
        "Repair: 2 agents",
        "agt_a_customers_phone_idx",
        "agent-provisioner agents repair agt_a agt_b --plan ",
    ] {
        assert!(page.to_lowercase().contains(&shown.to_lowercase()), "{shown}: {page}");
    }
    let plan_of = |prefix: &str| {
        let page = site.get(&format!("/drift/act?action=repair&prefix={prefix}")).body;
        field(&page, "plan").to_owned()
    };
    let (plan, other) = (plan_of("agt_a"), plan_of("agt_b"));
    let form = |plan: &str| format!("action=repair&prefix=agt_a&plan={plan}");
    assert_eq!(site.post("/drift/act", &form(&plan)).status, 400); // it gives no reason
    assert_eq!(site.post("/drift/act", "action=repair&prefix=agt_a&reason=x").status, 400);
    assert_eq!(site.post("/drift/act", &format!("{}&reason=x", form(&other))).status, 409);
    // The agent changes, and nothing is queued.
    admin.run("drop index public.agt_a_orders_status_idx").await;
    assert_eq!(site.post("/drift/act", &format!("{}&reason=x", form(&plan))).status, 409);
    assert_eq!(admin.rows(REPAIRS).await, [""; 0]);
    let plan = plan_of("agt_a");
    let done = site.post("/drift/act", &format!("{}&reason=lost+%3Cb%3E", form(&plan)));
    assert_eq!(done.status, 200, "{}", done.body);
    admin.settled().await;
    assert_eq!(admin.rows(REPAIRS).await, ["agt_a|succeeded|repaired|f|t|t"]);
    let indexes = "select count(*) from pg_indexes where indexname ~ '^agt_._(customers_phone|orders_status)_idx$'";
    assert_eq!(admin.one::<i64>(indexes).await, 3);
    let noted = "select action, reason, job_count, cardinality(jobs) from provisioning.actions";
    assert_eq!(admin.rows(noted).await, ["repair|lost <b>|1|1"]);
    // It counts at once, and what was repaired is shown no more, on no page.
    assert_eq!(
        admin
            .one::<String>(
                "select string_agg(agent_id::text, ' ') from provisioning.drifted_agents"
            )
            .await,
        "2"
    );
    let agent = site.get("/agents/agt_a").body;
    assert!(
        agent.contains("No comparison has found any") && !agent.contains("action=repair"),
        "{agent}"
    );
    let page = site.get("/drift").body;
    assert!(!page.contains("value=\"agt_a\"") && page.contains("value=\"agt_b\""), "{page}");
    assert!(
        site.get("/drift/act?action=repair&prefix=agt_a").body.contains("None of them differs")
    );
}

#[tokio::test]
async fn an_agents_page_tells_what_differs_compares_anew_and_has_its_sql() {
    let (_db, admin, site) = drifted(&[]).await;
    let agent = site.get("/agents/agt_a").body;
    for shown in ["1 difference", "agt_a_customers_phone_idx", "value=\"compare\""] {
        assert!(agent.contains(shown), "{shown}: {agent}");
    }
    let sql = site.get("/agents/agt_a/sql").body;
    assert!(sql.contains("create table public.agt_a_customers"), "{sql}");
    assert!(sql.contains("agent-provisioner render agt_a --agent-id 1"), "{sql}");
    // A person repairs it by hand, and has it looked at.
    admin.run("create index agt_a_customers_phone_idx on public.agt_a_customers (phone)").await;
    let compared = site.post("/drift/act", "action=compare&prefix=agt_a");
    assert!(compared.status == 200 && compared.body.contains("No difference"), "{}", compared.body);
    assert!(site.get("/agents/agt_a").body.contains("No comparison has found any"));
    // What no repair takes away has no button to repair it.
    admin.run("alter table public.agt_a_customers add column extra integer").await;
    let compared = site.post("/drift/act", "action=compare&prefix=agt_a");
    assert!(compared.status == 200 && compared.body.contains("extra"), "{}", compared.body);
    let page = site.get("/drift/act?action=repair&prefix=agt_a").body;
    assert!(page.contains("0 statements") && !page.contains("name=\"reason\""), "{page}");
    for (query, status) in [
        ("action=repair", 400),
        ("action=force&prefix=agt_a", 400),
        ("action=repair&prefix=No", 400),
        ("action=repair&prefix=agt_none", 404),
    ] {
        assert_eq!(site.get(&format!("/drift/act?{query}")).status, status, "{query}");
    }
}
