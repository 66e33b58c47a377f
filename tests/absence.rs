//! An agent is gone when its row is, and not when somebody cannot see its row.

use agent_provisioner::dev_server::SUPERUSER;

use crate::http::answers;
use crate::support::{
    ADMIN, Admin, Database, ROLES, Server, Service, WORKER, ask, expect, get, json, said, until,
};

const OFTEN: (&str, &str) = ("WORKER__RECONCILE_INTERVAL", "100ms");

const DROPPED: &str = "select count(*) from provisioning.jobs where kind = 'deprovision'";

/// Two agents with a customer each, and a service that sweeps all the time.
async fn crm(db: &Database) -> (Admin, Service) {
    let admin = db.admin().await;
    let service = db.service_with(&[OFTEN, ("REFERENCE", "check")]).await;
    for prefix in ["agt_a", "agt_b"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    for prefix in ["agt_a", "agt_b"] {
        let fill = format!("insert into public.{prefix}_customers (name, phone) values ('n', '1')");
        admin.run(&fill).await;
    }
    (admin, service)
}

/// Waits for a sweep that began after this call: only a sweep finds an agent that no trigger reported.
async fn swept(admin: &Admin, prefix: &str) {
    let insert = format!(
        "begin; alter table public.agents disable trigger enqueue_provision;
         insert into public.agents (agent_prefix) values ('{prefix}');
         alter table public.agents enable trigger enqueue_provision; commit"
    );
    admin.run(&insert).await;
    let built =
        format!("select count(*) = 1 from provisioning.agents where agent_prefix = '{prefix}'");
    admin.holds(&built).await;
}

/// What `doctor` finds of this, as the worker.
async fn found(db: &Database, what: &str) -> (String, String) {
    let report = json(&ask(&db.url(WORKER), &["doctor", "--json"]).await);
    let finding = report.as_array().unwrap().iter().find(|f| f["what"] == what).unwrap();
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    (text("severity"), text("fix"))
}

#[tokio::test]
async fn agents_without_a_policy_for_the_worker_are_kept_and_built() {
    let db = Database::new().await;
    let (admin, service) = crm(&db).await;
    assert_eq!(found(&db, "agents").await.0, "ok");
    admin.run("drop policy worker_select on public.agents").await;
    swept(&admin, "agt_c").await;
    admin.create("agt_d").await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>(DROPPED).await, 0);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 4);
    assert_eq!(
        found(&db, "agents").await,
        ("failure".to_owned(), "run deploy/roles.sql as postgres".to_owned())
    );
    let http = service.http().await;
    until("the metric", || async {
        get(&http, "/metrics").1.contains("agent_provisioner_agents_hidden 4").then_some(())
    })
    .await;
    // Compared with those that are there, and not with those that are seen.
    let verified = ask(&db.url(WORKER), &["agents", "verify", "--json"]).await;
    assert_eq!(
        json(&verified)["without_agent"].as_array().unwrap().len(),
        0,
        "{}",
        said(&verified)
    );
    let listed = json(&ask(&db.url(WORKER), &["agents", "list", "--json"]).await);
    assert!(listed.as_array().unwrap().iter().all(|agent| agent["state"] == "ready"), "{listed}");
    admin.run(ROLES).await;
    assert_eq!(found(&db, "agents").await.0, "ok");
    admin.run("delete from public.agents where agent_prefix = 'agt_b'").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_b").await.len(), 0);
    assert_eq!(admin.tables("agt_a").await.len(), 4);
}

#[tokio::test]
async fn an_agent_that_a_restrictive_policy_hides_is_not_deleted() {
    let db = Database::new().await;
    let (admin, _service) = crm(&db).await;
    admin
        .run(
            "alter table public.agents add column deleted_at timestamptz;
             create policy \"Hide deleted\" on public.agents as restrictive for select
                 using (deleted_at is null);
             update public.agents set deleted_at = now() where agent_prefix = 'agt_a'",
        )
        .await;
    swept(&admin, "agt_c").await;
    assert_eq!(admin.one::<i64>(DROPPED).await, 0);
    let (severity, fix) = found(&db, "agents").await;
    assert_eq!(severity, "warning");
    // The printed way out works as it stands.
    admin.run(&fix).await;
    assert_eq!(found(&db, "agents").await.0, "ok");
    admin.run("update public.agents set deleted_at = null").await;
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_a_customers").await, 1);
}

