//! Dead jobs come back in their places, cancelled ones never, and nobody waits in vain.

use std::future::poll_fn;
use std::process::Output;

use serde_json::{Value, json as value};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::jobs::{DEAF, HOLD, PATIENT, STATES, jobs, queue};
use crate::support::{ADMIN, Database, WORKER, expect, finish, json, provisioner, said};

#[tokio::test]
async fn a_dead_job_says_what_to_do_and_comes_back_when_that_is_done() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&DEAF).await;
    service.logged("listening").await;
    admin.run("create table public.agt_6f78_messages ()").await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    let shown = jobs(&db, &["show", "1"]).await;
    let rename = "alter table public.agt_6f78_messages rename to agt_6f78_messages_old;";
    expect(&shown, 0, &[rename, "agent-provisioner jobs replay 1"]);
    insta::with_settings!({filters => VARYING.to_vec()}, {
        insta::assert_snapshot!("dead_job", said(&shown));
    });

    let again = jobs(&db, &["replay", "1", "--wait", "--json"]).await;
    expect(&again, 1, &[]);
    assert_eq!(json(&again)[0]["end"], "dead");
    admin.run(rename).await;
    let reason = ["--reason", "renamed the old table", "--json", "--wait"];
    let replayed = jobs(&db, &[&["replay", "--all-dead"], &reason[..]].concat()).await;
    expect(&replayed, 0, &[]);
    let answer = value!([{
        "id": 1, "kind": "provision", "agent_prefix": "agt_6f78", "result": "done",
        "reason": null, "end": "succeeded"
    }]);
    assert_eq!(json(&replayed), answer);
    let job = json(&jobs(&db, &["show", "1", "--json"]).await);
    assert_eq!(job["state"], "succeeded");
    assert_eq!(job["outcome"], "provisioned");
    assert_eq!(job["replayed_by"], "agent_provisioner (ada)");
    assert_eq!(job["replay_reason"], "renamed the old table");
    assert_eq!(job["next"], "Nothing.");
    assert!(job["replayed_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(admin.tables("agt_6f78").await.len(), 5);
    expect(&jobs(&db, &["list"]).await, 0, &["provisioned in "]);
}

/// Differs from run to run.
const VARYING: [(&str, &str); 3] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "[time]"),
    (r"took +\d.*", "took [duration]"),
    (r", [\d.]+ ms on \S+ \(pid \d+\)", ", [duration] on [host]"),
];

/// Of each job its id and what became of it, by `--json`.
fn results(output: &Output) -> Vec<String> {
    let brief = |a: &Value| format!("{} {}", a["id"], a["result"].as_str().unwrap());
    json(output).as_array().unwrap().iter().map(brief).collect()
}

/// The payloads that workers hear while a command runs.
async fn heard(db: &Database, args: &[&str]) -> Vec<String> {
    let (client, mut connection) = tokio_postgres::connect(&db.url(ADMIN), NoTls).await.unwrap();
    let listening = tokio::task::spawn(async move {
        let mut heard = Vec::new();
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(said) = message.unwrap() {
                heard.push(said.payload().to_owned());
            }
        }
        heard
    });
    client.batch_execute("listen agent_provisioning").await.unwrap();
    expect(&jobs(db, args).await, 0, &[]);
    client.batch_execute("notify agent_provisioning, 'the end'").await.unwrap();
    drop(client);
    listening.await.unwrap()
}

