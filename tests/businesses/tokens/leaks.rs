//! A secret in the clear is nowhere: not in the server's log and statistics, in dumps, in what any role reads, in what the
//! program prints, logs and measures.

use std::fs;
use std::path::Path;
use std::process::Command;

use agent_provisioner::dev_server::SUPERUSER;

use super::super::populate;
use super::{APP, APP_SECRET, Keys, NUMBERS, OTHER_TOKEN, TOKEN};
use crate::support::{
    Admin, BOSS, CALLERS, CONSOLE, Database, Server, WORKER, expect, finish, get, have,
    pg_dump_can, said, skip,
};

/// In any form that a log or a dump may have.
fn forms(secret: &str) -> [String; 2] {
    let hex = secret.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    [secret.to_owned(), hex]
}

#[track_caller]
fn clean(place: &str, text: &str, keys: &Keys) {
    for secret in [TOKEN, OTHER_TOKEN, APP_SECRET, keys.text().trim()] {
        for form in forms(secret) {
            assert!(!text.contains(&form), "{place} has a secret");
        }
    }
}

/// A server that logs and counts all that it can.
async fn talkative() -> Option<(Database, Admin, Admin)> {
    let (any, sql) = (
        Database::new().await,
        "select exists (select from pg_available_extensions where name = 'pg_stat_statements')",
    );
    if !Admin(any.connect(SUPERUSER).await).one::<bool>(sql).await {
        skip("pg_stat_statements is not installed");
        return None;
    }
    let settings = [
        ("shared_preload_libraries", "pg_stat_statements"),
        ("pg_stat_statements.track", "all"),
        ("log_statement", "all"),
        ("log_min_duration_statement", "0"),
        ("log_min_messages", "debug1"),
        ("log_error_verbosity", "verbose"),
        ("log_parameter_max_length", "-1"),
        ("log_parameter_max_length_on_error", "-1"),
    ];
    let server: &'static Server = Box::leak(Box::new(Server::start(&settings).await));
    let db = server.database().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("create extension pg_stat_statements").await;
    let admin = db.admin().await;
    populate(&admin).await;
    Some((db, admin, root))
}

/// What can be done with secrets, well and badly; all that was printed.
async fn everything(keys: &Keys, db: &Database, admin: &Admin) -> String {
    let mut printed = String::new();
    for (args, input) in [
        (&["numbers", "set-token", NUMBERS[0]][..], TOKEN),
        (&["numbers", "set-token", NUMBERS[0]], TOKEN),
        (&["numbers", "set-token", NUMBERS[1]], OTHER_TOKEN),
        (&["numbers", "set-token", "777777"], TOKEN),
        (&["apps", "set-secret", APP, "app-secret"], APP_SECRET),
    ] {
        printed += &said(&keys.pipe(db, args, input.as_bytes()).await);
    }
    // The server refuses, and says of which row.
    admin.run("alter table provisioning.secrets add constraint never check (last_four <> '1234') not valid").await;
    let refused = keys.pipe(db, &["numbers", "set-token", NUMBERS[0]], TOKEN.as_bytes()).await;
    expect(&refused, 1, &[]);
    printed += &said(&refused);
    admin.run("alter table provisioning.secrets drop constraint never").await;
    let fault = "update provisioning.secrets set ciphertext = set_byte(ciphertext, 30, 255 - get_byte(ciphertext, 30))
        where kind = 'app_secret'";
    for args in [
        &["keys", "generate"][..],
        &["keys", "rotate"],
        &["keys", "status"],
        &["keys", "status", "--json"],
        &["numbers", "list"],
        &["numbers", "list", "--json"],
        &["numbers", "test", NUMBERS[0]],
        &["apps", "list", "--json"],
        &["apps", "test", APP, "app-secret"],
        &["doctor"],
        &["status"],
        &["numbers", "test", "777777"],
        &["apps", "test", APP, "verify-token"],
    ] {
        printed += &said(&keys.ask(db, args).await);
    }
    admin.run(fault).await;
    for args in [&["apps", "test", APP, "app-secret"][..], &["keys", "status"], &["doctor"]] {
        let mut command = keys.command(&db.url(crate::support::ADMIN), args);
        command.env("PROVISIONER_LOG__LEVEL", "trace");
        printed += &said(&finish(&mut command).await);
    }
    printed
}

