//! `agents adopt` of agents that are registered: tables that were made anew, and tables that fuller templates know.

use std::process::Output;

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::json as value;

use crate::support::{
    ADMIN, Admin, Database, Files, Service, WORKER, ask, expect, finish, json, provisioner, said,
    sound,
};

const CRM: (&str, &str) = ("0001_crm.sql", include_str!("../sql/agent/0001_crm.sql"));
const KEY: (&str, &str) = ("foreign_key.sql", include_str!("../sql/agent/foreign_key.sql"));
const COLUMN: (&str, &str) =
    ("0002_vip.sql", "alter table public.{prefix}_customers add column vip boolean");
const BROADCASTS: (&str, &str) = (
    "0003_broadcasts.sql",
    "create type public.{prefix}_channel as enum ('sms', 'mail');
     create table public.{prefix}_broadcasts (
         id serial primary key,
         customer_id integer references public.{prefix}_customers (id) on delete cascade,
         channel public.{prefix}_channel,
         body text
     );
     alter table public.{prefix}_broadcasts enable row level security;",
);
const TAGS: (&str, &str) = (
    "0004_tags.sql",
    "create table public.{prefix}_tags (id serial primary key);
     alter table public.{prefix}_tags enable row level security;",
);

/// To change the order of columns, a tool copies the table, drops it, and gives the copy its name.
const MADE_ANEW: &str = "create table public.t (like public.agt_a_orders_items including all);
    insert into public.t (id, order_id, name, quantity, price)
        select id, order_id, name, quantity, price from public.agt_a_orders_items;
    alter sequence public.agt_a_orders_items_id_seq owned by none;
    alter sequence public.agt_a_orders_items_id_seq owner to postgres;
    alter table public.t owner to postgres;
    alter sequence public.agt_a_orders_items_id_seq owned by public.t.id;
    drop table public.agt_a_orders_items;
    alter table public.t rename to agt_a_orders_items";

pub async fn agents(db: &Database, args: &[&str]) -> Output {
    ask(&db.url(ADMIN), &[&["agents"], args].concat()).await
}

/// Agents that the service has built from the built-in set, with a row in each table.
pub async fn fleet(prefixes: &[&str]) -> (Database, Admin, Service) {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    let service = db.service().await;
    for prefix in prefixes {
        root.create(prefix).await;
    }
    root.settled().await;
    root.fill(prefixes).await;
    (db, root, service)
}

/// What stands where, whose it is, and what the program knows of it.
pub async fn state(root: &Admin) -> Vec<String> {
    let mut all = root
        .rows(
            "select oid, relname, relowner::regrole, relnamespace::regnamespace from pg_class
             where relname ^@ 'agt_' order by 1",
        )
        .await;
    all.extend(root.rows("select * from provisioning.agent_tables order by 1").await);
    all.extend(root.rows("select * from provisioning.agents order by 1").await);
    all.extend(root.rows("select id, kind, state from provisioning.jobs order by 1").await);
    all
}

