//! The operators' commands on jobs: what they show, what they change, and how they end.

use std::process::Output;

use agent_provisioner::cluster::SUPERUSER;
use serde_json::{Value, json};

use crate::support::{ADMIN, Admin, Database, WORKER, provisioner, said};

const HOLD: &str = "begin; lock table public.agents in row exclusive mode";
const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");
/// Whatever happens before the hour is over, a notification did it.
const DEAF: [(&str, &str); 2] =
    [("WORKER__POLL_INTERVAL", "1h"), ("WORKER__RECONCILE_INTERVAL", "1h")];

/// Runs `agent-provisioner jobs …` as the worker's role.
fn jobs(db: &Database, args: &[&str]) -> Output {
    jobs_at(&db.url(WORKER), args)
}

fn jobs_at(url: &str, args: &[&str]) -> Output {
    provisioner(url).env("USER", "ada").arg("jobs").args(args).output().unwrap()
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

#[track_caller]
fn expect(output: &Output, code: i32, texts: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
}

/// Jobs as no worker has left them; their ids count from 1.
async fn queue(admin: &Admin, jobs: &[(&str, i64, &str, &str)]) {
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

const STATES: &str = "select id, state from provisioning.jobs order by id";

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
        let listed = json(&jobs_at(&db.url(role), &["list", "--json"]));
        let brief = |job: &Value| [job["id"].clone(), job["state"].clone()];
        let all: Vec<_> = listed.as_array().unwrap().iter().map(brief).collect();
        assert_eq!(json!(all), json!([[3, "running"], [1, "dead"], [2, "pending"]]));
        assert_eq!(listed[0]["running"]["pid"], pid, "{role}");
        assert_eq!(listed[0]["running"]["blocked_by_pids"], json!([holding]), "{role}");
        assert!(listed[0]["running"]["seconds"].as_f64().unwrap() >= 0.0, "{role}");
        assert_eq!(listed[1]["running"], Value::Null);
        assert_eq!(listed[2]["waits_for"], json!({"id": 1, "state": "dead"}));
    }

    let text = jobs(&db, &["list"]);
    let waits = format!("on backend {pid}, waiting for a lock of backend {holding}");
    expect(&text, 0, &[&waits, "waits for dead job 1", "Blocked prefixes:"]);
    expect(&text, 0, &["agt_old: 1 job waits for dead job 1 (provision); see: jobs show 1"]);
    let lines: Vec<_> = said(&text).lines().map(str::to_owned).collect();
    let note = lines[0].find("NOTE").unwrap();
    assert!(lines[2].get(note..).unwrap().starts_with("it broke"), "{lines:#?}");
    assert!(!said(&text).contains(['\u{1b}', '|', '─']), "{}", said(&text));

    let ids = |args: &[&str]| {
        let listed = json(&jobs(&db, &[&["list", "--json"], args].concat()));
        listed.as_array().unwrap().iter().map(|job| job["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--state", "running"]), [3]);
    assert_eq!(ids(&["--state", "pending"]), [2]);
    assert_eq!(ids(&["--state", "succeeded"]), [0_i64; 0]);
    assert_eq!(ids(&["--prefix", "agt_old"]), [1, 2]);
    assert_eq!(ids(&["--kind", "deprovision"]), [0_i64; 0]);
    assert_eq!(ids(&["--limit", "2"]), [3, 1]);
    expect(&jobs(&db, &["show", "3"]), 0, &[&waits, &format!("pg_cancel_backend({pid})")]);
    expect(&jobs(&db, &["show", "2"]), 0, &["comes first: agent-provisioner jobs show 1"]);
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
    let listed = json(&jobs_at(&url, &["list", "--json"]));
    assert_eq!(listed[0]["state"], "running");
    assert_eq!(listed[0]["running"]["pid"], pid);
    assert_eq!(listed[0]["running"]["seconds"], Value::Null);
    expect(&jobs_at(&url, &["list"]), 0, &["is hidden from this role"]);
    expect(&jobs_at(&url, &["show", "1"]), 0, &["is hidden from this role"]);
}

