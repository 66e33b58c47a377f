//! The schema's way up, down and out as a script.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};

use agent_provisioner::dev_server::SUPERUSER;
use agent_provisioner::postgres::schema_version;
use sha2::{Digest, Sha256};

use crate::support::{ADMIN, Admin, BOSS, Database, ROLES, WORKER, have, provisioner, said};

/// `agent-provisioner migrate …` as `postgres`, to its end.
fn migrate(db: &Database, args: &[&str]) -> Output {
    provisioner(&db.url(ADMIN)).arg("migrate").args(args).output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, text: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "{said}");
}

/// The whole schema as the catalog has it, grants and owners included.
async fn schema(admin: &Admin) -> BTreeSet<String> {
    admin.rows(include_str!("migrations/schema.sql")).await.into_iter().collect()
}

#[track_caller]
fn same(found: &BTreeSet<String>, expected: &BTreeSet<String>, what: &str) {
    let differing: Vec<_> = found.symmetric_difference(expected).collect();
    assert!(differing.is_empty(), "{what}: {differing:#?}");
}

#[tokio::test]
async fn the_second_migrate_finds_nothing_to_do() {
    let db = Database::empty().await;
    expect(&migrate(&db, &[]), 0, "applied 0001 crm tables\napplied 0002 queue\napplied 0003");
    expect(&migrate(&db, &["up"]), 0, "the schema is up to date\n");
}

#[tokio::test]
async fn of_two_that_migrate_at_once_one_does_it_all() {
    let db = Database::empty().await;
    let start = || {
        let mut command = provisioner(&db.url(ADMIN));
        command.arg("migrate").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start(), start()].map(|child| child.wait_with_output().unwrap());
    let count = |text| both.iter().filter(|output| said(output).contains(text)).count();
    assert!(both.iter().all(|output| output.status.success()), "{both:?}");
    assert_eq!((count("applied 0004"), count("the schema is up to date")), (1, 2));
}

#[tokio::test]
async fn each_step_down_is_undone_by_going_up_again() {
    let db = Database::empty().await;
    let admin = db.admin().await;
    let bare = schema(&admin).await;
    db.migrate().await;
    let whole = schema(&admin).await;
    for to in (0..schema_version()).rev() {
        expect(
            &migrate(&db, &["down", "--to", &to.to_string()]),
            0,
            &format!("took back {:04} ", to + 1),
        );
        expect(&migrate(&db, &["status"]), 1, "missing");
        let left = "select coalesce(max(version), 0) from provisioning.migrations";
        assert_eq!(admin.one::<i32>(left).await, to);
        if to == 0 {
            let ours = "select relname from pg_class where relnamespace = 'provisioning'::regnamespace
                union all select proname from pg_proc where pronamespace = 'provisioning'::regnamespace
                order by 1";
            assert_eq!(
                admin.rows(ours).await,
                [
                    "migrations",
                    "migrations_pkey",
                    "objects_of_others",
                    "repeatables",
                    "repeatables_pkey"
                ]
            );
            // Beside the ledger, what the worker's role was granted is left.
            admin.run("drop schema provisioning cascade; revoke all on schema public from agent_provisioner").await;
            same(&schema(&admin).await, &bare, "down to 0");
        }
        expect(&migrate(&db, &[]), 0, &format!("applied {:04} ", schema_version()));
        admin.run(ROLES).await;
        same(&schema(&admin).await, &whole, &format!("down to {to} and up"));
    }
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_x").await.len(), 4);
}

#[tokio::test]
async fn down_refuses_to_lose_rows_or_tables_and_says_which() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let service = db.service().await;
    admin.settled().await;
    drop(service);
    // Functions hold no rows; the tables of agents need theirs.
    expect(&migrate(&db, &["down", "--to", "3"]), 0, "took back 0004 templates");
    let functions =
        "select count(*) from pg_proc where pronamespace = 'provisioning'::regnamespace";
    assert_eq!(admin.one::<i64>(functions).await, 9);
    // Agents' tables still answer to their owners.
    let seen = admin.ask(&BOSS, "select count(*) from public.agt_ada_customers").await;
    assert_eq!(seen.unwrap().rows, ["0"]);
    let built = "2 agents still have tables";
    for yes in [&[][..], &["--yes"]] {
        let down = [&["down", "--to", "2"], yes].concat();
        expect(&migrate(&db, &down), 1, built);
    }
    let service = crate::support::Service::start(&db.url(WORKER), &[]);
    expect(&migrate(&db, &[]), 0, "applied 0005 trash");
    admin.run(ROLES).await;
    admin.run("delete from public.agents").await;
    drop(service);
    let service = db.service_with(&[("DEPROVISION__RETENTION", "0s")]).await;
    admin.settled().await;
    drop(service);
    for (to, table) in [("1", "provisioning.jobs"), ("0", "provisioning.jobs")] {
        let refusal = format!("loses the rows of {table}: repeat with --yes");
        expect(&migrate(&db, &["down", "--to", to]), 1, &refusal);
        expect(&migrate(&db, &["status"]), 0, "0004  templates");
    }
    admin.run("delete from provisioning.jobs").await;
    expect(&migrate(&db, &["down", "--to", "0"]), 1, "loses the rows of public.users");
    assert_eq!(admin.one::<i64>("select count(*) from public.users").await, 5);
    expect(&migrate(&db, &["down", "--to", "0", "--yes"]), 0, "took back 0001 crm tables");
    assert!(admin.one::<bool>("select to_regclass('public.users') is null").await);
    expect(&migrate(&db, &["down", "--to", "99"]), 1, "there is no schema version 99");
}

