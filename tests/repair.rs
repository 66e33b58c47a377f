//! Every way in which an agent can differ is seen by `agents verify`, and ended by `agents repair` as
//! far as that loses nothing.

use serde_json::Value;

use crate::support::{
    ADMIN, Admin, Database, Files, Service, ask, expect, finish, have, json, provisioner, sound,
};

/// What remains after a repair, and after one with `--force`.
#[derive(Clone, Copy, PartialEq)]
pub enum Mends {
    Always,
    Forced,
    Never,
}
use Mends::{Always, Forced, Never};

/// What somebody does to agent `P`, what `verify` says of it, and what a repair does about it.
/// `_c`, `_m`, `_o` and `_i` stand for its four tables.
pub const SABOTAGES: [(&str, &str, Mends); 48] = [
    ("drop table _i", "missing table _i", Always),
    (
        "drop table _c cascade",
        "missing table _c; missing constraint P_messages_customer_id_fkey on _m; \
      missing constraint P_orders_customer_id_fkey on _o",
        Always,
    ),
    (
        "drop table _c, _m, _o, _i",
        "missing table _c; missing table _m; missing table _o; missing table _i",
        Always,
    ),
    ("alter table _m set unlogged", "differs table _m", Never),
    ("alter table _o set (fillfactor = 50)", "differs table _o", Never),
    (
        "alter table _c drop column phone",
        "missing column _c.phone; missing index public.P_customers_phone_idx",
        Never,
    ), // not null, with rows
    ("alter table _o drop column notes", "missing column _o.notes", Always),
    (
        "alter table _i drop column id",
        "missing sequence public.P_orders_items_id_seq; missing column _i.id; \
         missing constraint P_orders_items_pkey on _i",
        Always,
    ),
    (
        "alter table _o drop column status",
        "missing column _o.status; missing index public.P_orders_status_idx; \
      missing index public.P_orders_customer_id_status_idx",
        Always,
    ),
    ("alter table _o alter notes type varchar", "differs column _o.notes", Never),
    ("alter table _o alter status type varchar(60)", "differs column _o.status", Never),
    ("alter table _o alter notes set not null", "differs column _o.notes", Never),
    ("alter table _c alter name drop not null", "differs column _c.name", Forced),
    ("alter table _o alter notes type text collate \"C\"", "differs column _o.notes", Never),
    (
        "alter table _i drop column total; alter table _i add column total numeric(10, 2)",
        "differs column _i.total",
        Never,
    ),
    ("alter table _o add column extra int", "extra column _o.extra", Never),
    ("alter table _o alter status drop default", "missing default _o.status", Always),
    ("alter table _o alter status set default 'new'", "differs default _o.status", Forced),
    ("alter table _o alter notes set default ''", "extra default _o.notes", Never),
    (
        "drop sequence public.P_customers_id_seq cascade",
        "missing sequence public.P_customers_id_seq",
        Never,
    ),
    (
        "alter sequence public.P_customers_id_seq owned by none",
        "differs sequence public.P_customers_id_seq",
        Forced,
    ),
    (
        "alter sequence public.P_customers_id_seq cycle",
        "differs sequence public.P_customers_id_seq",
        Never,
    ),
    (
        "alter table _m drop constraint P_messages_direction_check",
        "missing constraint P_messages_direction_check on _m",
        Always,
    ),
    (
        "alter table _m drop constraint P_messages_direction_check; alter table _m add \
      constraint P_messages_direction_check check (direction <> '')",
        "differs constraint P_messages_direction_check on _m",
        Never,
    ),
    (
        "alter table _m add constraint more check (message <> '')",
        "extra constraint more on _m",
        Never,
    ),
    (
        "alter table _m drop constraint P_messages_customer_id_fkey",
        "missing constraint P_messages_customer_id_fkey on _m",
        Always,
    ),
    (
        "alter table _c drop constraint P_customers_agent_id_fkey",
        "missing constraint P_customers_agent_id_fkey on _c",
        Always,
    ),
    (
        "alter table _i drop constraint P_orders_items_pkey",
        "missing constraint P_orders_items_pkey on _i",
        Always,
    ),
    (
        "drop index public.P_customers_phone_idx",
        "missing index public.P_customers_phone_idx",
        Always,
    ),
    (
        "drop index public.P_customers_phone_idx; create index P_customers_phone_idx on _c (name)",
        "differs index public.P_customers_phone_idx",
        Forced,
    ),
    ("create index other_idx on _c (name)", "extra index public.other_idx", Never),
    (
        "update pg_index set indisvalid = false where indexrelid = 'public.P_customers_phone_idx'::regclass",
        "differs index public.P_customers_phone_idx",
        Always,
    ),
    ("alter table _c disable row level security", "missing row security _c", Always),
    ("alter table _c no force row level security", "differs row security _c", Always),
    ("drop policy P_customers_owner on _c", "missing policy P_customers_owner on _c", Always),
    (
        "alter policy P_customers_owner on _c using (true)",
        "differs policy P_customers_owner on _c",
        Forced,
    ),
    (
        "alter policy P_customers_owner on _c to authenticated, anon",
        "differs policy P_customers_owner on _c",
        Forced,
    ),
    ("create policy open on _c using (true)", "extra policy open on _c", Forced),
    ("drop trigger touch_updated_at on _o", "missing trigger touch_updated_at on _o", Always),
    (
        "alter table _o disable trigger touch_updated_at",
        "differs trigger touch_updated_at on _o",
        Forced,
    ),
    (
        "create trigger more before update on _o for each row execute function provisioning.touch_updated_at()",
        "extra trigger more on _o",
        Never,
    ),
    ("revoke all on _c from service_role", "missing grant _c to service_role", Always),
    ("revoke delete on _c from authenticated", "differs grant _c to authenticated", Forced),
    ("grant select (name) on _c to anon", "extra column grant (name) on _c to anon", Forced),
    (
        "grant all on sequence public.P_customers_id_seq to public",
        "extra grant sequence public.P_customers_id_seq to public",
        Forced,
    ),
    (
        "alter publication supabase_realtime add table _m",
        "extra publication _m in supabase_realtime",
        Never,
    ),
    ("alter table _m owner to postgres", "differs owner _m", Never), // the worker cannot take it back
    (
        "alter sequence public.P_customers_id_seq rename to P_counter",
        "differs sequence name public.P_counter",
        Always,
    ),
];