#[tokio::test]
async fn where_absence_cannot_be_proven_nothing_is_dropped_and_all_probes_say_so() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let (admin, service) = crm(&db).await;
    let http = service.http().await;
    until("ready", || async { (get(&http, "/readyz").0 == 200).then_some(()) }).await;
    // An owner that row security binds: it would take every agent for deleted.
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("alter role postgres nobypassrls").await;
    let force = "alter table public.agents force row level security";
    admin.run(force).await;
    answers(&http, "absence_unproven").await;
    assert!(get(&http, "/metrics").1.contains("agent_provisioner_agents_unproven 1"));
    service.logged("\"level\":\"ERROR\",\"message\":\"cannot tell which agents are gone").await;
    let (severity, fix) = found(&db, "agents").await;
    assert_eq!(severity, "failure");
    expect(&ask(&db.url(WORKER), &["agents", "verify"]).await, 1, &["42501"]);
    // Nor by a function of the API that believes an agent to be gone.
    let dropped = admin.rows("select success from public.drop_agent_tables('agt_a')").await;
    assert_eq!(dropped, ["f"]);
    root.run("delete from public.agents where agent_prefix = 'agt_b'").await;
    admin.holds("select count(*) = 1 from provisioning.jobs where kind = 'deprovision'").await;
    assert_eq!(admin.tables("agt_a").await.len(), 4);
    let unforce = fix.split_once(": ").unwrap().1;
    admin.run(unforce).await;
    until("ready again", || async { (get(&http, "/readyz").0 == 200).then_some(()) }).await;
    admin.holds("select count(*) = 1 from provisioning.agents").await;
    assert_eq!(root.one::<i64>("select count(*) from public.agt_a_customers").await, 1);
}

#[tokio::test]
async fn truncate_of_agents_is_refused_and_names_the_ways() {
    let db = Database::new().await;
    let (admin, _service) = crm(&db).await;
    let before = admin.one::<i64>("select count(*) from public.agents").await;
    for statement in ["truncate public.agents cascade", "truncate public.users cascade"] {
        let refused = admin.answer(statement).await.unwrap_err();
        assert_eq!(refused.code().code(), "55000", "{statement}");
        assert!(refused.hint().unwrap().contains("set provisioning.allow_truncate = on"));
    }
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, before);
    // Who means it is not held up; and what nobody reported goes through the limit.
    for prefix in ["agt_c", "agt_d"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    admin.run("set provisioning.allow_truncate = on; truncate public.agents cascade").await;
    admin.holds("select count(*) = 4 from provisioning.jobs where state = 'paused'").await;
    assert_eq!(admin.tables("agt_a").await.len(), 4);
    expect(
        &ask(&db.url(ADMIN), &["jobs", "approve", "--all", "--wait"]).await,
        0,
        &["4 jobs succeeded"],
    );
    assert_eq!(admin.tables("agt_a").await.len(), 0);
}

/// A soft deletion by a view, and a table that somebody has put in the place of ours.
#[tokio::test]
async fn what_stands_in_place_of_agents_proves_nothing() {
    for instead in [
        "create view public.agents as select * from public.agents_all where deleted_at is null",
        "create table public.agents (like public.agents_all including all)",
    ] {
        let db = Database::new().await;
        let (admin, service) = crm(&db).await;
        admin
            .run(&format!(
                "alter table public.agents add column deleted_at timestamptz;
                 begin; alter table public.agents rename to agents_all; {instead};
                 update public.agents_all set deleted_at = now(); commit"
            ))
            .await;
        let http = service.http().await;
        answers(&http, "absence_unproven").await;
        assert_eq!(admin.one::<i64>(DROPPED).await, 0, "{instead}");
        // That is all there is to say then.
        assert_eq!(found(&db, "base schema").await.0, "failure");
        let kind = if instead.contains("view") { "view" } else { "table" };
        admin
            .run(&format!(
                "drop {kind} public.agents; alter table public.agents_all rename to agents"
            ))
            .await;
        until("the probe to be content", || async {
            (get(&http, "/readyz").0 == 200).then_some(())
        })
        .await;
        assert_eq!(admin.one::<i64>("select count(*) from public.agt_a_customers").await, 1);
    }
}
