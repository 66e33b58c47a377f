//! Every way in which an agent can differ is seen by `agents verify`, and ended by `agents repair` as
//! far as that loses nothing.

use serde_json::Value;

use crate::support::{ADMIN, Admin, Database, ask, expect, finish, json, provisioner, said};

/// What remains after a repair, and after one with `--force`.
#[derive(Clone, Copy, PartialEq)]
enum Mends {
    Always,
    Forced,
    Never,
}
use Mends::{Always, Forced, Never};

/// What somebody does to agent `P`, what `verify` says of it, and what a repair does about it.
/// `_c`, `_m`, `_o` and `_i` stand for its four tables.
const SABOTAGES: [(&str, &str, Mends); 47] = [
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
        "missing sequence public.P_customers_id_seq",
        Never,
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
    ("grant select (name) on _c to anon", "extra grant _c to anon", Forced),
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
];

fn of(prefix: &str, text: &str) -> String {
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
    let root = Admin(db.connect(agent_provisioner::cluster::SUPERUSER).await);
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
        expected.sort();
        expected
    };
    let mut seen = differences(&db, &[]).await;
    seen.sort();
    assert_eq!(seen, expected(&[Always, Forced, Never]));

    let repaired = ask(&db.url(ADMIN), &["agents", "repair", "--wait"]).await;
    expect(&repaired, 1, &["queued 47 jobs", "agt_3 still differs; see: agents verify agt_3"]);
    let mut seen = differences(&db, &[]).await;
    seen.sort();
    assert_eq!(seen, expected(&[Forced, Never]));

    assert_eq!(
        admin
            .rows("select agent_prefix, last_sqlstate from provisioning.jobs where state = 'dead'")
            .await,
        ["agt_5|23502"] // a column without a value for the rows that are there
    );
    let forced = ask(&db.url(ADMIN), &["agents", "repair", "--wait", "--force"]).await;
    expect(&forced, 1, &["still differs", "is dead: cannot run"]);
    assert!(!said(&forced).contains("left out"), "its dead job is brought back with --force");
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
    expect(&shown, 0, &["-- left as it is: policy open on public.agt_x_customers"]);
    let shown = ask(&db.url(ADMIN), &["agents", "repair", "--dry-run", "--force"]).await;
    expect(&shown, 0, &["drop policy open on public.agt_x_customers;"]);
    assert_eq!(admin.catalog("agt_x", id).await, broken);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.jobs").await, 1);
    let script = std::env::temp_dir().join(format!("repair-{}.sql", std::process::id()));
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
    expect(&repaired, 1, &["public.agt_x_messages already exists and is not managed"]);
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
    writer.run("set local lock_timeout = '5s'; select from public.agt_x_orders; commit").await;
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
