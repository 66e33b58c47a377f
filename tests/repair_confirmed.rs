//! A repair that was confirmed by the checksum of its plan runs that plan or nothing.

use serde_json::Value;

use crate::support::{ADMIN, Admin, Database, WORKER, ask, expect, json, sound};

/// Two agents that differ, and no service.
async fn drifted() -> (Database, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_a").await;
    admin.create("agt_b").await;
    admin.settled().await;
    drop(service);
    admin.run("drop index public.agt_a_customers_phone_idx; drop index public.agt_b_customers_phone_idx").await;
    (db, admin)
}

/// What a dry run prints of each agent.
async fn plans(url: &str, prefixes: &[&str]) -> Vec<Value> {
    let args = [&["agents", "repair", "--dry-run", "--json"], prefixes].concat();
    let dry = ask(url, &args).await;
    expect(&dry, 0, &[]);
    json(&dry).as_array().unwrap().clone()
}

fn checksum(plan: &Value) -> &str {
    plan["checksum"].as_str().unwrap()
}

const REPAIRS: &str =
    "select agent_prefix, state, outcome, last_error_code, attempts, plan is not null, plan_begun
                       from provisioning.jobs where kind = 'repair' order by id";

#[tokio::test]
async fn a_repair_whose_plan_has_changed_fails_and_touches_nothing_until_the_new_one_is_confirmed()
{
    let (db, admin) = drifted().await;
    let url = db.url(WORKER);
    let shown = plans(&url, &[]).await;
    assert_eq!(shown.len(), 2);
    // Whoever looks, and as often.
    assert_eq!(plans(&db.url(ADMIN), &[]).await, shown);
    let both = [checksum(&shown[0]), checksum(&shown[1])].join(",");
    let printed = ask(&url, &["agents", "repair", "agt_a", "--dry-run"]).await;
    expect(&printed, 0, &[checksum(&shown[0])]);

    // One alone is not both; what is not a checksum is bad usage.
    for (plan, code) in [(checksum(&shown[0]), 1), ("12ab", 2)] {
        expect(&ask(&url, &["agents", "repair", "--plan", plan]).await, code, &[]);
    }
    assert_eq!(admin.rows(REPAIRS).await, [""; 0]);
    expect(&ask(&url, &["agents", "repair", "--plan", &both]).await, 0, &["queued 2 jobs"]);

    // Then one of them changes.
    admin.run("drop index public.agt_a_orders_status_idx").await;
    let service = db.service().await;
    let ended =
        "select count(*) = 2 from provisioning.jobs where kind = 'repair' and state <> 'pending'";
    admin.holds(ended).await;
    let expected = ["agt_a|dead|-|plan_changed|1|t|f", "agt_b|succeeded|repaired|-|0|t|f"];
    assert_eq!(admin.rows(REPAIRS).await, expected);
    let indexes = "select count(*) from pg_indexes where indexname in ('agt_a_customers_phone_idx', 'agt_a_orders_status_idx')";
    assert_eq!(admin.one::<i64>(indexes).await, 0);
    let changed = plans(&url, &["agt_a"]).await;
    let dead = json(&ask(&url, &["jobs", "show", "3", "--json"]).await);
    assert_eq!(dead["plan"], shown[0]["checksum"]);
    assert!(dead["error"].as_str().unwrap().contains(checksum(&changed[0])), "{dead}");
    // The old one is refused before anything is queued; the new one takes the dead job up.
    expect(
        &ask(&url, &["agents", "repair", "agt_a", "--plan", checksum(&shown[0])]).await,
        1,
        &["agt_a"],
    );
    let args = ["agents", "repair", "agt_a", "--wait", "--plan", checksum(&changed[0])];
    expect(&ask(&url, &args).await, 0, &[]);
    let expected =
        ["agt_a|succeeded|repaired|plan_changed|0|t|f", "agt_b|succeeded|repaired|-|0|t|f"];
    assert_eq!(admin.rows(REPAIRS).await, expected);
    sound(&ask(&url, &["agents", "verify", "--json"]).await, 2);
    drop(service);
}

#[tokio::test]
async fn a_confirmed_repair_goes_on_with_what_it_finds_after_the_first_part() {
    let (db, admin) = drifted().await;
    admin.run("drop table public.agt_a_orders_items").await;
    let url = db.url(WORKER);
    let shown = plans(&url, &["agt_a"]).await;
    assert_eq!(shown[0]["looks_again"], true);
    let _service = db.service().await;
    let args = ["agents", "repair", "agt_a", "--wait", "--plan", checksum(&shown[0])];
    expect(&ask(&url, &args).await, 0, &[]);
    assert_eq!(plans(&url, &["agt_a"]).await, [Value::Null; 0]);
    // A repair without a plan runs whatever it finds.
    expect(&ask(&url, &["agents", "repair", "--wait"]).await, 0, &[]);
    sound(&ask(&url, &["agents", "verify", "--json"]).await, 2);
    let plans = "select agent_prefix, plan is null from provisioning.jobs where kind = 'repair' order by id";
    assert_eq!(admin.rows(plans).await, ["agt_a|f", "agt_b|t"]);
}

/// What was confirmed is a plan without force: with it the plan would be another one, each time.
#[tokio::test]
async fn a_confirmed_repair_takes_the_place_of_a_forced_one() {
    let (db, admin) = drifted().await;
    let url = db.url(WORKER);
    admin.run("grant select on public.agt_a_orders to anon").await;
    expect(&ask(&url, &["agents", "repair", "agt_a", "--force"]).await, 0, &["queued 1 job"]);
    let shown = plans(&url, &["agt_a"]).await;
    let confirm = ["agents", "repair", "agt_a", "--plan", checksum(&shown[0])];
    expect(&ask(&url, &confirm).await, 0, &["queued 1 job"]);
    let _service = db.service().await;
    admin.settled().await;
    assert_eq!(admin.rows(REPAIRS).await, ["agt_a|succeeded|drifted|-|0|t|f"]);
}
