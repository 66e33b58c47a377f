//! A role and a database may have settings of their own, made for other programs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use agent_provisioner::dev_server::SUPERUSER;
use agent_provisioner::postgres::{Db, Source, Target, Timeouts};

use crate::support::{ADMIN, Admin, Database, Files, ROLES, WORKER, ask, expect, have, said};
use crate::trash::{CHECKED, KEPT};

/// Each would change what some statement means or gives, or would end a session.
pub const HOSTILE: [(&str, &str); 17] = [
    ("standard_conforming_strings", "off"),
    ("backslash_quote", "off"),
    ("array_nulls", "off"),
    ("transform_null_equals", "on"),
    ("xmloption", "document"),
    ("search_path", "elsewhere, pg_catalog"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "Asia/Kathmandu"),
    ("bytea_output", "escape"),
    ("xmlbinary", "hex"),
    ("extra_float_digits", "-9"),
    ("quote_all_identifiers", "on"),
    ("check_function_bodies", "off"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("exit_on_error", "on"),
];

/// Only for sessions of the program: others would feel it. A session has the time of the limits to lift them.
const OURS: [(&str, &str); 4] = [
    ("default_transaction_read_only", "on"),
    ("row_security", "off"),
    ("idle_session_timeout", "3s"),
    ("transaction_timeout", "3s"), // since PostgreSQL 17
];

/// Settings of every new session in a database.
pub async fn spoil(db: &Database, settings: &[(&str, &str)]) {
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(
        "create schema elsewhere; grant usage on schema elsewhere to public;
         create function elsewhere.now() returns timestamptz language plpgsql
             as 'begin raise ''not the time''; end'",
    )
    .await;
    for (name, value) in settings {
        let known = format!("select exists (select from pg_settings where name = '{name}')");
        if root.one(&known).await {
            let value =
                if *name == "search_path" { (*value).to_owned() } else { format!("'{value}'") };
            root.run(&format!("alter database {} set {name} = {value}", db.name)).await;
        }
    }
}

/// What of the catalog is written as text depends on settings too.
pub const FILES: [(&str, &str); 2] = [
    ("0001_crm.sql", include_str!("../sql/agent/0001_crm.sql")),
    (
        "0002_signs.sql",
        r"create table public.{prefix}_signs (
            sign text check (sign ~ '^\d+$'),
            day date default '02/03/2024',
            at timestamptz default '2024-02-03 04:05',
            took interval default '-1 2:03',
            bytes bytea default '\x00ff'
        );
        alter table public.{prefix}_signs enable row level security;
        select pg_catalog.pg_sleep(0.5);",
    ),
];

#[tokio::test]
async fn settings_of_role_or_database_change_nothing_of_the_work() {
    let (plain, db) = (Database::new().await, Database::empty().await);
    let (files, admin) = (Files::new(&FILES), db.admin().await);
    let usual = plain.admin().await;
    let reference = files.service(&plain, &[CHECKED]).await;
    usual.create("agt_a").await;
    usual.settled().await;
    let built = usual.catalog("agt_a", 1).await;
    drop(reference);

    spoil(&db, &[&HOSTILE[..], &OURS[..]].concat()).await;
    expect(&ask(&db.url(ADMIN), &["migrate"]).await, 0, &["applied 0007"]);
    admin.run(ROLES).await;
    let service = files.service(&db, &[CHECKED, KEPT]).await;
    let longer_than_the_limits = "select bool_or(now() - state_change > interval '4 s' and query ~* '^listen') \
                                  from pg_stat_activity where datname = current_database()";
    admin.holds(longer_than_the_limits).await;
    admin.create("agt_a").await;
    admin.settled().await;
    assert_eq!(admin.catalog("agt_a", 1).await, built);
    admin
        .run("revoke all on public.agt_a_orders from authenticated; drop index public.agt_a_customers_phone_idx")
        .await;
    expect(&files.ask(&db, &["agents", "verify"]).await, 1, &["agt_a"]);
    expect(&files.ask(&db, &["agents", "repair", "agt_a", "--wait"]).await, 0, &[]);
    assert_eq!(admin.catalog("agt_a", 1).await, built);
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await, [""; 0]);
    expect(&ask(&db.url(ADMIN), &["agents", "restore", "agt_a"]).await, 0, &["with 5 tables"]);
    admin.settled().await;
    assert_eq!(admin.catalog("agt_a", 1).await, built);
    expect(&files.ask(&db, &["agents", "verify"]).await, 0, &["1 compared"]);
    expect(&files.ask(&db, &["doctor"]).await, 0, &["LISTEN delivers"]);
    let ended = "select bool_and(state <> 'succeeded' or attempts > 0) from provisioning.jobs";
    assert!(!admin.one::<bool>(ended).await);
    assert_eq!(service.log().matches("\"message\":\"listening\"").count(), 1);
    // A busy machine may be slow with the templates.
    let log = service.log();
    let mut warnings = log.lines().filter(|line| line.contains("\"WARN\""));
    assert!(warnings.all(|line| line.contains("it took long to try the templates")), "{log}");
}

