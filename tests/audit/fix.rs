//! The file of `--fix` leads to a clean second audit.

use std::fs;
use std::process::Command;

use super::project::{CLEAN, Project, Report};
use crate::support::{ADMIN, Database, finish, have, said};

/// Runs the file that an audit writes, as its head says; what a second audit then finds.
async fn fixed(sql: &str, by_hand: usize) -> Report {
    let db = Project::database(&CLEAN).await;
    let admin = db.admin().await;
    // Rows are kept, and have to be there for what is made again.
    admin.run("insert into public.orders (id, owner) select 7, id from public.profiles").await;
    admin.run(sql).await;
    let project = Project::new(&CLEAN);
    let file = project.path().join("fix.out");
    let first = project.run(Some(&db), &["--fix", file.to_str().unwrap()]).await;
    assert!(!Report::of(&first).found().is_empty(), "{sql}");
    let text = fs::read_to_string(&file).unwrap();
    let hands = text
        .lines()
        .filter(|line| line.starts_with("-- drop ") || line.starts_with("-- alter "))
        .count();
    assert_eq!(hands, by_hand, "{text}");
    let mut psql = Command::new("psql");
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&file).arg(db.url(ADMIN));
    let run = finish(&mut psql).await;
    assert!(run.status.success(), "{sql}\n{}\n{text}", said(&run));
    project.audit(Some(&db)).await
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
         alter table orders alter column note set default 'x'; alter table orders disable row level security",
        "alter table orders drop column id; alter table orders drop constraint orders_total_check; drop view totals; \
         create or replace function touch() returns trigger language plpgsql as 'begin return new; end'; \
         alter publication supabase_realtime drop table orders",
        "alter table orders drop constraint orders_owner_fkey, alter column owner drop not null; \
         drop trigger touch on orders; comment on table orders is null",
    ] {
        fixed(sql, 0).await.is(&[]);
    }
}

#[tokio::test]
async fn what_could_lose_something_is_left_to_a_person() {
    if !have(&["psql"]) {
        return;
    }
    let sql = "create table extra (id int primary key); alter table orders add column more text; \
               drop index orders_note_idx";
    fixed(sql, 2)
        .await
        .is(&[("extra_column", "public.orders.more"), ("extra_table", "public.extra")]);
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
        let mut psql = Command::new("psql");
        psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&fix).arg(db.url(ADMIN));
        let run = finish(&mut psql).await;
        assert!(run.status.success(), "{there}\n{wanted}\n{}", said(&run));
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
    let mut psql = Command::new("psql");
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&file).arg(empty.url(ADMIN));
    let run = finish(&mut psql).await;
    assert!(run.status.success(), "{}", said(&run));
    project.audit(Some(&empty)).await.is(&[]);
}
