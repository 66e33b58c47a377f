//! Tables of one agent that hang on one another: what a repair of one is to the other.

use serde_json::Value;

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::{
    ADMIN, Admin, Database, Files, Service, ask, expect, finish, json, provisioner,
};

#[tokio::test]
async fn a_key_that_was_renamed_with_the_table_it_refers_to_is_not_made_twice() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let keys = "select conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
                where contype = 'f' and conrelid::regclass::text ~ 'agt_x_' order by 1";
    let before = admin.rows(keys).await;
    admin
        .run(
            "alter table public.agt_x_messages rename constraint agt_x_messages_customer_id_fkey to odd;
             alter table public.agt_x_customers rename to agt_x_clients",
        )
        .await;
    let report = json(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await);
    let told = report.pointer("/drifted/0/differences").and_then(Value::as_array).unwrap();
    let mut kinds: Vec<_> = told.iter().map(|one| one.get("kind").unwrap()).collect();
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["constraint", "constraint", "table name"], "{report}");
    let repaired = ask(&db.url(ADMIN), &["agents", "repair", "--force", "--wait"]).await;
    expect(&repaired, 0, &[]);
    assert_eq!(admin.rows(keys).await, before);
    expect(&ask(&db.url(ADMIN), &["agents", "verify", "--full"]).await, 0, &[]);
}

/// An agent of template files with these texts.
pub async fn built(texts: &[&str]) -> (Database, Files, Service, Admin) {
    let db = Database::new().await;
    let names: Vec<_> = (1..=texts.len()).map(|number| format!("{number:04}_tables.sql")).collect();
    let templates = names.iter().map(String::as_str).zip(texts.iter().copied());
    let files = Files::new(&templates.collect::<Vec<_>>());
    let service = files.service(&db, &[]).await;
    let admin = db.admin().await;
    admin.create("agt_x").await;
    admin.settled().await;
    (db, files, service, admin)
}

/// A repair mends all that differs.
pub async fn mended(db: &Database, files: &Files) {
    expect(&files.ask(db, &["agents", "repair", "--wait"]).await, 0, &[]);
    expect(&files.ask(db, &["agents", "verify", "--full"]).await, 0, &[]);
}

/// A table with a check that holds for new rows only, and children: one has it of its own, too, one by its parent alone.
const CHILDREN: &str = "create table public.{prefix}_p (id int primary key, n int);
    create table public.{prefix}_own (id int, constraint pos check (n > 0)) inherits (public.{prefix}_p);
    alter table public.{prefix}_p add constraint pos check (n > 0) not valid;
    create table public.{prefix}_heir () inherits (public.{prefix}_p);
    alter table public.{prefix}_p enable row level security;
    alter table public.{prefix}_own enable row level security;
    alter table public.{prefix}_heir enable row level security;";

/// What somebody does, and what `verify` says then.
const DAMAGES: [(&str, &[&str]); 3] = [
    (
        "alter table public.agt_x_p drop constraint pos",
        &[
            "missing constraint pos on public.agt_x_heir",
            "missing constraint pos on public.agt_x_p",
            "missing own constraint pos on public.agt_x_own",
        ],
    ),
    (
        "alter table public.agt_x_p drop constraint pos;
         alter table public.agt_x_p add constraint pos check (n > 0) not valid",
        &["differs constraint pos on public.agt_x_heir"],
    ),
    (
        "alter table public.agt_x_p drop constraint pos;
         alter table public.agt_x_own drop constraint pos;
         alter table public.agt_x_p add constraint pos check (n > 0) not valid",
        &[
            "differs constraint pos on public.agt_x_heir",
            "differs constraint pos on public.agt_x_own",
            "missing own constraint pos on public.agt_x_own",
        ],
    ),
];

/// With a row that the check forbids.
const FORBIDDEN: &str = "alter table public.agt_x_p drop constraint pos;
    alter table public.agt_x_own drop constraint pos;
    insert into public.agt_x_heir values (1, -1);
    alter table public.agt_x_own add constraint pos check (n > 0);
    alter table public.agt_x_p add constraint pos check (n > 0) not valid";

#[tokio::test]
async fn a_childs_check_comes_back_with_its_parents_checked_and_no_more_its_own_than_before() {
    let (db, files, _service, admin) = built(&[CHILDREN]).await;
    let checks =
        "select conrelid::regclass, convalidated, conislocal, coninhcount from pg_constraint
                  where contype = 'c' and conrelid::regclass::text ~ 'agt_x_' order by 1";
    let before = admin.rows(checks).await;
    assert_eq!(before, ["agt_x_p|f|t|0", "agt_x_own|t|t|1", "agt_x_heir|t|f|1"]);
    let repair = ["agents", "repair", "--wait"];
    for (damage, wanted) in DAMAGES {
        admin.run(damage).await;
        assert_eq!(told(&files, &db).await, wanted, "{damage}");
        expect(&files.ask(&db, &repair).await, 0, &[]);
        assert_eq!(admin.rows(checks).await, before, "{damage}");
    }
    admin.run(FORBIDDEN).await;
    for _ in ["before", "after"] {
        assert_eq!(told(&files, &db).await, ["differs constraint pos on public.agt_x_heir"]);
        expect(&files.ask(&db, &repair).await, 1, &[]);
    }
}

