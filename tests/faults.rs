//! Nothing is lost, half done or done twice, whatever breaks.
//!
//! A lock that a test holds stops a job at a known point: everything is built, and the foreign key, which
//! comes last, waits until it may ask for `agents`.

use std::process::Command;

use agent_provisioner::dev_server::Stop;

use crate::deletion::NO_SWEEP;
use crate::support::{Admin, Database, Server, WORKER, ask, sound, until};

/// Long enough for a job to stay where a lock holds it up.
const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");

/// What a job holds up the worker with, and admins not.
const HOLD: &str = "begin; lock table provisioning.lock_gate in exclusive mode";

const JOBS: &str = "select kind, state, outcome, attempts from provisioning.jobs order by id";

#[tokio::test]
async fn a_lock_on_agents_makes_the_worker_give_way_and_nobody_else() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let _service = db.service_with(&[("DATABASE__LOCK_TIMEOUT", "50ms")]).await;
    holder.run("begin; lock table public.agents in row exclusive mode").await;
    admin.create("agt_6f78").await;
    admin.holds("select last_sqlstate = '55P03' from provisioning.jobs").await;
    admin
        .run("set lock_timeout = '30s'; insert into public.agents (agent_prefix) values ('agt_b')")
        .await;
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
    holder.run("commit").await;
    admin.settled().await;
    // Giving way is no failure.
    assert_eq!(admin.rows(JOBS).await, ["provision|succeeded|provisioned|0"; 2]);
}

#[tokio::test]
async fn a_connection_that_is_ended_in_the_middle_of_a_job_costs_an_attempt_and_no_more() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    // One worker: with more, another has the job before the first can record anything.
    let one = [PATIENT, ("WORKER__CONCURRENCY", "1")];
    let service = db.service_with(&one).await;
    holder.run(HOLD).await;
    admin.create("agt_6f78").await;
    let pid = admin.held_up("agt_6f78").await;
    admin.run(&format!("select pg_terminate_backend({pid})")).await;
    admin.holds("select attempts = 1 and last_sqlstate = '57P01' from provisioning.jobs").await;
    holder.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.rows(JOBS).await, ["provision|succeeded|provisioned|1"]);
    assert_eq!(admin.tables("agt_6f78").await.len(), 4);
    assert_eq!(service.log().matches("\"job failed\"").count(), 1, "logged once");
}

#[tokio::test]
async fn idle_connections_that_are_ended_are_replaced() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    service.logged("listening").await;
    for round in 0..3 {
        let ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                     where datname = current_database() and application_name = 'agent-provisioner'";
        admin.holds(&format!("select ({ended}) > 0")).await;
        admin.create(&format!("agt_{round}")).await;
        admin.settled().await;
    }
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 3);
    admin
        .holds(
            "select exists (select from pg_stat_activity where datname = current_database()
             and application_name = 'agent-provisioner' and query = 'listen agent_provisioning')",
        )
        .await;
}

#[tokio::test]
async fn a_killed_workers_job_is_free_at_once_and_leaves_nothing() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let mut first = db.service_with(&[PATIENT]).await;
    holder.run(HOLD).await;
    admin.create("agt_6f78").await;
    let pid = admin.held_up("agt_6f78").await;
    first.signal("KILL");
    first.ended().await;
    // Its server process waits for a lock all the while, and looks at its client every five seconds.
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
    let _second = db.service().await;
    admin
        .holds(&format!(
            "select count(*) = 1 from pg_stat_activity where datname = current_database()
             and application_name = 'agent-provisioner job 1' and pid <> {pid}"
        ))
        .await;
    holder.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.rows(JOBS).await, ["provision|succeeded|provisioned|0"]);
    assert_eq!(admin.tables("agt_6f78").await.len(), 4);
}

