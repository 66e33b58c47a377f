//! The operators' commands on jobs: what they show, what they change, and how they end.

use std::process::Output;

use agent_provisioner::cluster::SUPERUSER;
use serde_json::{Value, json as value};

use crate::support::{ADMIN, Admin, Database, WORKER, ask, expect, json, said};

pub const HOLD: &str = "begin; lock table provisioning.lock_gate in exclusive mode";
pub const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");
/// Whatever happens before the hour is over, a notification did it.
pub const DEAF: [(&str, &str); 2] =
    [("WORKER__POLL_INTERVAL", "1h"), ("WORKER__RECONCILE_INTERVAL", "1h")];

/// Runs `agent-provisioner jobs …` as the worker's role.
pub async fn jobs(db: &Database, args: &[&str]) -> Output {
    jobs_at(&db.url(WORKER), args).await
}

async fn jobs_at(url: &str, args: &[&str]) -> Output {
    ask(url, &[&["jobs"], args].concat()).await
}

/// Jobs as no worker has left them; their ids count from 1.
pub async fn queue(admin: &Admin, jobs: &[(&str, i64, &str, &str)]) {
    for (kind, agent, prefix, state) in jobs {
        let over = if *state == "pending" { "null" } else { "now()" };
        admin
            .run(&format!(
                "insert into provisioning.jobs
                     (kind, agent_id, agent_prefix, state, finished_at, attempts, last_error)
                 values ('{kind}', {agent}, '{prefix}', '{state}', {over}, 1, 'it broke')"
            ))
            .await;
    }
}

pub const STATES: &str = "select id, state from provisioning.jobs order by id";

#[tokio::test]
async fn list_shows_who_is_on_a_job_and_which_prefixes_are_blocked() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    queue(&admin, &[("provision", 71, "agt_old", "dead"), ("provision", 72, "agt_old", "pending")])
        .await;
    let _service = db.service_with(&[PATIENT]).await;
    holder.run(HOLD).await;
    admin.create("agt_new").await;
    let pid = admin.held_up("agt_new").await;
    let holding: i32 = holder.one("select pg_backend_pid()").await;

    for role in [WORKER, ADMIN] {
        let listed = json(&jobs_at(&db.url(role), &["list", "--json"]).await);
        let brief = |job: &Value| [job["id"].clone(), job["state"].clone()];
        let all: Vec<_> = listed.as_array().unwrap().iter().map(brief).collect();
        assert_eq!(value!(all), value!([[3, "running"], [1, "dead"], [2, "pending"]]));
        assert_eq!(listed[0]["running"]["pid"], pid, "{role}");
        assert_eq!(listed[0]["running"]["blocked_by_pids"], value!([holding]), "{role}");
        assert!(listed[0]["running"]["seconds"].as_f64().unwrap() >= 0.0, "{role}");
        assert_eq!(listed[1]["running"], Value::Null);
        assert_eq!(listed[2]["waits_for"], value!({"id": 1, "state": "dead"}));
    }

    let text = jobs(&db, &["list"]).await;
    let waits = format!("on backend {pid}, waiting for a lock of backend {holding}");
    expect(&text, 0, &[&waits, "waits for dead job 1", "Blocked prefixes:"]);
    expect(&text, 0, &["agt_old: 1 job waits for dead job 1 (provision); see: jobs show 1"]);
    let lines: Vec<_> = said(&text).lines().map(str::to_owned).collect();
    let note = lines[0].find("NOTE").unwrap();
    assert!(lines[2].get(note..).unwrap().starts_with("it broke"), "{lines:#?}");
    assert!(!said(&text).contains(['\u{1b}', '|', '─']), "{}", said(&text));

    let ids = async |args: &[&str]| {
        let listed = json(&jobs(&db, &[&["list", "--json"], args].concat()).await);
        listed.as_array().unwrap().iter().map(|job| job["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--state", "running"]).await, [3]);
    assert_eq!(ids(&["--state", "pending"]).await, [2]);
    assert_eq!(ids(&["--state", "succeeded"]).await, [0_i64; 0]);
    assert_eq!(ids(&["--prefix", "agt_old"]).await, [1, 2]);
    assert_eq!(ids(&["--kind", "deprovision"]).await, [0_i64; 0]);
    assert_eq!(ids(&["--limit", "2"]).await, [3, 1]);
    let shown = jobs(&db, &["show", "3"]).await;
    expect(&shown, 0, &[&waits]);
    assert!(!said(&shown).contains("_backend("), "the worker is not to be ended: {}", said(&shown));
    expect(&jobs(&db, &["show", "2"]).await, 0, &["comes first: agent-provisioner jobs show 1"]);
}

#[tokio::test]
async fn what_a_role_may_not_see_is_said_to_be_hidden() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let root = db.connect(SUPERUSER).await;
    let watcher = format!("watcher_of_{}", db.name);
    root.batch_execute(&format!(
        "create role {watcher} login bypassrls password '{}';
         grant usage on schema provisioning to {watcher};
         grant select on all tables in schema provisioning to {watcher};
         grant select on public.agents to {watcher}",
        db.server.password()
    ))
    .await
    .unwrap();
    let _service = db.service_with(&[PATIENT]).await;
    holder.run(HOLD).await;
    admin.create("agt_6f78").await;
    let pid = admin.held_up("agt_6f78").await;
    let url = db.url(&watcher);
    let listed = json(&jobs_at(&url, &["list", "--json"]).await);
    assert_eq!(listed[0]["state"], "running");
    assert_eq!(listed[0]["running"]["pid"], pid);
    assert_eq!(listed[0]["running"]["seconds"], Value::Null);
    expect(&jobs_at(&url, &["list"]).await, 0, &["is hidden from this role"]);
    expect(&jobs_at(&url, &["show", "1"]).await, 0, &["is hidden from this role"]);
}