/// What `verify` says of the only agent.
async fn told(files: &Files, db: &Database) -> Vec<String> {
    let report = json(&files.ask(db, &["agents", "verify", "--json"]).await);
    let told = report.pointer("/drifted/0/differences").and_then(Value::as_array).unwrap();
    let text = |one: &Value, key: &str| one.get(key).unwrap().as_str().unwrap().to_owned();
    let line = |one: &Value| ["change", "kind", "object"].map(|key| text(one, key)).join(" ");
    let mut told: Vec<_> = told.iter().map(line).collect();
    told.sort();
    told
}

/// Tables made of another one whose columns are changed later; a parent with a default, and a partition with a first row that
/// comes by way of the parent; a key to itself, of a table of which the owner keeps some rights only.
const RESTING: &str = "create table public.{prefix}_one (id int primary key, kind boolean, note text);
    create table public.{prefix}_two (like public.{prefix}_one including all);
    create table public.{prefix}_two_q as select * from public.{prefix}_one with no data;
    do $$ begin create table public.{prefix}_two_code as table public.{prefix}_one; end $$;
    alter table public.{prefix}_one alter column kind type text, drop column note;
    create table public.{prefix}_part (id int, n int default 1) partition by list (id);
    create table public.{prefix}_part1 partition of public.{prefix}_part for values in (1);
    insert into public.{prefix}_part (id) values (1);
    create table public.{prefix}_tree (id int primary key, up int constraint up references public.{prefix}_tree);
    revoke delete, truncate on public.{prefix}_tree from current_user;
    alter table public.{prefix}_one enable row level security;
    alter table public.{prefix}_two enable row level security;
    alter table public.{prefix}_two_q enable row level security;
    alter table public.{prefix}_two_code enable row level security;
    alter table public.{prefix}_part enable row level security;
    alter table public.{prefix}_part1 enable row level security;
    alter table public.{prefix}_tree enable row level security;
    revoke all on public.{prefix}_one, public.{prefix}_two, public.{prefix}_part, public.{prefix}_part1, public.{prefix}_tree
        from public, anon, authenticated, service_role;";

#[tokio::test]
async fn what_is_made_again_is_as_it_was_built_whatever_it_rested_on_by_then() {
    let (db, files, _service, admin) = built(&[RESTING]).await;
    let columns = "select attrelid::regclass, attname || ' ' || format_type(atttypid, atttypmod)
                   from pg_attribute where attrelid::regclass::text ~ '^agt_x_two(_q|_code)?$' and attnum > 0
                   order by 1, attnum";
    let built = admin.rows(columns).await;
    assert_eq!(built.len(), 9);
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(
        "drop table public.agt_x_two, public.agt_x_two_q, public.agt_x_two_code, public.agt_x_part1;
         alter table public.agt_x_part alter column n drop default;
         alter table public.agt_x_tree alter constraint up deferrable;
         revoke update on public.agt_x_tree from agent_provisioner",
    )
    .await;
    expect(&files.ask(&db, &["agents", "repair", "--force", "--wait"]).await, 0, &[]);
    assert_eq!(admin.rows(columns).await, built);
    assert_eq!(root.rows("select n from public.agt_x_part").await, ["1"]);
    expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
}

/// Things that no repair changes where they stand.
const KEPT: &str = "create table public.{prefix}_kept (id serial primary key, n int, t text, note text)
        with (fillfactor = 70, toast.autovacuum_enabled = false);
    create table public.{prefix}_days (id int, n int not null) partition by range (id);
    create table public.{prefix}_day1 partition of public.{prefix}_days for values from (1) to (2);
    alter table public.{prefix}_kept enable row level security;
    alter table public.{prefix}_days enable row level security;
    alter table public.{prefix}_day1 enable row level security;
    revoke all on public.{prefix}_kept, public.{prefix}_days, public.{prefix}_day1 from public, anon, authenticated, service_role;";

