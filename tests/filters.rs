//! Jobs that a filter finds are replayed and cancelled after a question, all or none of them.

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json as value};

use crate::jobs::{STATES, jobs, queue};
use crate::support::{ADMIN, Database, ask, expect, have, json, on_terminal, until};

/// Of each job that an answer names, its id and what became of it.
fn results(answer: &Value) -> Vec<Value> {
    let brief = |job: &Value| value!([job.get("id"), job.get("result")]);
    answer.as_array().unwrap().iter().map(brief).collect()
}

#[tokio::test]
async fn a_filter_replays_what_it_finds_only_when_it_is_told_to() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let all = [
        ("provision", 1, "agt_a1", "dead"),
        ("repair", 2, "agt_a2", "dead"),
        ("provision", 3, "agt_b", "dead"),
    ];
    queue(&admin, &all).await;
    admin.run("update provisioning.jobs set last_sqlstate = '53100' where id = 1").await;
    let asked = jobs(&db, &["replay", "--prefix", "agt_a*", "--json"]).await;
    expect(&asked, 2, &["--yes"]);
    assert_eq!(results(&json(&asked)), [value!([1, "dry_run"]), value!([2, "dry_run"])]);
    let dead = ["1|dead", "2|dead", "3|dead"];
    assert_eq!(admin.rows(STATES).await, dead);
    expect(&jobs(&db, &["replay", "--since", "1h", "--dry-run"]).await, 0, &["3 jobs"]);
    expect(&jobs(&db, &["replay", "--sqlstate", "57*", "--yes"]).await, 0, &["0 jobs"]);
    assert_eq!(admin.rows(STATES).await, dead);
    let done = jobs(&db, &["replay", "--sqlstate", "53*", "--yes", "--json"]).await;
    expect(&done, 0, &[]);
    assert_eq!(results(&json(&done)), [value!([1, "done"])]);
    let args = ["replay", "--prefix", "agt_?2", "--kind", "repair", "--yes", "--reason", "mended"];
    expect(&jobs(&db, &args).await, 0, &["1 job"]);
    assert_eq!(admin.rows(STATES).await, ["1|pending", "2|pending", "3|dead"]);
    let why = "select replay_reason, replayed_by from provisioning.jobs where id = 2";
    assert_eq!(admin.rows(why).await, ["mended|agent_provisioner (ada)"]);
    for args in [
        &["replay"][..],
        &["replay", "3", "--kind", "provision"],
        &["replay", "--all-dead", "--kind", "provision"],
        &["replay", "--state", "paused"],
        &["replay", "--state", "succeeded"],
        &["cancel"],
        &["cancel", "3", "--state", "dead"],
    ] {
        expect(&jobs(&db, args).await, 2, &[]);
    }
}

#[tokio::test]
async fn a_filter_confirms_no_deletion_whoever_asks() {
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(
        &admin,
        &[
            ("deprovision", 1, "agt_a", "dead"),
            ("deprovision", 2, "agt_b", "paused"),
            ("deprovision", 3, "agt_c", "cancelled"),
        ],
    )
    .await;
    admin.run("insert into provisioning.agents (agent_id, agent_prefix, template_version, reference) values (3, 'agt_c', 1, 'check')").await;
    let replay = ["jobs", "replay", "--kind", "deprovision", "--yes"];
    expect(&ask(&db.url(ADMIN), &replay).await, 0, &["1 job"]);
    assert_eq!(admin.rows(STATES).await, ["1|pending", "2|paused", "3|cancelled"]);
    let confirmed = "select count(*) from provisioning.jobs where deletion_confirmed";
    assert_eq!(admin.one::<i64>(confirmed).await, 0);
    // By its number it would be.
    admin
        .run("update provisioning.jobs set state = 'dead', finished_at = now() where id = 1")
        .await;
    expect(&ask(&db.url(ADMIN), &["jobs", "replay", "1"]).await, 0, &[]);
    assert_eq!(admin.one::<i64>(confirmed).await, 1);
}

