//! Rollouts live in the database: the service goes on with them, whoever started them.

use serde_json::{Value, json as value};

use crate::support::{ADMIN, Admin, Database, Files, Service, WORKER, ask, expect, json, until};

const BASE: (&str, &str) = (
    "0001_base.sql",
    "create table public.{prefix}_customers (id serial primary key, agent_id bigint not null default {agent_id});
     alter table public.{prefix}_customers enable row level security;",
);

const COLUMN: (&str, &str) =
    ("0002_column.sql", "alter table public.{prefix}_customers add column email text;");

/// Long enough for a job to stay where a lock holds it up.
pub const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");

const OPEN: &str = "select state from provisioning.rollouts where ended_at is null";
const PENDING: &str = "select agent_prefix from provisioning.jobs where kind = 'upgrade' and state = 'pending' order by 1";

/// Agents of the first version, the files of the second, and no service.
pub async fn fleet(prefixes: &[&str]) -> (Database, Admin, Files) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let first = Files::new(&[BASE]).service(&db, &[]).await;
    for prefix in prefixes {
        admin.create(prefix).await;
    }
    admin.settled().await;
    drop(first);
    (db, admin, Files::new(&[BASE, COLUMN]))
}

/// The JSON of a command that has to succeed.
async fn asked(files: &Files, db: &Database, args: &[&str]) -> Value {
    let args = [&["rollouts"], args, &["--json"]].concat();
    let done = files.ask(db, &args).await;
    expect(&done, 0, &[]);
    json(&done)
}

/// The rollout in these states, with these numbers of agents: succeeded, failed, queued, waiting.
async fn becomes(files: &Files, db: &Database, state: &str, counts: [i64; 4]) -> Value {
    until("the rollout to be there", || async {
        let rollout = asked(files, db, &["list"]).await.get(0).cloned().unwrap();
        let of = |name: &str| rollout.get(name).unwrap();
        let found = ["succeeded", "failed", "queued", "waiting"].map(|name| of(name).as_i64());
        (of("state") == state && found == counts.map(Some)).then_some(rollout)
    })
    .await
}

async fn upgraded(admin: &Admin) -> i64 {
    admin.one("select count(*) from provisioning.agents where template_version = 2").await
}

#[tokio::test]
async fn another_worker_goes_on_where_one_was_killed_and_nobody_follows() {
    let (db, admin, files) = fleet(&["agt_a", "agt_b", "agt_c", "agt_d"]).await;
    let holder = db.admin().await;
    holder.run("begin; lock table public.agt_b_customers in access share mode").await;
    let mut first = files.service(&db, &[PATIENT]).await;
    let args = ["start", "--concurrency", "1", "--reason", "release 7"];
    let started = asked(&files, &db, &args).await;
    assert_eq!((&started["rollout"], &started["jobs"]), (&value!(1), &Value::Null));
    admin.held_up("agt_b").await;
    first.signal("KILL");
    first.ended().await;
    becomes(&files, &db, "running", [1, 0, 1, 2]).await;
    holder.run("commit").await;
    let _second = files.service(&db, &[]).await;
    let rollout = becomes(&files, &db, "done", [4, 0, 0, 0]).await;
    assert_eq!((&rollout["reason"], &rollout["agents"]), (&value!("release 7"), &value!(4)));
    assert!(rollout["ended_at"].is_string() && rollout["stage"].is_null(), "{rollout}");
    assert_eq!(upgraded(&admin).await, 4);
    let jobs = "select count(*), bool_and(state = 'succeeded') from provisioning.jobs where kind = 'upgrade'";
    assert_eq!(admin.rows(jobs).await, ["4|t"]);
}