#[tokio::test]
async fn a_table_that_was_made_anew_is_taken_over_with_its_rows() {
    let (db, root, _service) = fleet(&["agt_a", "agt_b"]).await;
    root.run(MADE_ANEW).await;
    let adoptable = value!([{ "prefix": "agt_a", "id": 1, "tables": ["agt_a_orders_items"] }]);
    let way_out = "agent-provisioner agents adopt agt_a";
    for only in [&[][..], &["agt_a"]] {
        for role in [ADMIN, WORKER] {
            let command = [&["agents", "verify", "--json"], only].concat();
            assert_eq!(json(&ask(&db.url(role), &command).await)["adoptable"], adoptable);
        }
        expect(&agents(&db, &[&["verify"], only].concat()).await, 1, &[way_out]);
    }
    let other = json(&agents(&db, &["verify", "--json", "agt_b"]).await);
    assert_eq!(other["adoptable"], value!([]));
    expect(&agents(&db, &["repair", "--wait", "agt_a"]).await, 1, &[]);
    let dead = "select id from provisioning.jobs where state = 'dead' and kind = 'repair'";
    let dead = root.one::<i64>(dead).await.to_string();
    let shown = json(&ask(&db.url(ADMIN), &["jobs", "show", &dead, "--json"]).await);
    let next = shown["next"].as_str().unwrap();
    assert!(next.contains(&format!("`{way_out}`")), "{next}");

    let before = state(&root).await;
    let plan = json(&agents(&db, &["adopt", "--json", "agt_a"]).await);
    let planned = &plan["agents"][0];
    assert_eq!(planned["taken"], value!(["agt_a_orders_items"]));
    assert_eq!(planned["owners"], value!(["postgres"]));
    assert_eq!([&planned["registered_version"], &planned["template_version"]], [1, 1]);
    let states = planned["tables"].as_array().unwrap().iter().map(|table| &table["state"]);
    assert_eq!(states.collect::<Vec<_>>(), ["matches", "matches", "matches", "differs"]);
    let text = ["  template 1, registered, ", "  is taken over: agt_a_orders_items\n"];
    expect(&agents(&db, &["adopt", "agt_a"]).await, 0, &text);
    let all = json(&agents(&db, &["adopt", "--json"]).await);
    assert_eq!(all["agents"].as_array().unwrap().len(), 1, "{all}");
    assert_eq!(state(&root).await, before);

    expect(&agents(&db, &["adopt", "agt_a", "--yes", "--wait"]).await, 0, &["1 adopted, "]);
    sound(&agents(&db, &["verify", "--json"]).await, 2);
    assert_eq!(root.rows("select name from public.agt_a_orders_items").await, ["tea"]);
    let known = "select count(*), count(*) filter (where relation::text = 'agt_a_orders_items')
                 from provisioning.agent_tables where agent_id = 1";
    assert_eq!(root.rows(known).await, ["4|1"], "and the registry has forgotten the old one");
    let again = agents(&db, &["adopt", "agt_a", "--yes"]).await;
    expect(&again, 0, &["agt_a: nothing to adopt", "0 adopted"]);
    root.run("select from public.delete_agent(1)").await;
    root.settled().await;
    assert_eq!(root.tables("agt_a").await, [""; 0]);
    assert_eq!(root.one::<i64>(DEAD).await, 0);
}

const DEAD: &str = "select count(*) from provisioning.jobs where state = 'dead'";

#[tokio::test]
async fn tables_that_fuller_templates_know_are_taken_over_at_the_version_that_makes_them() {
    let (db, root, first) = fleet(&["agt_a", "agt_b"]).await;
    drop(first);
    root.run(
        "create type public.agt_a_channel as enum ('sms', 'mail');
         create table public.agt_a_broadcasts (id serial primary key,
             customer_id integer references public.agt_a_customers (id) on delete cascade,
             channel public.agt_a_channel, body text);
         insert into public.agt_a_broadcasts (customer_id, channel, body) values (1, 'sms', 'hello');
         alter table public.agt_a_broadcasts owner to postgres;
         alter type public.agt_a_channel owner to postgres",
    )
    .await;
    let files = Files::new(&[CRM, COLUMN, BROADCASTS, TAGS, KEY]);
    let fuller = async |role: &str, args: &[&str]| {
        finish(files.command(&db, args).env("DATABASE_URL", db.url(role))).await
    };
    let _service = files.service(&db, &[]).await;
    expect(&fuller(WORKER, &["agents", "upgrade", "--wait"]).await, 1, &["agt_a_broadcasts"]);
    let upgrade =
        "select id from provisioning.jobs where kind = 'upgrade' and agent_prefix = 'agt_a'";
    let id = root.one::<i64>(upgrade).await.to_string();
    let shown = fuller(ADMIN, &["jobs", "show", &id]).await;
    expect(&shown, 0, &["dead", "agent-provisioner agents adopt agt_a"]);

    let plan = json(&fuller(ADMIN, &["agents", "adopt", "--json"]).await);
    let [planned] = plan["agents"].as_array().unwrap().as_slice() else { unreachable!("{plan}") };
    assert_eq!(planned["prefix"], "agt_a");
    assert_eq!(planned["taken"], value!(["agt_a_broadcasts", "agt_a_channel"]));
    assert_eq!([&planned["registered_version"], &planned["template_version"]], [1, 3]);
    let text = ["  template 3, registered at 1, ", "{prefix}_broadcasts, {prefix}_channel\n"];
    expect(&fuller(ADMIN, &["agents", "adopt"]).await, 0, &text);
    expect(&fuller(ADMIN, &["agents", "adopt", "--yes", "--wait"]).await, 0, &["1 adopted"]);
    let version = "select agent_prefix, template_version from provisioning.agents order by 1";
    assert_eq!(root.rows(version).await[0], "agt_a|3");
    let ended = format!("select state, outcome from provisioning.jobs where id = {id}");
    assert_eq!(root.rows(&ended).await, ["cancelled|superseded by adoption"]);

    expect(&fuller(WORKER, &["agents", "upgrade", "--wait"]).await, 0, &[]);
    assert_eq!(root.rows(version).await, ["agt_a|4", "agt_b|4"]);
    sound(&fuller(ADMIN, &["agents", "verify", "--json"]).await, 2);
    assert_eq!(root.rows("select body from public.agt_a_broadcasts").await, ["hello"]);
    root.run("select from public.delete_agent(1)").await;
    root.settled().await;
    assert_eq!(root.tables("agt_a").await, [""; 0]);
    assert_eq!(root.one::<i64>(DEAD).await, 0);
}

