//! A partition that was dropped or taken out of its parent, and the rows that go through the parent meanwhile. And a child that
//! has by its parent what a repair puts right.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{
    ADMIN, Admin, Database, Files, Service, expect, finish, json, provisioner, sound,
};

/// One parent without a default partition, and one with.
const PARTED: &str = "
create table public.{prefix}_log (id int primary key, note text) partition by range (id);
create table public.{prefix}_log_1 partition of public.{prefix}_log for values from (0) to (100);
create table public.{prefix}_log_2 partition of public.{prefix}_log for values from (100) to (200);
create table public.{prefix}_all (id int primary key, note text) partition by range (id);
create table public.{prefix}_all_1 partition of public.{prefix}_all for values from (0) to (100);
create table public.{prefix}_all_rest partition of public.{prefix}_all default;
alter table public.{prefix}_log enable row level security, force row level security;
alter table public.{prefix}_log_1 enable row level security, force row level security;
alter table public.{prefix}_log_2 enable row level security, force row level security;
alter table public.{prefix}_all enable row level security, force row level security;
alter table public.{prefix}_all_1 enable row level security, force row level security;
alter table public.{prefix}_all_rest enable row level security, force row level security;
revoke all on public.{prefix}_log, public.{prefix}_log_1, public.{prefix}_log_2, public.{prefix}_all,
    public.{prefix}_all_1, public.{prefix}_all_rest from public, anon, authenticated, service_role";

const AWAY: [&str; 2] = [
    "drop table public.agt_x_log_1; drop table public.agt_x_all_1",
    "alter table public.agt_x_log detach partition public.agt_x_log_1;
     alter table public.agt_x_all detach partition public.agt_x_all_1",
];

async fn built() -> (Database, Files, Service, Admin) {
    built_from(PARTED).await
}

async fn built_from(file: &str) -> (Database, Files, Service, Admin) {
    let db = Database::new().await;
    let files = Files::new(&[("0001_parted.sql", file)]);
    let service = files.service(&db, &[("REFERENCE", "check")]).await;
    let admin = db.admin().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let root = Admin(db.connect(SUPERUSER).await);
    (db, files, service, root)
}

async fn repair(db: &Database, files: &Files, code: i32) {
    for force in [&[][..], &["--force"]] {
        let args = [&["agents", "repair", "--wait"], force].concat();
        expect(&files.ask(db, &args).await, code, &[]);
    }
}

async fn told(db: &Database, files: &Files) -> Vec<String> {
    let report = json(&files.ask(db, &["agents", "verify", "--json"]).await);
    let list = |value: &Value, key: &str| value.get(key).unwrap().as_array().unwrap().clone();
    let drifted = list(&report, "drifted");
    let differences = drifted.iter().flat_map(|agent| list(agent, "differences"));
    let text = |one: &Value, key: &str| one.get(key).unwrap().as_str().unwrap().to_owned();
    let said = |one: Value| ["change", "kind", "object"].map(|key| text(&one, key)).join(" ");
    differences.map(said).collect()
}

#[tokio::test]
async fn a_lost_partition_comes_back_and_takes_rows_again() {
    for (away, kept) in AWAY.into_iter().zip([&[][..], &["1|first"]]) {
        let (db, files, _service, root) = built().await;
        root.run("insert into public.agt_x_log values (1, 'first'), (101, 'other')").await;
        root.run(away).await;
        // The server knows no place for it: nothing is lost.
        let refused = root.answer("insert into public.agt_x_log values (2, 'between')").await;
        assert_eq!(refused.err().unwrap().code().code(), "23514");
        repair(&db, &files, 0).await;
        sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 1);
        root.run("insert into public.agt_x_log values (2, 'after')").await;
        let rows = "select id, note from public.agt_x_log_1 order by 1";
        assert_eq!(root.rows(rows).await, [kept, &["2|after"]].concat());
        assert_eq!(root.rows("select note from public.agt_x_log_2").await, ["other"]);
    }
}

/// What a file does with a table before it is closed to its owner, too.
const FIRST_ROWS: &str = "
create table public.{prefix}_log (id int primary key, note text) partition by range (id);
create table public.{prefix}_log_1 partition of public.{prefix}_log for values from (0) to (100) partition by list (id);
create table public.{prefix}_log_11 partition of public.{prefix}_log_1 for values in (11);
insert into public.{prefix}_log values (11, 'first');
alter table public.{prefix}_log enable row level security, force row level security;
alter table public.{prefix}_log_1 enable row level security, force row level security;
alter table public.{prefix}_log_11 enable row level security, force row level security;
revoke all on public.{prefix}_log, public.{prefix}_log_1, public.{prefix}_log_11
    from public, anon, authenticated, service_role";

