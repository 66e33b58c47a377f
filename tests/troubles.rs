//! Troubles of a night: each is staged, the program is asked, its advice is followed to the letter, and it is over.

use serde_json::Value;

use crate::support::{
    ADMIN, Admin, Database, Server, WORKER, ask, expect, findings, finish, get, json, provisioner,
    until,
};
use agent_provisioner::dev_server::SUPERUSER;

fn kinds(findings: &[[String; 4]]) -> Vec<(&str, &str)> {
    findings.iter().map(|[severity, what, ..]| (severity.as_str(), what.as_str())).collect()
}

/// The state of an agent, as its owner and as an operator see it.
async fn states(admin: &Admin, db: &Database, prefix: &str, id: i64) -> [String; 2] {
    let state: String = admin.one(&format!("select state from public.agent_status({id})")).await;
    let listed = json(&ask(&db.url(WORKER), &["agents", "show", prefix, "--json"]).await);
    [state, listed.pointer("/0/state").unwrap().as_str().unwrap().to_owned()]
}

/// A deletion that no trigger reports.
async fn delete_unheard(admin: &Admin, id: i64) {
    let delete = format!("delete from public.agents where id = {id}");
    let [off, on] =
        ["disable", "enable"].map(|how| format!("alter table public.agents {how} trigger user"));
    admin.run(&[off, delete, on].join("; ")).await;
}

/// Makes pending jobs older.
const AGE: &str = "update provisioning.jobs set due_at = due_at - interval '10 min', run_at = run_at - interval '10 min'
                   where state = 'pending'";

#[tokio::test]
async fn jobs_that_nobody_takes_are_a_failure_until_a_worker_runs() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let id = admin.create("agt_a").await;
    assert_eq!(states(&admin, &db, "agt_a", id).await, ["pending"; 2]);
    assert_eq!(findings(&db.url(WORKER)).await, [[""; 4]; 0]);
    admin.run(AGE).await;
    assert_eq!(states(&admin, &db, "agt_a", id).await, ["waiting"; 2]);
    for role in [WORKER, ADMIN] {
        assert_eq!(kinds(&findings(&db.url(role)).await), [("failure", "workers")]);
    }
    expect(&ask(&db.url(WORKER), &["doctor"]).await, 1, &["agent-provisioner run"]);
    let _service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.settled().await;
    assert_eq!(states(&admin, &db, "agt_a", id).await, ["ready"; 2]);
    assert_eq!(findings(&db.url(WORKER)).await, [[""; 4]; 0]);
}

#[tokio::test]
async fn a_state_says_what_will_happen() {
    let db = Database::new().await;
    let admin = db.admin().await;
    // In the way of both.
    admin.run("create table public.agt_a_orders (); create table public.agt_b_orders ()").await;
    let service = db.service().await;
    let (a, b) = (admin.create("agt_a").await, admin.create("agt_b").await);
    admin.settled().await;
    assert_eq!(states(&admin, &db, "agt_a", a).await, ["failed"; 2]);
    let job =
        |id: i64| format!("select max(id)::text from provisioning.jobs where agent_id = {id}");
    let job_of_a: String = admin.one(&job(a)).await;
    expect(&ask(&db.url(WORKER), &["jobs", "cancel", &job_of_a]).await, 0, &[]);
    assert_eq!(states(&admin, &db, "agt_a", a).await, ["cancelled"; 2]);
    // Deleted while its build is dead, and made again: the new one waits for nobody but the dead job is in the way.
    delete_unheard(&admin, b).await;
    let again = admin.create("agt_b").await;
    admin
        .holds(&format!("select count(*) = 1 from provisioning.jobs where agent_id = {again}"))
        .await;
    assert_eq!(states(&admin, &db, "agt_b", again).await, ["blocked"; 2]);
    admin.run("drop table public.agt_a_orders, public.agt_b_orders").await;
    let job_of_b: String = admin.one(&job(b)).await;
    expect(&ask(&db.url(WORKER), &["jobs", "cancel", &job_of_b]).await, 0, &[]);
    admin.run(&format!("select public.create_agent_tables('agt_a', {a})")).await;
    admin.holds("select count(*) = 2 from provisioning.agents").await;
    assert_eq!(states(&admin, &db, "agt_a", a).await, ["ready"; 2]);
    assert_eq!(states(&admin, &db, "agt_b", again).await, ["ready"; 2]);
    // Nobody is told of a deletion.
    service.signal("STOP");
    delete_unheard(&admin, a).await;
    assert_eq!(states(&admin, &db, "agt_a", a).await, ["orphaned"; 2]);
    service.signal("CONT");
}