#[tokio::test]
async fn an_agent_that_is_deleted_while_it_is_built_leaves_nothing() {
    for reference in ["foreign_key", "check"] {
        let db = Database::new().await;
        let (admin, holder) = (db.admin().await, db.admin().await);
        let _service = db.service_with(&[PATIENT, ("REFERENCE", reference)]).await;
        holder.run(HOLD).await;
        let agent = admin.create("agt_6f78").await;
        if reference == "foreign_key" {
            admin.held_up("agt_6f78").await;
        }
        holder.run(&format!("delete from public.agents where id = {agent}; commit")).await;
        admin.settled().await;
        assert_eq!(admin.tables("agt_6f78").await, [""; 0], "{reference}");
        assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 0);
    }
}

#[tokio::test]
async fn a_job_that_waits_for_the_agents_row_finds_it_gone() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    // Without the trigger no deprovision tells the worker: only the row itself does.
    admin.run("alter table public.agents disable trigger enqueue_deprovision").await;
    let _service = db.service_with(&[PATIENT, ("REFERENCE", "check")]).await;
    // The sweep that follows the first notification would build it.
    let no_sweep = db.admin().await;
    no_sweep.run(NO_SWEEP).await;
    admin.run("alter table public.agents disable trigger enqueue_provision").await;
    let agent = admin.create("agt_6f78").await;
    holder.run(&format!("begin; delete from public.agents where id = {agent}")).await;
    admin
        .run(&format!(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix)
             values ('provision', {agent}, 'agt_6f78');
             notify agent_provisioning"
        ))
        .await;
    admin.held_up("agt_6f78").await;
    holder.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.rows(JOBS).await, ["provision|succeeded|superseded|0"]);
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
}

#[tokio::test]
async fn only_a_notification_can_explain_a_start_before_the_next_poll() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let hour = [("WORKER__POLL_INTERVAL", "1h"), ("WORKER__RECONCILE_INTERVAL", "1h")];
    let service = db.service_with(&hour).await;
    service.logged("listening").await;
    for n in 0..3 {
        // A worker that saw another at work looks once more: wait until nobody does.
        admin
            .holds(
                "select bool_and(state_change < clock_timestamp() - interval '700 ms')
                 from pg_stat_activity where datname = current_database()
                 and application_name ^@ 'agent-provisioner'",
            )
            .await;
        admin.create(&format!("agt_{n}")).await;
        admin.settled().await;
    }
}

#[tokio::test]
async fn without_notifications_agents_are_built_by_polling_and_the_log_says_why() {
    let db = Database::new().await;
    let admin = db.admin().await;
    // Nothing listens there, as behind a transaction-mode pooler nothing arrives.
    let service =
        db.service_with(&[("DATABASE__LISTEN_URL", "postgres://u:secret@127.0.0.1:9/x")]).await;
    service.logged("not listening: polling instead").await;
    // The first may be found by a worker that has just come up; the others by looking again only.
    for prefix in ["agt_1", "agt_2", "agt_3"] {
        admin.create(prefix).await;
        admin.settled().await;
        assert_eq!(admin.tables(prefix).await.len(), 4);
    }
    assert!(!service.log().contains("secret"));
}

#[tokio::test]
async fn with_the_triggers_disabled_reconcile_finds_what_is_missing_and_what_is_left_over() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[("WORKER__RECONCILE_INTERVAL", "100ms")]).await;
    admin.run("alter table public.agents disable trigger user, enable trigger guard_agent").await;
    admin.create("agt_6f78").await;
    admin.holds("select exists (select from provisioning.agents)").await;
    assert_eq!(admin.tables("agt_6f78").await.len(), 4);
    admin.run("delete from public.agents").await;
    admin.holds("select not exists (select from provisioning.agents)").await;
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
    service.logged("reconcile found what no trigger had reported").await;
}

