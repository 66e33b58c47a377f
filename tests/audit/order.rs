//! In which order files run, and what their names and repetitions tell.

use std::fmt::Write as _;

use agent_provisioner::dev_server::SUPERUSER;

use super::project::{CLEAN, Project, Report};
use crate::support::{ADMIN, Database, expect};

async fn files(files: &[(&str, &str)]) -> Report {
    Project::new(files).audit(None).await
}

/// A table that nothing complains about.
fn table(name: &str, refers_to: &str) -> String {
    let mut sql = format!("create table public.{name} (id integer primary key");
    if !refers_to.is_empty() {
        write!(sql, ", other integer references public.{refers_to} (id)").unwrap();
    }
    write!(
        sql,
        ");\nalter table public.{name} enable row level security;\n\
         create policy own on public.{name} for select using (id > 0);\n"
    )
    .unwrap();
    if !refers_to.is_empty() {
        writeln!(sql, "create index on public.{name} (other);").unwrap();
    }
    sql
}

#[tokio::test]
async fn sixty_files_without_numbers_find_their_order() {
    // Each needs the one before it, and their names say nothing of that.
    let name = |number: usize| format!("t{}", number * 37 % 60);
    let texts: Vec<(String, String)> = (0..60)
        .map(|number: usize| {
            let before = number.checked_sub(1).map(name).unwrap_or_default();
            (format!("{}.sql", name(number)), table(&name(number), &before))
        })
        .collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let report = files(&texts).await;
    report.is(&[]);
    let expected: Vec<String> = (0..60).map(|number| format!("{}.sql", name(number))).collect();
    let order = report.order();
    assert_eq!(order.len(), 60);
    let place = |file: &String| order.iter().position(|it| it == file).unwrap();
    assert!(expected.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])), "{order:?}");
}

/// Roles belong to the server, and outlive the database in which the files ran first.
#[tokio::test]
async fn a_role_that_a_file_makes_is_made_in_each_run() {
    let first = format!("create role svc_audited;\n{}", table("one", "two"));
    let report = files(&[("a.sql", &first), ("b.sql", &table("two", ""))]).await;
    report.is(&[]);
    assert_eq!(report.order(), ["b.sql", "a.sql"]);
}

#[tokio::test]
async fn a_file_that_never_runs_is_named_with_its_line() {
    let broken = "create schema two;\n\ncreate type if not exists two.x as enum ('a');\n";
    let report = files(&[("0001_a.sql", "create schema one;"), ("0002_b.sql", broken)]).await;
    report.is(&[("file_never_ran", "0002_b.sql")]);
    assert_eq!(report.list("findings")[0]["line"], 3);
    assert!(report.text("file_never_ran", "message").contains("syntax error"));
    assert_eq!(report.order(), ["0001_a.sql"]);

    // Where the server names no place, the statement is found.
    let broken = "create schema two;\n\ncreate schema one;\n";
    let report = files(&[("0001_a.sql", "create schema one;"), ("0002_b.sql", broken)]).await;
    report.is(&[("file_never_ran", "0002_b.sql")]);
    assert_eq!(report.list("findings")[0]["line"], 3);
}

#[tokio::test]
async fn a_key_to_users_where_none_are_is_led_to_auth() {
    let sql = "create table app.t (id uuid references users (id));";
    let report = files(&[("0001_a.sql", "create schema app;"), ("0002_b.sql", sql)]).await;
    report.is(&[("file_never_ran", "0002_b.sql")]);
    let fix = report.text("file_never_ran", "fix");
    assert_eq!(fix, "create table app.t (id uuid references auth.users (id));");
}

