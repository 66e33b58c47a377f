//! Troubles of a night: tables, schemas and triggers of the base schema that are not where they were. Each is staged, the
//! program is asked, its advice is followed to the letter, and it is over.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{
    ADMIN, Admin, Database, Files, Service, WORKER, ask, expect, findings, json, statement, until,
};

const OFTEN: [(&str, &str); 2] = [("WORKER__RECONCILE_INTERVAL", "100ms"), ("REFERENCE", "check")];

/// Three agents, and a service that sweeps all the time.
async fn crm(db: &Database) -> (Admin, Service) {
    let admin = db.admin().await;
    let service = db.service_with(&OFTEN).await;
    for prefix in ["agt_a", "agt_b", "agt_c"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    (admin, service)
}

/// Another relation under the name of the table of agents, with one of the three.
async fn replace(admin: &Admin, other: &str) {
    let swap = format!(
        "begin; {other}; alter table public.agents rename to agents_old;
         alter table public.agents_copy rename to agents; commit"
    );
    admin.run(&swap).await;
}

/// Waits for two sweeps that began after this call; both are done or have failed.
async fn swept(http: &str) {
    let sweeps = || {
        let (_, text) = crate::support::get(http, "/metrics");
        let of = |line: &str| line.starts_with("agent_provisioner_sweeps_total");
        let counts = text.lines().filter(|line| of(line)).filter_map(|line| line.rsplit_once(' '));
        counts.map(|(_, count)| count.parse::<f64>().unwrap()).sum::<f64>()
    };
    let before = sweeps();
    until("two sweeps", || async { (sweeps() > before + 2.0).then_some(()) }).await;
}

#[tokio::test]
async fn another_relation_in_place_of_agents_costs_no_agent_and_its_name_is_given_back() {
    for other in [
        "create table public.agents_copy (like public.agents including all);
         insert into public.agents_copy select * from public.agents where agent_prefix = 'agt_a'",
        "create table public.agents_copy as select * from public.agents where agent_prefix = 'agt_a'",
        "create view public.agents_copy as select * from public.agents where agent_prefix = 'agt_a'",
    ] {
        let db = Database::new().await;
        let (admin, service) = crm(&db).await;
        replace(&admin, other).await;
        for role in [WORKER, ADMIN] {
            let found = findings(&db.url(role)).await;
            let [[severity, what, _, fix]] = found.as_slice() else { panic!("{other}: {found:?}") };
            assert_eq!([severity, what], ["failure", "base schema"], "{other}");
            assert!(fix.contains("as postgres run: "), "{fix}");
        }
        // What is not said here does no harm either.
        let repaired = ask(&db.url(ADMIN), &["migrate", "repair", "--force"]).await;
        assert_ne!(repaired.status.code(), Some(0), "{other}");
        swept(&service.http().await).await;
        let jobs = "select count(*) from provisioning.jobs where kind = 'deprovision'";
        assert_eq!(admin.one::<i64>(jobs).await, 0, "{other}");
        let found = findings(&db.url(ADMIN)).await;
        admin.run(statement(&found[0][3])).await;
        assert_eq!(findings(&db.url(ADMIN)).await, [[""; 4]; 0], "{other}");
        swept(&service.http().await).await;
        for prefix in ["agt_a", "agt_b", "agt_c"] {
            assert_eq!(admin.tables(prefix).await.len(), 4, "{other}");
        }
        assert_eq!(admin.one::<i64>(jobs).await, 0, "{other}");
    }
}

#[tokio::test]
async fn who_is_gone_when_the_trigger_of_deletions_comes_back_waits_for_approval() {
    let db = Database::new().await;
    let (admin, service) = crm(&db).await;
    admin
        .run(
            "drop trigger enqueue_deprovision on public.agents;
             delete from public.agents where agent_prefix <> 'agt_a'",
        )
        .await;
    let found = findings(&db.url(ADMIN)).await;
    assert!(found.iter().any(|[.., fix]| fix.contains("migrate repair")), "{found:?}");
    expect(&ask(&db.url(ADMIN), &["migrate", "repair"]).await, 0, &["enqueue_deprovision"]);
    swept(&service.http().await).await;
    // The sweep queues them, and a worker pauses them.
    admin.holds("select count(*) = 2 from provisioning.jobs where state = 'paused'").await;
    let paused =
        admin.rows("select agent_prefix from provisioning.jobs where state = 'paused' order by 1");
    assert_eq!(paused.await, ["agt_b", "agt_c"]);
    assert_eq!(admin.tables("agt_b").await.len(), 4);
    let found = findings(&db.url(ADMIN)).await;
    assert_eq!(found.iter().map(|[_, what, ..]| &**what).collect::<Vec<_>>(), ["paused deletions"]);
    // As `jobs show` says: the row comes back with its id, and the deletion is cancelled; or the deletion is approved.
    let job = async |prefix: &str| {
        let sql = format!(
            "select id from provisioning.jobs where state = 'paused' and agent_prefix = '{prefix}'"
        );
        admin.one::<i64>(&sql).await.to_string()
    };
    let (b, c) = (job("agt_b").await, job("agt_c").await);
    let shown = json(&ask(&db.url(ADMIN), &["jobs", "show", &b, "--json"]).await);
    assert_eq!(shown["error_code"], "unreported_deletions");
    let insert = format!(
        "insert into public.agents (id, agent_prefix) values ({}, 'agt_b')",
        shown["agent_id"]
    );
    admin.run(&insert).await;
    expect(&ask(&db.url(ADMIN), &["jobs", "cancel", &b]).await, 0, &[]);
    expect(&ask(&db.url(ADMIN), &["jobs", "approve", &c, "--wait"]).await, 0, &[]);
    admin.settled().await;
    assert_eq!(findings(&db.url(ADMIN)).await, [[""; 4]; 0]);
    assert_eq!([admin.tables("agt_b").await.len(), admin.tables("agt_c").await.len()], [4, 0]);
}

#[tokio::test]
async fn a_schema_of_ours_that_was_renamed_is_given_its_name_and_none_is_made_beside_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.create("agt_a").await;
    admin.run("alter schema provisioning rename to \"Old\"").await;
    for role in [WORKER, ADMIN] {
        let found = findings(&db.url(role)).await;
        let [[severity, what, _, fix]] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            [severity, what, fix],
            ["failure", "schema", "as postgres run: alter schema \"Old\" rename to provisioning;"]
        );
    }
    for command in [&["migrate"][..], &["migrate", "repair"], &["migrate", "baseline"], &["status"]]
    {
        expect(
            &ask(&db.url(ADMIN), command).await,
            1,
            &["alter schema \"Old\" rename to provisioning;"],
        );
    }
    assert!(admin.one::<bool>("select to_regnamespace('provisioning') is null").await);
    admin.run("alter schema \"Old\" rename to provisioning;").await;
    assert_eq!(findings(&db.url(ADMIN)).await, [[""; 4]; 0]);
}