#[tokio::test]
async fn show_names_the_statement_that_failed() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin
        .run("create table x (a int); create index agt_6f78_messages_direction_idx on x (a)")
        .await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    let job = json(&jobs(&db, &["show", "1", "--json"]).await);
    let statement = job["statement"].as_str().unwrap();
    assert!(statement.starts_with("create index agt_6f78_messages_direction_idx"), "{statement}");
    let line = include_str!("../sql/agent/0001_crm.sql")
        .lines()
        .position(|line| line.starts_with("create index {prefix}_messages_direction_idx"));
    assert_eq!(job["place"], format!("0001_crm.sql:{}", line.unwrap() + 1));
    assert_eq!(job["sqlstate"], "42P07");
    admin.run("drop table x").await;
    expect(
        &jobs(&db, &["replay", "--prefix", "agt_6f78", "--wait"]).await,
        0,
        &["1 job succeeded"],
    );
    // A view of somebody's keeps a table from being dropped: the detail says whose.
    admin
        .run(
            "create view public.report as select id from public.agt_6f78_messages;
             delete from public.agents",
        )
        .await;
    admin.settled().await;
    let job = json(&jobs(&db, &["show", "2", "--json"]).await);
    assert!(job["detail"].as_str().unwrap().contains("report depends on"), "{job}");
    assert!(job["hint"].as_str().unwrap().contains("CASCADE"), "{job}");
    assert!(job["next"].as_str().unwrap().contains("jobs replay 2"), "{job}");
}

#[tokio::test]
async fn prune_forgets_what_is_over_and_nothing_that_is_still_needed() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "alter table public.agents disable trigger enqueue_provision;
             insert into public.agents (id, agent_prefix) values (1, 'agt_a'), (2, 'agt_b');
             insert into provisioning.agents (agent_id, agent_prefix, template_version, reference)
             values (2, 'agt_b', 1, 'check'), (3, 'agt_c', 1, 'check')",
        )
        .await;
    queue(
        &admin,
        &[
            ("provision", 1, "agt_a", "cancelled"), // reconcile would build agent 1
            ("deprovision", 3, "agt_c", "cancelled"), // reconcile would drop agent 3's tables
            ("provision", 2, "agt_b", "cancelled"),
            ("provision", 3, "agt_c", "cancelled"),
            ("provision", 4, "agt_d", "cancelled"),
            ("provision", 5, "agt_e", "dead"),
            ("provision", 6, "agt_f", "succeeded"),
            ("upgrade", 2, "agt_b", "cancelled"),
        ],
    )
    .await;
    let age = "update provisioning.jobs set finished_at = now() - interval '31 days'";
    admin.run(age).await;
    let fresh = [("provision", 7, "agt_g", "succeeded"), ("provision", 8, "agt_h", "pending")];
    queue(&admin, &fresh).await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
             select 'provision', n, 'agt_' || n, 'succeeded', now() - interval '31 days'
             from generate_series(100, 12099) n",
        )
        .await;
    expect(&jobs(&db, &["prune", "--dry-run"]).await, 0, &["would delete 12005 jobs"]);
    expect(&jobs(&db, &["prune", "--older-than", "32d"]).await, 0, &["deleted 0 jobs"]);
    expect(&jobs(&db, &["prune"]).await, 0, &["deleted 12005 jobs"]);
    let left = "select id, state from provisioning.jobs order by id";
    let kept = ["1|cancelled", "2|cancelled", "6|dead", "9|succeeded", "10|pending"];
    assert_eq!(admin.rows(left).await, kept);
    let found = include_str!("../sql/queries/reconcile.sql");
    assert_eq!(admin.rows(found).await, ["0|0|0|f|0"], "what was pruned is not queued again");
    expect(&jobs(&db, &["prune", "--older-than", "0s"]).await, 0, &["deleted 1 job"]);
}

#[tokio::test]
async fn what_a_message_contains_does_not_steer_the_terminal() {
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(&admin, &[("provision", 1, "agt_a", "dead")]).await;
    admin.run(r"update provisioning.jobs set last_error = E'red \x1b[31m\nsecond\x07'").await;
    for args in [&["list"][..], &["show", "1"]] {
        let output = jobs(&db, args).await;
        expect(&output, 0, &[r"red \u{1b}[31m\nsecond\u{7}"]);
        assert!(!said(&output).contains(['\u{1b}', '\u{7}']));
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_a_wrong_id_with_1() {
    let db = Database::new().await;
    for args in [
        &["replay"][..],
        &["replay", "1", "--all-dead"],
        &["replay", "1", "--dry-run", "--wait"],
        &["replay", "x"],
        &["cancel"],
        &["cancel", "0"],
        &["show"],
        &["show", "-1"],
        &["list", "--state", "tired"],
        &["list", "--kind", "coffee"],
        &["list", "--limit", "0"],
        &["prune", "--older-than", "soon"],
    ] {
        expect(&jobs(&db, args).await, 2, &["error: "]);
    }
    let missing = jobs(&db, &["show", "99", "--json"]).await;
    expect(&missing, 1, &["agent-provisioner: there is no job 99"]);
    assert!(missing.stdout.is_empty());
    expect(&jobs(&db, &["list"]).await, 0, &["no jobs"]);
    assert_eq!(json(&jobs(&db, &["list", "--json"]).await), value!([]));
    expect(&jobs(&db, &["replay", "--all-dead", "--wait"]).await, 0, &["replayed 0 jobs"]);
    let root = db.connect(SUPERUSER).await;
    root.batch_execute("drop schema provisioning cascade").await.unwrap();
    expect(&jobs(&db, &["list"]).await, 1, &["run `agent-provisioner migrate`"]);
}