#[tokio::test]
async fn first_rows_come_back_by_way_of_a_parent_that_is_closed_since() {
    let (db, files, _service, root) = built_from(FIRST_ROWS).await;
    let first = root.rows("select id, note from public.agt_x_log_11").await;
    assert_eq!(first, ["11|first"]);
    let forced = "select bool_and(relforcerowsecurity) from pg_class where relname ~ '^agt_x_log(_1)?(_11)?$'";
    for lost in ["agt_x_log_11", "agt_x_log_1"] {
        root.run(&format!("drop table public.{lost}")).await;
        expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
        sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 1);
        assert_eq!(root.rows("select id, note from public.agt_x_log_11").await, first);
        assert!(root.one::<bool>(forced).await);
    }
    root.run("drop table public.agt_x_log_1").await;
    let plan = files.ask(&db, &["agents", "repair", "--dry-run"]).await;
    expect(&plan, 0, &[]);
    root.run(&String::from_utf8(plan.stdout).unwrap()).await;
    // Who makes tables by hand has them registered.
    let mut adopt = provisioner(&db.url(ADMIN));
    adopt.env("PROVISIONER_TEMPLATES", files.path()).env("PROVISIONER_REFERENCE", "check");
    adopt.args(["agents", "adopt", "agt_x", "--yes", "--wait"]);
    expect(&finish(&mut adopt).await, 0, &[]);
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 1);
    assert_eq!(root.rows("select id, note from public.agt_x_log_11").await, first);
}

#[tokio::test]
async fn rows_that_a_default_partition_took_meanwhile_stay_there_until_a_person_moves_them() {
    for (away, kept) in AWAY.into_iter().zip([&[][..], &["1|first"]]) {
        let (db, files, _service, root) = built().await;
        root.run("insert into public.agt_x_all values (1, 'first'), (101, 'other')").await;
        root.run(away).await;
        root.run("insert into public.agt_x_all values (2, 'between')").await;
        repair(&db, &files, 1).await;
        assert_eq!(
            told(&db, &files).await,
            ["missing parent public.agt_x_all of public.agt_x_all_1"]
        );
        let rest = "select id, note from public.agt_x_all_rest order by 1";
        assert_eq!(root.rows(rest).await, ["2|between", "101|other"]);
        // As docs/operate.md has it.
        root.run(
            "begin;
             with moved as (delete from public.agt_x_all_rest where id >= 0 and id < 100 returning *)
                 insert into public.agt_x_all_1 select * from moved;
             alter table public.agt_x_all attach partition public.agt_x_all_1 for values from (0) to (100);
             commit",
        )
        .await;
        sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 1);
        let rows = "select id, note from public.agt_x_all_1 order by 1";
        assert_eq!(root.rows(rows).await, [kept, &["2|between"]].concat());
        assert_eq!(root.rows(rest).await, ["101|other"]);
    }
}

/// The parent's default is another one later, or none.
const DEFAULTS: &str = "
create table public.{prefix}_log (id int, n int default 1, t text default 'a', away int default 1) partition by list (id);
create table public.{prefix}_log_1 partition of public.{prefix}_log for values in (1);
insert into public.{prefix}_log (id) values (1);
alter table public.{prefix}_log alter n drop default, alter t set default 'b', drop column away, add column late int default 5;
insert into public.{prefix}_log (id) values (1);
alter table public.{prefix}_log alter late drop default, enable row level security;
alter table public.{prefix}_log_1 enable row level security;
revoke all on public.{prefix}_log, public.{prefix}_log_1 from public, anon, authenticated, service_role";

#[tokio::test]
async fn first_rows_come_back_with_the_defaults_that_the_parent_had_then() {
    let (db, files, _service, root) = built_from(DEFAULTS).await;
    let rows = "select id, n, t, late from public.agt_x_log_1 order by n";
    let first = root.rows(rows).await;
    assert_eq!(first, ["1|1|a|5", "1|-|b|5"]);
    root.run("drop table public.agt_x_log_1").await;
    expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 1);
    assert_eq!(root.rows(rows).await, first);
    // What a partition has by its parent comes with the parent's, also where a person runs what is printed.
    root.run("alter table public.agt_x_log drop column t").await;
    assert_eq!(
        told(&db, &files).await,
        ["missing column public.agt_x_log.t", "missing column public.agt_x_log_1.t"]
    );
    let plan = files.ask(&db, &["agents", "repair", "--dry-run"]).await;
    root.run(&String::from_utf8(plan.stdout).unwrap()).await;
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 1);
}

/// A later file takes a column away.
const WIDE: &str = "
create table public.{prefix}_log (id int, x text) partition by range (id);
create table public.{prefix}_log_1 partition of public.{prefix}_log for values from (0) to (10);
alter table public.{prefix}_log enable row level security;
alter table public.{prefix}_log_1 enable row level security;
revoke all on public.{prefix}_log, public.{prefix}_log_1 from public, anon, authenticated, service_role;
alter table public.{prefix}_log drop column x";