/// What is said of the agent whose customers were lost, after their table is there again.
const ORPHANS: &str = "differs constraint P_messages_customer_id_fkey on _m; \
                       differs constraint P_orders_customer_id_fkey on _o";

pub fn of(prefix: &str, text: &str) -> String {
    let mut sql = format!(" {text} ");
    for (short, table) in
        [("_c", "customers"), ("_m", "messages"), ("_o", "orders"), ("_i", "orders_items")]
    {
        for (before, after) in " (".chars().flat_map(|b| " ,;.)".chars().map(move |a| (b, a))) {
            let table = format!("{before}public.P_{table}{after}");
            sql = sql.replace(&format!("{before}{short}{after}"), &table);
        }
    }
    sql.replace("P_", &format!("{prefix}_")).trim().to_owned()
}

fn agent(number: usize) -> String {
    format!("agt_{number}")
}

/// By agent, what `verify` says.
async fn differences(db: &Database, args: &[&str]) -> Vec<(String, String)> {
    let verified = ask(&db.url(ADMIN), &[&["agents", "verify", "--json"], args].concat()).await;
    let report = json(&verified);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let said = |difference: &Value| {
        let [change, kind, object] = ["change", "kind", "object"].map(|key| text(&difference[key]));
        format!("{change} {kind} {object}")
    };
    let drifted = report.get("drifted").unwrap().as_array().unwrap().iter().map(|agent| {
        let said: Vec<_> = agent["differences"].as_array().unwrap().iter().map(said).collect();
        (text(&agent["prefix"]), said.join("; "))
    });
    let drifted: Vec<_> = drifted.collect();
    assert_eq!(verified.status.success(), drifted.is_empty());
    drifted
}

async fn fill(admin: &Admin, prefix: &str) {
    let sql = "insert into _c (name, phone) values ('Eve', '1');
               insert into _m (customer_id, message, direction) values (1, 'hello', 'inbound');
               insert into _o (customer_id, notes) values (1, 'n');
               insert into _i (order_id, name, price) values (1, 'tea', 2)";
    admin.run(&format!("set role service_role; {}; reset role", of(prefix, sql))).await;
}

/// How many rows an agent has in each table.
async fn rows(root: &Admin, prefix: &str) -> Vec<String> {
    let sql = of(
        prefix,
        "select (select count(*) from _c), (select count(*) from _m), \
                          (select count(*) from _o), (select count(*) from _i)",
    );
    root.rows(&sql).await
}

