//! The deletion limit, and how an operator lets a paused deletion through.

use crate::support::{ADMIN, Admin, Database, Service, ask, expect, get, json, until};

const CHECKED: (&str, &str) = ("REFERENCE", "check");
const OFTEN: (&str, &str) = ("WORKER__RECONCILE_INTERVAL", "100ms");

const DELETED: &str = "select count(*) from provisioning.jobs
    where kind = 'deprovision' and state = 'succeeded'";
const PAUSED: &str = "select array_agg(agent_prefix order by id)::text from provisioning.jobs where state = 'paused'";
const NEWEST: &str = "select id, state from provisioning.jobs
    where kind = 'deprovision' and agent_prefix = 'agt_1' order by id desc limit 1";

/// Built agents whose prefixes are `agt_1`, `agt_2` and so on; the service lets `max` deletions an hour through.
async fn fleet(agents: u32, max: &str) -> (Database, Admin, Service) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[CHECKED, OFTEN, ("DEPROVISION__MAX_PER_HOUR", max)]).await;
    admin
        .run(&format!(
            "insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, {agents}) n"
        ))
        .await;
    admin.settled().await;
    (db, admin, service)
}

#[tokio::test]
async fn mass_deletion_waits_to_be_approved_and_nothing_else_does() {
    let (db, admin, _service) = fleet(6, "2").await;
    admin.run("select public.delete_agent(n) from generate_series(1, 5) n").await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>(DELETED).await, 2);
    let paused = "select id::text from provisioning.jobs where state = 'paused'
        and last_sqlstate is null and last_error_code = 'deletion_limit' and attempts = 0 order by jobs.id";
    let paused = admin.rows(paused).await;
    assert_eq!(paused.len(), 3);
    admin.create("agt_new").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_new").await.len(), 4);
    let url = db.url(ADMIN);
    let shown = ask(&url, &["jobs", "show", &paused[0]]).await;
    expect(&shown, 0, &["is paused", "deprovision.max_per_hour", "jobs approve"]);
    // What was approved does not count: with room for one, one goes.
    let approved = ask(&url, &["jobs", "approve", &paused[0], "--reason", "meant", "--wait"]).await;
    expect(&approved, 0, &["1 job succeeded"]);
    let record = "select state, replayed_by, replay_reason from provisioning.jobs where id = ";
    let record = admin.rows(&format!("{record}{}", paused[0])).await;
    assert_eq!(record, ["succeeded|postgres (ada)|meant"]);
    admin
        .run(
            "update provisioning.jobs set finished_at = finished_at - interval '1 hour' where id =
             (select min(id) from provisioning.jobs
              where kind = 'deprovision' and state = 'succeeded' and replayed_by is null)",
        )
        .await;
    admin.run("select from public.delete_agent(6)").await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>(DELETED).await, 4);
    // Who refuses a deletion keeps the agent.
    expect(&ask(&url, &["jobs", "cancel", &paused[1]]).await, 0, &["cancelled 1 job"]);
    expect(&ask(&url, &["jobs", "approve", "--all", "--wait"]).await, 0, &["1 job succeeded"]);
    let left = admin.rows("select agent_prefix from public.agents order by id").await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(admin.tables(&left[0]).await.len(), 4);
}

#[tokio::test]
async fn only_an_operator_who_names_it_approves_a_paused_deletion() {
    let (db, admin, _service) = fleet(2, "0").await;
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    let before = admin.rows(NEWEST).await;
    assert!(before[0].ends_with("|paused"), "{before:?}");
    let url = db.url(ADMIN);
    admin.run("select from public.delete_agent(1)").await;
    for args in [&["--all-dead"][..], &["--prefix", "agt_1"]] {
        let replayed = ask(&url, &[&["jobs", "replay"], args].concat()).await;
        expect(&replayed, 0, &["replayed 0 jobs"]);
    }
    // Nor does the DELETE of the row, nor a sweep that finds the tables without an agent.
    admin.run("delete from public.agents where id = 1; select from public.delete_agent(2)").await;
    admin.holds("select count(*) = 2 from provisioning.jobs where state = 'paused'").await;
    assert_eq!(admin.rows(NEWEST).await, before);
    assert_eq!(admin.tables("agt_1").await.len(), 4);
    // Everything that tells of it says paused.
    let status = "select state from public.agent_status(2)";
    assert_eq!(admin.rows(status).await, ["paused"]);
    for args in [&["agents", "list"][..], &["jobs", "list", "--state", "paused"]] {
        let listed = json(&ask(&url, &[args, &["--json"]].concat()).await);
        let listed: Vec<_> = listed.as_array().unwrap().iter().map(|row| &row["state"]).collect();
        assert_eq!(listed, ["paused", "paused"], "{args:?}");
    }
    let id = before[0].split('|').next().unwrap();
    expect(&ask(&url, &["jobs", "replay", id, "--wait"]).await, 0, &["1 job succeeded"]);
    assert_eq!(admin.tables("agt_1").await.len(), 0);
}