#[tokio::test]
async fn a_filter_cancels_open_jobs() {
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(
        &admin,
        &[
            ("upgrade", 1, "agt_a", "pending"),
            ("upgrade", 2, "agt_b", "dead"),
            ("deprovision", 3, "agt_c", "paused"),
            ("upgrade", 4, "agt_d", "succeeded"),
        ],
    )
    .await;
    let states = async || admin.rows(STATES).await;
    expect(&jobs(&db, &["cancel", "--kind", "upgrade"]).await, 2, &["2 jobs", "--yes"]);
    assert_eq!(states().await, ["1|pending", "2|dead", "3|paused", "4|succeeded"]);
    let some = ["cancel", "--kind", "upgrade,deprovision", "--state", "dead,paused", "--yes"];
    expect(&jobs(&db, &some).await, 0, &["2 jobs: 2, 3"]);
    assert_eq!(states().await, ["1|pending", "2|cancelled", "3|cancelled", "4|succeeded"]);
    // What a worker is on is left out, and named.
    let holder = db.admin().await;
    holder.run("begin; select from provisioning.jobs where id = 1 for update").await;
    let held = jobs(&db, &["cancel", "--prefix", "agt_*", "--yes", "--json"]).await;
    expect(&held, 0, &[]);
    assert_eq!(results(&json(&held)), [value!([1, "skipped"])]);
}

/// What a command on a terminal has written so far, and what is typed into it.
async fn typed(
    db: &Database,
    args: &str,
    question: &str,
    answer: &str,
    meanwhile: impl AsyncFnOnce(),
) -> (Option<i32>, String) {
    let mut script = on_terminal(&db.url(ADMIN), args);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let written = Arc::new(Mutex::new(Vec::new()));
    let (mut out, kept) = (child.stdout.take().unwrap(), Arc::clone(&written));
    let reader = thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = out.read(&mut buffer) {
            kept.lock().unwrap().extend(buffer.iter().take(read));
        }
    });
    let text = || String::from_utf8_lossy(&written.lock().unwrap()).into_owned();
    until(question, || async { text().contains(question).then_some(()) }).await;
    meanwhile().await;
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{answer}").unwrap();
    let child = Mutex::new(child);
    let ended = until("the command to end", || async { child.lock().unwrap().try_wait().unwrap() });
    let code = ended.await.code();
    drop(stdin);
    reader.join().unwrap();
    (code, text())
}

#[tokio::test]
async fn on_a_terminal_a_filter_shows_the_number_and_asks() {
    if !have(&["script"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    queue(&admin, &[("repair", 1, "agt_a", "dead"), ("repair", 2, "agt_b", "dead")]).await;
    let replay = "jobs replay --kind repair";
    let (code, said) = typed(&db, replay, "replay 2 jobs?", "n", async || {}).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(admin.rows(STATES).await, ["1|dead", "2|dead"]);
    // What was shown is not so any more: nothing is done.
    let change = async || {
        admin.run("update provisioning.jobs set state = 'cancelled' where id = 2").await;
    };
    let (code, said) = typed(&db, replay, "replay 2 jobs?", "y", change).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(admin.rows(STATES).await, ["1|dead", "2|cancelled"]);
    let (code, said) = typed(&db, replay, "replay 1 job?", "y", async || {}).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(admin.rows(STATES).await, ["1|pending", "2|cancelled"]);
    let cancel = "jobs cancel --kind repair";
    let (code, said) = typed(&db, cancel, "cancel 1 job?", "yes", async || {}).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(admin.rows(STATES).await, ["1|cancelled", "2|cancelled"]);
}

#[tokio::test]
async fn a_pending_job_behind_a_dead_one_is_not_said_to_be_replayed() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let all = [
        ("provision", 1, "agt_a", "dead"),
        ("repair", 1, "agt_a", "pending"),
        ("repair", 2, "agt_b", "pending"),
    ];
    queue(&admin, &all).await;
    let alone = jobs(&db, &["replay", "2", "3", "--json"]).await;
    expect(&alone, 1, &["jobs show 1"]);
    assert_eq!(results(&json(&alone)), [value!([2, "skipped"]), value!([3, "done"])]);
    let replayed = "select id from provisioning.jobs where replayed_at is not null order by id";
    assert_eq!(admin.rows(replayed).await, ["3"]);
    // With the dead one it goes back.
    let both = jobs(&db, &["replay", "1", "2", "--json"]).await;
    expect(&both, 0, &[]);
    assert_eq!(results(&json(&both)), [value!([1, "done"]), value!([2, "done"])]);
}