#[tokio::test]
async fn every_difference_is_seen_and_mended_as_far_as_no_row_is_lost() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    let sabotages = || SABOTAGES.iter().enumerate().map(|(number, entry)| (agent(number), entry));
    for (prefix, _) in sabotages() {
        admin.create(&prefix).await;
    }
    admin.settled().await;
    assert_eq!(differences(&db, &[]).await, []);
    let root = Admin(db.connect(agent_provisioner::dev_server::SUPERUSER).await);
    // What is made anew must not be open to everybody for that.
    let open = "alter default privileges for role agent_provisioner in schema public
                grant all on tables to anon, service_role";
    root.run(open).await;
    let mut before = Vec::new();
    for (prefix, (sql, ..)) in sabotages() {
        fill(&admin, &prefix).await;
        root.run(&of(&prefix, sql)).await;
        before.push(rows_or_none(&root, &prefix).await);
    }
    let expected = |left: &[Mends]| {
        let mut expected: Vec<_> = sabotages()
            .filter(|(_, (.., mends))| left.contains(mends))
            .map(|(prefix, (_, said, _))| (prefix.clone(), of(&prefix, said)))
            .collect();
        // Rows of a table that was lost are missing still: what refers to them is told, and kept.
        if !left.contains(&Always) {
            expected.push((agent(1), of(&agent(1), ORPHANS)));
        }
        expected.sort();
        expected
    };
    let mut seen = differences(&db, &[]).await;
    seen.sort();
    assert_eq!(seen, expected(&[Always, Forced, Never]));

    let repaired = ask(&db.url(ADMIN), &["agents", "repair", "--wait"]).await;
    expect(&repaired, 1, &["agents verify agt_3"]);
    let queued = "select count(*) from provisioning.jobs where kind = 'repair'";
    assert_eq!(admin.one::<i64>(queued).await, i64::try_from(SABOTAGES.len()).unwrap());
    let mut seen = differences(&db, &[]).await;
    seen.sort();
    assert_eq!(seen, expected(&[Forced, Never]));

    // A column without a value for the rows that are there fails alone.
    let dead = "select count(*) from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.one::<i64>(dead).await, 0);
    let forced = ask(&db.url(ADMIN), &["agents", "repair", "--wait", "--force"]).await;
    expect(&forced, 1, &["agt_5"]);
    assert_eq!(admin.one::<i64>(dead).await, 0);
    let mut seen = differences(&db, &[]).await;
    seen.sort();
    assert_eq!(seen, expected(&[Never]));
    let outcomes = "select string_agg(distinct outcome, ' ' order by outcome) from provisioning.jobs \
                    where kind = 'repair' and state = 'succeeded'";
    assert_eq!(admin.one::<String>(outcomes).await, "drifted repaired");
    // What was dropped is there again and empty; everything else has its rows.
    for ((prefix, _), before) in sabotages().zip(before) {
        let after = rows(&root, &prefix).await;
        assert!(before.is_none_or(|before| before == after), "{prefix}");
    }
    drop(service);
}

/// `None` where a table is gone.
async fn rows_or_none(root: &Admin, prefix: &str) -> Option<Vec<String>> {
    let there = root.tables(prefix).await.len() == 4;
    if there { Some(rows(root, prefix).await) } else { None }
}