#[tokio::test]
async fn a_conversion_that_is_dead_is_told_beside_ready() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("REFERENCE", "check")]).await;
    let id = admin.create("agt_a").await;
    admin.settled().await;
    let taken = "alter table public.agt_a_customers add constraint agt_a_customers_agent_id_fkey check (true)";
    admin.run(taken).await;
    let args = ["agents", "convert", "--reference", "foreign_key", "--wait", "agt_a"];
    expect(&ask(&db.url(WORKER), &args).await, 1, &[]);
    let status = format!("select state || '|' || message from public.agent_status({id})");
    let (status, job): (String, i64) =
        (admin.one(&status).await, admin.one("select max(id) from provisioning.jobs").await);
    assert!(status.starts_with("ready|"), "{status}");
    assert!(status.contains(&format!("job {job}")), "{status}");
}

#[tokio::test]
async fn tables_of_a_restore_without_owners_are_handed_over() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    let service = db.service_with(&[("REFERENCE", "check")]).await;
    let (a, b) = (admin.create("agt_a").await, admin.create("agt_b").await);
    admin.settled().await;
    let owners = "select string_agg(distinct relowner::regrole::text, ' ') from pg_class
                  where relname ^@ 'agt_' and relkind in ('r', 'S')";
    assert_eq!(admin.one::<String>(owners).await, WORKER);
    root.run(
        "do $$ declare t regclass; begin
             for t in select relation from provisioning.agent_tables loop
                 execute format('alter table %s owner to postgres', t); end loop; end $$",
    )
    .await;
    let found = findings(&db.url(WORKER)).await;
    assert_eq!(kinds(&found), [("failure", "tables")]);
    assert!(found[0][2].contains("8 of postgres"), "{found:?}");
    assert!(found[0][3].starts_with("run deploy/roles.sql as postgres"), "{found:?}");
    admin.run(crate::support::ROLES).await;
    assert_eq!(admin.one::<String>(owners).await, WORKER);
    assert_eq!(findings(&db.url(WORKER)).await, [[""; 4]; 0]);
    admin.run(&format!("select public.delete_agent({a})")).await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 1);
    assert_eq!(states(&admin, &db, "agt_b", b).await, ["ready"; 2]);
    drop(service);
}

#[tokio::test]
async fn a_lost_membership_is_given_back_by_the_statement_that_is_printed() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let root = Admin(db.connect(SUPERUSER).await);
    let revoke = "select format('revoke agent_provisioner from postgres granted by %s cascade', grantor::regrole)
                  from pg_auth_members where roleid = 'agent_provisioner'::regrole and member = 'postgres'::regrole";
    for statement in root.rows(revoke).await {
        root.run(&statement).await;
    }
    let mut found = Vec::new();
    for role in [WORKER, ADMIN] {
        found = findings(&db.url(role)).await;
        let membership = found.iter().find(|[_, what, ..]| what == "membership").unwrap();
        assert_eq!(membership[0], "warning");
    }
    let fix = &found.iter().find(|[_, what, ..]| what == "membership").unwrap()[3];
    root.run(fix.split_once(": ").unwrap().1).await;
    for role in [WORKER, ADMIN] {
        let found = findings(&db.url(role)).await;
        assert!(found.iter().all(|[_, what, ..]| what != "membership"), "{found:?}");
    }
}

