//! The file of `--fix` leads to a clean second audit.

use std::fs;
use std::path::Path;
use std::process::Command;

use agent_provisioner::sql_text::split;

use super::project::{CLEAN, Project, Report};
use crate::support::{ADMIN, Database, finish, have, said};

/// Runs a file of SQL as the head of a fix says.
async fn psql(file: &Path, db: &Database) {
    let mut psql = Command::new("psql");
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file).arg(db.url(ADMIN));
    let run = finish(&mut psql).await;
    assert!(run.status.success(), "{}\n{}", said(&run), fs::read_to_string(file).unwrap());
}

/// What a fix leaves to a person, without the marks of comments.
fn by_hand(fix: &str) -> String {
    let list = fix.split("\n-- These could lose something.").nth(1).unwrap_or_default();
    let of_item = |item: &str| {
        let reasons = item.lines().skip(1).filter(|line| !line.starts_with("-- why: "));
        reasons
            .map(|line| line.strip_prefix("-- ").unwrap_or(line).to_owned() + "\n")
            .collect::<String>()
    };
    list.split("\n\n").skip(1).map(of_item).collect()
}

/// Runs the file that an audit writes for a database in which this was run; what a second audit then finds, and the file.
async fn fixed(sql: &str) -> (Report, String, Database) {
    let db = Project::database(&CLEAN).await;
    let admin = db.admin().await;
    // Rows are kept, and have to be there for what is made again.
    admin.run("insert into public.orders (id, owner) select 7, id from public.profiles").await;
    admin.run(sql).await;
    let project = Project::new(&CLEAN);
    let file = project.path().join("fix.out");
    let first = project.run(Some(&db), &["--fix", file.to_str().unwrap()]).await;
    assert!(!Report::of(&first).found().is_empty(), "{sql}");
    psql(&file, &db).await;
    let text = fs::read_to_string(&file).unwrap();
    (project.audit(Some(&db)).await, text, db)
}

#[tokio::test]
async fn the_fix_leads_to_a_clean_second_audit() {
    if !have(&["psql"]) {
        return;
    }
    for sql in [
        "drop table orders cascade; drop function touch()",
        "drop table profiles cascade; drop type job_role cascade; drop function is_admin() cascade",
        "alter table orders drop column owner cascade; drop index orders_note_idx; \
         alter policy \"Own profile\" on profiles using (true); revoke delete on orders from authenticated; \
         alter table orders disable row level security, disable trigger touch",
        "alter table orders drop column id; alter table orders drop constraint orders_total_check; drop view totals; \
         create or replace function touch() returns trigger language plpgsql as 'begin return new; end'; \
         alter publication supabase_realtime drop table orders",
        "alter table orders drop constraint orders_owner_fkey, alter column owner drop not null; \
         drop trigger touch on orders; comment on table orders is null",
        "alter table orders alter column total drop default, alter column total set default 7",
        "create or replace trigger touch after insert on orders for each row execute function touch()",
        "create or replace view totals with (security_invoker = true) as \
         select owner, max(total) as total from orders group by owner",
        "drop publication supabase_realtime",
    ] {
        let (report, text, _) = fixed(sql).await;
        report.is(&[]);
        assert_eq!(by_hand(&text), "", "{sql}\n{text}");
    }
}

/// Nothing uses a new label in the transaction that adds it.
#[tokio::test]
async fn a_new_label_is_committed_before_it_is_used() {
    if !have(&["psql"]) {
        return;
    }
    let before = "create type public.mood as enum ('a');
        create table public.items (id int primary key, mood public.mood not null default 'a');
        alter table public.items enable row level security;
        create policy own on public.items for select using (id > 0);";
    let after = "alter type public.mood add value 'b';";
    let uses = "alter table public.items alter mood set default 'b';
        alter policy own on public.items using (mood = 'b');";
    let db = Project::database(&[("1.sql", before)]).await;
    let project = Project::new(&[("1.sql", before), ("2.sql", after), ("3.sql", uses)]);
    let file = project.path().join("fix.out");
    let first = Report::of(&project.run(Some(&db), &["--fix", file.to_str().unwrap()]).await);
    assert!(!first.found().is_empty());
    psql(&file, &db).await;
    project.audit(Some(&db)).await.is(&[]);
}