#[tokio::test]
async fn a_dry_run_prints_sql_that_psql_runs_and_changes_nothing() {
    if !have(&["psql"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    let id = admin.create("agt_x").await;
    admin.settled().await;
    drop(service);
    let whole = admin.catalog("agt_x", id).await;
    admin
        .run(
            "drop table public.agt_x_orders_items; alter table public.agt_x_orders drop column notes;
             create policy open on public.agt_x_customers using (true)",
        )
        .await;
    let broken = admin.catalog("agt_x", id).await;
    let shown = ask(&db.url(ADMIN), &["agents", "repair", "--dry-run", "agt_x"]).await;
    expect(&shown, 0, &["-- ", "policy open on public.agt_x_customers"]);
    let shown = ask(&db.url(ADMIN), &["agents", "repair", "--dry-run", "--force"]).await;
    expect(&shown, 0, &["drop policy open on public.agt_x_customers;"]);
    let plan =
        json(&ask(&db.url(ADMIN), &["agents", "repair", "--dry-run", "--force", "--json"]).await);
    assert_eq!(plan[0]["looks_again"], true, "{plan}");
    assert_eq!(admin.catalog("agt_x", id).await, broken);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.jobs").await, 1);
    let script = crate::support::temp_dir().join(format!("repair-{}.sql", std::process::id()));
    std::fs::write(&script, &shown.stdout).unwrap();
    let mut psql = std::process::Command::new("psql");
    psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&script).arg(db.url(ADMIN));
    expect(&finish(&mut psql).await, 0, &[]);
    std::fs::remove_file(&script).unwrap();
    // The columns that were made anew stand last.
    let sorted = |catalog: String| {
        let mut lines: Vec<_> = catalog.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let direction = |line: &String| !line.contains("_direction_check");
    let kept = |catalog| sorted(catalog).into_iter().filter(direction).collect::<Vec<_>>();
    assert_eq!(kept(admin.catalog("agt_x", id).await), kept(whole));
}

#[tokio::test]
async fn somebody_elses_table_in_the_place_of_a_lost_one_is_left_alone() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    admin.run("drop table public.agt_x_messages; create table public.agt_x_messages (a int)").await;
    let seen = differences(&db, &[]).await;
    assert_eq!(seen, [("agt_x".to_owned(), "missing table public.agt_x_messages".to_owned())]);
    let repaired = ask(&db.url(ADMIN), &["agents", "repair", "agt_x", "--wait"]).await;
    expect(&repaired, 1, &["public.agt_x_messages"]);
    let dead = "select last_sqlstate from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.rows(dead).await, ["42P07"]);
    assert_eq!(admin.rows("select * from public.agt_x_messages").await, Vec::<String>::new());
}

const GAVE_WAY: &str = "select bool_or(lock_wanted = 'share row exclusive') from provisioning.jobs
                        where state = 'pending'";

#[tokio::test]
async fn a_repair_of_the_key_waits_for_the_agents_tables_before_it_locks_agents() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("DATABASE__LOCK_TIMEOUT", "50s")]).await;
    admin.create("agt_x").await;
    admin.settled().await;
    let break_it = "alter table public.agt_x_orders drop column notes;
                    alter table public.agt_x_customers drop constraint agt_x_customers_agent_id_fkey";
    admin.run(break_it).await;
    // The first time, its rehearsal waits for agents too.
    expect(&ask(&db.url(ADMIN), &["agents", "repair", "--wait"]).await, 0, &["1 job succeeded"]);
    admin.run(break_it).await;
    let (reader, writer) = (db.admin().await, db.admin().await);
    reader.run("begin; lock table public.agt_x_orders in access share mode").await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('repair', 1, 'agt_x');
             notify agent_provisioning",
        )
        .await;
    admin.held_up("agt_x").await;
    writer.run("begin; lock table public.agents in row exclusive mode nowait").await;
    reader.run("commit").await;
    admin.holds(GAVE_WAY).await;
    // Nobody waits for each other in a circle.
    writer.run("set local lock_timeout = '30s'; select from public.agt_x_orders; commit").await;
    admin.settled().await;
    assert_eq!(differences(&db, &[]).await, []);
}

#[tokio::test]
async fn a_repair_gives_way_to_who_uses_the_table_and_comes_back() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("DATABASE__LOCK_TIMEOUT", "20ms")]).await;
    admin.create("agt_x").await;
    admin.settled().await;
    admin.run("alter table public.agt_x_orders drop column notes").await;
    let reader = db.admin().await;
    reader.run("begin; select from public.agt_x_orders").await;
    let mut command = provisioner(&db.url(ADMIN));
    let waiting = finish(command.args(["agents", "repair", "--wait"]));
    let released = async {
        admin
            .holds("select last_sqlstate = '55P03' and attempts = 0 from provisioning.jobs where kind = 'repair'")
            .await;
        reader.run("select from public.agt_x_orders; commit").await;
    };
    let (repaired, ()) = tokio::join!(waiting, released);
    expect(&repaired, 0, &["1 job succeeded"]);
}

/// One table's name begins with another's, and one needs quotes.
const QUOTED: &str = "create table public.\"{prefix}_Kunden\" (id serial primary key);
    create table public.\"{prefix}_Kunden_alt\" (id serial primary key);
    revoke all on public.\"{prefix}_Kunden\", public.\"{prefix}_Kunden_alt\" from public, anon, authenticated, service_role;
    alter table public.\"{prefix}_Kunden\" enable row level security;
    alter table public.\"{prefix}_Kunden_alt\" enable row level security;";

#[tokio::test]
async fn a_plain_repair_leaves_grants_of_tables_that_stand_and_closes_those_that_it_makes() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let files = Files::new(&[("0001_kunden.sql", QUOTED)]);
    let root = Admin(db.connect(agent_provisioner::dev_server::SUPERUSER).await);
    let role = format!("{}_reporting", db.name);
    let open = format!(
        "create role {role};
         alter default privileges for role agent_provisioner in schema public grant all on tables to anon"
    );
    root.run(&open).await;
    let _service = files.service(&db, &[]).await;
    admin.create("agt_x").await;
    admin.settled().await;
    let damage = format!(
        "grant select on public.\"agt_x_Kunden_alt\" to {role}; drop table public.\"agt_x_Kunden\""
    );
    admin.run(&damage).await;
    let repaired = files.ask(&db, &["agents", "repair", "--wait"]).await;
    expect(&repaired, 1, &["grant", "agt_x_Kunden_alt"]);
    let may = async |role: &str, table: &str| {
        let sql = format!("select has_table_privilege('{role}', 'public.\"{table}\"', 'select')");
        admin.one::<bool>(&sql).await
    };
    assert!(may(&role, "agt_x_Kunden_alt").await, "taken from a table that stands");
    assert!(!may("anon", "agt_x_Kunden").await, "open to everybody");
    root.run(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test]