/// There `lower('INSERT')` is no `insert`: it has an i without its dot.
const TURKISH: &str =
    "template template0 encoding 'UTF8' locale_provider icu icu_locale 'tr-TR' locale 'C'";

#[tokio::test]
async fn the_words_of_sql_do_not_depend_on_the_locale() {
    let (plain, db) = (Database::new().await, Database::of_locale(TURKISH).await);
    let (usual, admin) = (plain.admin().await, db.admin().await);
    let _reference = plain.service_with(&[CHECKED]).await;
    usual.create("agt_i").await;
    usual.settled().await;
    let built = usual.catalog("agt_i", 1).await;

    assert!(admin.one::<bool>("select lower('INSERT') <> 'insert'").await);
    admin.run(OLD).await;
    expect(&ask(&db.url(ADMIN), &["migrate"]).await, 0, &["applied 0007"]);
    let old = "select tgenabled::text from pg_trigger where tgname = 'build'";
    assert_eq!(admin.rows(old).await, ["D"]);
    admin.run(ROLES).await;
    let _service = db.service_with(&[CHECKED, KEPT]).await;
    admin.create("agt_i").await;
    admin.settled().await;
    assert_eq!(admin.catalog("agt_i", 1).await, built);
    admin.run("revoke all on public.agt_i_orders_items from authenticated").await;
    expect(&ask(&db.url(WORKER), &["agents", "repair", "agt_i", "--wait"]).await, 0, &[]);
    assert_eq!(admin.catalog("agt_i", 1).await, built);
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    expect(&ask(&db.url(ADMIN), &["agents", "restore", "agt_i"]).await, 0, &["with 4 tables"]);
    assert_eq!(admin.catalog("agt_i", 1).await, built);
    admin.run("alter table public.agents enable trigger build").await;
    expect(&ask(&db.url(WORKER), &["doctor"]).await, 1, &["disable trigger build"]);
}

/// In SQL of ours that others' sessions run, or that runs before a session has our settings.
#[test]
fn no_text_of_sql_means_something_else_in_another_session() {
    let mut folders = vec![PathBuf::from("sql")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|kind| kind != "sql") {
                continue;
            }
            files += 1;
            let text = fs::read_to_string(&path).unwrap();
            for line in text.lines().map(|line| line.split("--").next().unwrap()) {
                let at = format!("{}: {line}", path.display());
                assert!(!line.contains('\\'), "standard_conforming_strings: {at}");
                let folds = ["lower(", "upper(", "initcap(", "~*", "ilike"];
                let folds = folds.iter().any(|word| line.contains(word));
                assert!(!folds || line.contains("collate \"C\""), "the locale: {at}");
                let array = line
                    .split("'{")
                    .skip(1)
                    .any(|rest| rest.split('\'').next().unwrap().to_lowercase().contains("null"));
                assert!(!array, "array_nulls: {at}");
            }
        }
    }
    assert!(files > 60, "{files}");
}

/// What a trigger-based schema left: a trigger that leaves the work to a function that it calls.
const OLD: &str = "
    create table public.users (id uuid primary key, name varchar(255) not null,
        email varchar(255) not null unique, created_at timestamptz default now());
    create type public.role as enum ('admin', 'agent');
    alter table public.users add column role public.role not null;
    create table public.agents (id bigserial primary key, agent_prefix varchar(20) not null unique,
        created_at timestamptz default now(), user_id uuid references public.users (id) on delete set null,
        created_by uuid references public.users (id) on delete set null);
    create function public.build_it() returns void language plpgsql as
        'begin create  table x (); end';
    create function public.build() returns trigger language plpgsql as
        'begin perform PUBLIC.BUILD_IT (); return new; end';
    create trigger build after insert on public.agents for each row execute function public.build()";