/// What somebody ran in the database, and the finding that only a person can end.
const LOSSES: &[(&str, &str, &str)] = &[
    ("create table extra (id int primary key)", "extra_table", "public.extra"),
    ("alter table orders add column more text", "extra_column", "public.orders.more"),
    (
        "alter table orders alter column note set default 'x'",
        "different_column",
        "public.orders.note",
    ),
    (
        "update orders set note = ''; alter table orders alter column note set not null",
        "different_column",
        "public.orders.note",
    ),
    (
        "drop index orders_note_idx; create index orders_note_idx on orders (note desc); \
             comment on index orders_note_idx is 'by hand'",
        "different_index",
        "public.orders_note_idx",
    ),
    (
        "create or replace view totals with (security_invoker = true) as \
             select owner, sum(total) as total, 1 as more from orders group by owner",
        "different_view",
        "public.totals",
    ),
    (
        "drop view totals; create materialized view totals as select owner, total from orders",
        "different_view",
        "public.totals",
    ),
    (
        "alter table orders drop constraint orders_total_check, \
             add constraint orders_total_check check (total > 1)",
        "different_constraint",
        "orders_total_check on public.orders",
    ),
    (
        "drop policy \"Own profile\" on profiles; create policy \"Own profile\" on profiles for all to authenticated \
             using ((select auth.uid()) = id)",
        "different_policy",
        "\"Own profile\" on public.profiles",
    ),
    ("alter table orders force row level security", "different_row_security", "public.orders"),
    ("grant select on orders to anon", "extra_grant", "public.orders to anon"),
];

/// What nobody has written down stays, until somebody runs what the fix leaves to a person.
#[tokio::test]
async fn what_could_lose_something_is_left_to_a_person() {
    if !have(&["psql"]) {
        return;
    }
    for &(sql, kind, object) in LOSSES {
        let (report, text, db) = fixed(sql).await;
        let left = (kind.to_owned(), object.to_owned());
        assert!(report.found().contains(&left), "{sql}\n{text}\n{:#}", report.0);
        assert!(text.contains("\n-- why: "), "{sql}\n{text}");
        let statements: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        let drops = |line: &&str| line.contains("drop ") || line.contains("revoke ");
        assert!(!statements.iter().any(drops), "{sql}\n{text}");
        let admin = db.admin().await;
        let statements = by_hand(&text);
        for statement in split(&statements) {
            admin.run(statement.text).await;
        }
        Project::new(&CLEAN).audit(Some(&db)).await.is(&[]);
    }
}

/// Its grants and its comment go with it, and come again.
#[tokio::test]
async fn a_function_with_another_result_is_left_to_a_person_with_its_grants() {
    let file = |result: &str, value: &str| {
        format!(
            "create schema app; create function app.f() returns {result} language sql as 'select {value}'; \
             revoke all on function app.f() from public; grant execute on function app.f() to authenticated;"
        )
    };
    let (is, should) = (file("text", "null::text"), file("int", "1"));
    let db = Project::database(&[("1.sql", &is)]).await;
    let files = [("1.sql", should.as_str())];
    let text = fix_of(&db, &files).await;
    let statements: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    assert!(statements.iter().all(|line| line.is_empty()), "{text}");
    db.admin().await.run(&by_hand(&text)).await;
    Project::new(&files).audit(Some(&db)).await.is(&[]);
}

/// What a file says that never ran may be what the database has.
#[tokio::test]
async fn the_fix_does_nothing_about_what_a_file_would_make_that_never_ran() {
    let later = "create table public.later (id int primary key); alter table public.later enable row level security;\n\
                 alter table public.orders add column more text; select gone;";
    let mut files = CLEAN.to_vec();
    files.push(("0003_later.sql", later));
    let db = Project::database(&CLEAN).await;
    db.admin().await.run(later.split("select").next().unwrap()).await;
    let text = fix_of(&db, &files).await;
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with("--")), "{text}");
    assert!(!text.contains("drop "), "{text}");
}

/// Two definitions of one table: what the one that is not deployed has otherwise is nobody's to run.
#[tokio::test]
async fn the_fix_leaves_the_losing_base_to_a_person() {
    let rest = "alter table public.people enable row level security; drop policy if exists p on public.people; \
                create policy p on public.people using (id > 1);";
    let base = |columns: &str| {
        format!("create table if not exists public.people (id int primary key{columns}); {rest}")
    };
    let (one, other) = (base(", name text default 'x'"), base(", name varchar(9), size int"));
    let db = Project::database(&[("deployed", other.as_str())]).await;
    // The order takes the directory `a` first, so what that makes is what the files make.
    let files = [("a/1.sql", one.as_str()), ("b/1.sql", other.as_str())];
    let project = Project::new(&files);
    let file = project.path().join("fix.out");
    let report = Report::of(&project.run(Some(&db), &["--fix", file.to_str().unwrap()]).await);
    report.is(&[("conflicting_base", "public.people")]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with("--")), "{text}");
    assert!(text.contains("why: Files define table public.people differently"), "{text}");
    // Where the other definition has no column more, there is nothing to add.
    let fix = report.text("conflicting_base", "fix");
    assert!(!fix.trim_end().ends_with(':'), "{fix}");
}