/// What somebody does to them, and about what `verify` prints a way out.
const CHANGES: [(&str, &str); 7] = [
    ("alter table public.agt_x_kept set (fillfactor = 90, parallel_workers = 2), reset (toast.autovacuum_enabled)", "table"),
    ("alter table public.agt_x_kept set unlogged", "table"),
    ("alter sequence public.agt_x_kept_id_seq increment by 3 cycle", "sequence"),
    ("alter table public.agt_x_kept alter column n set not null", "column"),
    ("alter table public.agt_x_kept alter column n type bigint", "column"),
    ("alter table public.agt_x_kept alter column t type varchar(9) collate \"C\"", "column"),
    (
        "alter table public.agt_x_days detach partition public.agt_x_day1;
         alter table public.agt_x_days attach partition public.agt_x_day1 for values from (1) to (3)",
        "parent",
    ),
];

#[tokio::test]
async fn what_no_repair_changes_is_printed_with_the_statement_that_ends_it() {
    let (db, files, _service, admin) = built(&[KEPT]).await;
    for (change, kind) in CHANGES {
        admin.run(change).await;
        expect(&files.ask(&db, &["agents", "repair", "--force", "--wait"]).await, 1, &[]);
        let report = json(&files.ask(&db, &["agents", "verify", "--json"]).await);
        let told = report.pointer("/drifted/0/differences").and_then(Value::as_array).unwrap();
        let [only] = &told[..] else { panic!("{change}: {report}") };
        assert_eq!(only["kind"], kind, "{report}");
        admin.run(only["by_hand"].as_str().unwrap()).await;
        expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
    }
}

/// A key to a table that a later file renames, from a table that has a child.
const RENAMED_LATER: &str = "create table public.{prefix}_a (id int primary key);
    create table public.{prefix}_b (id int primary key, a int);
    create table public.{prefix}_heir (n int) inherits (public.{prefix}_b);
    alter table public.{prefix}_a enable row level security;
    alter table public.{prefix}_b enable row level security;
    alter table public.{prefix}_heir enable row level security;
    alter table public.{prefix}_b add foreign key (a) references public.{prefix}_a (id);";

/// The key's own statement names a table that has another name by now. That is no reason to put its table together from the
/// catalog: a child would own all of its columns.
#[tokio::test]
async fn a_table_whose_key_refers_to_one_that_was_renamed_later_is_made_by_its_statements() {
    let rename = "alter table public.{prefix}_a rename to {prefix}_c;";
    let (db, files, _service, admin) = built(&[RENAMED_LATER, rename]).await;
    let state = "select a.attname || ' ' || a.attislocal from pg_attribute a
                 where a.attrelid = 'public.agt_x_heir'::regclass and a.attnum > 0
                 union all
                 select c.conname || ' ' || pg_get_constraintdef(c.oid) || c.convalidated from pg_constraint c
                 where c.conrelid = 'public.agt_x_b'::regclass and c.contype = 'f'
                 order by 1";
    let built = admin.rows(state).await;
    assert_eq!(built.len(), 4, "{built:?}");
    admin.run("drop table public.agt_x_b cascade").await;
    expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
    assert_eq!(admin.rows(state).await, built);
    expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
}

/// A table that gets another name later, with a child, and with a key to it from a table that stands.
const NAMED_LATER: &str =
    "create table public.{prefix}_a (id int primary key, n int check (n > 0));
    create table public.{prefix}_b (id int primary key, a int references public.{prefix}_a (id));
    alter table public.{prefix}_a rename to {prefix}_c;
    create table public.{prefix}_heir (own int) inherits (public.{prefix}_c);
    alter table public.{prefix}_b enable row level security;
    alter table public.{prefix}_c enable row level security;
    alter table public.{prefix}_heir enable row level security;";

/// One has all by its parent, one a column and a check of its own, too, the others all but what comes later.
const HEIRS: &str = "create table public.{prefix}_a (id int not null, n int default 1 constraint pos check (n > 0), t text);
    create table public.{prefix}_heir () inherits (public.{prefix}_a);
    alter table public.{prefix}_heir alter column n set default 2, alter column t set not null;
    create table public.{prefix}_own (t text, constraint pos check (n > 0), more int) inherits (public.{prefix}_a);
    alter table public.{prefix}_own alter column n drop default;
    create table public.{prefix}_late (id int not null, n int, t text, constraint pos check (n > 0));
    alter table public.{prefix}_late inherit public.{prefix}_a;
    create table public.{prefix}_like (like public.{prefix}_a including all);
    alter table public.{prefix}_like inherit public.{prefix}_a;
    alter table public.{prefix}_a alter column t set compression pglz;
    alter table public.{prefix}_a add column twice int generated always as (n * 2) stored;
    create table public.{prefix}_even (like public.{prefix}_a including all);
    alter table public.{prefix}_even inherit public.{prefix}_a;
    alter table public.{prefix}_a add constraint later check (n < 99);
    alter table public.{prefix}_like enable row level security;
    alter table public.{prefix}_even enable row level security;
    alter table public.{prefix}_a enable row level security;
    alter table public.{prefix}_heir enable row level security;
    alter table public.{prefix}_own enable row level security;
    alter table public.{prefix}_late enable row level security;";