/// All rows of all tables and views that a caller may read.
const EVERYTHING: &str = "
    create function pg_temp.everything() returns setof text language plpgsql as $$
    declare relation regclass;
    begin
        for relation in select c.oid from pg_class c where c.relkind in ('r', 'p', 'v', 'm')
            and c.relnamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
        loop
            begin
                return query execute format('select x::text from %s x', relation);
            exception when insufficient_privilege then
                return next 'refused: ' || relation;
            end;
        end loop;
    end $$;
    select everything from pg_temp.everything()";

#[tokio::test]
async fn a_secret_in_the_clear_is_nowhere() {
    let Some((db, admin, root)) = talkative().await else { return };
    let keys = Keys::new(&db).await;
    let service = db.service().await;
    let printed = everything(&keys, &db, &admin).await;
    clean("what was printed", &printed, &keys);
    let (_, metrics) = get(&service.http().await, "/metrics");
    assert!(metrics.contains("agent_provisioner_"));
    clean("/metrics", &metrics, &keys);
    clean("the service's log", &service.log(), &keys);

    let log = db.server.place().0.with_file_name("server.log");
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("merge into provisioning.secrets") && log.contains("Failing row contains")
    );
    clean("the server's log", &log, &keys);
    let statements = root.rows("select query from pg_stat_statements").await.join("\n");
    assert!(statements.contains("merge into provisioning.secrets"));
    clean("pg_stat_statements", &statements, &keys);

    for who in &CALLERS {
        let read = admin.ask(who, EVERYTHING).await;
        let Ok(read) = read else { panic!("{}: {read:?}", who.name) };
        let text = read.rows.join("\n");
        clean(who.name, &text, &keys);
        let refused = text.contains("refused: provisioning.secrets");
        assert_eq!(refused, who.role != "postgres", "{}", who.name);
    }
    for role in [WORKER, CONSOLE] {
        let text = Admin(db.connect(role).await).rows(EVERYTHING).await.join("\n");
        assert!(text.contains("refused: provisioning.secrets"), "{role}");
        clean(role, &text, &keys);
    }
    // What an admin of the platform is shown.
    let shown = admin
        .ask(&BOSS, "select s::text from public.businesses b, public.secret_status(b.id) s")
        .await;
    let shown = shown.unwrap().rows;
    assert_eq!(shown.len(), 3);
    clean("secret_status", &shown.join("\n"), &keys);
    let published = "select count(*) from pg_publication_tables where tablename = 'secrets'";
    assert_eq!(admin.one::<i64>(published).await, 0);
    if have(&["pg_dump"]) && pg_dump_can(&root).await {
        let dumped = Command::new("pg_dump").arg(db.url(SUPERUSER)).output().unwrap();
        assert!(dumped.status.success(), "{}", said(&dumped));
        let dump = said(&dumped);
        assert!(dump.contains("COPY provisioning.secrets"));
        clean("a dump", &dump, &keys);
    }
    // A copy of the whole server: tables, indexes, WAL, statistics, temporary files.
    root.run("checkpoint").await;
    let data = db.server.place().0;
    assert_eq!(hold(&data, [TOKEN, OTHER_TOKEN, APP_SECRET, keys.text().trim()]), [""; 0]);
    // What is there is found so.
    assert!(!hold(&data, ["agt_ada_customers"]).is_empty());
}

/// The files below a directory that hold one of the texts.
fn hold<const N: usize>(directory: &Path, texts: [&str; N]) -> Vec<String> {
    let mut grep = Command::new("grep");
    grep.args(["-rlaF"]).args(texts.map(|text| format!("--regexp={text}")));
    let found = grep.arg(directory).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
}