#[tokio::test]
async fn approve_lets_nothing_through_but_paused_deletions() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
             values ('provision', 1, 'agt_1', 'dead', now()), ('deprovision', 2, 'agt_2', 'dead', now()),
                 ('deprovision', 3, 'agt_3', 'paused', now())",
        )
        .await;
    let url = db.url(ADMIN);
    let approved = ask(&url, &["jobs", "approve", "1", "2", "3", "99", "--json"]).await;
    expect(&approved, 1, &[]);
    let results = json(&approved);
    let results: Vec<_> = results.as_array().unwrap().iter().map(|a| &a["result"]).collect();
    assert_eq!(results, ["skipped", "skipped", "done", "missing"]);
    let states = "select state, deletion_confirmed from provisioning.jobs order by id";
    assert_eq!(admin.rows(states).await, ["dead|f", "dead|f", "pending|t"]);
    // A failed deletion that --all-dead brings back is not approved by that.
    expect(&ask(&url, &["jobs", "replay", "--all-dead"]).await, 0, &["replayed 2 jobs"]);
    assert_eq!(admin.rows(states).await, ["pending|f", "pending|f", "pending|t"]);
    assert_eq!(ask(&url, &["jobs", "approve"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn the_jobs_that_the_limit_counts_are_not_pruned() {
    let (db, admin, _service) = fleet(3, "1").await;
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    let prune = ["jobs", "prune", "--older-than", "0s"];
    expect(&ask(&db.url(ADMIN), &prune).await, 0, &["deleted 3 jobs"]);
    admin.run("select from public.delete_agent(2)").await;
    admin.settled().await;
    assert_eq!(admin.rows(PAUSED).await, ["{agt_2}"]);
    expect(&ask(&db.url(ADMIN), &prune).await, 0, &["deleted 0 jobs"]);
}

/// Takes rows of `agents` away, and puts rows in, as a loader that fires no trigger.
async fn load(admin: &Admin, sql: &str) {
    admin
        .run(&format!(
            "begin; alter table public.agents disable trigger enqueue_provision,
                 disable trigger enqueue_deprovision; {sql};
             alter table public.agents enable trigger enqueue_provision,
                 enable trigger enqueue_deprovision; commit"
        ))
        .await;
}

#[tokio::test]
async fn of_deletions_that_nobody_asked_for_few_pass_and_many_wait() {
    let (db, admin, service) = fleet(8, "100").await;
    load(&admin, "delete from public.agents where id <= 2").await;
    admin.holds("select count(*) = 6 from provisioning.agents").await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.trash").await, 2);
    // Together with those two, four are too many: all of them wait, not only what exceeds the limit.
    load(&admin, "delete from public.agents where id <= 4").await;
    admin
        .holds("select count(*) = 2 from provisioning.jobs where state = 'paused' and unreported")
        .await;
    assert_eq!(admin.rows(PAUSED).await, ["{agt_3,agt_4}"]);
    let http = service.http().await;
    until("the gauge", || async {
        let line = "agent_provisioner_jobs{kind=\"deprovision\",state=\"paused\"} 2";
        get(&http, "/metrics").1.contains(line).then_some(())
    })
    .await;
    let doctor = json(&ask(&db.url(ADMIN), &["doctor", "--json"]).await);
    let finding = |f: &&serde_json::Value| f["what"] == "paused deletions";
    let finding = doctor.as_array().unwrap().iter().find(finding).unwrap().clone();
    assert_eq!(finding["severity"], "warning");
    // What somebody asks for is not held up by that.
    admin.run("delete from public.agents where id = 5").await;
    admin.holds("select not exists (select from provisioning.agents where agent_id = 5)").await;
    expect(&ask(&db.url(ADMIN), &["jobs", "approve", "--all", "--wait"]).await, 0, &["2 jobs"]);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 3);
}

#[tokio::test]
async fn a_provision_drops_no_former_agents_tables_and_waits_for_the_job_that_does() {
    let (db, admin, _service) = fleet(5, "100").await;
    admin.run("insert into public.agt_1_customers (name, phone) values ('n', '1')").await;
    load(
        &admin,
        "create temp table kept as select agent_prefix from public.agents;
         delete from public.agents; insert into public.agents (agent_prefix) select agent_prefix from kept",
    )
    .await;
    // Three former agents may go unasked; of five none that is found after them.
    admin.holds("select count(*) >= 2 from provisioning.jobs where state = 'paused'").await;
    let waits = "select bool_and(exists (
            select from provisioning.agents b where b.agent_id = a.id
            union all
            select from provisioning.jobs j join provisioning.jobs d
                on d.agent_prefix = j.agent_prefix and d.kind = 'deprovision' and d.state = 'paused' and d.id < j.id
            where j.agent_id = a.id and j.kind = 'provision' and j.state = 'pending'))
        from public.agents a";
    admin.holds(waits).await;
    let waiting =
        "select j.id::text from provisioning.jobs j join provisioning.jobs d using (agent_prefix)
        where j.kind = 'provision' and j.state = 'pending' and d.state = 'paused' limit 1";
    let waiting = admin.rows(waiting).await;
    let shown = json(&ask(&db.url(ADMIN), &["jobs", "show", &waiting[0], "--json"]).await);
    assert_eq!(shown["waits_for"]["state"], "paused", "{shown}");
    expect(&ask(&db.url(ADMIN), &["jobs", "approve", "--all", "--wait"]).await, 0, &["succeeded"]);
    admin.holds("select count(*) = 5 from provisioning.agents b join public.agents a on a.id = b.agent_id").await;
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_1_customers").await, 0);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.trash").await, 5);
    let kept = "select sum((xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %s', c.oid::regclass),
            false, true, '')))[1]::text::int) from pg_class c
        where c.relkind = 'r' and c.relname ~ 'customers$'";
    let root = Admin(db.connect(agent_provisioner::dev_server::SUPERUSER).await);
    assert_eq!(root.one::<i64>(kept).await, 1);
}