#[tokio::test]
async fn a_dead_job_says_what_to_do_and_comes_back_when_that_is_done() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&DEAF).await;
    service.logged("listening").await;
    admin.run("create table public.agt_6f78_messages ()").await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    let shown = jobs(&db, &["show", "1"]);
    expect(&shown, 0, &["Job 1: provision of agt_6f78 (agent 1) is dead", "SQLSTATE", "42P07"]);
    expect(&shown, 0, &["public.agt_6f78_messages already exists and is not managed"]);
    expect(&shown, 0, &["agent-provisioner agents adopt agt_6f78"]);
    let rename = "alter table public.agt_6f78_messages rename to \"agt_6f78_messages_old\";";
    expect(&shown, 0, &[rename, "agent-provisioner jobs replay 1"]);

    let again = jobs(&db, &["replay", "1", "--wait"]);
    expect(&again, 1, &["replayed 1 job: 1", "1 of 1 ended, 1 dead", "job 1 is dead again: "]);
    admin.run(rename).await;
    let reason = ["--reason", "renamed the old table", "--json", "--wait"];
    let mended = jobs(&db, &[&["replay", "--all-dead"], &reason[..]].concat());
    expect(&mended, 0, &[]);
    let answer = json!([{
        "id": 1, "kind": "provision", "agent_prefix": "agt_6f78", "result": "done",
        "reason": null, "end": "succeeded"
    }]);
    assert_eq!(json(&mended), answer);
    let job = json(&jobs(&db, &["show", "1", "--json"]));
    assert_eq!(job["state"], "succeeded");
    assert_eq!(job["outcome"], "provisioned");
    assert_eq!(job["replayed_by"], "agent_provisioner (ada)");
    assert_eq!(job["replay_reason"], "renamed the old table");
    assert_eq!(job["next"], "Nothing.");
    assert!(job["replayed_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(admin.tables("agt_6f78").await.len(), 5);
    expect(&jobs(&db, &["list"]), 0, &["provisioned in "]);
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
    let job = json(&jobs(&db, &["show", "1", "--json"]));
    let statement = job["statement"].as_str().unwrap();
    assert!(statement.starts_with("create index agt_6f78_messages_direction_idx"), "{statement}");
    assert_eq!(job["sqlstate"], "42P07");
    admin.run("drop table x").await;
    expect(&jobs(&db, &["replay", "--prefix", "agt_6f78", "--wait"]), 0, &["1 job succeeded"]);
    // A view of somebody's keeps a table from being dropped: the detail says whose.
    admin
        .run(
            "create view public.report as select id from public.agt_6f78_messages;
             delete from public.agents",
        )
        .await;
    admin.settled().await;
    let job = json(&jobs(&db, &["show", "2", "--json"]));
    assert!(job["detail"].as_str().unwrap().contains("view report depends on"), "{job}");
    assert!(job["hint"].as_str().unwrap().contains("CASCADE"), "{job}");
    assert!(job["next"].as_str().unwrap().contains("jobs replay 2"), "{job}");
}

#[tokio::test]
async fn ten_thousand_dead_jobs_are_replayed_by_one_statement() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.jobs
                 (kind, agent_id, agent_prefix, state, finished_at, attempts, outcome, run_at)
             select 'provision', n, 'agt_' || n, 'dead', now(), 10, 'x', now() - interval '1 day'
             from generate_series(1, 10000) n;
             insert into provisioning.jobs (kind, agent_id, agent_prefix)
             values ('provision', 7, 'agt_7')",
        )
        .await;
    let dry = jobs(&db, &["replay", "--all-dead", "--dry-run"]);
    expect(&dry, 0, &["would replay 9999 jobs", "agt_10000", "job 7: job 10001, of the same"]);
    let dead = "select count(*) from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.one::<i64>(dead).await, 10_000);
    let done = jobs(&db, &["replay", "--all-dead"]);
    expect(&done, 0, &["replayed 9999 jobs\n", "job 7: job 10001, of the same agent and kind"]);
    let replayed = "select count(*), count(distinct xmin::text), max(attempts), count(outcome),
                    count(*) filter (where run_at > now() - interval '1 hour')
                    from provisioning.jobs where state = 'pending' and replayed_at is not null";
    assert_eq!(admin.rows(replayed).await, ["9999|1|0|0|9999"]);
    let left = "select id from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.rows(left).await, ["7"]);
}