#[tokio::test]
async fn a_file_that_was_changed_after_it_was_applied_is_reported_by_everything() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run("update provisioning.migrations set checksum = 'other' where version = 2").await;
    let changed = "migration 2 (queue) was changed after it was applied here";
    expect(&migrate(&db, &[]), 1, changed);
    expect(&migrate(&db, &["down", "--to", "0"]), 1, changed);
    expect(&migrate(&db, &["status"]), 1, "0002  queue                changed");
    let run = provisioner(&db.url(WORKER)).arg("run").output().unwrap();
    expect(&run, 1, changed);
}

#[tokio::test]
async fn status_lists_version_description_time_and_checksum() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let shown = migrate(&db, &["status"]);
    expect(&shown, 0, "0001  crm tables           applied  20");
    let listed = migrate(&db, &["status", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let ledger = "select version, description, checksum,
        to_char(applied_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
        from provisioning.migrations order by version";
    let rows: Vec<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["repeatable"].is_null())
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap();
            assert_eq!(text("state"), "applied");
            assert!(
                said(&shown).contains(text("checksum").split_at(12).0)
                    && said(&shown).contains(text("applied_at"))
            );
            format!(
                "{}|{}|{}|{}",
                row["version"],
                text("description"),
                text("checksum"),
                text("applied_at")
            )
        })
        .collect();
    assert_eq!(rows, admin.rows(ledger).await);
    assert_eq!(rows.len(), usize::try_from(schema_version()).unwrap());
}

#[tokio::test]
async fn the_printed_script_makes_the_same_schema_in_psql_for_who_is_no_superuser() {
    if !have(&["psql"]) {
        return;
    }
    let (db, by_psql) = (Database::new().await, Database::empty().await);
    let (ours, theirs) = (db.admin().await, by_psql.admin().await);
    let script = crate::support::temp_dir().join(format!("print-{}.sql", std::process::id()));
    fs::write(&script, migrate(&db, &["print"]).stdout).unwrap();
    let mut psql = Command::new("psql");
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&script).arg(by_psql.url(ADMIN));
    let done = psql.output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(said(&done), "");
    // Again: refused as a whole, and nothing is changed.
    assert!(!psql.output().unwrap().status.success());
    fs::remove_file(script).unwrap();
    theirs.run(ROLES).await;
    same(&schema(&theirs).await, &schema(&ours).await, "by psql");
    expect(&migrate(&by_psql, &[]), 0, "the schema is up to date\n");
    let root = Admin(db.connect(SUPERUSER).await);
    assert!(!root.one::<bool>("select rolsuper from pg_roles where rolname = 'postgres'").await);
    if crate::support::pg_dump_can(&root).await {
        let dump = |db: &Database| {
            let dumped = Command::new("pg_dump").args(["-s", &db.url(SUPERUSER)]).output().unwrap();
            assert!(dumped.status.success(), "{}", said(&dumped));
            // Newer releases put a random word into each dump.
            let text = said(&dumped);
            text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(dump(&by_psql), dump(&db));
    }
}

/// In hex.
fn sha256(text: &[u8]) -> String {
    Sha256::digest(text).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// The released migrations, of which the file is not as it was: `list` is that of `sql/migrations/released.txt`.
fn changed(list: &str) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations");
    let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    let is_up = |name: &&String, version: &str| {
        name.starts_with(&format!("{version}_")) && !name.ends_with(".down.sql")
    };
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let is_changed = |line: &&str| {
        let (version, checksum) = line.split_once(' ').unwrap();
        let file = names.iter().find(|name| is_up(name, version));
        let text = file.map(|name| fs::read(format!("{folder}/{name}")).unwrap());
        let sum = text.map(|text| sha256(&text));
        sum.as_deref() != Some(checksum)
    };
    lines.filter(is_changed).map(str::to_owned).collect()
}

#[test]
fn a_released_migration_is_as_it_was() {
    let list = include_str!("../sql/migrations/released.txt");
    let broken = changed(list);
    assert!(
        broken.is_empty(),
        "put these files back, and write the change as a new migration: {broken:?}"
    );
}

#[test]
fn a_change_of_a_released_migration_is_noticed() {
    let text = include_str!("../sql/migrations/0002_queue.sql");
    let line = |text: &str| format!("0002 {}", sha256(text.as_bytes()));
    assert_eq!(changed(&format!("# a comment\n{}\n", line(text))), [""; 0]);
    let other = line(&format!("{text} "));
    assert_eq!(changed(&other), [&*other]);
    let gone = line(text).replace("0002", "9999");
    assert_eq!(changed(&gone), [&*gone]);
}
