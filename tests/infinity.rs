//! PostgreSQL knows times that never come and times before all others. Up to release 16 it fails to subtract
//! them.

use serde_json::json as value;

use crate::console::Site;
use crate::http::metric;
use crate::support::{ADMIN, Database, WORKER, ask, expect, get, json};

const SESSIONS: &str = "select coalesce(array_agg(pid), '{}') from pg_stat_activity \
    where datname = current_database() and usename = 'agent_provisioner'";

#[tokio::test]
async fn a_job_that_is_put_off_for_good_disturbs_nobody() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service =
        db.service_with(&[("WORKER__POLL_INTERVAL", "50ms"), ("WORKER__CONCURRENCY", "1")]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    let before: Vec<i32> = admin.one(SESSIONS).await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, run_at, template_version) values
                 ('repair', 1, 'agt_a', 'infinity', null),
                 ('upgrade', 7, 'agt_x', '-infinity', 999);
             notify agent_provisioning",
        )
        .await;
    // Many looks at a queue in which nothing else is to come, and then at one in which something is.
    let http = service.http().await;
    let looks = || metric(&get(&http, "/metrics").1, "wakeups", &[("reason", "timer")]).unwrap();
    let first = looks();
    crate::support::until("more looks", || async { (looks() > first + 5.0).then_some(()) }).await;
    admin.create("agt_b").await;
    admin.holds("select count(*) = 2 from provisioning.agents").await;
    let after: Vec<i32> = admin.one(SESSIONS).await;
    assert!(before.iter().all(|pid| after.contains(pid)), "{before:?} was {after:?} later");
    assert_eq!(get(&http, "/readyz").0, 200);
    let (code, metrics) = get(&http, "/metrics");
    assert_eq!(code, 200);
    assert_eq!(metric(&metrics, "jobs", &[("kind", "repair"), ("state", "pending")]), Some(1.0));
    assert!(!service.log().contains("\"WARN\""), "{}", service.log());

    let jobs = json(&ask(&db.url(WORKER), &["jobs", "list", "--state", "pending", "--json"]).await);
    assert_eq!([&jobs[0]["run_at"], &jobs[1]["run_at"]], ["-infinity", "infinity"]);
    expect(&ask(&db.url(WORKER), &["jobs", "show", "2"]).await, 0, &["due", "infinity"]);
    admin.run("update provisioning.jobs set run_at = '-infinity' where id = 2").await;
    admin.holds("select state = 'succeeded' from provisioning.jobs where id = 2").await;
}

#[tokio::test]
async fn what_is_kept_for_ever_is_listed_and_stays() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("DEPROVISION__RETENTION", "1h")]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    admin.run("delete from public.agents").await;
    admin.settled().await;
    admin
        .run(
            "update provisioning.trash set purge_at = 'infinity', trashed_at = '-infinity';
             update provisioning.migrations set applied_at = '-infinity' where version = 1;
             update provisioning.jobs set created_at = '-infinity', finished_at = 'infinity'",
        )
        .await;
    let trash = json(&ask(&db.url(ADMIN), &["agents", "trash", "--json"]).await);
    assert_eq!(trash[0]["purge_at"], "infinity");
    let jobs = json(&ask(&db.url(WORKER), &["jobs", "list", "--json"]).await);
    let times = [&jobs[0]["created_at"], &jobs[0]["finished_at"]];
    assert_eq!(times, [&value!("-infinity"), &value!("infinity")]);
    expect(&ask(&db.url(ADMIN), &["migrate", "status"]).await, 0, &["applied  -infinity"]);
    expect(&ask(&db.url(ADMIN), &["agents", "restore", "agt_a"]).await, 0, &["with 4 tables"]);
}

#[tokio::test]
async fn the_console_shows_what_never_was_and_what_nobody_wrote() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    admin
        .run(
            "insert into provisioning.rollouts (template_version, templates, canaries, requested_by, started_at)
                 values (1, 'x', 0, 'x', 'infinity');
             insert into provisioning.accepted_findings (key, severity, reason, accepted_by, accepted_at)
                 values ('x', 'failure', 'x', 'x', '-infinity');
             insert into provisioning.actions (done_by, action, done_at, jobs) values ('x', 'replay', 'infinity', '{1,null}');
             insert into provisioning.attempts values (1, 9, 'failed', 1, '-infinity', 'infinity', '1s');
             insert into provisioning.drifted_agents values (1, 1, '-infinity', '-infinity');
             insert into provisioning.verify_turn values (true, '-infinity')
                 on conflict (id) do update set taken_at = excluded.taken_at;
             update provisioning.jobs set last_error = 'x', last_error_relations = '{null,a}' where id = 1",
        )
        .await;
    for path in [
        "/",
        "/rollouts",
        "/doctor",
        "/activity",
        "/drift",
        "/jobs",
        "/jobs/1",
        "/agents",
        "/agents/agt_a",
    ] {
        let page = site.get(path);
        assert_eq!(page.status, 200, "{path}: {}", page.body);
    }
}