/// What children have of their own, and how.
const OF_CHILDREN: &str = "select concat_ws(' ', a.attrelid::regclass, a.attname, a.attislocal, a.attinhcount > 0,
                               a.attnotnull, a.attgenerated, pg_get_expr(d.adbin, 0))
     from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum and a.attgenerated = ''
     where a.attrelid::regclass::text ~ '^agt_x_(heir|own|late|like|even)$' and a.attnum > 0 and not a.attisdropped
     union all
     select concat_ws(' ', c.conrelid::regclass, pg_get_constraintdef(c.oid), c.conislocal, c.coninhcount > 0)
     from pg_constraint c where c.conrelid::regclass::text ~ '^agt_x_' and c.contype in ('c', 'f')
     order by 1";

#[tokio::test]
async fn a_child_has_no_more_of_its_own_than_before_whichever_way_it_is_made_again() {
    let rename = "alter table public.{prefix}_a rename to {prefix}_b;";
    // Then the children's own statements make them no more.
    let of_both = "alter table public.{prefix}_a rename column n to m;
                   alter table public.{prefix}_a rename to {prefix}_b;";
    let children = ["heir", "own", "late", "like", "even", "b"].map(|name| format!("agt_x_{name}"));
    let renamed = ["agt_x_c".to_owned()];
    let tried = [
        ([NAMED_LATER, "select 1"], &renamed[..], "n"),
        ([HEIRS, rename], &children, "n"),
        ([HEIRS, of_both], &children, "m"),
    ];
    for (files, lost, column) in tried {
        let (db, files, _service, admin) = built(&files).await;
        let built = admin.rows(OF_CHILDREN).await;
        assert!(built.len() > 4, "{built:?}");
        for table in lost {
            admin.run(&format!("drop table public.{table} cascade")).await;
            expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
            assert_eq!(admin.rows(OF_CHILDREN).await, built, "{table}");
            expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
        }
        // What a child has by its parent goes and comes with its parent's.
        let parent = lost.last().unwrap();
        admin.run(&format!("alter table public.{parent} drop column {column} cascade")).await;
        expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
        assert_eq!(admin.rows(OF_CHILDREN).await, built);
    }
}

#[tokio::test]
async fn a_column_that_has_become_a_childs_own_is_told_and_one_that_was_renamed_is_told_once() {
    let (db, files, _service, admin) = built(&[CHILDREN]).await;
    admin.run("alter table public.agt_x_p rename column n to m").await;
    assert_eq!(told(&files, &db).await, ["missing column public.agt_x_p.n"]);
    admin.run("alter table public.agt_x_p rename column m to n").await;
    // It has this column of its own, too.
    admin.run("alter table public.agt_x_p rename column id to m").await;
    assert_eq!(told(&files, &db).await, ["missing column public.agt_x_p.id"]);
    admin.run("alter table public.agt_x_p rename column m to id").await;
    expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
    admin
        .run(
            "alter table public.agt_x_heir no inherit public.agt_x_p;
             alter table public.agt_x_heir inherit public.agt_x_p",
        )
        .await;
    let wanted = [
        "extra own constraint pos on public.agt_x_heir",
        "missing inherited column public.agt_x_heir.id",
        "missing inherited column public.agt_x_heir.n",
    ];
    assert_eq!(told(&files, &db).await, wanted);
    let repaired = files.ask(&db, &["agents", "repair", "--force", "--wait"]).await;
    expect(&repaired, 1, &[]);
    assert_eq!(told(&files, &db).await, wanted);
    // As docs/operate.md has it.
    admin
        .run(
            "insert into public.agt_x_heir values (1, 1);
             create schema kept;
             create table kept.rows as select * from only public.agt_x_heir;
             drop table public.agt_x_heir",
        )
        .await;
    expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
    admin
        .run(
            "insert into public.agt_x_heir (id, n) select id, n from kept.rows;
             drop schema kept cascade",
        )
        .await;
    expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
}

/// A child that is there before a check which holds for new rows only.
const CHECKED_LATER: &str = "create table public.{prefix}_p (id int primary key, n int);
    create table public.{prefix}_heir () inherits (public.{prefix}_p);
    alter table public.{prefix}_p add constraint pos check (n > 0) not valid;
    alter table public.{prefix}_p enable row level security;
    alter table public.{prefix}_heir enable row level security;";

