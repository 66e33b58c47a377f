//! Who did what, when and why: written with what was done, and found by the address.

use super::actions::dead;
use super::{Site, field};
use crate::support::{ADMIN, Database, ask, expect};

#[tokio::test]
async fn what_a_person_has_done_is_told_with_who_and_why_and_what_was_only_shown_is_not() {
    let db = Database::new().await;
    let admin = dead(&db, 3).await;
    let site = Site::new(&db, &[]).await;
    admin.holds("select bool_and(state = 'dead') from provisioning.jobs").await;
    let page = site.get("/jobs/act?action=replay&id=2&id=3").body;
    let shown = field(&page, "shown").to_owned();
    expect(&ask(&db.url(ADMIN), &["jobs", "cancel", "1", "--reason", "by <b>hand"]).await, 0, &[]);
    expect(&ask(&db.url(ADMIN), &["jobs", "replay", "2", "--dry-run"]).await, 0, &[]);
    admin.run("drop table public.agt_2_orders; drop table public.agt_3_orders").await;
    let form = format!("action=replay&id=2&id=3&shown={shown}&reason=the+table+went");
    assert_eq!(site.post("/jobs/act", &form).status, 200);
    let noted = "select action, reason, jobs, job_count, split_part(done_by, ' ', 1) from provisioning.actions order by id";
    let expected =
        ["cancel|by <b>hand|{1}|1|postgres", "replay|the table went|{2,3}|2|agent_console"];
    assert_eq!(admin.rows(noted).await, expected);
    let all = site.get("/activity").body;
    for shown in ["by &lt;b&gt;hand", "the table went", "./jobs/3\">job 3</a>", "(agt_2, agt_3)"] {
        assert!(all.contains(shown), "{shown}: {all}");
    }
    for (query, cancelled, replayed) in [
        ("action=cancel", true, false),
        ("by=AGENT_console", false, true),
        ("since=1h", true, true),
        ("before=2", true, false),
        ("action=approve", false, false),
    ] {
        let page = site.get(&format!("/activity?{query}")).body;
        let found = (page.contains("by &lt;b&gt;hand"), page.contains("the table went"));
        assert_eq!(found, (cancelled, replayed), "{query}");
    }
    for refused in ["action=x", "since=x", "since=1000000000y"] {
        assert_eq!(site.get(&format!("/activity?{refused}")).status, 400, "{refused}");
    }
    admin
        .run("insert into provisioning.actions (done_by, action, finding) select 'x', 'accept', 'key-' || n from generate_series(1, 120) n")
        .await;
    let first = site.get("/activity?by=x").body;
    assert!(first.contains("key-120<") && first.contains("key-71<") && !first.contains("key-70<"));
    let next = first.split("href=\"").find(|rest| rest.contains("before=")).unwrap();
    let next = next.split('"').next().unwrap().replace("&amp;", "&");
    let second = site.get(&format!("/{next}")).body;
    assert!(
        second.contains("key-70<") && second.contains("key-21<") && !second.contains("key-71<")
    );
}

#[tokio::test]
async fn a_rollout_is_told_by_who_started_it_and_not_by_each_job_that_it_queues() {
    let (db, admin, files) = crate::rollouts::fleet(&["agt_a", "agt_b"]).await;
    let _service = files.service(&db, &[]).await;
    let args = ["rollouts", "start", "--concurrency", "1", "--reason", "release 7"];
    expect(&files.ask(&db, &args).await, 0, &[]);
    admin.holds("select state = 'done' from provisioning.rollouts").await;
    expect(&files.ask(&db, &["agents", "repair"]).await, 0, &[]);
    let noted =
        "select action, reason, rollout, job_count, done_by from provisioning.actions order by id";
    assert_eq!(admin.rows(noted).await, ["start|release 7|1|0|agent_provisioner (ada)"]);
}
