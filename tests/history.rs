//! How each attempt at a job ended is kept with the job.

use serde_json::{Value, json as value};

use crate::jobs::{HOLD, PATIENT, jobs};
use crate::support::{Admin, Database, expect, json, said};

/// What is kept of each attempt of the first job, as `jobs show` has it.
async fn history(db: &Database) -> Vec<Value> {
    let shown = json(&jobs(db, &["show", "1", "--json"]).await);
    shown.get("history").and_then(Value::as_array).unwrap().clone()
}

fn brief(attempt: &Value) -> Value {
    value!(["number", "result", "times", "outcome", "sqlstate"].map(|key| attempt[key].clone()))
}

fn time(attempt: &Value, key: &str) -> String {
    attempt[key].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_attempt_whose_connection_broke_and_the_next_are_kept_with_host_and_process() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let service = db.service_with(&[PATIENT, ("WORKER__CONCURRENCY", "1")]).await;
    holder.run(HOLD).await;
    admin.create("agt_6f78").await;
    let pid = admin.held_up("agt_6f78").await;
    admin.run(&format!("select pg_terminate_backend({pid})")).await;
    admin.holds("select attempts = 1 from provisioning.jobs").await;
    holder.run("commit").await;
    admin.settled().await;
    let history = history(&db).await;
    let found: Vec<Value> = history.iter().map(brief).collect();
    let expected =
        [value!([1, "failed", 1, null, "57P01"]), value!([2, "succeeded", 1, "provisioned", null])];
    assert_eq!(found, expected);
    admin.holds("select exists (select from provisioning.instances)").await;
    let host = admin.one::<String>("select host from provisioning.instances").await;
    for attempt in &history {
        assert_eq!([&attempt["host"], &attempt["pid"]], [&value!(host), &value!(service.pid())]);
        assert!(time(attempt, "started_at") <= time(attempt, "ended_at"), "{attempt}");
        assert!(attempt["duration_ms"].as_f64().unwrap() >= 0.0, "{attempt}");
    }
    assert!(time(&history[0], "ended_at") <= time(&history[1], "ended_at"));
    assert!(history[0]["error"].as_str().unwrap().contains("terminating connection"));
    let pid = format!("on {host} (pid {})", service.pid());
    let shown = jobs(&db, &["show", "1"]).await;
    expect(&shown, 0, &["history", &pid]);
    assert_eq!(said(&shown).matches(&pid).count(), 2);
}

#[tokio::test]
async fn a_job_that_gives_way_again_and_again_has_few_rows() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let _service = db.service_with(&[("DATABASE__LOCK_TIMEOUT", "50ms")]).await;
    holder.run("begin; lock table public.agents in row exclusive mode").await;
    admin.create("agt_6f78").await;
    // So that each look is now.
    let again = "update provisioning.jobs set run_at = now() where state = 'pending';
                 notify agent_provisioning";
    for times in 1..6 {
        admin.holds(&format!("select sum(times) >= {times} from provisioning.attempts")).await;
        admin.run(again).await;
    }
    holder.run("commit").await;
    admin.run(again).await;
    admin.settled().await;
    let history = history(&db).await;
    let gave_way: Vec<_> =
        history.iter().filter(|attempt| attempt["result"] == "gave_way").collect();
    let times: i64 = gave_way.iter().map(|attempt| attempt["times"].as_i64().unwrap()).sum();
    assert!(times >= 5, "{history:?}");
    assert!(gave_way.len() <= 2, "{history:?}");
    assert!(gave_way.iter().all(|attempt| attempt["sqlstate"] == "55P03"), "{history:?}");
    assert_eq!(history.last().unwrap()["result"], "succeeded");
}

#[tokio::test]
async fn a_deletion_that_waits_for_approval_says_so_and_its_history_goes_with_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("DEPROVISION__MAX_PER_HOUR", "0")]).await;
    let id = admin.create("agt_6f78").await;
    admin.settled().await;
    admin.run(&format!("delete from public.agents where id = {id}")).await;
    admin.holds("select state = 'paused' from provisioning.jobs where id = 2").await;
    assert_eq!(results(&admin).await, ["1|succeeded", "2|paused"]);
    // Whoever deletes a job by hand deletes its history, too.
    admin.run("update provisioning.jobs set finished_at = now() - interval '40 days'").await;
    expect(&jobs(&db, &["prune"]).await, 0, &["1 job"]);
    assert_eq!(results(&admin).await, ["2|paused"]);
    admin.run("delete from provisioning.jobs").await;
    assert_eq!(results(&admin).await, [""; 0]);
}

async fn results(admin: &Admin) -> Vec<String> {
    admin.rows("select job, result from provisioning.attempts order by job, number").await
}