/// The copy of the schema lacks it, so nothing about it is proven.
#[tokio::test]
async fn what_cannot_be_made_again_is_named() {
    let db = Project::database(&CLEAN).await;
    let sql = "create type public.span as range (subtype = int); create table public.uses (s public.span); \
               create table public.secret (s public.span)";
    db.admin().await.run(sql).await;
    let project = Project::new(&CLEAN);
    let file = project.path().join("fix.out");
    let report = Report::of(&project.run(Some(&db), &["--fix", file.to_str().unwrap()]).await);
    report.is(&[("extra_table", "public.secret"), ("extra_table", "public.uses")]);
    let unchecked = report.list("unchecked").iter().map(|it| it.as_str().unwrap());
    let of_copy: Vec<&str> = unchecked.filter(|it| it.contains("the fix against table ")).collect();
    assert_eq!(of_copy.len(), 2, "{:#}", report.0);
    // What the server says of a table of that name is no secret.
    assert!(!of_copy.concat().contains("(masked"), "{of_copy:?}");
}

/// What the fix of a database says, in which the clean project and then this were run, against these files.
async fn fix_of(db: &Database, files: &[(&str, &str)]) -> String {
    let project = Project::new(files);
    let file = project.path().join("fix.out");
    Report::of(&project.run(Some(db), &["--fix", file.to_str().unwrap()]).await);
    fs::read_to_string(&file).unwrap()
}

/// A right is taken by a person only.
#[tokio::test]
async fn rights_are_given_and_not_taken() {
    let files = [
        CLEAN[0],
        CLEAN[1],
        (
            "0003_rights.sql",
            "revoke all on orders from authenticated; grant select, insert on orders to authenticated;",
        ),
    ];
    let db = Project::database(&CLEAN).await;
    let admin = db.admin().await;
    admin.run("revoke insert on orders from authenticated; grant delete on orders to authenticated with grant option").await;
    let text = fix_of(&db, &files).await;
    let (comments, statements): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("--"));
    let statements = statements.join("\n");
    assert!(!statements.contains("revoke"), "{text}");
    admin.run(&statements).await;
    let may = "select string_agg(r, ' ' order by r) from unnest(array['insert', 'delete', 'select']) r \
               where has_table_privilege('authenticated', 'public.orders', r)";
    assert_eq!(admin.one::<String>(may).await, "delete insert select");
    // Whoever reads it may do the rest.
    for line in comments.iter().filter_map(|line| line.strip_prefix("-- revoke ")) {
        admin.run(&format!("revoke {line}")).await;
    }
    Project::new(&files).audit(Some(&db)).await.is(&[]);
}

#[tokio::test]
async fn rows_in_the_way_are_found_by_the_query_beside_the_statement() {
    let once = "create unique index orders_once on orders (owner, lower(note) text_pattern_ops) where total > 0;";
    let files = [CLEAN[0], CLEAN[1], ("0003_once.sql", once)];
    let db = Project::database(&CLEAN).await;
    let admin = db.admin().await;
    admin
        .run(
            "alter table profiles drop constraint profiles_email_key;
             alter table orders drop constraint orders_total_check, drop constraint orders_owner_fkey;
             alter table orders alter column owner drop not null;
             insert into auth.users (id) select gen_random_uuid() from generate_series(1, 2);
             insert into profiles (id, email) select id, 'a' from auth.users;
             insert into orders (owner) values (null);
             insert into orders (owner, total) select id, -1 from profiles limit 1;
             insert into orders (owner) values (gen_random_uuid());
             insert into orders (owner, total, note) select min(id::text)::uuid, 1, n from auth.users, unnest(array['x', 'X']) n group by n",
        )
        .await;
    let text = fix_of(&db, &files).await;
    let queries: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("--   select ")).collect();
    assert_eq!(queries.len(), 5, "{text}");
    for query in queries {
        let found = admin.rows(&format!("select {query}")).await;
        assert_eq!(found.len(), 1, "{query}");
    }
}

