//! A database against what the files make.

use std::fs;

use agent_provisioner::dev_server::SUPERUSER;
use agent_provisioner::sql_text::split;

use super::project::{CLEAN, Project, Report};
use crate::support::{ADMIN, Database, expect, finish, provisioner, said};

/// What an audit of the clean project says of a database in which somebody ran this.
async fn planted(sql: &str) -> Report {
    let db = Project::database(&CLEAN).await;
    db.connect(ADMIN).await.batch_execute(sql).await.unwrap();
    Project::new(&CLEAN).audit(Some(&db)).await
}

#[tokio::test]
async fn a_clean_project_gives_no_finding() {
    let db = Project::database(&CLEAN).await;
    let project = Project::new(&CLEAN);
    let output = project.run(Some(&db), &["--fail-on", "warning"]).await;
    expect(&output, 0, &[]);
    let report = Report::of(&output);
    report.is(&[]);
    assert_eq!(report.order(), ["0001_profiles.sql", "0002_orders.sql"]);
    for (component, object) in [
        ("table", "public.orders"),
        ("column", "public.orders.note"),
        ("constraint", "orders_owner_fkey on public.orders"),
        ("index", "public.orders_note_idx"),
        ("policy", "\"Own orders\" on public.orders"),
        ("row security", "public.orders"),
        ("trigger", "touch on public.orders"),
        ("function", "public.touch()"),
        ("view", "public.totals"),
        ("type", "public.job_role"),
        ("grant", "public.orders to authenticated"),
        ("publication", "public.orders in supabase_realtime"),
    ] {
        assert_eq!(report.status(component, object), "synced", "{component} {object}");
    }
}

#[tokio::test]
async fn a_project_without_files_or_tables_gives_no_finding() {
    let report = Project::new(&[("empty.sql", "-- nothing yet\n")]);
    let db = Project::empty_database().await;
    report.audit(Some(&db)).await.is(&[]);
    report.audit(None).await.is(&[]);
}

#[tokio::test]
async fn what_is_missing_gives_one_finding() {
    for (sql, kind, object) in [
        (
            "drop policy \"Own orders\" on orders",
            "missing_policy",
            "\"Own orders\" on public.orders",
        ),
        ("alter table orders drop column note", "missing_column", "public.orders.note"),
        ("alter table orders drop column owner cascade", "missing_column", "public.orders.owner"),
        ("drop index orders_note_idx", "missing_index", "public.orders_note_idx"),
        ("drop table orders cascade", "missing_table", "public.orders"),
        ("drop view totals", "missing_view", "public.totals"),
        ("drop trigger touch on orders", "missing_trigger", "touch on public.orders"),
        ("drop function touch() cascade", "missing_function", "public.touch()"),
        ("drop function is_admin() cascade", "missing_function", "public.is_admin()"),
        ("alter table orders disable row level security", "missing_row_security", "public.orders"),
        (
            "alter table orders drop constraint orders_total_check",
            "missing_constraint",
            "orders_total_check on public.orders",
        ),
        (
            "revoke all on orders from authenticated",
            "missing_grant",
            "public.orders to authenticated",
        ),
        (
            "alter publication supabase_realtime drop table orders",
            "missing_publication",
            "public.orders in supabase_realtime",
        ),
        ("drop type job_role cascade", "missing_type", "public.job_role"),
        ("drop publication supabase_realtime", "missing_publication", "supabase_realtime"),
        ("drop extension pgcrypto", "missing_extension", "pgcrypto"),
        ("comment on table orders is null", "missing_comment", "table public.orders"),
    ] {
        let report = planted(sql).await;
        assert_eq!(report.found(), [(kind.to_owned(), object.to_owned())], "{sql}\n{:#}", report.0);
    }
}