#[tokio::test]
async fn each_cause_of_a_failed_connection_has_its_own_fix() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let (_, port) = server.place();
    let url = db.url(WORKER);
    let full = "create role full_up login connection limit 0 password";
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(&format!("{full} '{}'", server.password())).await;
    let cases = [
        (url.replace(&format!(":{port}/"), ":9/"), "no server listens"),
        (url.replace(&server.password(), "wrong"), "\\password"),
        (url.replace(&db.name, "nowhere"), "a database that exists"),
        (url.replace("127.0.0.1", "no-such-host.invalid"), "no such host"),
        (format!("{url}?sslmode=require"), "ssl = on"),
        (url.replace(WORKER, "full_up"), "connection limit"),
    ];
    let mut fixes = std::collections::BTreeSet::new();
    for (url, fix) in cases {
        let found = findings(&url).await;
        assert_eq!(kinds(&found), [("failure", "connection")]);
        assert!(found[0][3].contains(fix), "{found:?}");
        assert!(!found[0][2].contains(&server.password()), "{found:?}");
        // The place is named as it was asked for.
        let (place, database) = url.split_once('@').unwrap().1.split_once('/').unwrap();
        assert!(found[0][2].contains(place), "{found:?}");
        assert!(found[0][2].contains(database.split('?').next().unwrap()), "{found:?}");
        fixes.insert(found[0][3].clone());
    }
    assert_eq!(fixes.len(), 6, "{fixes:?}");
}

#[tokio::test]
async fn a_guard_that_an_event_trigger_calls_is_no_builder() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(
        "create function public.guard() returns event_trigger language plpgsql as $$ begin
             perform from pg_event_trigger_ddl_commands() where command_tag = 'CREATE TABLE'; end $$;
         create event trigger guard on ddl_command_end when tag in ('CREATE TABLE') execute function public.guard()",
    )
    .await;
    assert_eq!(findings(&db.url(WORKER)).await, [[""; 4]; 0]);
    root.run(
        "create function public.build() returns void language sql as
             $$ select 1 /* create table */ $$",
    )
    .await;
    let found = findings(&db.url(WORKER)).await;
    assert!(
        found.len() == 1 && found[0][2].contains("build()") && !found[0][2].contains("guard"),
        "{found:?}"
    );
}

/// A value of `/metrics`, which the service reads from the database every five seconds.
fn metric(address: &str, line: &str) -> Option<f64> {
    let (_, text) = get(address, "/metrics");
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

#[tokio::test]
async fn the_age_of_a_job_grows_while_it_gives_way_and_the_database_is_away() {
    let db = Database::new().await;
    let (admin, other) = (db.admin().await, db.admin().await);
    let service = db.service().await;
    let http = service.http().await;
    admin.create("agt_a").await;
    admin.settled().await;
    until("the first agent to be counted", || async {
        metric(&http, "agent_provisioner_ready_seconds_count").filter(|n| *n > 0.0)
    })
    .await;
    other.run("begin; update public.agents set user_id = user_id").await;
    admin.create("agt_b").await;
    admin.holds("select give_ways > 3 from provisioning.jobs where agent_prefix = 'agt_b'").await;
    let age = "agent_provisioner_oldest_due_age_seconds";
    until("the age to grow", || async { metric(&http, age).filter(|age| *age > 1.0) }).await;
    until("the instance to be counted", || async {
        metric(&http, "agent_provisioner_instances").filter(|n| (*n - 1.0).abs() < f64::EPSILON)
    })
    .await;
    // The gauge stays while nothing can be read.
    admin.run("alter schema provisioning rename to gone").await;
    until("a scrape to fail", || async {
        metric(&http, "agent_provisioner_scrape_errors_total").filter(|n| *n > 0.0)
    })
    .await;
    assert!(metric(&http, age).is_some_and(|age| age > 1.0));
    admin.run("alter schema gone rename to provisioning").await;
    other.run("rollback").await;
}

#[tokio::test]
async fn sweeps_that_fail_are_counted() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[("WORKER__RECONCILE_INTERVAL", "100ms")]).await;
    let http = service.http().await;
    let last = "agent_provisioner_last_sweep_timestamp_seconds";
    until("a sweep", || async { metric(&http, last).filter(|at| *at > 0.0) }).await;
    admin.run("alter table public.agents rename to agents_of_old").await;
    let failed = r#"agent_provisioner_sweeps_total{outcome="failed"}"#;
    until("a sweep to fail", || async { metric(&http, failed).filter(|n| *n > 0.0) }).await;
    admin.run("alter table public.agents_of_old rename to agents").await;
}