/// What keeps a table from being taken over for a registered agent: done to `agt_a`, undone, and named.
const OBSTACLES: [(&str, &str, &[&str]); 4] = [
    (
        "alter table public.agt_a_messages rename to agt_a_kept;
         create table public.agt_a_messages (); alter table public.agt_a_messages owner to postgres",
        "drop table public.agt_a_messages; alter table public.agt_a_kept rename to agt_a_messages",
        &["public.agt_a_messages has taken the place", "renamed to agt_a_kept"],
    ),
    (
        "drop table public.agt_a_orders_items; create table public.agt_a_orders_items ()",
        "drop table public.agt_a_orders_items",
        &["public.agt_a_orders_items belongs to supabase_admin"],
    ),
    (
        "create table public.agt_a_orders_items (); alter table public.agt_a_orders_items owner to postgres;
         update provisioning.agents set template_version = 9",
        "update provisioning.agents set template_version = 1",
        &["template version 9", "end at 1"],
    ),
    (
        "insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('deprovision', 1, 'agt_a')",
        "delete from provisioning.jobs where kind = 'deprovision'",
        &["its deletion was asked for"],
    ),
];

#[tokio::test]
async fn nothing_is_taken_over_that_may_be_anothers() {
    let (db, root, service) = fleet(&["agt_a"]).await;
    drop(service);
    for (damage, undo, reasons) in OBSTACLES {
        root.run(damage).await;
        let before = state(&root).await;
        for args in [&["adopt", "--yes"][..], &["adopt", "--yes", "agt_a"]] {
            expect(&agents(&db, args).await, 1, &[reasons, &["0 adopted"]].concat());
        }
        assert_eq!(state(&root).await, before, "{damage}");
        root.run(undo).await;
    }
    // While a worker has the prefix, or a session the table.
    let held = [
        "begin; select pg_advisory_xact_lock(hashtextextended('agt_a', 7018690069354541686))",
        "begin; lock table public.agt_a_orders_items in row exclusive mode",
    ];
    for hold in held {
        let holder = Admin(db.connect(SUPERUSER).await);
        holder.run(hold).await;
        let before = state(&root).await;
        let mut impatient = provisioner(&db.url(ADMIN));
        impatient.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "5ms");
        let ended = finish(impatient.args(["agents", "adopt", "--yes", "agt_a"])).await;
        expect(&ended, 1, &["agt_a was not adopted", "55P03"]);
        assert_eq!(state(&root).await, before, "{hold}");
        holder.run("commit").await;
    }
    expect(&agents(&db, &["adopt", "--yes", "agt_a"]).await, 0, &["1 adopted"]);
}