async fn what_cannot_be_mended_keeps_no_door_open() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    let damage = [
        "alter table public.P_orders owner to postgres",
        "alter sequence public.P_customers_id_seq owned by none;
         alter sequence public.P_customers_id_seq rename to P_numbers",
        "grant select on public.P_orders to authenticated with grant option; set role authenticated;
         grant select on public.P_orders to anon; reset role",
    ];
    for (number, damage) in damage.iter().enumerate() {
        admin.create(&agent(number)).await;
        admin.settled().await;
        let off = "alter table public.P_customers disable row level security";
        admin.run(&of(&agent(number), &format!("{off}; {damage}"))).await;
    }
    ask(&db.url(ADMIN), &["agents", "repair", "--force", "--wait"]).await;
    let open = "select relname from pg_class where relname ~ '^agt_[0-9]_customers$' and not relrowsecurity";
    assert_eq!(admin.rows(open).await, [""; 0]);
    let dead = "select count(*) from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.one::<i64>(dead).await, 0);
    // What was handed on is taken back, too.
    let left: Vec<_> = differences(&db, &[]).await.into_iter().map(|(prefix, _)| prefix).collect();
    assert_eq!(left, ["agt_0", "agt_1"]);
}

#[tokio::test]
async fn what_differs_in_its_name_only_is_renamed_and_not_made_twice() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let state = "select tgname::text as name, oid from pg_trigger where not tgisinternal and tgrelid = 'public.agt_x_orders'::regclass
        union all select polname, oid from pg_policy where polrelid = 'public.agt_x_orders'::regclass
        union all select conname, oid from pg_constraint where conrelid = 'public.agt_x_orders'::regclass
        union all select indexrelid::regclass::text, indexrelid from pg_index where indrelid = 'public.agt_x_orders'::regclass
        order by 2, 1";
    let before = admin.rows(state).await;
    admin
        .run(
            "alter trigger touch_updated_at on public.agt_x_orders rename to touch;
             alter policy agt_x_orders_owner on public.agt_x_orders rename to \"Owner\";
             alter table public.agt_x_orders rename constraint agt_x_orders_customer_id_fkey to fk;
             alter index public.agt_x_orders_status_idx rename to idx_agt_x_orders_status",
        )
        .await;
    expect(&ask(&db.url(ADMIN), &["agents", "repair", "--wait"]).await, 0, &[]);
    assert_eq!(admin.rows(state).await, before);
    sound(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await, 1);
}

/// What `agents verify` says of one agent.
async fn told(db: &Database) -> Vec<Value> {
    let report = json(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await);
    let agents = report.get("drifted").unwrap().as_array().unwrap();
    agents.iter().flat_map(|agent| agent["differences"].as_array().unwrap()).cloned().collect()
}