#[tokio::test]
async fn triggers_that_were_all_switched_off_are_switched_on_by_what_is_said() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(
        "create trigger mine after insert on public.agents for each row execute function provisioning.touch_updated_at();
         alter table public.agents disable trigger all;
         alter table provisioning.attempts disable trigger all",
    )
    .await;
    let found = findings(&db.url(ADMIN)).await;
    assert!(found.iter().all(|[_, what, ..]| what == "base schema"), "{found:?}");
    let by_root: Vec<&str> =
        found.iter().filter_map(|[.., fix]| fix.strip_prefix("as a superuser run: ")).collect();
    let tables = ["provisioning.attempts", "public.agents"];
    assert_eq!(by_root.len(), tables.len(), "{by_root:?}");
    for (statement, table) in by_root.iter().zip(tables) {
        assert!(statement.contains(table), "{statement}");
        root.run(statement).await;
    }
    expect(&ask(&db.url(ADMIN), &["migrate", "repair"]).await, 0, &[]);
    // What somebody else has made is somebody else's.
    let mine = "select tgenabled::text from pg_trigger where tgname = 'mine'";
    assert_eq!(root.one::<String>(mine).await, "D");
    assert_eq!(findings(&db.url(ADMIN)).await, [[""; 4]; 0]);
}

#[tokio::test]
async fn a_worker_without_its_policy_is_not_to_lose_the_right_to_build() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("drop policy worker on provisioning.jobs").await;
    for role in [WORKER, ADMIN] {
        let found = findings(&db.url(role)).await;
        assert!(found.iter().all(|[_, what, ..]| what != "schema public"), "{found:?}");
    }
    root.run("create role builder; grant create on schema public to builder, public").await;
    let found = findings(&db.url(ADMIN)).await;
    let creators = found.iter().find(|[_, what, ..]| what == "schema public").unwrap();
    root.run(&creators[3]).await;
    root.run(crate::support::ROLES).await;
    assert_eq!(findings(&db.url(WORKER)).await, [[""; 4]; 0]);
    root.run("drop owned by builder; drop role builder").await;
}

#[tokio::test]
async fn a_worker_with_older_templates_is_named_as_that_by_all_that_waits_for_a_newer_one() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let files = Files::new(&[(
        "0001_a.sql",
        "create table public.{prefix}_a (id bigint primary key, agent_id bigint); alter table public.{prefix}_a enable row level security;",
    )]);
    let _service = files.service(&db, &[]).await;
    let id = admin.create("agt_a").await;
    admin.settled().await;
    // As a worker with a newer set has left it.
    admin
        .run(&format!(
            "insert into provisioning.templates (version, name, checksum) values (2, '0002_b.sql', 'x');
             update provisioning.agents set template_version = 2;
             insert into provisioning.jobs (kind, agent_id, agent_prefix, template_version, due_at, run_at)
             values ('upgrade', {id}, 'agt_a', 3, now() - interval '10 min', now() - interval '10 min')"
        ))
        .await;
    let report = json(&files.ask(&db, &["doctor", "--json"]).await);
    let of = |what: &str| {
        let found = report.as_array().unwrap().iter();
        let found = found.filter(|found| found["what"] == what && found["severity"] == "warning");
        found.map(|found| found["fix"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let [templates_fix] = of("templates").try_into().unwrap();
    assert!(templates_fix.contains("version 2") && !templates_fix.contains("delete"), "{report}");
    let [workers_fix] = of("workers").try_into().unwrap();
    assert!(workers_fix.contains("version 3"), "{report}");
    expect(&ask(&db.url(ADMIN), &["jobs", "list"]).await, 0, &["templates of version 3"]);
    let job: i64 = admin.one("select max(id) from provisioning.jobs").await;
    let shown = json(&ask(&db.url(ADMIN), &["jobs", "show", &job.to_string(), "--json"]).await);
    assert_eq!(shown["untaken"], Value::Bool(true));
    assert!(shown["next"].as_str().unwrap().contains("version 3"), "{shown}");
}