#[tokio::test]
async fn a_partition_that_was_detached_keeps_its_columns_when_the_parent_is_made_again() {
    let (db, files, _service, root) = built_from(WIDE).await;
    root.run(
        "alter table public.agt_x_log detach partition public.agt_x_log_1;
         alter table public.agt_x_log_1 add column x text;
         insert into public.agt_x_log_1 values (1, 'kept');
         drop table public.agt_x_log",
    )
    .await;
    for force in [&[][..], &["--force"]] {
        let args = [&["agents", "repair", "--wait"], force].concat();
        expect(&files.ask(&db, &args).await, 1, &[]);
        assert_eq!(root.rows("select id, x from public.agt_x_log_1").await, ["1|kept"]);
        assert_eq!(
            told(&db, &files).await,
            ["extra column public.agt_x_log.x", "extra column public.agt_x_log_1.x"]
        );
    }
}

/// The parent has other defaults later.
const OTHERS_LATER: &str = "
create table public.{prefix}_ev (id int, v int default 10, z int default 3) partition by list (id);
create table public.{prefix}_ev_1 partition of public.{prefix}_ev for values in (1);
insert into public.{prefix}_ev (id) values (1);
alter table only public.{prefix}_ev alter column v set default 20;
alter table only public.{prefix}_ev alter column z drop default;
alter table public.{prefix}_ev enable row level security;
alter table public.{prefix}_ev_1 enable row level security;
revoke all on public.{prefix}_ev, public.{prefix}_ev_1 from public, anon, authenticated, service_role";

/// Somebody else's defaults of the parent are left as they are, by a repair and by what it prints.
#[tokio::test]
async fn a_parent_has_the_same_defaults_after_first_rows_came_back_by_way_of_it() {
    let rename = ";
alter table public.{prefix}_ev_1 rename to {prefix}_first;
alter table public.{prefix}_ev rename to {prefix}_events";
    let names = [("", "agt_x_ev", "agt_x_ev_1"), (rename, "agt_x_events", "agt_x_first")];
    for (rename, name, part) in names {
        let (db, files, _service, root) = built_from(&format!("{OTHERS_LATER}{rename}")).await;
        let defaults = format!(
            "select a.attname, pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d
             join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
             where d.adrelid = 'public.{name}'::regclass order by 1"
        );
        root.run(&format!(
            "alter table only public.{name} alter column v set default 42, alter column z set default 77;
             drop table public.{part}"
        ))
        .await;
        let plan = files.ask(&db, &["agents", "repair", "--dry-run"]).await;
        let plan = String::from_utf8(plan.stdout).unwrap();
        let made = [&format!("select id, v, z from public.{part}"), &defaults];
        root.run(&plan.replace("\ncommit;", "")).await;
        assert_eq!(root.rows(made[0]).await, ["1|10|3"], "{plan}");
        assert_eq!(root.rows(made[1]).await, ["v|42", "z|77"], "{plan}");
        root.run("rollback").await;
        files.ask(&db, &["agents", "repair", "--wait"]).await;
        assert_eq!(root.rows(made[0]).await, ["1|10|3"]);
        assert_eq!(root.rows(made[1]).await, ["v|42", "z|77"]);
    }
}

const CHILD: &str = "
create table public.{prefix}_log (id int primary key, n int constraint positive check (n > 0));
create table public.{prefix}_child () inherits (public.{prefix}_log);
alter table public.{prefix}_log alter n set statistics 300;
alter table only public.{prefix}_child alter n set statistics 200;
alter table public.{prefix}_log enable row level security, force row level security;
alter table public.{prefix}_child enable row level security, force row level security;
revoke all on public.{prefix}_log, public.{prefix}_child from public, anon, authenticated, service_role";

#[tokio::test]
async fn what_a_child_has_by_its_parent_is_no_obstacle_and_what_it_has_itself_stays() {
    let db = Database::new().await;
    let files = Files::new(&[("0001_child.sql", CHILD)]);
    let _service = files.service(&db, &[("REFERENCE", "check")]).await;
    let admin = db.admin().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(
        "alter table public.agt_x_log rename constraint positive to other;
         create policy open on public.agt_x_child using (true);
         alter table only public.agt_x_log alter n set statistics 100",
    )
    .await;
    expect(&files.ask(&db, &["agents", "repair", "--wait", "--force"]).await, 0, &[]);
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 1);
}

/// An index that counts more values of an expression, and a partition that came later: its index does not.
const COUNTED: &str = "create table public.{prefix}_p (id int, n int) partition by list (id);
    create index {prefix}_p_n on public.{prefix}_p (n, (id + 1));
    alter index public.{prefix}_p_n alter column 2 set statistics 300;
    create table public.{prefix}_p1 partition of public.{prefix}_p default;
    alter table public.{prefix}_p enable row level security;
    alter table public.{prefix}_p1 enable row level security;
    revoke all on public.{prefix}_p, public.{prefix}_p1 from public, anon, authenticated, service_role";

#[tokio::test]
async fn a_partitions_index_that_comes_with_its_parents_again_is_as_it_was() {
    let (db, files, _service, root) = built_from(COUNTED).await;
    root.run("drop index public.agt_x_p_n").await;
    expect(&files.ask(&db, &["agents", "repair", "--wait"]).await, 0, &[]);
    sound(&files.ask(&db, &["agents", "verify", "--full", "--json"]).await, 1);
}