#[tokio::test]
async fn a_renamed_sequence_goes_on_counting_and_gets_its_name_back() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    fill(&admin, "agt_x").await;
    let state = "select c.oid, c.relname, c.relacl, s.last_value, pg_get_expr(d.adbin, d.adrelid)
        from pg_class c, pg_sequences s, pg_attrdef d
        where c.relname = s.sequencename and c.oid = any (array(
            select objid from pg_depend where refobjid = d.adrelid and refobjsubid = d.adnum and deptype = 'a'))
          and d.adrelid = 'public.agt_x_customers'::regclass and d.adnum = 1";
    let before = admin.rows(state).await;
    assert_eq!(before.len(), 1);
    let away = "alter sequence public.agt_x_customers_id_seq rename to \"My counter\"";
    let back = "alter sequence public.\"My counter\" rename to agt_x_customers_id_seq";
    for args in [&["--wait"][..], &["--wait", "--force"]] {
        admin.run(away).await;
        let differences = told(&db).await;
        assert_eq!(differences.len(), 1, "{differences:?}");
        assert_eq!(differences[0]["kind"], "sequence name");
        assert_eq!(differences[0]["by_hand"], back);
        let dry = ask(&db.url(ADMIN), &["agents", "repair", "--dry-run", "--force"]).await;
        let script = String::from_utf8(dry.stdout).unwrap();
        let statements: Vec<_> = script.lines().filter(|line| !line.starts_with("--")).collect();
        assert!(statements.contains(&format!("{back};").as_str()), "{script}");
        assert!(!["create", "revoke", "set default"].iter().any(|word| script.contains(word)));
        let repair = [&["agents", "repair"], args].concat();
        expect(&ask(&db.url(ADMIN), &repair).await, 0, &["1 job succeeded"]);
        assert_eq!(admin.rows(state).await, before);
        assert_eq!(differences_of(&db).await, [""; 0]);
    }
    // What else differs about it is told and mended under its right name.
    let root = Admin(db.connect(agent_provisioner::dev_server::SUPERUSER).await);
    root.run(&format!("grant all on sequence public.agt_x_customers_id_seq to anon; {away}")).await;
    let extra = "extra grant sequence public.agt_x_customers_id_seq to anon";
    assert_eq!(differences_of(&db).await, ["differs sequence name public.\"My counter\"", extra]);
    expect(&ask(&db.url(ADMIN), &["agents", "repair", "--wait"]).await, 1, &[]);
    assert_eq!(differences_of(&db).await, [extra]);
    admin.run(away).await;
    let forced = ask(&db.url(ADMIN), &["agents", "repair", "--wait", "--force"]).await;
    expect(&forced, 0, &["1 job succeeded"]);
    assert_eq!(admin.rows(state).await, before);
}

/// Three sequences have one another's names, and one has a name of its own.
const SWAPPED: &str = "alter sequence public.agt_x_customers_id_seq rename to aside;
    alter sequence public.agt_x_messages_id_seq rename to agt_x_customers_id_seq;
    alter sequence public.agt_x_orders_id_seq rename to agt_x_messages_id_seq;
    alter sequence public.aside rename to agt_x_orders_id_seq;
    alter sequence public.agt_x_orders_items_id_seq rename to counter";

#[tokio::test]
async fn sequences_that_swapped_their_names_get_their_own_back() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    fill(&admin, "agt_x").await;
    let state = "select c.oid, c.relname, c.relacl, d.refobjid::regclass
        from pg_class c join pg_depend d on d.objid = c.oid and d.deptype = 'a' and d.refobjsubid > 0
        where c.relkind = 'S' and c.relname ^@ 'agt_x_' order by 1";
    let before = admin.rows(state).await;
    assert_eq!(before.len(), 4);
    let kinds = ["sequence name"; 4];
    for by_hand in [true, false] {
        admin.run(SWAPPED).await;
        let differences = told(&db).await;
        assert_eq!(differences.iter().map(|one| &one["kind"]).collect::<Vec<_>>(), kinds);
        if by_hand {
            for statements in differences.iter().filter_map(|one| one["by_hand"].as_str()) {
                admin.run(statements).await;
            }
        } else {
            let repaired = ask(&db.url(ADMIN), &["agents", "repair", "--wait"]).await;
            expect(&repaired, 0, &["1 job succeeded"]);
        }
        assert_eq!(admin.rows(state).await, before);
        assert_eq!(differences_of(&db).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_sequence_that_was_parted_from_its_column_is_given_back_when_asked() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let own = "select refobjid::regclass::text, deptype from pg_depend
               where objid = 'public.agt_x_customers_id_seq'::regclass and refobjsubid > 0";
    let before = admin.rows(own).await;
    for (force, away) in [
        (None, "owned by none"),
        (Some("--force"), "owned by none"),
        (Some("--force"), "owned by public.agt_x_orders.customer_id"),
    ] {
        admin.run(&format!("alter sequence public.agt_x_customers_id_seq {away}")).await;
        let differences = told(&db).await;
        let [parted] = differences.as_slice() else { panic!("{differences:?}") };
        let by_hand =
            "alter sequence public.agt_x_customers_id_seq owned by public.agt_x_customers.id";
        assert_eq!(parted["by_hand"], by_hand, "{parted}");
        let repair = ["agents", "repair", "--wait"].into_iter().chain(force);
        let repaired = ask(&db.url(ADMIN), &repair.collect::<Vec<_>>()).await;
        expect(&repaired, i32::from(force.is_none()), &[]);
        if force.is_none() {
            assert_eq!(told(&db).await, differences);
            admin.run(by_hand).await;
        }
        assert_eq!(admin.rows(own).await, before, "{away}");
        assert_eq!(told(&db).await, [Value::Null; 0]);
    }
}

#[tokio::test]
async fn no_column_is_led_to_a_sequence_that_somebody_made_in_the_place_of_its_own() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    let twin = "create sequence public.agt_x_customers_id_seq as integer;
                alter sequence public.agt_x_customers_id_seq owner to agent_provisioner";
    let own = "alter sequence public.agt_x_customers_id_seq owned by public.agt_x_customers.id";
    let loose = "alter sequence public.counter owned by none";
    let insert = "set role service_role;
                  insert into public.agt_x_customers (name, phone) values ('Adam', '2');
                  reset role";
    let root = Admin(db.connect(agent_provisioner::dev_server::SUPERUSER).await);
    admin.create("agt_x").await;
    admin.settled().await;
    fill(&admin, "agt_x").await;
    let away = "alter sequence public.agt_x_customers_id_seq rename to counter";
    for more in [twin, own, loose] {
        root.run(&if more == twin { format!("{away}; {twin}") } else { more.to_owned() }).await;
        for args in [&["--wait"][..], &["--wait", "--force"]] {
            if more != loose {
                // The other one may be behind.
                let mut told = differences_of(&db).await;
                told.retain(|one| !one.starts_with("differs sequence position "));
                assert_eq!(told, ["differs sequence name public.counter"], "{more}");
            }
            let repaired = ask(&db.url(ADMIN), &[&["agents", "repair"], args].concat()).await;
            expect(&repaired, 1, &["agt_x"]);
            root.run(insert).await;
        }
    }
    let ids = "select string_agg(id::text, ' ' order by id) from public.agt_x_customers";
    assert_eq!(admin.one::<String>(ids).await, "1 2 3 4 5 6 7");
}