#[tokio::test]
async fn a_file_that_runs_only_after_a_later_one_is_named() {
    let (one, two, three) = (table("one", "three"), table("two", "one"), table("three", ""));
    let report =
        files(&[("001_one.sql", &one), ("002_two.sql", &two), ("003_three.sql", &three)]).await;
    // The second waits for the first, and so is no fault of its own.
    report.is(&[("runs_after_later_file", "001_one.sql")]);
    assert!(report.text("runs_after_later_file", "message").contains("003_three.sql"));
    assert_eq!(report.order(), ["003_three.sql", "001_one.sql", "002_two.sql"]);
    files(&[("a.sql", &table("one", "two")), ("b.sql", &table("two", ""))]).await.is(&[]);
}

#[tokio::test]
async fn a_number_is_used_twice() {
    let report =
        files(&[("0001_a.sql", "create schema one;"), ("0001_b.sql", "create schema two;")]).await;
    let found = report.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "duplicate_number");
    // Each directory counts by itself.
    files(&[("a/0001_a.sql", "create schema one;"), ("b/0001_b.sql", "create schema two;")])
        .await
        .is(&[]);
}

#[tokio::test]
async fn a_name_that_begins_with_a_hash_has_no_number() {
    files(&[("9a9f9d_a.sql", "create schema one;"), ("9b0000_b.sql", "create schema two;")])
        .await
        .is(&[]);
}

#[tokio::test]
async fn commands_at_the_end_of_a_line_are_left_out() {
    let sql = "select 1 as a \\gset\nselect 'create schema never' \\gexec\ncreate schema one; \\echo it's done\n";
    let report = files(&[("1.sql", sql), ("2.sql", "create schema one;")]).await;
    report.is(&[("file_never_ran", "2.sql")]);
    assert_eq!(report.order(), ["1.sql"]);
}

#[tokio::test]
async fn two_files_that_make_one_object_are_both_shown() {
    let one = "create schema if not exists app;\n\
               create or replace function app.f() returns integer language sql as 'select 1';";
    let two = one.replace("select 1", "select 2");
    let numbered = files(&[("0001_a.sql", one), ("0002_b.sql", &two)]).await;
    numbered.is(&[("defined_twice", "function app.f()")]);
    assert_eq!(numbered.text("defined_twice", "severity"), "note");
    let report = files(&[("a.sql", one), ("b.sql", &two)]).await;
    report.is(&[("defined_twice", "function app.f()")]);
    assert_eq!(report.text("defined_twice", "severity"), "warning");
    let evidence = report.text("defined_twice", "evidence");
    assert!(evidence.contains("select 1") && evidence.contains("select 2"), "{evidence}");
    assert!(report.text("defined_twice", "file").ends_with("b.sql"));
    // The same words decide nothing.
    files(&[("a.sql", one), ("b.sql", &one.to_uppercase().replace("'SELECT 1'", "'select 1'"))])
        .await
        .is(&[]);
    // What is there already is left as it is.
    let one = "create schema app; create table app.t (a int, b int); create index i on app.t (a);";
    let report =
        files(&[("a.sql", one), ("b.sql", "create index if not exists i on app.t (b);")]).await;
    report.is(&[("defined_twice", "index app.i")]);
    assert!(report.text("defined_twice", "message").contains("a.sql holds"), "{:#}", report.0);
}

#[tokio::test]
async fn a_rollback_file_has_to_lead_back() {
    let up = "create schema app; create table app.t (id integer primary key, note text);";
    let more = "alter table app.t add column more integer; create index more_idx on app.t (note);";
    let good = [
        ("0001_a.sql", up),
        ("0001_a.down.sql", "drop table app.t; drop schema app;"),
        ("0002_b.sql", more),
        (
            "0002_b.down.sql",
            "begin; drop index app.more_idx; alter table app.t drop column more; commit;",
        ),
    ];
    let report = files(&good).await;
    report.is(&[]);
    assert_eq!(report.order(), ["0001_a.sql", "0002_b.sql"]);
    let mut bad = good;
    bad[3].1 = "alter table app.t drop column more;";
    let report = files(&bad).await;
    report.is(&[("rollback_does_not_lead_back", "0002_b.down.sql")]);
    assert!(report.text("rollback_does_not_lead_back", "evidence").contains("app.more_idx"));
    bad[3].1 = "alter table app.t drop column gone;";
    files(&bad).await.is(&[("rollback_does_not_lead_back", "0002_b.down.sql")]);
}