#[tokio::test]
async fn the_printed_script_takes_over_where_strings_mean_something_else() {
    if !have(&["psql"]) {
        return;
    }
    let db = Database::empty().await;
    let admin = db.admin().await;
    admin.run(OLD).await;
    spoil(&db, &[&HOSTILE[..], &OURS[..]].concat()).await;
    let printed = ask(&db.url(ADMIN), &["migrate", "print"]).await;
    let files = Files::new(&[("print.sql", &said(&printed))]);
    let mut psql = Command::new("psql");
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"]).arg(format!("{}/print.sql", files.path()));
    let done = psql.arg(db.url(ADMIN)).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let old = "select tgenabled::text from pg_trigger where tgname = 'build'";
    assert_eq!(admin.rows(old).await, ["D"]);
    expect(&ask(&db.url(ADMIN), &["migrate", "status"]).await, 0, &[]);
}

/// A server that an operator or a platform has made read-only as a whole is not written to; but a role or a database is.
#[tokio::test]
async fn of_what_is_read_only_by_default_a_session_says_why() {
    let db = Database::new().await;
    spoil(&db, &OURS[..1]).await;
    let session = session(&db).await;
    let read_only = "select current_setting('transaction_read_only')";
    assert_eq!(session.query_one(read_only, &[]).await.unwrap().get::<_, String>(0), "off");
}

/// Decided to be the DBA's: they change how long a statement takes, where data is stored, how safely, what is
/// logged and how the locale writes, but not what a statement of ours means.
const LEFT: &str = "^(enable_|cpu_|geqo|jit_|vacuum_|log_|debug_|trace_|lc_|temp_|default_table|effective_|\
    maintenance_|parallel_|max_parallel_|min_parallel_|gin_|hash_mem_|io_|file_copy_method|wal_s)|\
    (_page_cost|_collapse_limit|_work_mem|_flush_after)$|\
    ^(work_mem|commit_siblings|synchronous_commit|synchronize_seqscans|constraint_exclusion|cursor_tuple_fraction|\
    default_statistics_target|default_text_search_config|default_toast_compression|plan_cache_mode|\
    force_parallel_mode|recursive_worktable_factor|stats_fetch_consistency|timezone_abbreviations|\
    local_preload_libraries|client_min_messages|escape_string_warning|password_encryption|scram_iterations|\
    md5_password_warnings|createrole_self_grant|icu_validation_level)$";

/// The transaction's own follow from the defaults. The driver sets the rest when it connects.
const ELSEWHERE: [&str; 6] = [
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
    "default_transaction_read_only",
    "client_encoding",
    "application_name",
];

#[tokio::test]
async fn every_setting_that_a_session_can_make_is_made_or_left_on_purpose() {
    let db = Database::new().await;
    let session = session(&db).await;
    let open = "select name from pg_settings where context = 'user' and source <> 'session' \
                and name !~ $1 and name <> all ($2) order by 1";
    let open = session.query(open, &[&LEFT, &&ELSEWHERE[..]]).await.unwrap();
    let open: Vec<String> = open.iter().map(|row| row.get(0)).collect();
    assert_eq!(open, [""; 0], "src/postgres/session_settings.rs decides nothing about these");
    // And nothing is both: the pattern would hide what is no longer set.
    let both = "select count(*) from pg_settings where source = 'session' and name ~ $1";
    assert_eq!(session.query_one(both, &[&LEFT]).await.unwrap().get::<_, i64>(0), 0);
    for (name, value) in HOSTILE {
        let set = "select setting <> $2 and source = 'session' from pg_settings where name = $1";
        let set = session.query_one(set, &[&name, &value]).await.unwrap();
        assert!(set.get::<_, bool>(0), "{name}");
    }
}

/// As every command and every worker gets it.
async fn session(db: &Database) -> impl std::ops::Deref<Target = deadpool_postgres::Client> {
    let limit = Duration::from_secs(30);
    let patience = Timeouts { connect: limit, statement: limit, lock: limit };
    let target = Target::parse(&db.url(WORKER), None, None).unwrap();
    let pool = Db::new(&Source::new(target, None).unwrap(), &patience, 1).unwrap();
    Box::new(pool.get().await.unwrap())
}