/// The server checks the rows of a new child, and nobody can take that back.
#[tokio::test]
async fn a_child_whose_rows_were_checked_does_not_differ_and_its_parent_does() {
    let (db, files, _service, admin) = built(&[CHECKED_LATER]).await;
    let checked = "select convalidated from pg_constraint where conrelid = 'public.agt_x_heir'::regclass and contype = 'c'";
    assert!(!admin.one::<bool>(checked).await);
    admin.run("drop table public.agt_x_heir").await;
    expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
    assert!(admin.one::<bool>(checked).await);
    expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
    admin.run("alter table public.agt_x_p validate constraint pos").await;
    assert_eq!(told(&files, &db).await, ["differs constraint pos on public.agt_x_p"]);
}

/// Tables of which one takes the name that another one had, an enum that is made anew, and one that has nothing to do with them.
const NAMES_TAKEN: &str = "create type public.{prefix}_mood as enum ('good', 'bad');
    create table public.{prefix}_notes (id int, mood public.{prefix}_mood default 'good');
    insert into public.{prefix}_notes (id) values (1);
    create table if not exists public.{prefix}_a (id int default 1, t text default 'a');
    create table if not exists public.{prefix}_b (id int default 2, t text default 'b');
    insert into public.{prefix}_b (t) values ('first of b');
    create table public.{prefix}_apart (id int);
    insert into public.{prefix}_apart values (1);
    alter table public.{prefix}_notes enable row level security;
    alter table public.{prefix}_a enable row level security;
    alter table public.{prefix}_b enable row level security;
    alter table public.{prefix}_apart enable row level security;";

const TAKE_NAMES: &str = "alter table public.{prefix}_b rename to {prefix}_c;
    alter table public.{prefix}_a rename to {prefix}_b;
    alter type public.{prefix}_mood rename to {prefix}_mood_old;
    create type public.{prefix}_mood as enum ('good', 'bad', 'so');
    alter table public.{prefix}_notes alter column mood drop default,
        alter column mood type public.{prefix}_mood using mood::text::public.{prefix}_mood,
        alter column mood set default 'good';
    drop type public.{prefix}_mood_old;";

#[tokio::test]
async fn nothing_is_made_by_way_of_a_name_that_something_else_has_by_now() {
    let (db, files, _service, admin) = built(&[NAMES_TAKEN, TAKE_NAMES]).await;
    admin
        .run(
            "insert into public.agt_x_b (t) values ('mine');
             drop table public.agt_x_c, public.agt_x_notes, public.agt_x_apart",
        )
        .await;
    let plan = files.ask(&db, &["agents", "repair", "--dry-run"]).await;
    let plan = String::from_utf8(plan.stdout).unwrap();
    let rows = "select t from public.agt_x_b union all select id::text from public.agt_x_apart
                union all select 'c ' || count(*) from public.agt_x_c";
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(&plan.replace("\ncommit;", "")).await;
    assert_eq!(root.rows(rows).await, ["mine", "1", "c 1"], "{plan}");
    root.run("rollback").await;
    expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
    assert_eq!(root.rows(rows).await, ["mine", "1", "c 1"]);
    expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
}

/// A child of which the parent has less later.
const LESS_LATER: &str =
    "create table public.{prefix}_a (id int, n int default 1 check (n > 0), t text default 'a');
    create table public.{prefix}_heir () inherits (public.{prefix}_a);
    alter table public.{prefix}_a enable row level security;
    alter table public.{prefix}_heir enable row level security;
    alter table public.{prefix}_a drop column n;
    alter table public.{prefix}_a rename column t to u;";

#[tokio::test]
async fn what_a_parent_has_no_more_is_not_taken_from_its_child() {
    let (db, files, _service, admin) = built(&[LESS_LATER]).await;
    admin.run("drop table public.agt_x_heir").await;
    let plan = files.ask(&db, &["agents", "repair", "--dry-run"]).await;
    admin.run(&String::from_utf8(plan.stdout).unwrap()).await;
    // Who makes tables by hand has them registered.
    let mut adopt = provisioner(&db.url(ADMIN));
    adopt.env("PROVISIONER_TEMPLATES", files.path());
    adopt.args(["agents", "adopt", "agt_x", "--yes", "--wait"]);
    expect(&finish(&mut adopt).await, 0, &[]);
    expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
}

/// A partition whose statement lacks a column that its parent gets later, a table that refers to it, and one on its own.
const STATEMENT_OF_THEN: &str =
    "create table public.{prefix}_p (id int not null, primary key (id)) partition by range (id);
    create table public.{prefix}_p1 (id int not null);
    alter table public.{prefix}_p attach partition public.{prefix}_p1 for values from (0) to (10);
    create table public.{prefix}_notes (id int primary key references public.{prefix}_p1 (id));
    create table public.{prefix}_rates (id int primary key, n int);
    insert into public.{prefix}_rates values (1, 10);
    insert into public.{prefix}_p values (1);
    insert into public.{prefix}_notes values (1);
    alter table public.{prefix}_p add column n int;
    alter table public.{prefix}_p enable row level security;
    alter table public.{prefix}_p1 enable row level security;
    alter table public.{prefix}_notes enable row level security;
    alter table public.{prefix}_rates enable row level security;";