#[tokio::test]
async fn what_no_transaction_allows_runs_outside_of_one() {
    let report = files(&[
        ("0001.sql", "create schema app; create table app.t (a int, b int); create type app.e as enum ('a');"),
        ("0002.sql", "create index concurrently t_a on app.t (a);\ncreate index concurrently t_b on app.t (b);"),
        ("0003.sql", "alter type app.e add value 'b'; alter table app.t add column e app.e default 'b';"),
        ("0004.sql", "begin; create table app.u (); commit;"),
    ])
    .await;
    report.is(&[]);
    assert_eq!(report.order(), ["0001.sql", "0002.sql", "0003.sql", "0004.sql"]);
}

#[tokio::test]
async fn what_the_platform_would_bring_has_stand_ins_and_is_told() {
    let report = files(&[(
        "0001.sql",
        "create extension if not exists pg_cron;\ncreate extension plv8;\ncreate schema app;\n\
         create table app.t (id uuid default extensions.uuid_generate_v4());\n\
         select cron.schedule('a', '* * * * *', 'select 1');\ngrant select on app.t to reporting;\n\
         insert into storage.buckets (id, name) values ('a', 'a');\n\
         create policy own on storage.objects for select using (auth.uid() = owner);",
    )])
    .await;
    report.is(&[]);
    let unchecked: Vec<_> =
        report.list("unchecked").iter().map(|it| it.as_str().unwrap()).collect();
    for name in ["pg_cron", "plv8", "reporting"] {
        assert!(unchecked.iter().any(|text| text.contains(name)), "{unchecked:?}");
    }
}

#[tokio::test]
async fn a_file_that_needs_an_extension_which_is_not_here_is_a_warning() {
    let needs = "create extension plv8;\ncreate table t (a plv8_thing);";
    let project = Project::new(&[("1.sql", needs), ("2.sql", "create extension plcoffee;")]);
    let output = project.run(None, &[]).await;
    expect(&output, 0, &[]);
    let report = Report::of(&output);
    report.is(&[("file_never_ran", "1.sql")]);
    assert_eq!(report.text("file_never_ran", "severity"), "warning");
    assert!(report.text("file_never_ran", "message").contains("plv8"));
    let unchecked = report.list("unchecked");
    for name in ["plv8", "plcoffee"] {
        assert!(unchecked.iter().any(|it| it.as_str().unwrap().contains(name)), "{unchecked:?}");
    }
    // What is no SQL is a fault whatever is missing.
    let project = Project::new(&[("1.sql", "create extension plv8;\ncreate tabel t ();")]);
    assert_eq!(project.audit(None).await.text("file_never_ran", "severity"), "error");
}

/// The clean project, and what a ledger as Supabase's says of it.
async fn recorded(rows: &str) -> Report {
    let db = Project::database(&CLEAN).await;
    let sql = format!(
        "create schema supabase_migrations; \
         create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text); \
         insert into supabase_migrations.schema_migrations (version, name, statements) values {rows}"
    );
    db.connect(ADMIN).await.batch_execute(&sql).await.unwrap();
    Project::new(&CLEAN).audit(Some(&db)).await
}