#[tokio::test]
async fn a_restart_of_the_server_is_survived_and_caught_up_with() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let service = db.service().await;
    for how in [Stop::Fast, Stop::Immediate] {
        let prefix = format!("agt_{how:?}").to_lowercase();
        db.admin().await.create(&prefix).await;
        server.restart(how, || {});
        let admin = db.admin().await;
        admin.create(&format!("{prefix}_2")).await;
        admin.settled().await;
    }
    let admin = db.admin().await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 4);
    assert!(service.log().lines().count() < 100, "{}", service.log());
}

#[tokio::test]
async fn a_crash_before_the_log_is_flushed_has_a_build_done_again_and_a_deletion_not() {
    // Nothing but the process that is stopped here is to flush the log: not even a listener, which now
    // and then notifies itself.
    let quiet = [("autovacuum", "off"), ("bgwriter_lru_maxpages", "0")];
    let server: &'static Server = Box::leak(Box::new(Server::start(&quiet).await));
    let db = server.database().await;
    let deaf = ("DATABASE__LISTEN_URL", "postgres://u:secret@127.0.0.1:9/x");
    let service = db.service_with(&[deaf, ("DEPROVISION__RETENTION", "1d")]).await;
    let admin = db.admin().await;
    let done = |kind: &str, times: usize| {
        let mark = format!("\"job.kind\":\"{kind}\"");
        let log = &service;
        until("jobs to be done", move || {
            let found = log.log().matches(&mark).count();
            async move { (found == times).then_some(()) }
        })
    };

    let flusher = stop_flushing(&admin).await;
    admin.create("agt_6f78").await;
    done("provision", 1).await;
    signal("KILL", flusher);
    server.restart(Stop::Immediate, || {});
    done("provision", 2).await;
    sound(&ask(&db.url(WORKER), &["agents", "verify", "--json"]).await, 1);
    let admin = db.admin().await;
    assert_eq!(admin.rows(JOBS).await, ["provision|succeeded|provisioned|0"]);

    let flusher = stop_flushing(&admin).await;
    admin.run("delete from public.agents").await;
    done("deprovision", 1).await;
    signal("KILL", flusher);
    server.restart(Stop::Immediate, || {});
    let admin = db.admin().await;
    admin.create("agt_b").await;
    done("provision", 3).await;
    done("deprovision", 1).await;
    assert_eq!(
        admin.rows(JOBS).await,
        [
            "provision|succeeded|provisioned|0",
            "deprovision|succeeded|trashed|0",
            "provision|succeeded|provisioned|0"
        ]
    );
}

/// Halts the process that writes asynchronous commits out, and says which it is.
async fn stop_flushing(admin: &Admin) -> i32 {
    let flusher = "select pid from pg_stat_activity where backend_type = 'walwriter'";
    let flusher = admin.one(flusher).await;
    signal("STOP", flusher);
    flusher
}

pub fn signal(name: &str, process: i32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn sigterm_lets_a_job_finish_and_a_second_one_rolls_it_back() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let mut service = db.service_with(&[PATIENT]).await;
    holder.run(HOLD).await;
    admin.create("agt_6f78").await;
    admin.held_up("agt_6f78").await;
    service.signal("TERM TERM"); // as timeout(1) does: one request
    service.logged("stopping").await;
    holder.run("commit").await;
    assert_eq!(service.ended().await.code(), Some(0));
    assert_eq!(admin.rows(JOBS).await, ["provision|succeeded|provisioned|0"]);

    let mut service = db.service_with(&[PATIENT]).await;
    holder.run(HOLD).await;
    admin.create("agt_b").await;
    admin.held_up("agt_b").await;
    service.signal("TERM");
    service.logged("stopping").await;
    until("a later signal to be taken for a second one", || async {
        service.signal("TERM");
        service.log().contains("second signal").then_some(())
    })
    .await;
    assert_eq!(service.ended().await.code(), Some(1));
    admin.deserted().await;
    let pending = "select state, attempts from provisioning.jobs where agent_prefix = 'agt_b'";
    assert_eq!(admin.rows(pending).await, ["pending|0"]);
    assert_eq!(admin.tables("agt_b").await, [""; 0]);
}