#[tokio::test]
async fn workers_are_told_once_of_what_changed_and_of_nothing_else() {
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(&admin, &[("provision", 1, "agt_a", "dead"), ("provision", 2, "agt_b", "dead")]).await;
    assert_eq!(heard(&db, &["replay", "--all-dead", "--dry-run"]).await, ["the end"]);
    assert_eq!(heard(&db, &["replay", "--all-dead"]).await, ["", "the end"]);
    assert_eq!(heard(&db, &["replay", "--all-dead"]).await, ["the end"]);
    assert_eq!(heard(&db, &["cancel", "1", "2", "--dry-run"]).await, ["the end"]);
    assert_eq!(heard(&db, &["cancel", "1", "2"]).await, ["", "the end"]);
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
    let results = async |args: &[&str]| {
        let output = jobs(&db, &[&["replay", "--all-dead", "--json"], args].concat()).await;
        expect(&output, 0, &["agt_10000"]);
        let results = results(&output);
        let (skipped, rest) = results.into_iter().partition(|result| result.ends_with(" skipped"));
        let (skipped, mut rest): (Vec<_>, Vec<_>) = (skipped, rest);
        rest.sort_by_key(String::len);
        (skipped, rest.len(), rest[0].clone())
    };
    let left_out = vec!["7 skipped".to_owned()];
    assert_eq!(results(&["--dry-run"]).await, (left_out.clone(), 9999, "1 dry_run".to_owned()));
    let dead = "select count(*) from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.one::<i64>(dead).await, 10_000);
    assert_eq!(results(&[]).await, (left_out, 9999, "1 done".to_owned()));
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
    let asked = async |args: &[&str]| {
        let output = jobs(&db, &[&["replay", "--json"], &ids[..], args].concat()).await;
        expect(&output, 1, &[]);
        results(&output)
    };
    // The pending one is due now.
    let rest = |done| ["5 skipped", "6 skipped", done, "8 skipped", "99 missing"].map(String::from);
    let twins =
        |done| [format!("1 {done}"), "2 skipped".into(), "3 skipped".into(), format!("4 {done}")];
    assert_eq!(asked(&["--dry-run"]).await, [&twins("dry_run")[..], &rest("7 dry_run")].concat());
    assert_eq!(admin.rows(STATES).await, before);
    assert_eq!(asked(&[]).await, [&twins("done")[..], &rest("7 done")].concat());
    let pending = "select id from provisioning.jobs where state = 'pending' order by id";
    assert_eq!(admin.rows(pending).await, ["1", "4", "7", "9"]);
    for id in ["99", "6"] {
        expect(&jobs(&db, &["replay", id]).await, 1, &[&format!("job {id}: ")]);
    }
    assert_eq!(admin.rows(pending).await, ["1", "4", "7", "9"]);
}

#[tokio::test]
async fn a_twin_that_is_queued_during_a_replay_costs_its_job_the_replay_and_no_other() {
    let db = Database::new().await;
    let (admin, other) = (db.admin().await, db.admin().await);
    queue(&admin, &[("upgrade", 1, "agt_a", "dead"), ("upgrade", 2, "agt_b", "dead")]).await;
    other.run("begin").await;
    queue(&other, &[("upgrade", 1, "agt_a", "pending")]).await;
    let mut command = provisioner(&db.url(WORKER));
    command.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "50s").args([
        "jobs",
        "replay",
        "--all-dead",
        "--json",
    ]);
    let replay = tokio::task::spawn(async move { finish(&mut command).await });
    admin
        .holds(
            "select true from pg_stat_activity where datname = current_database()
             and wait_event_type = 'Lock' and application_name = 'agent-provisioner'",
        )
        .await;
    other.run("commit").await;
    let replayed = replay.await.unwrap();
    expect(&replayed, 0, &[]);
    assert_eq!(results(&replayed), ["1 skipped", "2 done"]);
    assert_eq!(admin.rows(STATES).await, ["1|dead", "2|pending", "3|pending"]);
}

#[tokio::test]
async fn waiting_ends_where_only_a_person_can_go_on() {
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(&admin, &[("provision", 1, "agt_a", "dead"), ("provision", 2, "agt_a", "dead")]).await;
    let waited = jobs(&db, &["replay", "2", "--wait", "--json"]).await;
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
    let dry = jobs(&db, &["cancel", "1", "--dry-run", "--json"]).await;
    expect(&dry, 0, &["agt_a"]);
    assert_eq!(results(&dry), ["1 dry_run"]);
    assert_eq!(admin.rows(STATES).await, ["1|dead", "2|pending"]);
    let reason = ["--reason", "agent 1 is gone"];
    expect(&jobs(&db, &[&["cancel", "1"], &reason[..]].concat()).await, 0, &["cancelled 1 job: 1"]);
    admin.settled().await;
    assert_eq!(admin.rows(STATES).await, ["1|cancelled", "2|succeeded"]);
    let job = json(&jobs(&db, &["show", "1", "--json"]).await);
    assert_eq!(job["outcome"], "cancelled by agent_provisioner (ada): agent 1 is gone");

    holder.run(HOLD).await;
    admin.create("agt_b").await;
    admin.held_up("agt_b").await;
    let ids = ["1", "2", "3", "99"];
    let texts = ids.map(|id| format!("job {id}: "));
    let refused = jobs(&db, &[&["cancel"], &ids[..]].concat()).await;
    expect(&refused, 1, &texts.each_ref().map(String::as_str));
    let refused = results(&jobs(&db, &[&["cancel", "--json"], &ids[..]].concat()).await);
    assert_eq!(refused, ["1 unchanged", "2 skipped", "3 skipped", "99 missing"]);
    expect(&jobs(&db, &["cancel", "1"]).await, 0, &[]);
    holder.run("commit").await;
    admin.settled().await;
}