#[tokio::test]
async fn files_are_compared_with_what_was_recorded() {
    let quoted = CLEAN.map(|(_, text)| format!("array[$x${text}$x$]"));
    let [one, two] = &quoted;
    recorded(&format!("('0001', 'profiles', {one}), ('0002', 'orders', {two})")).await.is(&[]);
    recorded(&format!("('0001', 'profiles', {one})"))
        .await
        .is(&[("file_not_recorded", "0002_orders.sql")]);
    recorded(&format!(
        "('0001', 'profiles', {one}), ('0002', 'orders', {two}), ('0003', 'more', null)"
    ))
    .await
    .is(&[("recorded_without_file", "0003 more")]);
    let edited = two.replace("What was sold.", "Sales.");
    let report =
        recorded(&format!("('0001', 'profiles', {one}), ('0002', 'orders', {edited})")).await;
    report.is(&[("edited_after_applied", "0002_orders.sql")]);
    let line = CLEAN[1].1.lines().position(|line| line.contains("What was sold.")).unwrap();
    assert_eq!(report.list("findings")[0]["line"], line + 1);
}

#[tokio::test]
async fn the_recorded_order_goes_before_the_names() {
    // As they ran: the number of neither says so.
    let files = [
        ("b/0002_first.sql", "create schema app;"),
        ("a/0010_second.sql", "create table app.t ();"),
    ];
    let db = Project::database(&files).await;
    let sql = "create schema supabase_migrations; \
               create table supabase_migrations.schema_migrations (version text primary key); \
               insert into supabase_migrations.schema_migrations values ('0002'), ('0010')";
    db.connect(ADMIN).await.batch_execute(sql).await.unwrap();
    let report = Project::new(&files).audit(Some(&db)).await;
    report.is(&[]);
    assert_eq!(report.order(), ["0002_first.sql", "0010_second.sql"]);
}

#[tokio::test]
async fn a_shadow_that_is_not_empty_is_refused_and_stays_as_it_is() {
    let shadow = Database::empty().await;
    let project = Project::new(&CLEAN);
    let url = shadow.url(SUPERUSER);
    let run = || async {
        let mut command = crate::support::provisioner("");
        command
            .args(["audit", "--no-database", "--shadow", &url, "--migrations"])
            .arg(project.path());
        crate::support::finish(&mut command).await
    };
    expect(&run().await, 0, &[]);
    shadow.connect(SUPERUSER).await.batch_execute("create table public.mine ()").await.unwrap();
    let refused = run().await;
    expect(&refused, 2, &["public.mine"]);
    let password = shadow.server.password();
    assert!(!crate::support::said(&refused).contains(&password));
}

#[tokio::test]
async fn a_mark_before_the_text_is_no_part_of_it() {
    let good = format!("\u{feff}{}", table("a", ""));
    let report = files(&[("1.sql", &good), ("2.sql", "\u{feff}\n\nselect gone;")]).await;
    report.is(&[("file_never_ran", "2.sql")]);
    assert_eq!(report.list("findings")[0]["line"], 3);
}

/// Links, what is no file, and what nobody wrote.
#[tokio::test]
async fn what_cannot_be_read_is_not_waited_for() {
    let project = Project::new(&[("sub/1.sql", &table("a", ""))]);
    let path = |name: &str| project.path().join(name);
    for name in ["sub/a", "sub/b"] {
        std::os::unix::fs::symlink(".", path(name)).unwrap();
    }
    std::os::unix::fs::symlink(path("sub/1.sql"), path("2.sql")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(path("3.sql")).status().unwrap();
    assert!(pipe.success());
    std::fs::File::create(path("4.sql")).unwrap().set_len((32 << 20) + 1).unwrap();
    let report = project.audit(None).await;
    report.is(&[]);
    let order = report.order();
    assert!(order.len() == 1 && order[0].ends_with("1.sql"), "{order:?}");
    let mut told: Vec<_> = report.list("unchecked").iter().filter_map(|it| it.as_str()).collect();
    told.retain(|it| it.contains("not read"));
    let names = ["2.sql", "3.sql", "4.sql", "sub/a", "sub/b"];
    assert_eq!(told.len(), names.len(), "{told:?}");
    for (line, name) in told.iter().zip(names) {
        assert!(line.contains(&format!("{name}: ")), "{told:?}");
    }
}
