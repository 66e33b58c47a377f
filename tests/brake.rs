//! The brake on mass deletion.

use crate::support::{ADMIN, Database, ask, expect};

const CHECKED: (&str, &str) = ("REFERENCE", "check");

const DELETED: &str = "select outcome, count(*) from provisioning.jobs
    where kind = 'deprovision' and state = 'succeeded' group by 1";

#[tokio::test]
async fn mass_deletion_waits_to_be_confirmed_and_nothing_else_does() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[CHECKED]).await;
    admin
        .run("insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 9) n")
        .await;
    admin.settled().await;
    drop(service);
    admin.run("select public.delete_agent(n) from generate_series(1, 8) n").await;
    let _service = db.service_with(&[CHECKED, ("DEPROVISION__MAX_PER_HOUR", "2")]).await;
    admin.settled().await;
    assert_eq!(admin.rows(DELETED).await, ["deprovisioned|2"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 7);
    let paused = "select id::text from provisioning.jobs where state = 'dead'
        and last_sqlstate is null and last_error like 'paused: more than 2 deletions%' order by id";
    let paused = admin.rows(paused).await;
    assert_eq!(paused.len(), 6);
    admin.create("agt_new").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_new").await.len(), 4);

    // Who asks again has not confirmed.
    let again =
        "select public.delete_agent(j.agent_id) from provisioning.jobs j where j.state = 'dead'";
    admin.run(again).await;
    admin.settled().await;
    assert_eq!(admin.rows(DELETED).await, ["deprovisioned|2"]);

    let url = db.url(ADMIN);
    let shown = ask(&url, &["jobs", "show", &paused[0]]).await;
    expect(&shown, 0, &["deprovision.max_per_hour", "jobs replay --all-dead"]);
    let one = ask(&url, &["jobs", "replay", &paused[0], "--wait"]).await;
    expect(&one, 0, &["1 job succeeded"]);
    // What was confirmed does not count: with room for one, one goes.
    let hour =
        "update provisioning.jobs set finished_at = finished_at - interval '1 hour' where id =
        (select min(id) from provisioning.jobs where kind = 'deprovision' and state = 'succeeded')";
    admin.run(hour).await;
    admin.run(again).await;
    admin.settled().await;
    assert_eq!(admin.rows(DELETED).await, ["deprovisioned|4"]);
    // Who gives it up keeps the agent.
    let kept = "select a.agent_prefix::text, j.id::text from provisioning.jobs j
        join public.agents a on a.id = j.agent_id where j.state = 'dead' limit 1";
    let kept = admin.rows(kept).await.remove(0);
    let (prefix, job) = kept.split_once('|').unwrap();
    expect(&ask(&url, &["jobs", "cancel", job]).await, 0, &["cancelled 1 job"]);
    assert_eq!(admin.tables(prefix).await.len(), 4);
    let all = ask(&url, &["jobs", "replay", "--all-dead", "--wait"]).await;
    expect(&all, 0, &["3 jobs succeeded"]);
    let left = admin.rows("select agent_prefix from public.agents order by id").await;
    assert_eq!(left, [prefix, "agt_9", "agt_new"]);
}
