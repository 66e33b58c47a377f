//! The program as its users start it: settings, exit codes, what it says and what it never says.

use std::fs;
use std::process::{Command, Output, Stdio};

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::{self, ADMIN, Database, WORKER, have, provisioner, said};

/// Runs a command to its end.
fn run(url: &str, args: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = provisioner(url);
    command.args(args).envs(settings.iter().copied());
    command.output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, text: &str) {
    support::expect(output, code, &[text]);
    let said = said(output);
    assert!(!said.contains("hunter2"), "a secret in: {said}");
}

#[test]
fn a_bad_setting_ends_with_2_and_names_key_and_fix() {
    let url = "postgres://me:hunter2@127.0.0.1:1/x";
    let cases = [
        ("PROVISIONER_WORKER__CONCURENCY", "3", "concurency"),
        ("PROVISIONER_WORKER__CONCURRENCY", "many", "worker.concurrency"),
        ("PROVISIONER_WORKER__CONCURRENCY", "0", "worker.concurrency must be between 1 and 64"),
        ("PROVISIONER_WORKER__SHUTDOWN_TIMEOUT", "5 parsecs", "worker.shutdown_timeout"),
        ("PROVISIONER_DATABASE__POOL_SIZE", "2", "database.pool_size must be at least"),
        ("PROVISIONER_DATABASE__SSLMODE", "verify", "database.sslmode"),
        ("PROVISIONER_DATABASE__URL_FILE", "/nowhere", "database.url is set twice"),
        ("PROVISIONER_DATABASE__LISTEN_URL_FILE", "/nowhere", "database.listen_url from /nowhere"),
        ("PROVISIONER_DATABASE__URL", "mysql://me:hunter2@x/y", "database.url cannot be used"),
        ("PROVISIONER_REFERENCE", "none", "reference"),
        ("PROVISIONER_HTTP__LISTEN", "everywhere", "http.listen"),
        ("PROVISIONER_DEPROVISION__RETENTION", "11years", "must be at most 10years"),
        ("PROVISIONER_TEMPLATES", "/nowhere", "cannot read templates at /nowhere"),
        ("PROVISIONER_LOG__LEVEL", "a=b=c", "log.level"),
        ("PROVISIONER_CONFIG", "/nowhere.toml", "/nowhere.toml"),
    ];
    for (key, value, text) in cases {
        expect(&run(url, &["run"], &[(key, value)]), 2, text);
    }
    let mut bare = provisioner(url);
    bare.env_remove("DATABASE_URL").arg("run");
    expect(&bare.output().unwrap(), 2, "database.url is not set: export DATABASE_URL");
}

#[test]
fn the_environment_goes_over_the_file() {
    let file = support::temp_dir().join(format!("provisioner-{}.toml", std::process::id()));
    fs::write(&file, "reference = \"check\"\n[worker]\nconcurrency = 0\n").unwrap();
    let path = file.to_str().unwrap();
    let keyed = "add constraint agt_6f78_customers_agent_id_fkey";
    let args = ["--config", path, "render", "agt_6f78"];
    expect(&run("", &args, &[]), 2, "worker.concurrency");
    let one = ("PROVISIONER_WORKER__CONCURRENCY", "1");
    let checked = run("", &args, &[one]);
    assert!(!said(&checked).contains(keyed), "{}", said(&checked));
    expect(&run("", &args, &[one, ("PROVISIONER_REFERENCE", "foreign_key")]), 0, keyed);
    fs::remove_file(file).unwrap();
}

#[test]
fn usage_errors_end_with_2() {
    expect(&run("", &["fly"], &[]), 2, "unrecognized subcommand 'fly'");
    expect(&run("", &["render", "agt-6f78"], &[]), 2, "agent prefix \"agt-6f78\" is not valid");
    expect(&run("", &["migrate", "down"], &[]), 2, "--to");
}

#[test]
fn an_unreachable_server_ends_with_1() {
    let url = "postgres://me:hunter2@127.0.0.1:9/x";
    expect(&run(url, &["migrate"], &[]), 1, "Connection refused");
    expect(&run(url, &["status"], &[]), 1, "Connection refused");
}