#[tokio::test]
async fn a_statement_that_fails_by_now_keeps_no_other_table_from_its_first_rows() {
    let (db, files, _service, admin) = built(&[STATEMENT_OF_THEN]).await;
    admin.run("drop table public.agt_x_notes, public.agt_x_p1, public.agt_x_rates").await;
    mended(&db, &files).await;
    assert_eq!(
        admin
            .rows(
                "select n, (select count(*) from public.agt_x_p), (select count(*) from public.agt_x_notes)
                 from public.agt_x_rates"
            )
            .await,
        ["10|1|1"]
    );
}

/// A table that refers to another one, whose name begins with its own.
const NAMES_WITHIN: &str = "create table public.{prefix}_t (id int primary key);
    create table public.{prefix}_to (id int primary key);
    alter table public.{prefix}_t add column far int references public.{prefix}_to (id);
    insert into public.{prefix}_to values (7);
    insert into public.{prefix}_t values (1, 7);
    alter table public.{prefix}_t enable row level security;
    alter table public.{prefix}_to enable row level security;";

#[tokio::test]
async fn what_a_lost_table_needs_is_there_first_whatever_it_is_called() {
    let (db, files, _service, _admin) = built(&[NAMES_WITHIN]).await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(
        "drop table public.agt_x_t;
         alter table public.agt_x_to drop constraint agt_x_to_pkey",
    )
    .await;
    mended(&db, &files).await;
    assert_eq!(root.rows("select id, far from public.agt_x_t").await, ["1|7"]);
}

/// A lost table with rows that the templates read from one that stands.
const ROWS_OF_OTHERS: &str = "create table public.{prefix}_s (id int, t text);
    insert into public.{prefix}_s values (1, 'first');
    create table public.{prefix}_t (id int, t text);
    insert into public.{prefix}_t select * from public.{prefix}_s;
    insert into public.{prefix}_t values (7, 'own');
    alter table public.{prefix}_s enable row level security;
    alter table public.{prefix}_t enable row level security;";

#[tokio::test]
async fn no_row_of_a_table_that_stands_is_copied_into_one_that_is_made_again() {
    let (db, files, _service, admin) = built(&[ROWS_OF_OTHERS]).await;
    admin
        .run(
            "drop table public.agt_x_t;
             insert into public.agt_x_s values (2, 'secret')",
        )
        .await;
    mended(&db, &files).await;
    assert_eq!(admin.rows("select id, t from public.agt_x_t").await, ["1|first", "7|own"]);
}

/// A check that comes from a table by way of its child to the child's child. That table has a column of a type.
const CHECK_OF_THREE: &str = "create type public.{prefix}_mood as enum ('good', 'bad');
    create table public.{prefix}_p (n int, mood public.{prefix}_mood);
    create table public.{prefix}_a () inherits (public.{prefix}_p);
    create table public.{prefix}_b () inherits (public.{prefix}_a);
    alter table public.{prefix}_p add constraint pos check (n > 0);
    alter table public.{prefix}_p enable row level security;
    alter table public.{prefix}_a enable row level security;
    alter table public.{prefix}_b enable row level security;";

#[tokio::test]
async fn a_check_that_comes_from_a_tables_parent_comes_after_it_whatever_that_waits_for() {
    let (db, files, _service, admin) = built(&[CHECK_OF_THREE]).await;
    admin
        .run(
            "alter table public.agt_x_p drop constraint pos;
             drop type public.agt_x_mood cascade",
        )
        .await;
    mended(&db, &files).await;
}

/// A partition and a child with rows of their own. Their parents' default is another one later, and they get a column.
const ROWS_OF_CHILDREN: &str =
    "create table public.{prefix}_p (id int, n int default 1) partition by range (id);
    create table public.{prefix}_p1 partition of public.{prefix}_p for values from (0) to (10);
    create table public.{prefix}_q (id int, n int default 1);
    create table public.{prefix}_heir (own int default 7) inherits (public.{prefix}_q);
    insert into public.{prefix}_p1 (id) values (1);
    insert into public.{prefix}_heir (id) values (1);
    alter table public.{prefix}_p alter column n set default 2;
    alter table public.{prefix}_q alter column n set default 2;
    alter table public.{prefix}_heir alter column own set default 8;
    insert into public.{prefix}_p1 (id) values (2);
    insert into public.{prefix}_heir (id) values (2);
    alter table public.{prefix}_p add column m int default 5;
    alter table public.{prefix}_q add column m int default 5;
    alter table public.{prefix}_heir add column late int default 9;
    alter table public.{prefix}_p alter column m set default 6;
    alter table public.{prefix}_q alter column m set default 6;
    alter table public.{prefix}_p enable row level security;
    alter table public.{prefix}_p1 enable row level security;
    alter table public.{prefix}_q enable row level security;
    alter table public.{prefix}_heir enable row level security;";