#[tokio::test]
async fn what_nobody_asked_to_delete_is_kept_although_deletions_are_final() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[CHECKED, OFTEN, ("DEPROVISION__RETENTION", "0s")]).await;
    admin.create("agt_1").await;
    admin.settled().await;
    load(&admin, "delete from public.agents").await;
    admin.holds("select count(*) = 1 from provisioning.trash where purge_at > now() + interval '6 days'").await;
}

#[tokio::test]
async fn an_agent_that_is_put_back_under_its_id_has_no_deletion_behind_it() {
    let (db, admin, _service) = fleet(1, "0").await;
    admin.run("delete from public.agents").await;
    admin.holds("select count(*) = 1 from provisioning.jobs where state = 'paused'").await;
    let paused = admin.rows("select id from provisioning.jobs where state = 'paused'").await;
    expect(&ask(&db.url(ADMIN), &["jobs", "cancel", &paused[0]]).await, 0, &["cancelled 1 job"]);
    let known = "select count(*) from provisioning.deleted_agents";
    assert_eq!(admin.one::<i64>(known).await, 1);
    admin.run("insert into public.agents (id, agent_prefix) overriding system value values (1, 'agt_1')").await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>(known).await, 0);
    assert_eq!(admin.tables("agt_1").await.len(), 4);
}

#[tokio::test]
async fn a_deletion_that_reconcile_had_found_is_somebodys_once_he_asks() {
    let (db, admin, _service) = fleet(2, "0").await;
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    // As reconcile would have queued it.
    admin.run("update provisioning.jobs set unreported = true where kind = 'deprovision'").await;
    admin.run("select from public.delete_agent(1)").await;
    let job =
        "select id::text, state, unreported from provisioning.jobs where kind = 'deprovision'";
    let found = admin.rows(job).await;
    assert!(found[0].ends_with("|paused|f"), "{found:?}");
    let id = found[0].split('|').next().unwrap().to_owned();
    expect(
        &ask(&db.url(ADMIN), &["jobs", "approve", &id, "--wait"]).await,
        0,
        &["1 job succeeded"],
    );
    assert_eq!(admin.rows("select id from public.agents").await, ["2"]);
}

#[tokio::test]
async fn who_waits_behind_a_paused_deletion_is_told_so() {
    let (_db, admin, _service) = fleet(1, "0").await;
    admin.run("delete from public.agents").await;
    admin.settled().await;
    let agent = admin.create("agt_1").await;
    let status = format!("select state, message from public.agent_status({agent})");
    let told = admin.rows(&status).await;
    let paused: i64 = admin.one("select id from provisioning.jobs where state = 'paused'").await;
    assert!(
        told[0].starts_with("blocked|") && told[0].contains(&format!("job {paused} ")),
        "{told:?}"
    );
}
