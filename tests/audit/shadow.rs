//! What files can do to the server that they run on, and to whoever runs the audit.

use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs};

use agent_provisioner::audit;
use agent_provisioner::dev_server::SUPERUSER;
use tokio_util::sync::CancellationToken;

use super::project::{CLEAN, Project, Report};
use crate::support::{
    ADMIN, Admin, Database, Server, expect, finish, have, other_release, provisioner, until,
};

/// An audit on a throwaway server.
async fn throwaway(project: &Project) -> Report {
    let mut command = provisioner("");
    command.args(["audit", "--no-database", "--format", "json", "--migrations"]);
    Report::of(&finish(command.arg(project.path())).await)
}

fn unchecked(report: &Report, text: &str) -> bool {
    report.list("unchecked").iter().any(|it| it.as_str().unwrap().contains(text))
}

#[tokio::test]
async fn a_file_runs_no_program_and_reads_no_file_of_the_server() {
    let mark = env::temp_dir().join(format!("audit-{:016x}", fastrand::u64(..)));
    let program = format!("copy (select 1) to program 'touch {}'", mark.display());
    let files = [
        ("1.sql", format!("grant pg_execute_server_program to current_user; {program}")),
        ("2.sql", format!("create role runner in role pg_execute_server_program; grant runner to current_user; {program}")),
        ("3.sql", "grant pg_read_server_files to current_user; create table f (l text); copy f from '/etc/passwd'".to_owned()),
        ("4.sql", format!("grant pg_write_server_files to current_user; copy (select 1) to '{}'", mark.display())),
        ("5.sql", "alter role pg_execute_server_program nosuperuser".to_owned()),
        ("6.sql", "alter role supabase_admin password 'x'".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, sql)| (*name, sql.as_str())).collect();
    let report = throwaway(&Project::new(&files)).await;
    let never: Vec<_> = files.iter().map(|(name, _)| ("file_never_ran", *name)).collect();
    report.is(&never);
    assert!(!mark.exists(), "{}", mark.display());
}

/// Somebody who makes a database meanwhile copies `template1`, which fails while anybody is in it.
#[tokio::test]
async fn an_audit_with_a_shadow_leaves_template1_alone() {
    let db = Project::database(&CLEAN).await;
    Project::new(&CLEAN).audit(Some(&db)).await.is(&[]);
    let sql = "select sessions from pg_stat_database where datname = 'template1'";
    let root = db.connect(SUPERUSER).await;
    let sessions: i64 = root.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(sessions, 0);
}

/// Nobody who reads `/proc` finds a secret of whoever started it.
#[tokio::test]
async fn a_throwaway_server_has_little_of_the_environment() {
    let (data, _) = Database::empty().await.server.place();
    let pid = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let environ = format!("/proc/{}/environ", pid.lines().next().unwrap());
    let environ = fs::read(environ).unwrap();
    let known = ["PATH", "LD_LIBRARY_PATH", "TMPDIR", "HOME", "TZ", "LC_ALL"];
    let text = String::from_utf8_lossy(&environ);
    let names = text.split('\0').filter_map(|line| Some(line.split_once('=')?.0));
    let other: Vec<&str> = names.filter(|name| !known.contains(name)).collect();
    assert_eq!(other, [""; 0]);
}

/// `file_fdw` and `pageinspect` take a superuser's rights, and `pg_trgm` does not.
#[tokio::test]
async fn a_script_of_an_extension_meets_nothing_that_files_have_made() {
    let report = Project::new(&[
        ("0.sql", "create schema wide"),
        ("1.sql", "create extension file_fdw with schema wide; select 'wide.file_fdw_handler()'::regprocedure"),
        ("2.sql", "create schema tools; create function tools.f() returns int language sql as 'select 1'"),
        ("3.sql", "create extension pg_trgm with schema tools; select tools.similarity('a', 'b')"),
        ("4.sql", "create extension pageinspect with schema tools"),
        ("5.sql", "select 'tools.page_header(bytea)'::regprocedure"),
    ])
    .audit(None)
    .await;
    report.is(&[("file_never_ran", "5.sql")]);
    assert!(unchecked(&report, "pageinspect") && !unchecked(&report, "file_fdw"), "{:#}", report.0);
}

/// The extension is made before the file, and still finds its schema; the file may use it, and may be run again.
#[tokio::test]
async fn a_file_makes_a_schema_and_an_extension_in_it() {
    let report = Project::new(&[
        (
            "a.sql",
            "create schema tools; create extension pg_trgm with schema tools; \
             create table tools.t (id int primary key references app.later (id)); select tools.similarity('a', 'b')",
        ),
        ("b.sql", "create schema app; create table app.later (id int primary key)"),
    ])
    .audit(None)
    .await;
    report.is(&[]);
    assert_eq!(report.order(), ["b.sql", "a.sql"]);
    let again = [("1.sql", "create schema a; create extension pg_trgm schema a; create schema a")];
    let report = Project::new(&again).audit(None).await;
    report.is(&[("file_never_ran", "1.sql")]);
}

