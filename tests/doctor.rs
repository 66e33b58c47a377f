//! `doctor` finds what is broken, and what it says fixes it.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{ADA, ADMIN, Database, WORKER, ask, expect, provisioner, said};

/// What `doctor` says on this database, and whether it is content.
fn doctor(url: &str, settings: &[(&str, &str)]) -> (String, bool) {
    let output = provisioner(url).arg("doctor").envs(settings.iter().copied()).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));
    (said(&output), output.status.success())
}

#[tokio::test]
async fn a_sound_database_has_no_finding() {
    let db = Database::new().await;
    for role in [WORKER, ADMIN] {
        let (said, sound) = doctor(&db.url(role), &[]);
        assert!(sound && !said.contains("WARN") && !said.contains("FAIL"), "{said}");
        assert!(said.contains("LISTEN delivers"), "{said}");
    }
    let output = provisioner(&db.url(WORKER)).args(["doctor", "--json"]).output().unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = findings.as_array().unwrap();
    assert!(findings.len() > 10 && findings.iter().all(|f| f["severity"] == "ok"), "{findings:?}");
}

#[tokio::test]
async fn what_it_says_about_triggers_fixes_them() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "alter table public.agents disable trigger enqueue_provision;
             create function public.build() returns trigger language plpgsql as
                 $$ begin execute 'create table public.x ()'; return new; end $$;
             create trigger build after insert on public.agents
                 for each row execute function public.build()",
        )
        .await;
    let (said, sound) = doctor(&db.url(WORKER), &[]);
    assert!(!sound);
    assert!(said.contains("WARN  old functions  public.build()"), "{said}");
    let fixes = said.lines().filter_map(|line| line.trim().strip_prefix("fix: alter "));
    let fixes: Vec<_> = fixes.map(|fix| format!("alter {fix}")).collect();
    assert_eq!(fixes.len(), 1, "{said}");
    assert!(said.contains("fix: as postgres run `agent-provisioner migrate repair`"), "{said}");
    expect(&ask(&db.url(ADMIN), &["migrate", "repair"]).await, 0, &["enqueue_provision"]);
    for fix in fixes {
        admin.run(&fix).await;
    }
    assert!(doctor(&db.url(WORKER), &[]).1);
}

#[tokio::test]
async fn what_would_stop_the_service_is_a_failure() {
    let db = Database::new().await;
    let (said, sound) = doctor("postgres://me:hunter2@127.0.0.1:9/x", &[]);
    assert!(!sound && said.contains("FAIL  connection") && !said.contains("hunter2"), "{said}");

    let root = db.connect(SUPERUSER).await;
    let stranger = format!("create role stranger login password '{}'", db.server.password());
    root.batch_execute(&stranger).await.unwrap();
    let (said, sound) = doctor(&db.url("stranger"), &[]);
    assert!(!sound && said.contains("42501"), "{said}");

    root.batch_execute(
        "revoke create on schema public from agent_provisioner;
         revoke execute on function provisioning.next_due from agent_provisioner;
         drop policy worker on provisioning.jobs",
    )
    .await
    .unwrap();
    let (said, sound) = doctor(&db.url(WORKER), &[]);
    assert!(!sound, "{said}");
    let lacks = "agent_provisioner lacks rights or policies: provisioning.jobs, create in schema public, \
                 execute on functions of schema provisioning";
    assert!(said.contains(lacks), "{said}");

    root.batch_execute("delete from provisioning.migrations where version = 4").await.unwrap();
    let (said, sound) = doctor(&db.url(WORKER), &[]);
    assert!(!sound && said.contains("fix: run `agent-provisioner migrate`"), "{said}");
}