async fn differences_of(db: &Database) -> Vec<String> {
    let agents = differences(db, &[]).await.into_iter();
    agents
        .flat_map(|(_, said)| said.split("; ").map(ToOwned::to_owned).collect::<Vec<_>>())
        .collect()
}

/// With agent `agt_x`, which has rows, and a schema to move its tables to.
async fn filled(db: &Database) -> (Admin, Service) {
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    fill(&admin, "agt_x").await;
    admin.run("create schema archive; grant usage on schema archive to agent_provisioner").await;
    (admin, service)
}

#[tokio::test]
async fn a_renamed_or_moved_table_gets_no_empty_twin_and_its_name_back_when_asked() {
    let db = Database::new().await;
    let (admin, _service) = filled(&db).await;
    for (away, there) in [
        ("alter table public.agt_x_messages rename to agt_x_chats", "public.agt_x_chats"),
        ("alter table public.agt_x_messages set schema archive", "archive.agt_x_messages"),
    ] {
        let count =
            async |table: &str| admin.one::<i64>(&format!("select count(*) from {table}")).await;
        let before = count("public.agt_x_messages").await;
        admin.run(away).await;
        for plain in [true, false] {
            let report = json(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await);
            let drifted = report["drifted"].as_array().unwrap();
            assert_eq!(drifted.len(), 1, "{away}: {report}");
            let told = drifted[0]["differences"].as_array().unwrap();
            let kinds: Vec<_> = told.iter().map(|one| &one["kind"]).collect();
            assert_eq!(kinds, ["table name"], "{away}: {report}");
            let mut command = vec!["agents", "repair", "--wait"];
            command.extend((!plain).then_some("--force"));
            ask(&db.url(ADMIN), &command).await;
            let table = if plain { there } else { "public.agt_x_messages" };
            assert_eq!(count(table).await, before, "{away}");
            let tables =
                "select count(*) from pg_class where relkind = 'r' and relname like 'agt\\_x\\_%'";
            assert_eq!(admin.one::<i64>(tables).await, 4, "{away}");
        }
        expect(&ask(&db.url(ADMIN), &["agents", "verify"]).await, 0, &["0 not"]);
    }
}

/// What bears a name of an agent's by now and is not the agent's: whose it is, and what is done to the agent's own first.
const TWINS: [(&str, &str); 3] = [
    ("postgres", "alter table public.agt_x_messages rename to agt_x_messages_old"),
    ("agent_provisioner", "alter table public.agt_x_messages rename to agt_x_messages_old"),
    ("postgres", "alter table public.agt_x_messages set schema archive"),
];