#[tokio::test]
async fn a_replay_keeps_the_rules_of_the_queue() {
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(
        &admin,
        &[
            ("provision", 1, "agt_a", "dead"), // the earliest goes first
            ("provision", 1, "agt_a", "dead"),
            ("deprovision", 2, "agt_b", "dead"),
            ("deprovision", 2, "agt_b", "dead"), // the latest cancels the rest
            ("provision", 3, "agt_c", "succeeded"),
            ("provision", 4, "agt_d", "cancelled"),
            ("provision", 5, "agt_e", "pending"),
            ("deprovision", 6, "agt_f", "dead"),
            ("deprovision", 6, "agt_f", "pending"),
        ],
    )
    .await;
    let before = admin.rows(STATES).await;
    let ids = ["1", "2", "3", "4", "5", "6", "7", "8", "99", "99"];
    let asked = |args: &[&str]| {
        let output = jobs(&db, &[&["replay", "--json"], &ids[..], args].concat());
        expect(&output, 1, &[]);
        let answers = json(&output);
        let brief = |a: &Value| format!("{} {}", a["id"], a["result"].as_str().unwrap());
        answers.as_array().unwrap().iter().map(brief).collect::<Vec<_>>()
    };
    let rest = ["5 skipped", "6 skipped", "7 unchanged", "8 skipped", "99 missing"];
    let twins =
        |done| [format!("1 {done}"), "2 skipped".into(), "3 skipped".into(), format!("4 {done}")];
    assert_eq!(asked(&["--dry-run"]), [&twins("dry_run")[..], &rest.map(String::from)].concat());
    assert_eq!(admin.rows(STATES).await, before);
    assert_eq!(asked(&[]), [&twins("done")[..], &rest.map(String::from)].concat());
    let pending = "select id from provisioning.jobs where state = 'pending' order by id";
    assert_eq!(admin.rows(pending).await, ["1", "4", "7", "9"]);
    expect(&jobs(&db, &["replay", "7"]), 0, &["replayed 0 jobs", "job 7: it is pending already"]);
    expect(&jobs(&db, &["replay", "99"]), 1, &["job 99: there is no such job"]);
    expect(&jobs(&db, &["replay", "6"]), 1, &["job 6: it was cancelled, and later jobs"]);
}

#[tokio::test]
async fn a_twin_that_is_queued_during_a_replay_costs_its_job_the_replay_and_no_other() {
    let db = Database::new().await;
    let (admin, other) = (db.admin().await, db.admin().await);
    queue(&admin, &[("upgrade", 1, "agt_a", "dead"), ("upgrade", 2, "agt_b", "dead")]).await;
    other.run("begin").await;
    queue(&other, &[("upgrade", 1, "agt_a", "pending")]).await;
    let mut command = provisioner(&db.url(WORKER));
    command.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "50s").args(["jobs", "replay", "--all-dead"]);
    let replay = tokio::task::spawn_blocking(move || command.output().unwrap());
    admin
        .holds(
            "select true from pg_stat_activity where datname = current_database()
             and wait_event_type = 'Lock' and application_name = 'agent-provisioner'",
        )
        .await;
    other.run("commit").await;
    expect(&replay.await.unwrap(), 0, &["replayed 1 job: 2", "job 1: job 3, of the same"]);
    assert_eq!(admin.rows(STATES).await, ["1|dead", "2|pending", "3|pending"]);
}

#[tokio::test]
async fn waiting_ends_where_only_a_person_can_go_on() {
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(&admin, &[("provision", 1, "agt_a", "dead"), ("provision", 2, "agt_a", "dead")]).await;
    let waited = jobs(&db, &["replay", "2", "--wait", "--json"]);
    expect(&waited, 1, &[]);
    assert_eq!(json(&waited)[0]["end"], "blocked");
}