/// A table that has rows: what they have no value for stays open, and all else is done.
#[tokio::test]
async fn rows_without_a_value_hold_up_nothing_else() {
    if !have(&["psql"]) {
        return;
    }
    let rules = "alter table {t} enable row level security; \
                 create policy p on {t} using (id is not null and size > 0);";
    let sql = "create table public.things (id uuid primary key, name text not null, size int not null default 1, \
               code text not null unique); \
               create table public.parts (id int primary key, size int, thing uuid references public.things (id)); \
               create index on public.parts (thing);";
    let files = format!("{sql}{}{}", rules.replace("{t}", "things"), rules.replace("{t}", "parts"));
    let files = [("1.sql", files.as_str())];
    for (has_rows, left) in [(false, 0), (true, 3)] {
        let db = Project::database(&files).await;
        let admin = db.admin().await;
        admin
            .run(
                "alter table things drop column id cascade, drop column name, drop column size cascade, \
                 drop column code; drop policy if exists p on parts",
            )
            .await;
        if has_rows {
            admin.run("insert into things select from generate_series(1, 2)").await;
            admin.run("insert into parts (id) values (1)").await;
        }
        let project = Project::new(&files);
        let fix = project.path().join("fix.out");
        let run = project.run(Some(&db), &["--fix", fix.to_str().unwrap()]).await;
        let first = Report::of(&run);
        assert!(!first.found().is_empty());
        // No constraint can be proven that the copy, which has no rows, has not.
        let unchecked = first.list("unchecked").iter().map(|it| it.as_str().unwrap());
        assert_eq!(unchecked.filter(|it| it.contains("fix")).count(), 0, "{:#}", first.0);
        psql(&fix, &db).await;
        let open = project.audit(Some(&db)).await;
        let columns = open.found().into_iter().filter(|(kind, _)| kind == "different_column");
        assert_eq!(columns.count(), left, "{:#}", open.0);
        assert!(!open.found().iter().any(|(kind, _)| kind.contains("policy")));
        // A person gives the rows values, and runs the file again.
        admin.run("update things set id = gen_random_uuid(), name = 'x', code = ctid::text").await;
        let second = project.run(Some(&db), &["--fix", fix.to_str().unwrap()]).await;
        drop(Report::of(&second));
        psql(&fix, &db).await;
        project.audit(Some(&db)).await.is(&[]);
    }
}

/// How a table numbers its rows. `audit` calls it a part of the column.
const NUMBERED: [&str; 4] = [
    "id bigserial primary key",
    "id bigint generated always as identity primary key",
    "id bigint generated by default as identity primary key",
    "id bigint generated always as identity (increment by 1 start with 1 maxvalue 9000) primary key",
];

#[tokio::test]
async fn a_column_that_numbers_its_rows_goes_on_where_it_is() {
    if !have(&["psql"]) {
        return;
    }
    for (there, wanted) in NUMBERED.into_iter().zip(NUMBERED.into_iter().cycle().skip(1)) {
        let file = |column: &str| {
            format!(
                "create table numbered ({column}, a int); alter table numbered enable row level security; \
                     create policy p on numbered using (a > 1); grant usage on sequence numbered_id_seq to authenticated;"
            )
        };
        let (is, should) = (file(there), file(wanted));
        let db = Project::database(&[("0001.sql", &is)]).await;
        let admin = db.admin().await;
        admin
            .run("insert into numbered (a) values (1), (2), (3); delete from numbered where id = 3")
            .await;
        let project = Project::new(&[("0001.sql", &should)]);
        let fix = project.path().join("fix.out");
        let report = project.run(Some(&db), &["--fix", fix.to_str().unwrap()]).await;
        let report = Report::of(&report);
        report.is(&[("different_column", "public.numbered.id")]);
        psql(&fix, &db).await;
        // Another sequence is for a person.
        admin.run(&by_hand(&fs::read_to_string(&fix).unwrap())).await;
        project.audit(Some(&db)).await.is(&[]);
        let next = "insert into numbered (a) values (4) returning id";
        assert_eq!(admin.one::<i64>(next).await, 4, "{there}\n{wanted}");
    }
}

/// Something of every kind.
const RICH: (&str, &str) = ("0001_rich.sql", include_str!("rich.sql"));

#[tokio::test]
async fn a_whole_schema_is_silent_where_it_is_and_made_where_it_is_not() {
    if !have(&["psql"]) {
        return;
    }
    let project = Project::new(&[RICH]);
    let there = Project::database(&[RICH]).await;
    let report = project.audit(Some(&there)).await;
    report.is(&[]);
    let unchecked: Vec<_> =
        report.list("unchecked").iter().map(|it| it.as_str().unwrap()).collect();
    for object in ["aggregate app.total(integer)", "range type app.span", "statistics app.st"] {
        assert!(unchecked.iter().any(|text| text.contains(object)), "{object}: {unchecked:?}");
    }
    let empty = Project::empty_database().await;
    let file = project.path().join("fix.out");
    let first = project.run(Some(&empty), &["--fix", file.to_str().unwrap()]).await;
    Report::of(&first).is(&[("missing_publication", "mine"), ("missing_schema", "app")]);
    psql(&file, &empty).await;
    project.audit(Some(&empty)).await.is(&[]);
}
