//! A server clock that is set back delays no job.

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::{ADMIN, Admin, Clock, Database, Server, ask, have};

const HOUR: i32 = 3600;
/// What the sweep logs when it has corrected it.
const SET_BACK: &str = "the server's clock was set back";

/// Jobs as a clock that was an hour fast has left them, and what is not to be touched.
const LEFT: &str = "
    insert into provisioning.jobs
        (kind, agent_id, agent_prefix, attempts, created_at, scheduled_at, run_at)
    select 'provision', n, prefix, attempts, created, scheduled, run
    from (values
        (1001, 'agt_new', 0, now() + interval '1 h', now() + interval '1 h', now() + interval '1 h'),
        (1002, 'agt_again', 3, now() - interval '1 h', now() + interval '1 h', now() + interval '61 min'),
        (1003, 'agt_parked', 0, now() + interval '1 h', now() + interval '1 h', 'infinity'),
        (1004, 'agt_dated', 0, now() + interval '1 h', now() + interval '1 h', now() + interval '2 days'),
        (1005, 'agt_waits', 3, now() - interval '1 h', now(), now() + interval '10 min')
    ) j (n, prefix, attempts, created, scheduled, run)";

const DONE: &str = "select string_agg(agent_prefix, ' ' order by agent_id) = 'agt_new agt_again'
    from provisioning.jobs where state = 'succeeded'";

async fn untouched(admin: &Admin) {
    let left = "select agent_prefix, run_at > now() + interval '1 min' from provisioning.jobs
                where state = 'pending' order by agent_id";
    assert_eq!(admin.rows(left).await, ["agt_parked|t", "agt_dated|t", "agt_waits|t"]);
    let future = "select count(*) from provisioning.jobs
                  where state <> 'pending' and greatest(created_at, scheduled_at) > clock_timestamp()";
    assert_eq!(admin.one::<i64>(future).await, 0);
}

/// Waits until no worker looks again because of what it has found before.
async fn quiet(admin: &Admin) {
    let quiet = "select bool_and(state_change < clock_timestamp() - interval '1200 ms')
                 from pg_stat_activity where datname = current_database()
                 and application_name ^@ 'agent-provisioner'";
    admin.holds(quiet).await;
}

/// Nobody is told of them, so this is the only one who looks.
#[tokio::test]
async fn the_sweep_finds_what_would_wait_for_the_clock() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let settings = [("WORKER__POLL_INTERVAL", "1h"), ("WORKER__RECONCILE_INTERVAL", "3s")];
    let service = db.service_with(&settings).await;
    service.logged("\"listening\"").await;
    quiet(&admin).await;
    admin.run(LEFT).await;
    admin.holds(DONE).await;
    service.logged(SET_BACK).await;
    untouched(&admin).await;
}

#[tokio::test]
async fn a_worker_that_looks_unasked_finds_what_would_wait_for_the_clock() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let settings = [("WORKER__POLL_INTERVAL", "3s"), ("WORKER__RECONCILE_INTERVAL", "1h")];
    let service = db.service_with(&settings).await;
    service.logged("\"listening\"").await;
    quiet(&admin).await; // by then the sweep that follows is over
    admin.run(LEFT).await;
    admin.holds(DONE).await;
    assert!(!service.log().contains(SET_BACK), "no sweep did it");
    untouched(&admin).await;
}

/// Whoever sets `run_at` need not know of it.
#[tokio::test]
async fn every_change_of_the_schedule_is_noted() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run(LEFT).await;
    admin.run("update provisioning.jobs set run_at = now() + interval '5 min'").await;
    let noted = "select bool_and(scheduled_at between now() - interval '1 min' and now())
                 from provisioning.jobs";
    assert!(admin.one::<bool>(noted).await);
    admin.run("update provisioning.jobs set created_at = least(created_at, now())").await;
    assert_eq!(admin.one::<i64>("select provisioning.end_clock_waits()").await, 0);
}

#[tokio::test]
async fn a_clock_that_is_set_back_under_a_real_server_delays_no_job() {
    if !have(&["faketime"]) {
        return;
    }
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let clock = Clock::of(server, 2 * HOUR).await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    let settings = [("WORKER__POLL_INTERVAL", "200ms")];
    let service = db.service_with(&settings).await;
    root.run(
        "create function public.busy() returns event_trigger language plpgsql as
             $$ begin raise exception 'busy' using errcode = '40001'; end $$;
         create event trigger busy on ddl_command_start execute function public.busy()",
    )
    .await;
    admin.create("agt_again").await;
    admin.holds("select attempts > 0 from provisioning.jobs").await;
    drop(service);
    admin.create("agt_new").await;
    let before: String = admin.one("select clock_timestamp()::text").await;
    clock.set(0);
    let back = format!("select clock_timestamp() < timestamptz '{before}' - interval '1 hour'");
    assert!(admin.one::<bool>(&back).await);
    root.run("drop event trigger busy").await;
    let _service = db.service_with(&settings).await;
    admin.settled().await;
    let jobs = "select agent_prefix, state, outcome from provisioning.jobs order by id";
    let built = ["agt_again|succeeded|provisioned", "agt_new|succeeded|provisioned"];
    assert_eq!(admin.rows(jobs).await, built);
}

#[tokio::test]
async fn a_transaction_of_an_hour_is_named_with_what_ends_it() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    if !have(&["faketime"]) {
        return;
    }
    let db = server.database().await;
    let clock = Clock::of(server, 0).await;
    let snapshots = || async {
        let said = ask(&db.url(ADMIN), &["doctor", "--json"]).await;
        let findings: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
        let of = findings.as_array().unwrap().iter().filter(|f| f["what"] == "snapshots");
        of.cloned().collect::<Vec<_>>()
    };
    let (admin, forgotten) = (db.admin().await, db.admin().await);
    forgotten.run("begin isolation level repeatable read; select from public.agents").await;
    assert_eq!(snapshots().await[0]["severity"], "ok");
    clock.set(2 * HOUR);
    let found = snapshots().await;
    assert_eq!((found.len(), &found[0]["severity"]), (1, &"warning".into()), "{found:?}");
    let fix = found[0]["fix"].as_str().unwrap().rsplit_once(": ").unwrap().1.to_owned();
    admin.run(&fix).await;
    admin.holds("select count(*) = 0 from pg_stat_activity where backend_xmin is not null and xact_start < now() - interval '1 hour'").await;
    assert_eq!(snapshots().await[0]["severity"], "ok");
}