/// A server of a test's own, with an empty database for the shadow.
struct Given {
    server: Server,
    root: Admin,
}

impl Given {
    async fn start() -> Self {
        let server = Server::start(&[]).await;
        let root = Admin(server.connect(SUPERUSER, "postgres").await);
        root.run("create database shadow").await;
        Self { server, root }
    }

    /// An audit of the files there.
    fn command(&self, project: &Project) -> Command {
        let mut command = provisioner("");
        command.args(["audit", "--no-database", "--format", "json"]);
        command.args(["--shadow", &self.server.url(SUPERUSER, "shadow"), "--migrations"]);
        command.arg(project.path());
        command
    }

    async fn audit(&self, files: &[(&str, &str)]) -> Output {
        finish(&mut self.command(&Project::new(files))).await
    }

    /// What audits have left: databases, and roles with what they may.
    async fn left(&self) -> Vec<String> {
        let sql = "select datname::text from pg_database where datname ~ '^agent_provisioner_audit' \
                   union all select concat_ws(' ', 'role', rolcanlogin, rolcreatedb, rolcreaterole, rolreplication, \
                       rolbypassrls, (select count(*) from pg_auth_members m where m.member = r.oid)) \
                   from pg_roles r where rolname ~ '^agent_provisioner_audit' order by 1";
        self.root.rows(sql).await
    }
}

/// The files would run in the database that they are compared with.
#[tokio::test]
async fn the_database_itself_is_no_shadow() {
    let db = Database::empty().await;
    let project = Project::new(&CLEAN);
    let mut command = provisioner(&db.url(ADMIN));
    command.args(["audit", "--shadow", &db.url(SUPERUSER), "--migrations"]).arg(project.path());
    expect(&finish(&mut command).await, 2, &["--shadow", "audited"]);
}

#[tokio::test]
async fn a_locked_table_is_named_with_whoever_has_locked_it() {
    let db = Project::database(&CLEAN).await;
    let holder = db.admin().await;
    let pid: i32 = holder.one("select pg_backend_pid()").await;
    holder.run("begin; lock table orders in access exclusive mode").await;
    let output = Project::new(&CLEAN).run(Some(&db), &[]).await;
    expect(&output, 2, &["public.orders", &pid.to_string()]);
}

/// As a dump of a project of Supabase has it: the files run as another role here.
#[tokio::test]
async fn what_belongs_to_the_role_of_the_platform_runs_on_a_shadow_that_is_given() {
    let given = Given::start().await;
    let sql = "create table public.t (id int primary key); alter table public.t owner to \"postgres\"; \
               alter table public.t enable row level security; create policy p on public.t using (id > 1); \
               alter default privileges for role postgres in schema public grant all on tables to anon;";
    let report = Report::of(&given.audit(&[("1.sql", sql)]).await);
    report.is(&[]);
    assert_eq!(report.order(), ["1.sql"]);
}

#[tokio::test]
async fn a_role_that_cannot_be_dropped_has_no_power_left_and_is_told() {
    let given = Given::start().await;
    let clean = given.audit(&CLEAN).await;
    expect(&clean, 0, &[]);
    assert_eq!(given.left().await, [""; 0]);
    let files =
        [("1.sql", "create database leaked"), ("2.sql", "grant pg_read_all_data to current_user")];
    let output = given.audit(&files).await;
    let report = Report::of(&output);
    assert!(
        unchecked(&report, "database leaked")
            && unchecked(&report, "role agent_provisioner_audit_"),
        "{:#}",
        report.0
    );
    assert_eq!(given.left().await, ["role f f f f f 0"]);
}

/// Those of the database's server are made on the shadow; but one of an audit that runs there is soon gone.
#[tokio::test]
async fn the_role_of_another_audit_is_not_made_on_the_shadow() {
    let (given, db) = (Given::start().await, Project::database(&CLEAN).await);
    let (project, root) = (Project::new(&CLEAN), db.connect(SUPERUSER).await);
    root.batch_execute("create role agent_provisioner_audit_of_another").await.unwrap();
    let mut command = provisioner(&db.url(ADMIN));
    command.args(["audit", "--format", "json", "--migrations"]).arg(project.path());
    command.args(["--shadow", &given.server.url(SUPERUSER, "shadow")]);
    let output = finish(&mut command).await;
    root.batch_execute("drop role agent_provisioner_audit_of_another").await.unwrap();
    Report::of(&output).is(&[]);
    assert_eq!(given.left().await, [""; 0]);
}