#[tokio::test]
async fn a_pause_takes_back_what_nobody_is_on_and_a_resumed_rollout_comes_to_all() {
    let (db, admin, files) = fleet(&["agt_a", "agt_b", "agt_c"]).await;
    let holder = db.admin().await;
    let _service = files.service(&db, &[PATIENT, ("WORKER__CONCURRENCY", "1")]).await;
    holder.run("begin; lock table public.agt_a_customers in access share mode").await;
    asked(&files, &db, &["start"]).await;
    admin.held_up("agt_a").await;
    let paused = asked(&files, &db, &["pause", "--reason", "lunch"]).await;
    let expected = value!({"id": 1, "state": "paused", "changed": true, "taken_back": 2});
    assert_eq!(paused, expected);
    let again = asked(&files, &db, &["pause", "1"]).await;
    assert_eq!((&again["changed"], &again["taken_back"]), (&value!(false), &value!(0)));
    // Neither the same command nor one that queues all at once gets past it.
    for args in
        [&["agents", "upgrade", "--wait"][..], &["agents", "upgrade"], &["rollouts", "start"]]
    {
        expect(&files.ask(&db, args).await, 1, &["rollout 1 is paused"]);
    }
    assert_eq!(admin.rows(PENDING).await, ["agt_a"]);
    holder.run("commit").await;
    let rollout = becomes(&files, &db, "paused", [1, 0, 0, 2]).await;
    assert_eq!(rollout["change_reason"], "lunch");
    assert_eq!(upgraded(&admin).await, 1);
    let resumed = asked(&files, &db, &["resume"]).await;
    assert_eq!((&resumed["changed"], &resumed["state"]), (&value!(true), &value!("running")));
    becomes(&files, &db, "done", [3, 0, 0, 0]).await;
    assert_eq!(upgraded(&admin).await, 3);
    for verb in ["pause", "resume", "abort"] {
        expect(&files.ask(&db, &["rollouts", verb, "1"]).await, 1, &["rollout 1 is over: done"]);
        expect(&files.ask(&db, &["rollouts", verb]).await, 1, &["no rollout is under way"]);
        expect(&files.ask(&db, &["rollouts", verb, "7"]).await, 1, &["no rollout 7"]);
    }
}

#[tokio::test]
async fn an_aborted_rollout_queues_nothing_more_and_its_follower_ends() {
    let (db, admin, files) = fleet(&["agt_a", "agt_b", "agt_c"]).await;
    let holder = db.admin().await;
    let _service = files.service(&db, &[PATIENT]).await;
    holder.run("begin; lock table public.agt_a_customers in access share mode").await;
    let mut command = files.command(&db, &["agents", "upgrade", "--concurrency", "2", "--json"]);
    let other = async {
        admin.held_up("agt_a").await;
        becomes(&files, &db, "running", [2, 0, 1, 0]).await;
        let aborted = asked(&files, &db, &["abort"]).await;
        // A worker is on it: it ends by itself.
        assert_eq!((&aborted["state"], &aborted["taken_back"]), (&value!("aborted"), &value!(0)));
        assert_eq!(admin.rows(OPEN).await, ["aborted"]);
        holder.run("commit").await;
    };
    let (done, ()) = tokio::join!(crate::support::finish(&mut command), other);
    expect(&done, 0, &[]);
    let done = json(&done);
    assert_eq!((&done["rollout"], &done["summary"]["succeeded"]), (&value!(1), &value!(3)));
    becomes(&files, &db, "aborted", [3, 0, 0, 0]).await;

    files.write("0003_vip.sql", "alter table public.{prefix}_customers add vip boolean");
    asked(&files, &db, &["start", "--concurrency", "1"]).await;
    let aborted = asked(&files, &db, &["abort"]).await;
    assert_eq!((&aborted["state"], &aborted["taken_back"]), (&value!("aborted"), &value!(1)));
    let rollout = becomes(&files, &db, "aborted", [0, 0, 0, 2]).await;
    assert!(rollout["ended_at"].is_string(), "{rollout}");
    assert_eq!(rollout["cancelled"], 1);
}