#[tokio::test]
async fn the_service_waits_for_a_database_that_is_away() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let url = db.url(WORKER);
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("alter role agent_provisioner nologin").await;
    let service = crate::support::Service::start(&url, &[]);
    service.logged("cannot begin yet").await;
    let http = service.http().await;
    assert_eq!(get(&http, "/livez").0, 200);
    assert_eq!(get(&http, "/readyz").0, 503);
    root.run("alter role agent_provisioner login").await;
    until("the service to be ready", || async { (get(&http, "/readyz").0 == 200).then_some(()) })
        .await;
}

#[tokio::test]
async fn status_shows_all_on_one_screen() {
    let db = Database::new().await;
    let (admin, other) = (db.admin().await, db.admin().await);
    let none = json(&ask(&db.url(WORKER), &["status", "--json"]).await);
    assert_eq!(none["instances"], Value::Array([].into()));
    expect(&ask(&db.url(WORKER), &["status"]).await, 0, &["No worker is connected."]);
    let _service = db.service().await;
    admin.create("agt_a").await;
    admin.settled().await;
    admin.run("create table public.agt_b_orders ()").await;
    let b = admin.create("agt_b").await;
    admin.settled().await;
    let behind = "insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('repair'";
    admin.run(&format!("{behind}, {b}, 'agt_b')")).await;
    other.run("begin; update public.agents set user_id = user_id").await;
    admin.create("agt_c").await;
    admin
        .holds("select lock_wanted is not null from provisioning.jobs where agent_prefix = 'agt_c'")
        .await;
    admin.holds("select exists (select from provisioning.instances)").await;
    for role in [WORKER, ADMIN] {
        let status = json(&ask(&db.url(role), &["status", "--json"]).await);
        assert!(status["database"].as_str().unwrap().ends_with(&db.name), "{status}");
        assert_eq!(status["role"], role);
        assert_eq!(status["instances"][0]["running"], true, "{status}");
        let jobs: Vec<&Value> = status["jobs"].as_array().unwrap().iter().collect();
        let of =
            |state: &str| jobs.iter().find(|jobs| jobs["state"] == state).unwrap()["jobs"].clone();
        let open = of("pending").as_i64().unwrap() + of("running").as_i64().unwrap();
        assert!(open == 2 && of("dead") == 1, "{status}");
        assert_eq!(status["last_hour"]["provisioned"], 1, "{status}");
        assert!(status["last_hour"]["ready_p99"].as_f64().unwrap() > 0.0, "{status}");
        assert_eq!(status["templates"][0]["agents"], 1, "{status}");
        assert!(!status["lock_holders"].as_array().unwrap().is_empty(), "{status}");
    }
    let text = ask(&db.url(ADMIN), &["status"]).await;
    expect(&text, 0, &["pg_terminate_backend", "BLOCKED", "WORKER"]);
    other.run("rollback").await;
}