/// What somebody ran in the database, and the finding that comes of it.
const EXTRA_OR_DIFFERENT: &[(&str, &str, &str)] = &[
    (
        "create table extra (id int primary key); alter table extra enable row level security",
        "extra_table",
        "public.extra",
    ),
    (
        "alter table orders add column more text default 'x'; create index more_idx on orders (more)",
        "extra_column",
        "public.orders.more",
    ),
    (
        "create policy everyone on orders for select to anon using (true)",
        "extra_policy",
        "everyone on public.orders",
    ),
    (
        "create function f(a int) returns int language sql as 'select 1'",
        "extra_function",
        "public.f(integer)",
    ),
    ("create view v as select 1 as a", "extra_view", "public.v"),
    ("create schema app; create table app.t ()", "extra_schema", "app"),
    ("grant select on orders to anon", "extra_grant", "public.orders to anon"),
    ("alter table orders alter column note set not null", "different_column", "public.orders.note"),
    (
        "alter table orders alter column note set default 'x'",
        "different_column",
        "public.orders.note",
    ),
    (
        "alter table orders alter column note type varchar(9)",
        "different_column",
        "public.orders.note",
    ),
    (
        "alter policy \"Own profile\" on profiles using (true)",
        "different_policy",
        "\"Own profile\" on public.profiles",
    ),
    ("alter function touch() security definer", "different_function", "public.touch()"),
    (
        "create or replace view totals with (security_invoker = true) as \
             select owner, max(total) as total from orders group by owner",
        "different_view",
        "public.totals",
    ),
    (
        "drop index orders_note_idx; create index orders_note_idx on orders (note desc)",
        "different_index",
        "public.orders_note_idx",
    ),
    ("alter table orders disable trigger touch", "different_trigger", "touch on public.orders"),
    ("alter type job_role add value 'boss'", "different_type", "public.job_role"),
    (
        "alter table orders drop constraint orders_owner_fkey; \
             alter table orders add constraint orders_owner_fkey foreign key (owner) references profiles",
        "different_constraint",
        "orders_owner_fkey on public.orders",
    ),
    (
        "revoke delete on orders from authenticated",
        "different_grant",
        "public.orders to authenticated",
    ),
];

#[tokio::test]
async fn what_is_extra_or_different_gives_one_finding() {
    for (sql, kind, object) in EXTRA_OR_DIFFERENT {
        let report = planted(sql).await;
        assert_eq!(
            report.found(),
            [((*kind).to_owned(), (*object).to_owned())],
            "{sql}\n{:#}",
            report.0
        );
        if let Some(component) = kind.strip_prefix("different_") {
            assert_eq!(report.status(component, object), "different", "{sql}");
        }
    }
}

/// A cause is told once, whatever else names what it is about.
#[tokio::test]
async fn what_comes_of_another_name_or_type_is_no_finding_of_its_own() {
    for (sql, kind, object) in [
        (
            "alter table orders rename column note to remark; comment on column orders.remark is 'x'",
            "missing_column",
            "public.orders.note",
        ),
        (
            "alter table orders rename column owner to buyer",
            "missing_column",
            "public.orders.owner",
        ),
        (
            "alter table profiles alter role drop default, alter role type text; drop type job_role",
            "missing_type",
            "public.job_role",
        ),
        ("drop view totals cascade; drop table orders cascade", "missing_table", "public.orders"),
        ("alter table orders rename to sales", "missing_table", "public.orders"),
        (
            "alter table orders rename constraint orders_owner_fkey to other_fkey",
            "missing_constraint",
            "orders_owner_fkey on public.orders",
        ),
        (
            "alter index orders_note_idx rename to other_idx",
            "missing_index",
            "public.orders_note_idx",
        ),
        ("alter function touch() rename to touched", "missing_function", "public.touch()"),
        ("alter table profiles rename to people", "missing_table", "public.profiles"),
    ] {
        let db = Project::database(&CLEAN).await;
        let admin = db.admin().await;
        admin.run(sql).await;
        let project = Project::new(&CLEAN);
        let report = project.audit(Some(&db)).await;
        report.is(&[(kind, object)]);
        // The statement that a person finds there gives the name back.
        if sql.contains(" rename ") {
            let fix = report.text(kind, "fix");
            let statements = fix.lines().filter_map(|line| line.strip_prefix("-- alter "));
            let statements: Vec<_> = statements.map(|rest| format!("alter {rest}")).collect();
            assert!(!statements.is_empty(), "{fix}");
            admin.run(&statements.join(" ")).await;
            admin.run("comment on column orders.note is null").await;
            project.audit(Some(&db)).await.is(&[]);
        }
    }
}

