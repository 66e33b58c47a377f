//! `agents adopt` of tables that a lesser role has made: none of its code runs with the rights of others, and it puts no
//! other table in the place of one that is taken over.

use agent_provisioner::dev_server::SUPERUSER;

use crate::adopt_again::{agents, fleet, state};
use crate::support::{ADMIN, Admin, Database, expect, finish, json, provisioner};

/// A role that may make tables, and for which `postgres` may act; and a table of its own in place of one of `agt_a`.
async fn lend(root: &Admin, role: &str) {
    root.run(&format!(
        "create role {role}; grant {role} to postgres; grant create on schema public to {role};
         create schema lent authorization {role}; grant usage on schema lent to public;
         drop table public.agt_a_orders_items;
         set role {role};
         create function lent.f(t text) returns text immutable language sql as 'select t';
         create function lent.eq(a text, b text) returns boolean immutable language sql as 'select a = b';
         create operator lent.=== (leftarg = text, rightarg = text, function = lent.eq);
         create function lent.fire() returns trigger language plpgsql as 'begin return new; end';
         create domain lent.word as text;
         create view lent.v as select 1 as one; grant select on lent.v to public;
         create table public.agt_a_orders_items (id serial primary key, name text);
         reset role"
    ))
    .await;
}

/// What is done to the table, what names it and what it rests on, and what takes it away.
const CODE: [(&str, &str, &str); 18] = [
    (
        "create index evil on public.agt_a_orders_items (lent.f(name))",
        "index public.evil rests on function lent.f(text)",
        "drop index public.evil;",
    ),
    (
        "create index evil on public.agt_a_orders_items (id) where lent.f(name) = 'x'",
        "index public.evil rests on function lent.f(text)",
        "drop index public.evil;",
    ),
    (
        "alter table public.agt_a_orders_items add constraint evil exclude (lent.f(name) with =)",
        "index public.evil rests on function lent.f(text)",
        "alter table public.agt_a_orders_items drop constraint evil;",
    ),
    (
        "alter table public.agt_a_orders_items add constraint evil check (lent.f(name) <> '') not valid",
        "constraint evil of public.agt_a_orders_items rests on function lent.f(text)",
        "alter table public.agt_a_orders_items drop constraint evil;",
    ),
    (
        "alter table public.agt_a_orders_items add constraint evil check (name operator(lent.===) 'x')",
        "constraint evil of public.agt_a_orders_items rests on function lent.eq(text,text)",
        "alter table public.agt_a_orders_items drop constraint evil;",
    ),
    (
        "alter table public.agt_a_orders_items alter name set default lent.f('x')",
        "default of column name of public.agt_a_orders_items rests on function lent.f(text)",
        "alter table public.agt_a_orders_items alter column name drop default;",
    ),
    (
        "alter table public.agt_a_orders_items add evil text generated always as (lent.f(name)) stored",
        "default of column evil of public.agt_a_orders_items rests on function lent.f(text)",
        "alter table public.agt_a_orders_items alter column evil drop expression;",
    ),
    (
        "create trigger evil before insert on public.agt_a_orders_items for each row execute function lent.fire()",
        "trigger evil of public.agt_a_orders_items rests on function lent.fire()",
        "drop trigger evil on public.agt_a_orders_items;",
    ),
    (
        "create rule evil as on update to public.agt_a_orders_items do also select lent.f(new.name)",
        "rule evil of public.agt_a_orders_items rests on function lent.f(text)",
        "drop rule evil on public.agt_a_orders_items;",
    ),
    (
        "create policy evil on public.agt_a_orders_items using (lent.f(name) <> '')",
        "policy evil of public.agt_a_orders_items rests on function lent.f(text)",
        "drop policy evil on public.agt_a_orders_items;",
    ),
    (
        "create policy evil on public.agt_a_orders_items using (exists (select from lent.v))",
        "policy evil of public.agt_a_orders_items rests on view lent.v",
        "drop policy evil on public.agt_a_orders_items;",
    ),
    (
        "create view public.between as select lent.f('x'); alter view public.between owner to postgres;
         create policy evil on public.agt_a_orders_items using (exists (select from public.between))",
        "policy evil of public.agt_a_orders_items rests on function lent.f(text)",
        "drop policy evil on public.agt_a_orders_items;",
    ),
    (
        "create function public.wrap(t text) returns text immutable begin atomic select lent.f(t); end;
         alter function public.wrap owner to postgres;
         create index evil on public.agt_a_orders_items (public.wrap(name))",
        "index public.evil rests on function lent.f(text)",
        "drop index public.evil;",
    ),
    (
        "create statistics public.evil on id, (lent.f(name)) from public.agt_a_orders_items",
        "statistics public.evil rests on function lent.f(text)",
        "drop statistics public.evil;",
    ),
    (
        "alter table public.agt_a_orders_items add word lent.word",
        "column word of public.agt_a_orders_items rests on",
        "alter table public.agt_a_orders_items alter column word type text;",
    ),
    (
        "create domain public.checked as text check (lent.f(value) <> ''); alter domain public.checked owner to postgres;
         alter table public.agt_a_orders_items add checked public.checked",
        "column checked of public.agt_a_orders_items rests on function lent.f(text)",
        "alter table public.agt_a_orders_items alter column checked type text;",
    ),
    (
        "create type public.pair as (a lent.word); alter type public.pair owner to postgres;
         alter table public.agt_a_orders_items add pair public.pair[]",
        "column pair of public.agt_a_orders_items rests on",
        "alter table public.agt_a_orders_items alter column pair type text;",
    ),
    (
        "create table lent.child () inherits (public.agt_a_orders_items)",
        "part lent.child of public.agt_a_orders_items rests on table lent.child",
        "alter table lent.child no inherit public.agt_a_orders_items;",
    ),
];