#[tokio::test]
async fn jobs_are_filtered_sorted_and_counted() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at, attempts, last_error, last_sqlstate, created_at)
             select 'provision', n, 'agt_' || n, 'succeeded', now(), n, 'late', case when n % 2 = 0 then '53100' else '40001' end,
                    now() - n * interval '1 hour'
             from generate_series(1, 60) n;
             insert into provisioning.jobs (kind, agent_id, agent_prefix, priority)
             values ('repair', 101, 'x_late', 5), ('repair', 102, 'x_soon', 1);
             insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
             values ('upgrade', 103, 'x_dead', 'dead', now())",
        )
        .await;
    let list = async |args: &[&str]| {
        let args = [&["jobs", "list", "--json"], args].concat();
        let jobs = json(&ask(&db.url(WORKER), &args).await);
        let prefix = |job: &Value| job["agent_prefix"].as_str().unwrap().to_owned();
        jobs.as_array().unwrap().iter().map(prefix).collect::<Vec<_>>()
    };
    assert_eq!(list(&["--state", "dead,pending"]).await, ["x_dead", "x_soon", "x_late"]);
    assert_eq!(list(&["--prefix", "x_*", "--kind", "repair,upgrade"]).await.len(), 3);
    assert_eq!(list(&["--prefix", "agt_6?"]).await, ["agt_60"]);
    assert_eq!(list(&["--prefix", "agt%"]).await, [""; 0]);
    assert_eq!(list(&["--sqlstate", "53*"]).await.len(), 30);
    admin
        .run("update provisioning.jobs set last_sqlstate = '42P07' where agent_prefix = 'agt_7'")
        .await;
    assert_eq!(list(&["--sqlstate", "42p07"]).await, ["agt_7"]);
    assert_eq!(list(&["--since", "150min", "--state", "succeeded"]).await, ["agt_2", "agt_1"]);
    assert_eq!(list(&["--sort", "failures", "--limit", "2"]).await, ["agt_60", "agt_59"]);
    assert_eq!(list(&["--sort", "prefix", "--limit", "1"]).await, ["agt_1"]);
    expect(&ask(&db.url(WORKER), &["jobs", "list"]).await, 0, &["50 of 63 jobs"]);
    expect(&ask(&db.url(WORKER), &["jobs", "list", "--state", "gone"]).await, 2, &[]);
    // A pending job that is put off is due now.
    admin.run("update provisioning.jobs set run_at = now() + interval '1 h', attempts = 3 where agent_prefix = 'x_late'").await;
    let id: i64 = admin.one("select id from provisioning.jobs where agent_prefix = 'x_late'").await;
    expect(&ask(&db.url(WORKER), &["jobs", "replay", &id.to_string()]).await, 0, &["replayed"]);
    let due =
        format!("select run_at <= now() and attempts = 3 from provisioning.jobs where id = {id}");
    assert!(admin.one::<bool>(&due).await);
}

#[tokio::test]
async fn old_jobs_are_forgotten_by_the_service() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
             select 'repair', n, 'agt_' || n, 'succeeded', now() - n * interval '1 day' from generate_series(1, 3) n",
        )
        .await;
    let _service = db.service_with(&[("JOBS__KEEP", "36h")]).await;
    admin.holds("select count(*) = 1 from provisioning.jobs").await;
    let wrong =
        finish(provisioner(&db.url(WORKER)).env("PROVISIONER_JOBS__KEEP", "1s").arg("run")).await;
    expect(&wrong, 2, &["jobs.keep"]);
}

#[tokio::test]
async fn shells_get_completions_and_packages_manual_pages() {
    let directory = crate::support::temp_dir().join("man");
    std::fs::create_dir_all(&directory).unwrap();
    let directory = directory.to_str().unwrap();
    let completions = finish(provisioner("").args(["completions", "bash"])).await;
    expect(&completions, 0, &["agent-provisioner"]);
    let script = String::from_utf8(completions.stdout).unwrap()
        + "\nCOMP_WORDS=(agent-provisioner jobs list --s); COMP_CWORD=3
           _agent__provisioner agent-provisioner --s list; echo ${COMPREPLY[*]}";
    // An argument may not be so long.
    let files = crate::support::Files::new(&[("complete.sh", &script)]);
    let mut bash = std::process::Command::new("bash");
    let reply = finish(bash.arg(format!("{}/complete.sh", files.path()))).await;
    expect(&reply, 0, &["--state", "--sqlstate", "--since", "--sort"]);
    expect(&finish(provisioner("").args(["man", directory])).await, 0, &[]);
    let pages = std::fs::read_dir(directory).unwrap().count();
    assert!(pages > 20, "{pages}");
    std::fs::remove_dir_all(directory).unwrap();
}