/// Something that other things belong to in ways that the clean project has not.
const HELD: (&str, &str) = (
    "0003_held.sql",
    "create table public.held (
         id bigint generated always as identity, note text, at date, kind int,
         constraint held_key unique (note) with (fillfactor = 70)
     );
     comment on sequence public.held_id_seq is 'Numbers.';
     comment on column public.held.note is 'A note.';
     grant select (note) on public.held to anon;
     create unique index held_kind_idx on public.held (kind);
     alter table public.held cluster on held_kind_idx;
     alter table public.held alter column kind set not null, replica identity using index held_kind_idx;
     create table public.refers (kind int references public.held (kind));
     create index on public.refers (kind);
     create table public.logs (id int not null, at date not null, kind text, note text, primary key (id, at),
         owner uuid references public.profiles (id)) partition by range (at);
     create index logs_owner_idx on public.logs (owner);
     create unique index logs_kind_idx on public.logs (kind, at);
     create table public.logs_2024 partition of public.logs for values from ('2024-01-01') to ('2025-01-01');
     create table public.logs_2025 partition of public.logs for values from ('2025-01-01') to ('2026-01-01');
     create table public.logs_2026 (like public.logs including all,
         constraint logs_2026_owner_fkey foreign key (owner) references public.profiles (id));
     create trigger touch before update on public.logs for each row execute function public.touch();
     do $$ declare t text; begin
         foreach t in array array['held', 'refers', 'logs', 'logs_2024', 'logs_2025', 'logs_2026'] loop
             execute format('alter table public.%I enable row level security', t);
             execute format('create policy p on public.%I for select to authenticated using (kind is not null)', t);
         end loop;
     end $$;",
);

/// What belongs to something goes with it, and so does what a partition has of its parent. The fix leads back.
#[tokio::test]
async fn what_goes_with_something_is_no_finding_of_its_own() {
    let files = [CLEAN[0], CLEAN[1], HELD];
    for (sql, kind, object) in [
        ("alter table held drop column id", "missing_column", "public.held.id"),
        ("alter table held drop column note", "missing_column", "public.held.note"),
        (
            "alter table refers alter column kind set not null, alter column kind add generated always as identity",
            "different_column",
            "public.refers.kind",
        ),
        (
            "alter table held drop constraint held_key",
            "missing_constraint",
            "held_key on public.held",
        ),
        ("drop index held_kind_idx cascade", "missing_index", "public.held_kind_idx"),
        ("alter table logs detach partition logs_2024", "different_table", "public.logs_2024"),
        (
            "alter table logs attach partition logs_2026 for values from ('2026-01-01') to ('2027-01-01')",
            "different_table",
            "public.logs_2026",
        ),
        ("drop table logs_2024", "missing_table", "public.logs_2024"),
        ("drop table logs", "missing_table", "public.logs"),
    ] {
        let db = Project::database(&files).await;
        let admin = db.admin().await;
        admin.run(sql).await;
        let project = Project::new(&files);
        let fix = project.path().join("fix.out");
        let report = Report::of(&project.run(Some(&db), &["--fix", fix.to_str().unwrap()]).await);
        assert_eq!(report.found(), [(kind.to_owned(), object.to_owned())], "{sql}\n{:#}", report.0);
        let text = fs::read_to_string(&fix).unwrap();
        for statement in split(&text) {
            admin.run(statement.text).await;
        }
        for statement in text.lines().filter_map(|line| line.strip_prefix("-- alter ")) {
            admin.run(&format!("alter {statement}")).await;
        }
        let again = project.audit(Some(&db)).await;
        assert_eq!(again.found(), [], "{sql}\n{text}\n{:#}", again.0);
    }
}