#[tokio::test]
async fn a_command_that_is_interrupted_leaves_the_rollout_running_and_says_how_to_pause_it() {
    let (db, admin, files) = fleet(&["agt_a", "agt_b"]).await;
    let holder = db.admin().await;
    let _service = files.service(&db, &[PATIENT]).await;
    holder.run("begin; lock table public.agt_a_customers in access share mode").await;
    let mut command = files.command(&db, &["agents", "upgrade", "--concurrency", "1"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    admin.held_up("agt_a").await;
    // Whoever starts it follows it by then.
    crate::faults::signal("INT", child.id().cast_signed());
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    expect(&ended, 1, &["rollouts pause 1"]);
    assert_eq!(admin.rows(OPEN).await, ["running"]);
    // The same command follows it again; one with other limits is not the same.
    expect(
        &files.ask(&db, &["agents", "upgrade", "--canary", "1"]).await,
        1,
        &["rollout 1 is running"],
    );
    let mut again = files.command(&db, &["agents", "upgrade", "--concurrency", "1"]);
    let go_on = async {
        holder.run("commit").await;
    };
    let (again, ()) = tokio::join!(crate::support::finish(&mut again), go_on);
    expect(&again, 0, &[]);
    becomes(&files, &db, "done", [2, 0, 0, 0]).await;
    let rollouts = "select count(*) from provisioning.rollouts";
    assert_eq!(admin.one::<i64>(rollouts).await, 1);
}

#[tokio::test]
async fn a_canary_that_fails_stops_the_rollout_that_nobody_follows() {
    let (db, admin, files) = fleet(&["agt_a", "agt_b", "agt_c"]).await;
    admin.run("alter table public.agt_a_customers add column email text").await;
    let _service: Service = files.service(&db, &[]).await;
    asked(&files, &db, &["start", "--canary", "1"]).await;
    let rollout = becomes(&files, &db, "failed", [0, 1, 0, 2]).await;
    assert_eq!((&rollout["stopped_after"], &rollout["canaries"]), (&value!(1), &value!(1)));
    assert!(rollout["ended_at"].is_string(), "{rollout}");
    assert_eq!(upgraded(&admin).await, 0);
}

#[tokio::test]
async fn an_agent_that_goes_meanwhile_holds_nothing_up() {
    let (db, admin, files) = fleet(&["agt_a", "agt_b"]).await;
    asked(&files, &db, &["start", "--concurrency", "1"]).await;
    admin.run("delete from public.agents where agent_prefix = 'agt_b'").await;
    let _service = files.service(&db, &[]).await;
    until("the rollout to end", || async {
        let rollout = asked(&files, &db, &["list"]).await[0].clone();
        (rollout["state"] == "done").then_some(())
    })
    .await;
    assert_eq!(admin.rows("select agent_prefix from provisioning.agents").await, ["agt_a"]);
    assert_eq!(upgraded(&admin).await, 1);
}

#[tokio::test]
async fn the_workers_role_changes_rollouts_by_functions_only() {
    let (db, admin, files) = fleet(&["agt_a", "agt_b"]).await;
    asked(&files, &db, &["start", "--concurrency", "1"]).await; // as the worker's role
    let worker = db.connect(WORKER).await;
    for sql in [
        "update provisioning.rollouts set state = 'done', ended_at = now()",
        "update provisioning.rollout_agents set result = 'succeeded'",
        "delete from provisioning.rollouts",
        "insert into provisioning.rollouts (template_version, templates, canaries, requested_by) values (9, '', 0, '')",
    ] {
        let refused = worker.batch_execute(sql).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501", "{sql}");
    }
    let state = "select state, requested_by ^@ 'agent_provisioner' from provisioning.rollouts";
    assert_eq!(admin.rows(state).await, ["running|t"]);
    // Nobody takes the jobs: that is said, and shown.
    let shown = asked(&files, &db, &["list"]).await;
    assert_eq!((&shown[0]["untaken"], &shown[0]["stage"]), (&value!(2), &value!("all")));
    let listed = ask(&db.url(ADMIN), &["rollouts", "list"]).await;
    expect(&listed, 0, &["running", "0 of 2"]);
}