#[tokio::test]
async fn rows_that_a_child_had_from_the_beginning_come_back_with_the_defaults_of_then() {
    let rows = "select to_jsonb(c) from public.agt_x_p1 c union all select to_jsonb(c) from public.agt_x_heir c";
    let (db, files, _service, _admin) = built(&[ROWS_OF_CHILDREN]).await;
    let root = Admin(db.connect(SUPERUSER).await);
    let first = root.rows(rows).await;
    assert_eq!(first.len(), 4, "{first:?}");
    // The second time with defaults that no plain repair changes.
    let drift = "alter table public.agt_x_p alter column n set default 3;
                 alter table public.agt_x_q alter column n set default 3;";
    let (plain, forced) =
        (&["agents", "repair", "--wait"][..], &["agents", "repair", "--wait", "--force"][..]);
    for (drift, repair) in [("", plain), (drift, plain), (drift, forced)] {
        root.run(&format!("{drift} drop table public.agt_x_p1, public.agt_x_heir")).await;
        files.ask(&db, repair).await;
        assert_eq!(root.rows(rows).await, first, "{drift} {repair:?}");
    }
    expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
}

/// A partition whose rows come by way of its parent. That loses a column, which is in the middle, and gets one of that name.
const OTHER_COLUMNS: &str =
    "create table public.{prefix}_w (id int, a text, b text) partition by range (id);
    create table public.{prefix}_w1 partition of public.{prefix}_w for values from (0) to (10);
    insert into public.{prefix}_w values (1, 'a', 'b');
    insert into public.{prefix}_w (id, a) values (2, 'a');
    insert into public.{prefix}_w as w (id, b) values (3, 'b') on conflict do nothing;
    alter table public.{prefix}_w drop column a;
    alter table public.{prefix}_w add column a text;
    alter table public.{prefix}_w enable row level security;
    alter table public.{prefix}_w1 enable row level security;";

#[tokio::test]
async fn no_value_of_a_first_row_comes_into_another_column() {
    let (db, files, _service, admin) = built(&[OTHER_COLUMNS]).await;
    let rows = "select id, b, a from public.agt_x_w order by id";
    let root = Admin(db.connect(SUPERUSER).await);
    let first = root.rows(rows).await;
    assert_eq!(first, ["1|b|-", "2|-|-", "3|b|-"]);
    admin.run("drop table public.agt_x_w1").await;
    expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
    assert_eq!(root.rows(rows).await, first);
    expect(&files.ask(&db, &["agents", "verify", "--full"]).await, 0, &[]);
}

/// Tables whose rows nobody would write again in the same way: their statements need what was there at the time.
const ROWS_OF_THEN: &str = "create table public.{prefix}_add (id int);
    create table public.{prefix}_add1 (own text) inherits (public.{prefix}_add);
    insert into public.{prefix}_add1 values (1, 'mine');
    alter table public.{prefix}_add add column extra text;
    create table public.{prefix}_cut (id int, kind text, note text);
    create table public.{prefix}_cut1 (kind text, own text) inherits (public.{prefix}_cut);
    insert into public.{prefix}_cut1 values (1, 'k', 'n', 'o');
    alter table public.{prefix}_cut drop column kind;
    create table public.{prefix}_att (id int, a text, b text) partition by range (id);
    create table public.{prefix}_att1 (like public.{prefix}_att including defaults);
    insert into public.{prefix}_att1 values (1, 'A', 'B');
    alter table public.{prefix}_att attach partition public.{prefix}_att1 for values from (0) to (9);
    alter table public.{prefix}_att drop column a;
    alter table public.{prefix}_att add column a2 text;
    create table public.{prefix}_kin (id int, kind text default 'a', n int, words tsvector) partition by range (id);
    create table public.{prefix}_kin1 partition of public.{prefix}_kin for values from (0) to (99);
    insert into public.{prefix}_kin (id, n) values (1, 2), (2, 3);
    update public.{prefix}_kin1 set kind = 'b' where id = 2;
    insert into public.{prefix}_kin1 (id, n) select 10 + count(*), sum(n) from public.{prefix}_kin1;
    alter table public.{prefix}_kin alter column n type int using n * 100;
    alter table public.{prefix}_kin rename column kind to sort;
    alter table public.{prefix}_kin add column kind text default 'K';
    create trigger index_words before insert or update on public.{prefix}_kin for each row
        execute function tsvector_update_trigger(words, 'pg_catalog.simple', sort);
    insert into public.{prefix}_kin (id) values (20);
    create table public.{prefix}_day (day date, id int generated always as identity);
    set local datestyle = 'SQL, DMY';
    alter table public.{prefix}_day alter column id restart with 100;
    insert into public.{prefix}_day values ('01/02/2020');
    do $$ begin truncate public.{prefix}_day; insert into public.{prefix}_day values ('03/04/2020'); end $$;
    alter table public.{prefix}_day force row level security;
    create table public.{prefix}_up (id int primary key, down int);
    create table public.{prefix}_down (id int primary key references public.{prefix}_up deferrable initially deferred);
    alter table public.{prefix}_up add foreign key (down) references public.{prefix}_down deferrable initially deferred;
    set constraints all deferred;
    insert into public.{prefix}_up values (1, 2);
    insert into public.{prefix}_down values (2);
    insert into public.{prefix}_up values (2);
    insert into public.{prefix}_down values (1);
    set constraints all immediate;
    create table public.{prefix}_low (id int);
    insert into public.{prefix}_low values (-1);
    alter table public.{prefix}_low add constraint low check (id > 0) not valid;
    create table public.{prefix}_taken as select id, day::text, repeat('it''s ', 2) as t from public.{prefix}_day;
    create trigger old before insert on public.{prefix}_low for each row execute function suppress_redundant_updates_trigger();
    comment on trigger old on public.{prefix}_low is 'told';
    do $$ declare name text; begin
        for name in select tablename from pg_tables where schemaname = 'public' and tablename like '{prefix}\\_%'
        loop execute format('alter table public.%I enable row level security', name); end loop;
    end $$;";