#[tokio::test]
async fn a_type_is_missing_from_the_file_that_makes_it() {
    let files = [
        ("1.sql", "create type public.mood as enum ('a')"),
        ("2.sql", "alter type public.mood add value 'b'"),
    ];
    let db = Project::empty_database().await;
    let report = Project::new(&files).audit(Some(&db)).await;
    report.is(&[("missing_type", "public.mood")]);
    assert!(report.text("missing_type", "file").ends_with("1.sql"));
}

#[tokio::test]
async fn a_table_that_was_moved_and_renamed_is_led_back() {
    let db = Project::database(&CLEAN).await;
    let admin = db.admin().await;
    admin.run("create schema \"Old\"; alter table orders rename to \"Or.ders\"").await;
    admin.run("alter table \"Or.ders\" set schema \"Old\"").await;
    let project = Project::new(&CLEAN);
    let report = project.audit(Some(&db)).await;
    report.is(&[("extra_schema", "\"Old\""), ("missing_table", "public.orders")]);
    let fix = report.text("missing_table", "fix");
    let statements: Vec<_> = fix.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
    let statements: Vec<_> = statements.into_iter().filter(|it| it.starts_with("alter")).collect();
    assert_eq!(statements.len(), 2, "{fix}");
    admin.run(&statements.join(" ")).await;
    admin.run("drop schema \"Old\"").await;
    project.audit(Some(&db)).await.is(&[]);
}

#[tokio::test]
async fn views_are_compared_with_their_defaults_rules_and_comments() {
    let more = "create view public.names as select id, note from public.orders;
        alter view public.names alter column note set default 'x';
        create rule put as on insert to public.names do instead nothing;
        comment on view public.names is 'Names.';";
    let files = [CLEAN[0], CLEAN[1], ("0003_names.sql", more)];
    let project = Project::new(&files);
    for (sql, kind, object) in [
        ("select 1", "", ""),
        ("alter view names alter column note drop default", "missing_column", "public.names.note"),
        ("drop rule put on names", "missing_rule", "put on public.names"),
        ("comment on view names is null", "missing_comment", "view public.names"),
        ("drop view names", "missing_view", "public.names"),
    ] {
        let db = Project::database(&files).await;
        let admin = db.admin().await;
        admin.run(sql).await;
        let report = project.audit(Some(&db)).await;
        if kind.is_empty() {
            report.is(&[]);
        } else {
            report.is(&[(kind, object)]);
            admin.run(&report.text(kind, "fix")).await;
            project.audit(Some(&db)).await.is(&[]);
        }
    }
}

/// What a superuser alone can do, or an extension that is not here, hides nothing of the rest of a file.
#[tokio::test]
async fn what_takes_a_superuser_s_rights_is_left_out_and_told() {
    let sql = "create extension if not exists vector with schema extensions;
        select vault.create_secret('x', 'name', 'what for');
        alter database postgres set app.kind = 'x';
        create function public.on_ddl() returns event_trigger language plpgsql as $$ begin end $$;
        create event trigger on_ddl on ddl_command_end execute function public.on_ddl();
        create foreign data wrapper far;
        create server far foreign data wrapper far;
        create table public.docs (id int primary key, embedding extensions.vector(3));
        create index docs_hnsw on public.docs using hnsw (embedding vector_cosine_ops);
        alter table public.docs enable row level security;
        create policy own on public.docs using (embedding <-> '[1,2,3]' < 1);";
    let report = Project::new(&[("1.sql", sql)]).audit(None).await;
    report.is(&[]);
    assert_eq!(report.status("table", "public.docs"), "");
    assert_eq!(report.order(), ["1.sql"]);
    let unchecked: Vec<_> =
        report.list("unchecked").iter().map(|it| it.as_str().unwrap()).collect();
    assert!(unchecked.iter().any(|it| it.contains("extension vector")), "{unchecked:?}");
    for line in [3, 5, 6, 7] {
        let place = format!("1.sql:{line}: left out");
        assert!(unchecked.iter().any(|it| it.contains(&place)), "{line}: {unchecked:?}");
    }
}