#[tokio::test]
async fn cancel_takes_jobs_out_and_frees_what_they_held_up() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let service = db.service_with(&[&DEAF[..], &[PATIENT]].concat()).await;
    service.logged("listening").await;
    admin.run("create table public.agt_a_orders (); select nextval('public.agents_id_seq')").await;
    queue(&admin, &[("provision", 1, "agt_a", "dead")]).await;
    admin.create("agt_a").await;
    admin.run("drop table public.agt_a_orders").await;
    expect(&jobs(&db, &["cancel", "1", "--dry-run"]), 0, &["would cancel 1 job", "agt_a"]);
    assert_eq!(admin.rows(STATES).await, ["1|dead", "2|pending"]);
    let reason = ["--reason", "agent 1 is gone"];
    expect(&jobs(&db, &[&["cancel", "1"], &reason[..]].concat()), 0, &["cancelled 1 job: 1"]);
    admin.settled().await;
    assert_eq!(admin.rows(STATES).await, ["1|cancelled", "2|succeeded"]);
    let job = json(&jobs(&db, &["show", "1", "--json"]));
    assert_eq!(job["outcome"], "cancelled by agent_provisioner (ada): agent 1 is gone");

    holder.run(HOLD).await;
    admin.create("agt_b").await;
    admin.held_up("agt_b").await;
    let refused = jobs(&db, &["cancel", "1", "2", "3", "99"]);
    expect(&refused, 1, &["cancelled 0 jobs", "job 1: it is cancelled already"]);
    expect(&refused, 1, &["job 2: it has succeeded", "job 3: a worker has it just now"]);
    expect(&refused, 1, &["job 99: there is no such job"]);
    expect(&jobs(&db, &["cancel", "1"]), 0, &[]);
    holder.run("commit").await;
    admin.settled().await;
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
    expect(&jobs(&db, &["prune", "--dry-run"]), 0, &["would delete 12005 jobs"]);
    expect(&jobs(&db, &["prune", "--older-than", "32d"]), 0, &["deleted 0 jobs"]);
    expect(&jobs(&db, &["prune"]), 0, &["deleted 12005 jobs"]);
    let left = "select id, state from provisioning.jobs order by id";
    let kept = ["1|cancelled", "2|cancelled", "6|dead", "9|succeeded", "10|pending"];
    assert_eq!(admin.rows(left).await, kept);
    let found = include_str!("../sql/queries/reconcile.sql");
    assert_eq!(admin.rows(found).await, ["0|0"], "what was pruned is not queued again");
    expect(&jobs(&db, &["prune", "--older-than", "0s"]), 0, &["deleted 1 job"]);
}

#[tokio::test]
async fn what_a_message_contains_does_not_steer_the_terminal() {
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(&admin, &[("provision", 1, "agt_a", "dead")]).await;
    admin.run(r"update provisioning.jobs set last_error = E'red \x1b[31m\nsecond\x07'").await;
    for args in [&["list"][..], &["show", "1"]] {
        let output = jobs(&db, args);
        expect(&output, 0, &["red  [31m second"]);
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
        expect(&jobs(&db, args), 2, &["error: "]);
    }
    let missing = jobs(&db, &["show", "99", "--json"]);
    expect(&missing, 1, &["agent-provisioner: there is no job 99"]);
    assert!(missing.stdout.is_empty());
    expect(&jobs(&db, &["list"]), 0, &["no jobs"]);
    assert_eq!(json(&jobs(&db, &["list", "--json"])), json!([]));
    expect(&jobs(&db, &["replay", "--all-dead", "--wait"]), 0, &["replayed 0 jobs"]);
    let root = db.connect(SUPERUSER).await;
    root.batch_execute("drop schema provisioning cascade").await.unwrap();
    expect(&jobs(&db, &["list"]), 1, &["run `agent-provisioner migrate`"]);
}