#[tokio::test]
async fn first_rows_are_what_a_new_agent_has_whatever_wrote_them() {
    const LOST: [&str; 9] = ["add1", "cut1", "att1", "kin1", "day", "up", "down", "low", "taken"];
    let (db, files, _service, admin) = built(&[ROWS_OF_THEN]).await;
    let root = Admin(db.connect(SUPERUSER).await);
    let lost = LOST.map(|name| format!("public.agt_x_{name}"));
    let rows =
        lost.iter().map(|name| format!("select '{name}', to_jsonb(one)::text from {name} one"));
    let comment = "select 'comment', description from pg_description where description = 'told'";
    let rows: Vec<String> = rows.chain([comment.to_owned()]).collect();
    let rows = rows.join(" union all ") + " order by 1, 2";
    let counts = "select relname, pg_sequence_last_value(oid) from pg_class
                  where relkind = 'S' and relname like 'agt_x%'";
    let first = (root.rows(&rows).await, root.rows(counts).await);
    assert_eq!(first.0.len(), 15, "{first:?}");
    root.run(&format!("drop table {} cascade", lost.join(", "))).await;
    mended(&db, &files).await;
    assert_eq!((root.rows(&rows).await, root.rows(counts).await), first);
    // Whoever pastes what is printed has the same.
    root.run(&format!("drop table {} cascade", lost.join(", "))).await;
    let plan = files.ask(&db, &["agents", "repair", "--dry-run"]).await;
    admin.run(&String::from_utf8(plan.stdout).unwrap()).await;
    assert_eq!((root.rows(&rows).await, root.rows(counts).await), first);
}

/// A row that refers to one which is gone by now, of a table that was closed to its owner first, and a table that has nothing to
/// do with it.
const REFERRING: &str = "create table public.{prefix}_s (id int primary key);
    insert into public.{prefix}_s values (1);
    create table public.{prefix}_t (s int references public.{prefix}_s deferrable initially deferred);
    create table public.{prefix}_un (id int, key uuid default gen_random_uuid());
    alter table public.{prefix}_s enable row level security;
    alter table public.{prefix}_t enable row level security;
    alter table public.{prefix}_un enable row level security;
    create policy own on public.{prefix}_t to current_user using (true);
    alter table public.{prefix}_t force row level security;
    insert into public.{prefix}_t values (1);
    insert into public.{prefix}_un (id) values (1);";

#[tokio::test]
async fn a_row_that_cannot_come_back_keeps_no_other_away_and_chance_is_no_other_agents() {
    let (db, files, service, admin) = built(&[REFERRING]).await;
    admin.create("agt_y").await;
    admin.settled().await;
    admin
        .run(
            "drop table public.agt_x_t, public.agt_x_un, public.agt_y_un;
             delete from public.agt_x_s",
        )
        .await;
    mended(&db, &files).await;
    let rows = "select (select count(*) from public.agt_x_t), x.id, y.id, x.key <> y.key
                from public.agt_x_un x, public.agt_y_un y";
    assert_eq!(admin.rows(rows).await, ["0|1|1|t"]);
    let log = service.log();
    let refused = log.lines().find(|line| line.contains("a step of the repair failed")).unwrap();
    assert!(refused.contains("23503") && !refused.contains("Key (s)"), "{refused}");
}