/// Grants that come by themselves differ nowhere, whenever and wherever the defaults were set.
#[tokio::test]
async fn default_privileges_make_no_difference() {
    let table = |name: &str| {
        format!(
            "create table {name} (id int primary key); alter table {name} enable row level security; \
             create policy p on {name} for select using (id > 1);"
        )
    };
    let (one, two) = (table("public.one"), table("public.two"));
    let app = format!("create schema app; grant usage on schema app to anon; {}", table("app.t"));
    let function = "create function public.f() returns int language sql as 'select 1';";
    let (public, anon) = (
        "alter default privileges revoke execute on functions from public;",
        "alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;",
    );
    let in_app = "create schema app; alter default privileges in schema app grant select on tables to anon; \
                  grant usage on schema app to anon;";
    let files_change = format!("{one} {anon} {two}");
    let app_by_hand = format!("{in_app} {}", table("app.t"));
    for (files, database) in [
        // Somebody has set them by hand, before the files ran.
        ([one.as_str(), function], format!("{public} {anon} {one} {function}")),
        ([one.as_str(), app.as_str()], format!("{one} {app_by_hand}")),
        // The files themselves set them, after the first table.
        ([files_change.as_str(), function], format!("{files_change} {function}")),
    ] {
        let db = Project::database(&[("database", database.as_str())]).await;
        let project = Project::new(&[("1.sql", files[0]), ("2.sql", files[1])]);
        project.audit(Some(&db)).await.is(&[]);
    }
    // Somebody has changed them after the files ran.
    let files = [("1.sql", one.as_str()), ("2.sql", two.as_str())];
    let db = Project::database(&files).await;
    db.admin().await.run(anon).await;
    Project::new(&files).audit(Some(&db)).await.is(&[]);
    // What is granted beside them is told.
    let db = Project::database(&[("database", &files_change)]).await;
    db.admin().await.run("grant select on public.two to anon").await;
    let project = Project::new(&[("1.sql", &files_change)]);
    project.audit(Some(&db)).await.is(&[("extra_grant", "public.two to anon")]);
}

#[tokio::test]
async fn the_records_of_other_tools_are_not_the_project_s() {
    let db = Project::database(&CLEAN).await;
    let admin = db.admin().await;
    admin
        .run(
            "create table schema_migrations (version text primary key); \
             create table _prisma_migrations (id text primary key, n serial); \
             create table goose_db_version (id serial primary key, version_id bigint not null); \
             alter table goose_db_version enable row level security; \
             revoke all on _prisma_migrations from anon, authenticated; \
             create schema drizzle; create table drizzle.__drizzle_migrations (id serial primary key, hash text)",
        )
        .await;
    let sql = "create publication supabase_realtime_messages_publication";
    db.connect(SUPERUSER).await.batch_execute(sql).await.unwrap();
    let report = Project::new(&CLEAN).audit(Some(&db)).await;
    report.is(&[("table_without_row_security", "public.schema_migrations")]);
    assert_eq!(report.text("table_without_row_security", "severity"), "warning");
    assert!(!report.text("table_without_row_security", "fix").contains("drop"));
    // What files make is theirs.
    let made = [(
        "1.sql",
        "create table schema_migrations (version text primary key); alter table schema_migrations enable row level security; create policy p on schema_migrations for select using (version > 'a')",
    )];
    let db = Project::empty_database().await;
    Project::new(&made).audit(Some(&db)).await.is(&[("missing_table", "public.schema_migrations")]);
}