#[tokio::test]
async fn migrate_brings_an_empty_database_up_and_run_works_on_it() {
    let db = Database::new().await;
    let root = db.connect(SUPERUSER).await;
    // As on plain PostgreSQL: no auth schema. The superuser's shim, then the migrations.
    root.batch_execute(
        "drop schema public, provisioning, provisioning_trash, auth cascade; create schema public;
         drop publication supabase_realtime",
    )
    .await
    .unwrap();
    let url = db.url(SUPERUSER);
    let status = run(&url, &["migrate", "status", "--json"], &[]);
    expect(&status, 1, "\"state\":\"missing\"");
    expect(&run(&url, &["run"], &[]), 1, "run `agent-provisioner migrate`");
    expect(&run(&url, &["migrate", "--shim"], &[]), 0, "applied 0004 templates");
    expect(&run(&url, &["migrate", "--shim"], &[]), 0, "the schema is up to date");
    expect(&run(&url, &["migrate", "status", "--json"], &[]), 0, "\"state\":\"applied\"");

    root.batch_execute("insert into provisioning.migrations values (99, 'from the future', '')")
        .await
        .unwrap();
    for command in ["migrate", "run"] {
        expect(
            &run(&url, &[command], &[]),
            1,
            "schema version 99, this program knows versions up to",
        );
    }
    root.batch_execute("delete from provisioning.migrations where version = 99").await.unwrap();

    let service = support::Service::start(&url, &[]);
    service.logged("running").await;
    let admin = db.admin().await;
    root.batch_execute("insert into public.agents (agent_prefix) values ('agt_6f78')")
        .await
        .unwrap();
    support::until("the tables", || async {
        (admin.tables("agt_6f78").await.len() == 4).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_render_prints_runs_in_psql_and_makes_the_same_tables() {
    if !have(&["psql"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.run("alter sequence public.agents_id_seq restart 71").await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    admin.run("alter table public.agents disable trigger user, enable trigger guard_agent").await;
    admin.run("insert into public.agents (id, agent_prefix) values (72, 'agt_b')").await;
    // The service sends the key as a call of a function; whoever runs the statement itself needs this right.
    admin.run("grant references on public.agents to agent_provisioner").await;
    let sql = run("", &["render", "agt_b", "--agent-id", "72"], &[]);
    let script = support::temp_dir().join(format!("render-{}.sql", std::process::id()));
    fs::write(&script, &sql.stdout).unwrap();
    let psql = Command::new("psql")
        .args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(&script)
        .arg(db.url(WORKER))
        .output()
        .unwrap();
    assert!(psql.status.success(), "{}", said(&psql));
    fs::remove_file(script).unwrap();
    assert_eq!(admin.catalog("agt_a", 71).await, admin.catalog("agt_b", 72).await);
}

#[tokio::test]
async fn secrets_stay_out_of_logs_and_messages() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let secret = db.server.password();
    let file = support::temp_dir().join(format!("url-{}", std::process::id()));
    fs::write(&file, format!("{}\n", db.url(WORKER))).unwrap();
    let trace = [
        ("PROVISIONER_DATABASE__URL_FILE", file.to_str().unwrap()),
        ("PROVISIONER_LOG__LEVEL", "trace"),
    ];
    let mut service = support::Service::with(|command| {
        command.env_remove("DATABASE_URL").envs(trace);
    });
    service.logged("listening").await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    service.signal("TERM");
    assert_eq!(service.ended().await.code(), Some(0));
    assert!(service.log().contains("job done"));
    assert!(!service.log().contains(&secret));
    let wrong = db.url(ADMIN).replace(&secret, "hunter2");
    expect(&run(&wrong, &["migrate"], &[]), 1, "password authentication failed");
    fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_terminal_shows_states_in_colour_unless_told_otherwise() {
    if !have(&["script"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.create("agt_dead").await;
    admin
        .run("update provisioning.jobs set state = 'dead', finished_at = now(), last_error = 'no'")
        .await;
    let (red, program) = ("\u{1b}[", env!("CARGO_BIN_EXE_agent-provisioner"));
    for command in ["doctor", "jobs list", "agents list"] {
        let words: Vec<&str> = command.split(' ').collect();
        assert!(!said(&run(&db.url(ADMIN), &words, &[])).contains(red), "{command}");
        for (no_color, coloured) in [("", true), ("1", false)] {
            let mut script = Command::new("script");
            script.args(["-qec", &format!("'{program}' {command}"), "/dev/null"]);
            script.env("DATABASE_URL", db.url(ADMIN)).env("NO_COLOR", no_color);
            let shown = script.stdin(Stdio::null()).output().unwrap();
            assert_eq!(said(&shown).contains(red), coloured, "{command}: {}", said(&shown));
        }
    }
}