#[tokio::test]
async fn what_comes_after_the_plan_is_not_taken_over() {
    let (db, root, service) = fleet(&["agt_a"]).await;
    drop(service);
    let anew = |table: &str| {
        format!(
            "drop table public.agt_a_{table} cascade; create table public.agt_a_{table} (id int);
             alter table public.agt_a_{table} owner to postgres"
        )
    };
    root.run(&anew("orders_items")).await;
    let holder = Admin(db.connect(SUPERUSER).await);
    holder.run("begin; lock table provisioning.sweep_gate in exclusive mode").await;
    let mut command = provisioner(&db.url(ADMIN));
    command.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "50s").args(["agents", "adopt", "--yes"]);
    let adopting = tokio::spawn(async move { finish(&mut command).await });
    // The databases of other tests have the table under the same number.
    let waits = "select exists (select from pg_locks l join pg_database d on d.oid = l.database
        where not l.granted and d.datname = current_database()
        and l.relation = 'provisioning.sweep_gate'::regclass)";
    root.holds(waits).await;
    root.run(&anew("messages")).await;
    let before = state(&root).await;
    holder.run("commit").await;
    expect(&adopting.await.unwrap(), 1, &["public.agt_a_messages is not in the plan"]);
    assert_eq!(state(&root).await, before);
    expect(&agents(&db, &["adopt", "--yes"]).await, 0, &["1 adopted"]);
}

#[tokio::test]
async fn a_table_in_a_registered_ones_place_is_not_advised_to_be_adopted() {
    let (db, root, _service) = fleet(&["agt_a"]).await;
    root.run(OBSTACLES[0].0).await;
    let report = json(&agents(&db, &["verify", "--json"]).await);
    assert_eq!(report["adoptable"], value!([]));
    assert_eq!(report["unmanaged"], value!(["agt_a_messages"]));
    let verified = agents(&db, &["verify"]).await;
    assert!(!said(&verified).contains("agents adopt"), "{}", said(&verified));
}

#[tokio::test]
async fn a_type_that_was_made_anew_is_advised_to_be_adopted() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    let files = Files::new(&[CRM, BROADCASTS, KEY]);
    let _service = files.service(&db, &[]).await;
    for prefix in ["agt_a", "agt_b"] {
        root.create(prefix).await;
    }
    root.settled().await;
    let admin = db.admin().await;
    admin
        .run(
            "alter table public.agt_a_broadcasts alter channel type text;
             drop type public.agt_a_channel;
             create type public.agt_a_channel as enum ('sms', 'mail');
             alter table public.agt_a_broadcasts
                 alter channel type public.agt_a_channel using channel::public.agt_a_channel",
        )
        .await;
    let adoptable = value!([{ "prefix": "agt_a", "id": 1, "tables": ["agt_a_channel"] }]);
    for only in [&[][..], &["agt_a"]] {
        let report = files.verify(&db, only).await;
        assert_eq!(report["adoptable"], adoptable);
        let verified = files.ask(&db, &[&["agents", "verify"], only].concat()).await;
        expect(&verified, 1, &["agent-provisioner agents adopt agt_a"]);
    }
    for force in [&[][..], &["--force"]] {
        let args = [&["agents", "repair", "--wait", "agt_a"], force].concat();
        expect(&files.ask(&db, &args).await, 1, &["agents verify agt_a"]);
    }
    let mut adopt = files.command(&db, &["agents", "adopt", "agt_a", "--yes", "--wait"]);
    expect(&finish(adopt.env("DATABASE_URL", db.url(ADMIN))).await, 0, &["1 adopted"]);
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 2);
    root.run("select from public.delete_agent(1)").await;
    root.settled().await;
    assert_eq!(root.rows("select typname from pg_type where typname ^@ 'agt_a_'").await, [""; 0]);
    assert_eq!(root.one::<i64>(DEAD).await, 0);
}