#[tokio::test]
async fn what_files_have_done_beside_their_database_holds_nothing_up() {
    let given = Given::start().await;
    let (_, port) = given.server.place();
    // Something of the role's in the database that was given, and a copy that cannot be dropped as it is. Before
    // PostgreSQL 16 a role that may replicate cannot change its password.
    let prepare = "create schema links;
        do $$ begin
            execute format('alter database %I is_template true', current_database());
            alter role current_user password 'x';
        exception when insufficient_privilege then
            execute format('alter database %I is_template true', current_database());
            create role helper login password 'x';
            execute format('grant %I to helper', current_user);
        end $$";
    let sql = format!(
        "create extension dblink with schema links;
         do $$ begin
             perform links.dblink_connect('elsewhere', format(
                 'host=127.0.0.1 port={port} dbname=shadow password=x user=%I',
                 coalesce((select rolname from pg_roles where rolname = 'helper'), current_user)));
             perform links.dblink_exec('elsewhere', format(
                 'set role %I; do $d$ begin perform lo_create(0); end $d$', current_user));
         end $$"
    );
    let files = [("1.sql", prepare), ("2.sql", sql.as_str())];
    let output = given.audit(&files).await;
    let report = Report::of(&output);
    report.is(&[]);
    assert!(!unchecked(&report, "stays on the server"), "{:#}", report.0);
    assert_eq!(given.left().await, [""; 0]);
    let shadow = Admin(given.server.connect(SUPERUSER, "shadow").await);
    assert_eq!(shadow.one::<i64>("select count(*) from pg_largeobject_metadata").await, 0);
}

#[tokio::test]
async fn a_signal_ends_an_audit_and_leaves_nothing() {
    let given = Given::start().await;
    let project = Project::new(&[("1.sql", "set statement_timeout = 0; select pg_sleep(1e9)")]);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut command = given.command(&project);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let child = Mutex::new(child);
        let sleeps = "select exists (select from pg_stat_activity \
                      where query like '%pg_sleep(1e9)' and state = 'active' and pid <> pg_backend_pid())";
        given.root.holds(sleeps).await;
        assert_eq!(given.left().await.len(), 3, "{:?}", given.left().await);
        let pid = child.lock().unwrap().id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", signal, &pid]).status();
        assert!(sent.unwrap().success());
        let ended = || async { child.lock().unwrap().try_wait().unwrap() };
        assert_eq!(until("the audit to end", ended).await.code(), Some(code));
        assert_eq!(given.left().await, [""; 0]);
    }
}

/// The database is of one major release, and the throwaway server of another, which writes definitions its own way.
#[tokio::test]
async fn a_shadow_of_another_release_makes_no_difference() {
    let files = [CLEAN[0], CLEAN[1], ("0003_rich.sql", include_str!("rich.sql"))];
    let db = Project::database(&files).await;
    let admin = db.admin().await;
    let Some(programs) = other_release(&admin).await.filter(|_| have(&["psql"])) else { return };
    let project = Project::new(&files);
    let fix = project.path().join("fix.out");
    let audit = async || {
        let mut command = provisioner(&db.url(ADMIN));
        command.env("PG_BIN_DIR", &programs).args(["audit", "--format", "json", "--fix"]).arg(&fix);
        Report::of(&finish(command.arg("--migrations").arg(project.path())).await)
    };
    let report = audit().await;
    report.is(&[]);
    assert!(unchecked(&report, "write differently"), "{:#}", report.0);
    admin.run("drop policy \"Own orders\" on orders; alter table orders drop column note").await;
    audit().await.is(&[
        ("missing_column", "public.orders.note"),
        ("missing_policy", "\"Own orders\" on public.orders"),
    ]);
    let mut psql = Command::new("psql");
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&fix).arg(db.url(ADMIN));
    expect(&finish(&mut psql).await, 0, &[]);
    audit().await.is(&[]);
}

/// With a limit that a test can wait for.
async fn limited(files: &[(&str, &str)]) -> audit::Report {
    let (project, shadow) = (Project::new(files), Database::empty().await);
    let project = audit::Project {
        migrations: vec![project.path().to_owned()],
        shadow: Some(shadow.url(SUPERUSER).into()),
        file_limit: Some(Duration::from_secs(8)),
        ..audit::Project::default()
    };
    audit::audit(&project, None, &CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn a_file_that_does_not_end_is_ended() {
    let table = "create table public.a (id int primary key); alter table public.a enable row level security; \
                 create policy own on public.a for select using (id > 0);";
    let report = limited(&[
        (
            "1_sleeps.sql",
            "set statement_timeout = 0; create table public.gone (); select pg_sleep(1e9)",
        ),
        ("2_ends.sql", "select pg_terminate_backend(pg_backend_pid())"),
        ("3_table.sql", table),
        (
            "3_table.down.sql",
            "drop table public.a; set statement_timeout = 0; select pg_sleep(1e9)",
        ),
    ])
    .await;
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let mut found: Vec<_> = report.findings.iter().map(|it| (it.kind, name(&it.object))).collect();
    found.sort();
    let never = |file: &str| ("file_never_ran", file.to_owned());
    assert_eq!(found, [never("1_sleeps.sql"), never("2_ends.sql")]);
    let order: Vec<_> = report.order.iter().map(|path| name(path)).collect();
    assert_eq!(order, ["3_table.sql"]);
    let told = report
        .unchecked
        .iter()
        .any(|it| it.contains("3_table.down.sql") && it.contains("8 seconds"));
    assert!(told, "{:?}", report.unchecked);
}
