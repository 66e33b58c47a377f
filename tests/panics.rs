//! A fault of the program itself.
//!
//! Functions give another type than the program expects, and it panics.

use crate::support::{Database, WORKER, ask, expect, get, until};
use crate::trash::{CHECKED, KEPT};

#[tokio::test]
async fn a_panic_in_a_job_is_a_failed_attempt_of_that_job() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let settings = [
        CHECKED,
        KEPT,
        ("WORKER__CONCURRENCY", "1"),
        ("WORKER__MAX_ATTEMPTS", "2"),
        ("WORKER__POLL_INTERVAL", "50ms"),
    ];
    let service = db.service_with(&settings).await;
    admin.create("agt_a").await;
    admin.settled().await;
    admin
        .run(
            "alter function provisioning.trash_agent rename to right_one;
             create function provisioning.trash_agent(bigint, double precision, double precision)
             returns table (item integer) language sql as 'select 1'",
        )
        .await;
    admin.run("delete from public.agents where agent_prefix = 'agt_a'").await;
    admin.holds("select attempts >= 1 from provisioning.jobs where kind = 'deprovision'").await;
    admin.create("agt_b").await;
    admin.settled().await;
    let jobs = "select agent_prefix, kind, state, attempts, last_error ^@ 'the program panicked: ', \
                last_error_code, last_sqlstate from provisioning.jobs order by id";
    let done = "agt_b|provision|succeeded|0|-|-|-";
    let dead = "agt_a|deprovision|dead|2|t|panic|-";
    assert_eq!(admin.rows(jobs).await[1..], [dead, done]);
    assert_eq!(admin.tables("agt_a").await.len(), 4, "nothing of it was committed");
    until("two panics in the log", || async {
        (service.log().matches("\"job panicked\"").count() == 2).then_some(())
    })
    .await;
    let log = service.log();
    let panicked = log.lines().filter(|line| line.contains("\"job panicked\""));
    for line in panicked {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["level"], &line["job.id"]), (&"ERROR".into(), &2.into()));
        assert!(line["error"].as_str().unwrap().starts_with("the program panicked: "));
    }
    assert_eq!(log.matches("src/provisioning/trash.rs").count(), 2, "the place is told");
    assert_eq!(get(&service.http().await, "/readyz").0, 200);

    admin
        .run(
            "drop function provisioning.trash_agent;
             alter function provisioning.right_one rename to trash_agent",
        )
        .await;
    expect(&ask(&db.url(WORKER), &["jobs", "replay", "2", "--wait"]).await, 0, &[]);
    assert_eq!(admin.tables("agt_a").await, [""; 0]);
}

#[tokio::test]
async fn a_panic_in_a_sweep_ends_that_sweep() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let settings =
        [CHECKED, ("DEPROVISION__RETENTION", "1s"), ("WORKER__RECONCILE_INTERVAL", "100ms")];
    let service = db.service_with(&settings).await;
    admin
        .run(
            "alter function provisioning.purge_item rename to right_one;
             create function provisioning.purge_item(bigint, boolean)
             returns table (gone integer) language sql as 'select 1'",
        )
        .await;
    admin.create("agt_a").await;
    admin.settled().await;
    admin.run("delete from public.agents").await;
    admin.settled().await;
    service.logged("\"error\":\"the program panicked: ").await;
    service.logged("\"cannot reconcile\"").await;
    admin.create("agt_b").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_b").await.len(), 4);
    admin
        .run(
            "drop function provisioning.purge_item;
             alter function provisioning.right_one rename to purge_item",
        )
        .await;
    admin.holds("select not exists (select from provisioning.trash)").await;
    assert!(!service.log().contains("ended unasked"));
}