/// No file makes it, and whoever has the public key may use it.
#[tokio::test]
async fn a_table_of_the_database_alone_that_is_open_is_an_error() {
    for (more, severity) in [
        ("", "error"),
        ("alter table extra enable row level security", "warning"),
        ("revoke all on extra from anon, authenticated", "warning"),
    ] {
        let report = planted(&format!("create table extra (id int primary key); {more}")).await;
        report.is(&[("extra_table", "public.extra")]);
        assert_eq!(report.list("findings")[0]["severity"], severity, "{more}");
    }
}

#[tokio::test]
async fn a_finding_says_where_and_how_and_a_table_is_partial() {
    let report = planted("drop policy \"Own orders\" on orders").await;
    assert!(report.text("missing_policy", "file").ends_with("/0002_orders.sql"));
    let line = CLEAN[1].1.lines().position(|line| line.contains("\"Own orders\"")).unwrap();
    assert_eq!(report.list("findings")[0]["line"], line + 1);
    assert_eq!(report.status("table", "public.orders"), "partial");
    assert_eq!(report.status("policy", "\"Own orders\" on public.orders"), "missing");
    assert_eq!(report.status("table", "public.profiles"), "synced");
    let id = report.text("missing_policy", "id");
    let again = planted("drop policy \"Own orders\" on orders").await;
    assert_eq!(again.text("missing_policy", "id"), id);
    assert_eq!(id.len(), 10);
}

#[tokio::test]
async fn a_database_is_only_read() {
    let db = Project::database(&CLEAN).await;
    let admin = db.admin().await;
    let state = "select count(*) || ' ' || max(xmin::text::bigint) from (
                     select xmin from pg_class union all select xmin from pg_attribute
                     union all select xmin from pg_proc) w";
    let sql =
        "drop index orders_note_idx; alter database current set default_transaction_read_only = on";
    admin.run(&sql.replace("current", &db.name)).await;
    let before: String = admin.one(state).await;
    let report = Project::new(&CLEAN).audit(Some(&db)).await;
    report.is(&[("missing_index", "public.orders_note_idx")]);
    assert_eq!(admin.one::<String>(state).await, before);
}

/// A table that an audit looks into before it reads the catalog.
const AGENTS: (&str, &str) = (
    "0003_agents.sql",
    "create table public.agents (id int primary key, agent_prefix text);
     alter table public.agents enable row level security;
     create policy nobody on public.agents to authenticated using (id is null);",
);

/// An audit that waits for a lock while somebody changes the database says nothing of the change. One that waits too long gives
/// up, as it should, and is asked again.
#[tokio::test]
async fn a_database_is_read_as_it_is_at_one_moment() {
    let files = [CLEAN[0], CLEAN[1], AGENTS];
    let db = Project::database(&files).await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let project = Project::new(&files);
    project.audit(Some(&db)).await.is(&[]);
    let report = loop {
        holder.run("begin; lock table public.agents in access exclusive mode").await;
        let audit = project.run(Some(&db), &[]);
        let meanwhile = async {
            admin
                .holds("select count(*) = 1 from pg_locks where not granted and relation = 'public.agents'::regclass")
                .await;
            admin.run("drop index orders_note_idx; create table public.late (id int)").await;
            holder.run("rollback").await;
        };
        let (output, ()) = tokio::join!(audit, meanwhile);
        if !said(&output).contains("since these are locked") {
            break Report::of(&output);
        }
        admin.run("drop table public.late; create index orders_note_idx on orders (note)").await;
    };
    report.is(&[]);
    project
        .audit(Some(&db))
        .await
        .is(&[("extra_table", "public.late"), ("missing_index", "public.orders_note_idx")]);
}

