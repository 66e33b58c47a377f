//! Troubles of a night: somebody's lock. Who has it is named, with what ends it; that is run, and the trouble is over.

use serde_json::Value;

use crate::support::{
    ADMIN, Admin, Database, Server, WORKER, ask, expect, findings, json, said, statement,
};

/// A session that `doctor` is to name.
async fn holder(db: &Database, locks: &str) -> Admin {
    let holder = db.admin().await;
    holder.run(&format!("set application_name = 'studio'; begin; {locks}")).await;
    holder
}

/// The statement that ends the one whom `doctor` names, and nothing else.
async fn named(db: &Database, role: &str) -> String {
    let found = findings(&db.url(role)).await;
    let [[severity, what, whom, fix]] = found.try_into().unwrap();
    assert_eq!([&*severity, &what], ["warning", "locks"]);
    assert!(whom.contains("studio"), "{whom}");
    statement(&fix).to_owned()
}

/// Runs the statement that ends the holder, and waits for his end: that comes a moment after the answer.
async fn end(admin: &Admin, way_out: &str) {
    admin.run(way_out).await;
    admin
        .holds(
            "select not exists (select from pg_stat_activity where datname = current_database()
             and application_name = 'studio')",
        )
        .await;
}

#[tokio::test]
async fn who_has_a_table_of_the_queue_locked_is_named_with_what_ends_it() {
    for table in ["jobs", "agents", "agent_tables", "migrations", "instances"] {
        let db = Database::new().await;
        let admin = db.admin().await;
        admin.create("agt_a").await;
        let _holder = holder(&db, &format!("lock table provisioning.{table}")).await;
        let way_out = named(&db, ADMIN).await;
        assert_eq!(named(&db, WORKER).await, way_out, "{table}");
        if table == "jobs" {
            // What cannot be done meanwhile says where to look.
            let listed = ask(&db.url(WORKER), &["jobs", "list"]).await;
            expect(&listed, 1, &["55P03", "agent-provisioner doctor"]);
        }
        end(&admin, &way_out).await;
        assert_eq!(findings(&db.url(WORKER)).await, [[""; 4]; 0], "{table}");
    }
}

#[tokio::test]
async fn a_lock_on_the_registry_is_the_cause_that_jobs_show_names() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _holder = holder(&db, "lock table provisioning.agents in share mode").await;
    let _service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.create("agt_a").await;
    admin.holds("select give_ways > 0 from provisioning.jobs").await;
    let shown = json(&ask(&db.url(WORKER), &["jobs", "show", "1", "--json"]).await);
    let way_out = shown["blocked_by"][0]["way_out"].as_str().unwrap();
    assert_eq!(shown["blocked_by"][0]["relation"], "provisioning.agents");
    admin.run(way_out).await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await.len(), 4);
}

#[tokio::test]
async fn who_has_the_row_of_an_agent_locked_is_named_with_what_ends_it() {
    for lock in ["select from public.agents for update", "delete from public.agents"] {
        let db = Database::new().await;
        let admin = db.admin().await;
        let _service = db.service_with(&[("REFERENCE", "check")]).await;
        let id = admin.create("agt_a").await;
        admin.settled().await;
        // Else the DELETE would queue the job, which nobody else then can.
        admin.run("alter table public.agents disable trigger enqueue_deprovision").await;
        let _holder = holder(&db, lock).await;
        admin
            .run(&format!(
                "insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('deprovision', {id}, 'agt_a');
                 notify agent_provisioning"
            ))
            .await;
        admin.holds("select max(give_ways) > 0 from provisioning.jobs").await;
        let found = findings(&db.url(WORKER)).await;
        let [locks] = found
            .iter()
            .filter(|[_, what, ..]| what == "locks")
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        assert!(
            locks[2].contains("studio") && locks[2].contains("public.agents"),
            "{lock}: {found:?}"
        );
        let shown = json(&ask(&db.url(WORKER), &["jobs", "show", "2", "--json"]).await);
        assert_eq!(shown["blocked_by"][0]["application"], "studio", "{lock}: {shown}");
        admin.run(statement(&locks[3])).await;
        admin.settled().await;
        assert_eq!(admin.tables("agt_a").await.len(), 0, "{lock}");
    }
}

#[tokio::test]
async fn a_prepared_transaction_with_several_locks_is_named_once() {
    let server: &'static Server =
        Box::leak(Box::new(Server::start(&[("max_prepared_transactions", "2")]).await));
    let db = server.database().await;
    let (admin, forgotten) = (db.admin().await, db.admin().await);
    let _service = db.service().await;
    admin.create("agt_a").await;
    admin.settled().await;
    admin.create("agt_b").await;
    admin.settled().await;
    forgotten
        .run(
            "begin; update public.agents set user_id = user_id; select from public.agents for update;
             lock table public.agt_a_customers, public.agt_b_customers; savepoint s;
             select from provisioning.jobs for update; prepare transaction 'forgotten'",
        )
        .await;
    admin.run("select public.delete_agent(id) from public.agents").await;
    admin.create("agt_c").await;
    admin
        .holds("select count(*) filter (where lock_wanted is not null) > 1 from provisioning.jobs")
        .await;
    let found = findings(&db.url(ADMIN)).await;
    let named = found.iter().filter(|[_, _, whom, _]| whom.contains("forgotten"));
    assert_eq!(named.count(), 1, "{found:?}");
    let status = ask(&db.url(ADMIN), &["status"]).await;
    assert_eq!(said(&status).matches("rollback prepared").count(), 1, "{}", said(&status));
    let fix = found.iter().find(|[_, _, whom, _]| whom.contains("forgotten")).unwrap();
    admin.run(statement(&fix[3])).await;
    admin.settled().await;
    assert_eq!(admin.rows("select agent_prefix from provisioning.agents").await, ["agt_c"]);
}

#[tokio::test]
async fn who_keeps_a_job_from_being_cancelled_or_replayed_is_named_and_is_no_worker() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.create("agt_a").await;
    for state in ["pending", "dead"] {
        admin
            .run(&format!(
                "update provisioning.jobs set state = '{state}',
                     finished_at = case when '{state}' = 'dead' then now() end"
            ))
            .await;
        let _holder = holder(&db, "select from provisioning.jobs for update").await;
        for verb in ["replay", "cancel"] {
            let answered = json(&ask(&db.url(ADMIN), &["jobs", verb, "1", "--json"]).await);
            let reason = answered[0]["reason"].as_str().unwrap();
            assert!(reason.contains("studio"), "{state}, {verb}: {answered}");
            if verb == "cancel" {
                end(&admin, statement(reason)).await;
            }
        }
        let cancelled = ask(&db.url(ADMIN), &["jobs", "cancel", "1", "--json"]).await;
        assert_eq!(json(&cancelled)[0]["result"], Value::from("done"), "{state}");
    }
}