#[tokio::test]
async fn a_table_in_the_place_of_a_renamed_one_is_named_and_never_taken_over() {
    let db = Database::new().await;
    let (admin, _service) = filled(&db).await;
    let registry = "select * from provisioning.agent_tables order by 1";
    let registered = "select relation::oid, table_name from provisioning.agent_tables order by 1";
    let known = admin.rows(registered).await;
    for (owner, away) in TWINS {
        let twin = format!(
            "{away}; create table public.agt_x_messages (id serial primary key, body text);
             alter table public.agt_x_messages owner to {owner};
             grant all on public.agt_x_messages to anon; insert into public.agt_x_messages (body) values ('precious')"
        );
        admin.run(&twin).await;
        let mut by_hand = String::new();
        for force in [false, true] {
            let report = json(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await);
            assert_eq!(report["unmanaged"], serde_json::json!(["agt_x_messages"]), "{report}");
            let told = report["drifted"][0]["differences"].as_array().unwrap();
            let [name] = told.as_slice() else { panic!("{owner} {away}: {report}") };
            assert_eq!(name["kind"], "table name", "{report}");
            let obstacle = format!(
                "in its place stands public.agt_x_messages of role {owner}, which is not the agent's"
            );
            assert_eq!(name["obstacle"], obstacle);
            name["by_hand"].as_str().unwrap().clone_into(&mut by_hand);
            let command = ["agents", "repair", "--wait", "--force"];
            let repaired = ask(&db.url(ADMIN), &command[..3 + usize::from(force)]).await;
            expect(&repaired, 1, &["agt_x still differs", &obstacle]);
            let dead = "select last_error from provisioning.jobs where state = 'dead'";
            assert_eq!(admin.rows(dead).await, [""; 0], "{owner} {away}");
            assert_eq!(admin.rows(registered).await, known, "{:?}", admin.rows(registry).await);
        }
        admin.run(&by_hand).await;
        expect(&ask(&db.url(ADMIN), &["agents", "verify"]).await, 0, &["0 not"]);
        let other =
            "select relname from pg_class where relname ^@ 'agt_x_messages_old' and relkind = 'r'";
        let other = admin.rows(other).await;
        let [other] = other.as_slice() else { panic!("{other:?}") };
        assert_eq!(admin.rows(&format!("select body from public.{other}")).await, ["precious"]);
        admin.run(&format!("drop table public.{other}")).await;
    }
}

#[tokio::test]
async fn two_registered_tables_for_one_name_are_told_with_the_way_out() {
    let db = Database::new().await;
    let (admin, _service) = filled(&db).await;
    let twin = "alter table public.agt_x_messages set schema archive;
                create table public.agt_x_messages (id serial primary key, body text);
                alter table public.agt_x_messages owner to agent_provisioner;
                insert into public.agt_x_messages (body) values ('precious');
                insert into provisioning.agent_tables values ('public.agt_x_messages', 1, 'agt_x_messages')";
    admin.run(twin).await;
    let words = "select displacement, obstacle, back from provisioning.displaced_tables";
    for force in [false, true] {
        let differences = told(&db).await;
        let [name] = differences.as_slice() else { panic!("{differences:?}") };
        let said = ["found", "obstacle", "by_hand"].map(|key| name[key].as_str().unwrap());
        assert_eq!(admin.rows(words).await, [said.join("|")]);
        assert!(said[1].contains("registered for the agent, too"), "{name}");
        let command = ["agents", "repair", "--wait", "--force"];
        expect(&ask(&db.url(ADMIN), &command[..3 + usize::from(force)]).await, 1, &["agt_x"]);
    }
    let differences = told(&db).await;
    admin.run(differences[0]["by_hand"].as_str().unwrap()).await;
    sound(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await, 1);
    assert_eq!(admin.rows("select body from public.agt_x_messages_old").await, ["precious"]);
    let root = Admin(db.connect(agent_provisioner::dev_server::SUPERUSER).await);
    assert_eq!(root.rows("select message from public.agt_x_messages").await, ["hello"]);
}

#[tokio::test]
async fn two_tables_that_swapped_their_names_have_a_way_back() {
    let db = Database::new().await;
    let (admin, _service) = filled(&db).await;
    let registered = "select relation::oid, table_name from provisioning.agent_tables order by 1";
    let known = admin.rows(registered).await;
    admin
        .run(
            "alter table public.agt_x_messages rename to aside;
             alter table public.agt_x_orders rename to agt_x_messages;
             alter table public.aside rename to agt_x_orders",
        )
        .await;
    let differences = told(&db).await;
    let obstacles: Vec<_> =
        differences.iter().map(|one| one["obstacle"].as_str().unwrap()).collect();
    assert_eq!(obstacles.len(), 2, "{differences:?}");
    assert!(obstacles[0].ends_with("which is the agent's agt_x_orders"), "{differences:?}");
    admin.run(differences[0]["by_hand"].as_str().unwrap()).await;
    expect(&ask(&db.url(ADMIN), &["agents", "repair", "--wait", "--force"]).await, 0, &[]);
    sound(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await, 1);
    assert_eq!(admin.rows(registered).await, known);
}