/// Code of roles that the service trusts anyway.
const TRUSTED: &str = "create policy mine on public.agt_a_orders_items using (auth.uid() is not null);
    create function public.stamp() returns trigger language plpgsql as 'begin return new; end';
    alter function public.stamp owner to postgres;
    create trigger stamp before insert on public.agt_a_orders_items for each row execute function public.stamp()";

#[tokio::test]
async fn what_rests_on_code_of_a_lesser_role_is_named_and_not_taken_over() {
    let (db, root, service) = fleet(&["agt_a"]).await;
    drop(service);
    lend(&root, "lender").await;
    root.run(TRUSTED).await;
    let owner = Admin(db.connect(ADMIN).await);
    for (done, named, remedy) in CODE {
        root.run(done).await;
        if done.contains("lent.child") {
            root.run("alter table lent.child owner to lender").await;
        }
        let before = state(&root).await;
        let said = [named, "of role lender", remedy];
        expect(&agents(&db, &["adopt", "agt_a"]).await, 0, &said);
        let told = agents(&db, &["adopt", "--yes", "agt_a"]).await;
        expect(&told, 1, &[&said[..], &["0 adopted"]].concat());
        assert_eq!(state(&root).await, before, "{done}");
        owner.run(remedy).await;
        let plan = json(&agents(&db, &["adopt", "--json", "agt_a"]).await);
        assert_eq!(plan["agents"].as_array().unwrap().len(), 1, "{done}: {plan}");
    }
    expect(&agents(&db, &["adopt", "--yes", "agt_a"]).await, 0, &["1 adopted"]);
}

/// Adopts `agt_a` with patience, and lets something else happen while it waits for the table.
async fn adopt_while(db: &Database, root: &Admin, first: &str, then: &str) -> std::process::Output {
    let other = Admin(db.connect(SUPERUSER).await);
    other.run(first).await;
    let mut command = provisioner(&db.url(ADMIN));
    command.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "50s").args(["agents", "adopt", "--yes"]);
    let adopting = tokio::spawn(async move { finish(&mut command).await });
    root.holds(
        "select exists (select from pg_locks l join pg_class c on c.oid = l.relation
                        where not l.granted and c.relname = 'agt_a_orders_items')",
    )
    .await;
    other.run(then).await;
    adopting.await.unwrap()
}

#[tokio::test]
async fn no_other_table_comes_into_the_place_of_the_one_that_is_taken_over() {
    let (db, root, service) = fleet(&["agt_a"]).await;
    drop(service);
    lend(&root, "swapper").await;
    let before = state(&root).await;
    let swap =
        "begin; set local role swapper; alter table public.agt_a_orders_items rename to evil;
                create table public.agt_a_orders_items (id int)";
    let adopted = adopt_while(&db, &root, swap, "commit").await;
    expect(&adopted, 1, &["agt_a was not adopted", "replaced meanwhile", "0 adopted"]);
    let registered = |state: &[String]| {
        state.iter().filter(|row| !row.contains("orders_items")).cloned().collect::<Vec<_>>()
    };
    let owner =
        "select relowner::regrole from pg_class where relname in ('evil', 'agt_a_orders_items')";
    assert_eq!(root.rows(owner).await, ["swapper"; 2]);
    assert!(!state(&root).await.iter().any(|row| row.contains("evil")));
    assert_eq!(registered(&state(&root).await), registered(&before));
    // What is hung on the table at the last moment is seen, too.
    let hang =
        "begin; create index evil_too on public.agt_a_orders_items (id) where lent.f('x') <> ''";
    let adopted = adopt_while(&db, &root, hang, "commit").await;
    expect(&adopted, 1, &["rests on function lent.f(text) of role swapper", "0 adopted"]);
    root.run("drop index public.evil_too").await;
    expect(&agents(&db, &["adopt", "--yes"]).await, 0, &["1 adopted"]);
    let known = "select count(*) from provisioning.agent_tables
                 where agent_id = 1 and relation = 'public.agt_a_orders_items'::regclass";
    assert_eq!(root.one::<i64>(known).await, 1);
}