#[tokio::test]
async fn what_only_hampers_it_is_a_warning() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
                 values ('provision', 1, 'agt_1', 'dead', now());
             insert into provisioning.agents (agent_id, agent_prefix, template_version, reference)
                 select n, 'agt_' || n, 1, 'foreign_key' from generate_series(1, 500) n",
        )
        .await;
    let greedy = [
        ("PROVISIONER_WORKER__CONCURRENCY", "64"),
        ("PROVISIONER_DATABASE__POOL_SIZE", "200"),
        ("PROVISIONER_DATABASE__LOCK_TIMEOUT", "10s"),
        ("PROVISIONER_DATABASE__LISTEN_URL", "postgres://u:p@127.0.0.1:9/x"),
    ];
    let (said, sound) = doctor(&db.url(WORKER), &greedy);
    assert!(sound, "{said}");
    let service = db.service().await;
    service.logged("many agents with a foreign key").await;
    for what in ["lock slots", "connections", "timeouts", "notifications", "reference", "dead jobs"]
    {
        assert!(said.contains(&format!("WARN  {what} ")), "no {what} in:\n{said}");
    }
}

/// The console takes connections of two roles.
#[tokio::test]
async fn the_connections_of_a_console_are_counted() {
    let db = Database::new().await;
    let taken = |settings: &[(&str, &str)]| {
        let (said, _) = doctor(&db.url(WORKER), settings);
        let (_, number) = said.split_once("1 service takes up to ").unwrap();
        number.split_once(' ').unwrap().0.parse::<u32>().unwrap()
    };
    let console = db.url("agent_console");
    let without = taken(&[]);
    let with = taken(&[
        ("PROVISIONER_CONSOLE__LISTEN", "127.0.0.1:9188"),
        ("PROVISIONER_CONSOLE__DATABASE_URL", &console),
    ]);
    assert_eq!(with, without + 7);
}

/// The findings of this name that are not `ok`, as severity and fix.
async fn findings(url: &str, what: &str) -> Vec<[String; 2]> {
    let said = ask(url, &["doctor", "--json"]).await;
    let findings: Value = serde_json::from_slice(&said.stdout).unwrap();
    let of = |finding: &Value| {
        ["severity", "fix"].map(|key| finding[key].as_str().unwrap_or_default().to_owned())
    };
    let all = findings.as_array().unwrap().iter().filter(|f| f["what"] == what).map(of);
    all.filter(|[severity, _]| severity != "ok").collect()
}

#[tokio::test]
async fn a_sequence_behind_its_column_is_set_by_the_statement_that_is_printed() {
    let db = Database::new().await;
    let admin = db.admin().await;
    // The id of an agent that is gone but for its trash and its jobs is not given again.
    admin
        .run(
            "insert into public.agents (id, agent_prefix) values (7, 'agt_loaded');
             insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
                 values ('deprovision', 9, 'agt_gone', 'succeeded', now())",
        )
        .await;
    expect(&ask(&db.url(WORKER), &["doctor"]).await, 0, &["ask as postgres"]);
    let (sign_up, user) = ("insert into auth.users (id, email) values", ADA.id);
    admin.run(&format!("{sign_up} ('{user}', 'ada@example.com')")).await;
    admin.run("select setval('public.agents_id_seq', 6)").await;
    let create = format!("select message from public.create_agent('{user}', 'agt_new', '{user}')");
    assert!(admin.one::<String>(&create).await.contains("23505"));
    let [[severity, fix]] = findings(&db.url(ADMIN), "sequences").await.try_into().unwrap();
    assert_eq!(severity, "warning");
    admin.run(fix.strip_prefix("as postgres: ").unwrap()).await;
    assert_eq!(findings(&db.url(ADMIN), "sequences").await, [[""; 2]; 0]);
    assert_eq!(admin.create("agt_next").await, 10);
}

#[tokio::test]
async fn a_lock_on_agents_is_no_fault_of_the_base_schema() {
    let db = Database::new().await;
    let holder = db.admin().await;
    holder.run("begin; lock table public.agents").await;
    let found = findings(&db.url(WORKER), "base schema").await;
    holder.run("rollback").await;
    assert!(found.iter().all(|[severity, _]| severity == "warning"), "{found:?}");
}