/// The throwaway server, without a database of anybody's.
#[tokio::test]
async fn the_shadow_is_a_throwaway_server_where_none_is_given() {
    let project = Project::new(&CLEAN);
    let mut command = provisioner("");
    command
        .args(["audit", "--no-database", "--format", "json", "--migrations"])
        .arg(project.path());
    let output = finish(&mut command).await;
    expect(&output, 0, &[]);
    Report::of(&output).is(&[]);
}

#[tokio::test]
async fn what_a_file_that_never_ran_would_make_is_told_of_the_file_alone() {
    let planted = "create table public.later (id int primary key);\nalter table public.later enable row level security;\n\
                   create index later_idx on public.orders (note);\nselect gone from public.later;\n";
    let db = Project::database(&CLEAN).await;
    db.connect(ADMIN).await.batch_execute(planted.split("select").next().unwrap()).await.unwrap();
    let mut files = CLEAN.to_vec();
    files.push(("0003_later.sql", planted));
    let report = Project::new(&files).audit(Some(&db)).await;
    report.is(&[("file_never_ran", "0003_later.sql")]);
    assert_eq!(report.list("findings")[0]["line"], 4);
    assert_eq!(report.status("table", "public.later"), "extra");
}

#[tokio::test]
async fn agents_tables_are_compared_with_their_templates() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(service);
    let files = [("0001_more.sql", "alter table public.users add column nickname text;")];
    admin.run(files[0].1).await;
    let project = Project::new(&files);
    let report = project.audit(Some(&db)).await;
    report.is(&[]);
    let unchecked: Vec<_> =
        report.list("unchecked").iter().map(|it| it.as_str().unwrap()).collect();
    assert!(unchecked.iter().any(|text| text.contains("agents verify")), "{unchecked:?}");
    admin
        .run("drop index agt_a_orders_status_idx; alter table public.users drop column nickname")
        .await;
    project.audit(Some(&db)).await.is(&[
        ("agent_differs_from_templates", "agt_a index public.agt_a_orders_status_idx"),
        ("missing_column", "public.users.nickname"),
    ]);
}

#[tokio::test]
async fn a_baseline_does_not_hide_what_is_worse_by_now() {
    let db = Project::database(&CLEAN).await;
    let admin = db.connect(ADMIN).await;
    let project = Project::new(&CLEAN);
    let file = project.path().join("baseline.json");
    let file = file.to_str().unwrap();
    let policy = async |using: &str| {
        let sql = format!("alter policy \"Own profile\" on profiles using ({using})");
        admin.batch_execute(&sql).await.unwrap();
    };
    policy("id = auth.uid() or id is null").await;
    expect(&project.run(Some(&db), &["--write-baseline", file]).await, 0, &[]);
    let again = project.run(Some(&db), &["--baseline", file]).await;
    expect(&again, 0, &[]);
    Report::of(&again).is(&[]);
    policy("true").await;
    let worse = project.run(Some(&db), &["--baseline", file]).await;
    expect(&worse, 1, &[]);
    Report::of(&worse).is(&[("different_policy", "\"Own profile\" on public.profiles")]);
}

#[tokio::test]
async fn an_extension_that_nothing_uses_is_not_listed() {
    let db = Project::empty_database().await;
    let sql = "select from pg_available_extensions where name = 'pg_cron'";
    let is_there = !db.connect(ADMIN).await.query(sql, &[]).await.unwrap().is_empty();
    for (more, is_used) in [("", false), ("select cron.schedule('* * * * *', 'select 1');", true)] {
        let file = format!("create extension if not exists pg_cron; -- pg_cron\n{more}");
        let report = Project::new(&[("0001.sql", &file)]).audit(None).await;
        let unchecked = report.list("unchecked").iter();
        let listed = unchecked.filter(|it| it.as_str().unwrap().contains("pg_cron")).count();
        assert_eq!(listed, usize::from(is_used && !is_there), "{:#}", report.0);
    }
}
