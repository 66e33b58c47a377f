//! A database where triggers built the tables becomes ours: under live traffic, without losing a row
//! or an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::{Value, json as value};

use crate::support::{
    ADA, ADMIN, Admin, BEN, CALLERS, Caller, Database, Files, WORKER, ask, expect, finish, json,
    provisioner, sound,
};

const LEGACY: &str = include_str!("adopt/legacy.sql");
/// The agents' numbers, by generation.
const GENERATIONS: [std::ops::RangeInclusive<usize>; 3] = [1..=17, 18..=34, 35..=50];
/// One that somebody changed by hand.
const ODD: &str = "agt_50";

async fn adopt(db: &Database, args: &[&str]) -> std::process::Output {
    ask(&db.url(ADMIN), &[&["agents", "adopt"], args].concat()).await
}

/// A database with the trigger-based schema and agents of these numbers and generations.
async fn legacy(agents: impl IntoIterator<Item = (usize, usize)>) -> (Database, Admin) {
    let db = Database::empty().await;
    let admin = db.admin().await;
    admin.run(LEGACY).await;
    for (number, generation) in agents {
        let agent = format!("insert into public.agents (agent_prefix) values ('agt_{number}')");
        admin.run(&format!("set legacy.generation = {generation}; {agent}")).await;
    }
    admin.run("reset legacy.generation").await;
    (db, admin)
}

/// Fills an agent's old tables, those that there are.
async fn fill(admin: &Admin, prefix: &str) {
    let core = format!(
        "insert into public.{prefix}_customers (agent_id, name, phone)
             select a.id, 'customer ' || n, n from public.agents a, generate_series(1, 20) n
             where agent_prefix = '{prefix}';
         insert into public.{prefix}_messages (customer_id, message, direction)
             select n, 'message of {prefix}', 'inbound' from generate_series(1, 20) n;"
    );
    let orders = format!(
        "insert into public.{prefix}_orders (customer_id, status, total_amount)
             select n, 'new', 7.50 from generate_series(1, 5) n;
         insert into public.{prefix}_orders_items (order_id, name, price)
             select n, 'tea', 2.5 from generate_series(1, 5) n;"
    );
    let all = admin.tables(prefix).await.len() > 3;
    admin.run(&if all { core + &orders } else { core }).await;
}

/// What the rows that are there now look like: by table, the query and its answer.
async fn rows(admin: &Admin) -> Rows {
    let tables = "select format('%s|select count(*) || md5(string_agg(concat_ws(chr(9), %s), chr(10) order by id))
            from public.%I where id <= ', c.relname, string_agg(quote_ident(a.attname), ', ' order by a.attnum), c.relname)
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        where c.relname ~ '^agt_\\d+_(customers|messages|orders|orders_items)$' group by c.relname";
    let mut all = BTreeMap::new();
    for row in admin.rows(tables).await {
        let (table, query) = row.split_once('|').unwrap();
        let last: i32 =
            admin.one(&format!("select coalesce(max(id), 0) from public.{table}")).await;
        let query = format!("{query}{last}");
        let answer = admin.one(&query).await;
        all.insert(table.to_owned(), (query, answer));
    }
    all
}

/// People and machines at work while everything changes under them. None of them ever sees an error.
struct Life {
    over: Arc<AtomicBool>,
    messages: Vec<tokio::task::JoinHandle<BTreeMap<String, i64>>>,
    agents: tokio::task::JoinHandle<usize>,
    created: Arc<AtomicUsize>,
}

impl Life {
    async fn begin(db: &Database, prefixes: &[String]) -> Self {
        let (over, created) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut messages = Vec::new();
        for client in 0..3 {
            let (admin, over, prefixes) = (db.admin().await, Arc::clone(&over), prefixes.to_vec());
            messages.push(tokio::spawn(async move {
                let mut written = BTreeMap::new();
                let mut pace = tokio::time::interval(Duration::from_millis(40));
                admin.run("set role service_role").await;
                for prefix in prefixes.iter().skip(client).step_by(3).cycle() {
                    pace.tick().await;
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    admin
                        .run(&format!(
                            "begin;
                             insert into public.{prefix}_customers (agent_id, name, phone)
                                 select id, 'live', '1' from public.agents where agent_prefix = '{prefix}';
                             insert into public.{prefix}_messages (customer_id, message, direction)
                                 values (currval('public.{prefix}_customers_id_seq'), 'live', 'outbound');
                             commit"
                        ))
                        .await;
                    *written.entry(prefix.clone()).or_default() += 1;
                }
                written
            }));
        }
        let (admin, ended, counter) = (db.admin().await, Arc::clone(&over), Arc::clone(&created));
        let agents = tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                let number = 1000 + counter.load(Ordering::Relaxed);
                admin.create(&format!("agt_{number}")).await;
                counter.fetch_add(1, Ordering::Relaxed);
                // Somebody gets impatient when three are not usable yet.
                let few = "select count(*) < 3 from public.agents
                    where to_regclass('public.' || agent_prefix || '_customers') is null";
                admin.holds(few).await;
            }
            counter.load(Ordering::Relaxed)
        });
        Self { over, messages, agents, created }
    }

    /// Waits until that many more agents were created.
    async fn goes_on(&self, agents: usize) {
        let wanted = self.created.load(Ordering::Relaxed) + agents;
        let enough = || async { (self.created.load(Ordering::Relaxed) >= wanted).then_some(()) };
        crate::support::until("more agents", enough).await;
    }

    /// How many messages each agent got, and how many agents were created.
    async fn end(self) -> (BTreeMap<String, i64>, usize) {
        self.over.store(true, Ordering::Relaxed);
        let mut written = BTreeMap::new();
        for client in self.messages {
            written.extend(client.await.unwrap());
        }
        (written, self.agents.await.unwrap())
    }
}

/// By prefix, what a list of agents in JSON says under a key.
fn differences(agents: &Value, key: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let said = |d: &Value| ["change", "kind", "object"].map(|key| text(&d[key])).join(" ");
    let agents = agents.as_array().unwrap().iter();
    let all = agents.map(|agent| {
        let differences = agent[key].as_array().unwrap();
        (text(&agent["prefix"]), differences.iter().map(said).collect::<BTreeSet<_>>())
    });
    all.filter(|(_, differences)| !differences.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_generations_are_taken_over_under_live_traffic() {
    let prefixes: Vec<String> = (1..=50).map(|number| format!("agt_{number}")).collect();
    let (db, admin) = crm(&prefixes).await;
    let before = rows(&admin).await;

    let life = Life::begin(&db, &prefixes).await;
    life.goes_on(3).await;
    db.migrate().await;
    let service = db.service().await;
    life.goes_on(3).await;
    let only: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    let plan = json(&adopt(&db, &[&only[..], &["--json"]].concat()).await);
    let adopted = adopt(&db, &["--yes"]).await;
    expect(&adopted, 0, &["adopted", "0 failed"]);
    life.goes_on(3).await;
    let (written, created) = life.end().await;
    admin.settled().await;

    rows_are_kept(&admin, &before, &written).await;
    agents_are_built_once(&admin, created).await;
    what_differs_was_announced(&db, &admin, &plan).await;
    only_the_owner_reads(&admin, &[(ADA, "agt_1"), (BEN, "agt_40")]).await;
    // Again: nothing.
    let catalog = schema(&admin).await;
    for args in [&["--yes", "--json"][..], &["--yes", "--json", "agt_1"]] {
        let again = adopt(&db, args).await;
        expect(&again, 0, &[]);
        let done = json(&again);
        assert_eq!([&done["adopted"], &done["jobs"], &done["failed"]], [&value!([]); 3]);
    }
    expect(&adopt(&db, &["agt_none"]).await, 1, &["\"agt_none\""]);
    assert_eq!(schema(&admin).await, catalog);
    drop(service);
}

/// Agents of all generations with rows and some with an owner, and what somebody changed by hand.
async fn crm(prefixes: &[String]) -> (Database, Admin) {
    let numbered =
        GENERATIONS.iter().zip(1..).flat_map(|(all, g)| all.clone().map(move |n| (n, g)));
    let (db, admin) = legacy(numbered).await;
    for prefix in prefixes {
        fill(&admin, prefix).await;
    }
    // Somebody's own: a table beside the template's, another type, one more column and view.
    admin
        .run(&format!(
            "create table public.agt_3_campaigns (id int);
             alter table public.{ODD}_customers alter phone type varchar(20), add vip boolean;
             create view public.agt_4_report as select count(*) from public.agt_4_messages"
        ))
        .await;
    for (Caller { id, name, .. }, agent) in [(ADA, "agt_1"), (BEN, "agt_40")] {
        admin
            .run(&format!(
                "insert into auth.users (id, email) values ('{id}', '{name}@example.com');
                 insert into public.users values ('{id}', '{name}', '{name}@example.com', 'agent');
                 update public.agents set user_id = '{id}' where agent_prefix = '{agent}'"
            ))
            .await;
    }
    (db, admin)
}

type Rows = BTreeMap<String, (String, String)>;

/// Those from before are the same, and each of the live ones is there once.
async fn rows_are_kept(admin: &Admin, before: &Rows, written: &BTreeMap<String, i64>) {
    for (table, (query, answer)) in before {
        assert_eq!(admin.one::<String>(query).await, *answer, "{table}");
    }
    for (prefix, live) in written {
        for table in ["customers", "messages"] {
            let count = format!("select count(*) from public.{prefix}_{table}");
            assert_eq!(admin.one::<i64>(&count).await, 20 + live, "{prefix}_{table}");
        }
    }
}

/// All registered with four tables, each built by the old triggers or by the worker.
async fn agents_are_built_once(admin: &Admin, created: usize) {
    let agents: i64 = admin.one("select count(*) from public.agents").await;
    assert_eq!(agents, 50 + i64::try_from(created).unwrap());
    let strange = "select a.agent_prefix, b.prefix, j.outcome,
            (select count(*) from provisioning.agent_tables t where t.agent_id = a.id)
        from public.agents a
        left join public.legacy_builds b on b.prefix = a.agent_prefix
        left join provisioning.jobs j on j.agent_id = a.id and j.outcome = 'provisioned'
        where (b.prefix is null) = (j.outcome is null)
           or (select count(*) from provisioning.agent_tables t where t.agent_id = a.id) <> 4";
    assert_eq!(admin.rows(strange).await, Vec::<String>::new());
    assert_eq!(
        admin.one::<i64>("select count(*) from provisioning.jobs where state = 'dead'").await,
        0
    );
    assert!(admin.one::<bool>("select count(*) > 50 from public.legacy_builds").await);
    let triggers = "select tgname, tgenabled from pg_trigger where tgrelid = 'public.agents'::regclass
        and not tgisinternal and tgname in ('build', 'before_build', 'drop_all', 'tell') order by 1";
    assert_eq!(admin.rows(triggers).await, ["before_build|D", "build|D", "drop_all|D", "tell|O"]);
    let owners = "select distinct tableowner from pg_tables where tablename ~ '_(customers|messages|orders|orders_items)$'";
    assert_eq!(admin.rows(owners).await, [WORKER]);
}

/// What still differs is what the plan said would.
async fn what_differs_was_announced(db: &Database, admin: &Admin, plan: &Value) {
    let verified = json(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await);
    let left = differences(&plan["agents"], "left");
    assert_eq!(differences(verified.get("drifted").unwrap(), "differences"), left);
    let odd = [
        "differs column public.agt_50_customers.phone",
        "extra column public.agt_50_customers.vip",
    ];
    assert_eq!(left, [(ODD.to_owned(), odd.map(str::to_owned).into())].into());
    let others = "$.agents[*] ? (@.prefix == \"agt_3\").other_tables";
    let others = format!("select jsonb_path_query($json${plan}$json$::jsonb, '{others}')::text");
    assert_eq!(admin.rows(&others).await, ["[\"agt_3_campaigns\", \"agt_3_settings\"]"]);
    assert!(admin.one::<bool>("select to_regclass('public.agt_3_campaigns') is not null").await);
}

async fn only_the_owner_reads(admin: &Admin, owned: &[(Caller, &str)]) {
    for (owner, prefix) in owned {
        for table in ["customers", "messages", "orders"] {
            let sql = format!("select count(*) > 0 from public.{prefix}_{table}");
            let there = admin.rows(&sql).await;
            for caller in CALLERS {
                let seen = admin.ask(&caller, &sql).await.map(|answer| answer.rows);
                match caller.name {
                    "anon" => assert_eq!(seen.unwrap_err().code().code(), "42501", "{sql}"),
                    "postgres" | "service_role" => assert_eq!(seen.unwrap(), there, "{sql}"),
                    name if name == owner.name => assert_eq!(seen.unwrap(), there, "{sql}"),
                    name => assert_eq!(seen.unwrap(), ["f"], "{name}: {sql}"),
                }
            }
        }
    }
}

/// Everything in our schemas, and the queue.
async fn schema(admin: &Admin) -> Vec<String> {
    let mut all = admin.rows(include_str!("migrations/schema.sql")).await;
    all.extend(admin.rows("select * from provisioning.jobs order by id").await);
    all.extend(admin.rows("select * from provisioning.agent_tables order by 1").await);
    all
}

/// Six agents that can be adopted, one without tables, and one for each reason why not.
async fn mixed() -> (Database, Admin) {
    let agents = [(1, 1), (2, 3), (3, 1), (4, 3), (5, 1), (6, 2), (12, 1), (13, 1)];
    let (db, admin) = legacy(agents).await;
    // Rows that no rule of ours lets in, and names that lead astray.
    admin
        .run(
            "insert into public.agents (agent_prefix) values ('Agt-9'), ('agt_7'), ('agt_8'), ('agt_11');
             drop table public.agt_8_messages cascade;
             create view public.agt_8_messages as select 1 as a;
             drop table public.agt_7_orders_items, public.agt_7_orders, public.agt_7_messages,
                 public.agt_7_customers",
        )
        .await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(&format!("alter table public.agt_11_orders owner to {SUPERUSER}")).await;
    db.migrate().await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix)
                 select 'deprovision', id, agent_prefix from public.agents where agent_prefix = 'agt_12';
             insert into provisioning.agents (agent_id, agent_prefix, template_version, reference)
                 values (999, 'agt_13', 1, 'check')",
        )
        .await;
    (db, admin)
}

#[tokio::test]
async fn a_plan_groups_agents_by_shape_and_changes_nothing() {
    let (db, admin) = mixed().await;
    let before = schema(&admin).await;
    let texts = [
        "3 agents: agt_1, agt_3, agt_5",
        "  template 1, check, owned by postgres",
        "  missing  table        public.{prefix}_orders\n",
        "2 agents: agt_2, agt_4\n  template 1, foreign_key, owned by postgres",
        "1 agent: agt_6\n",
        "agent prefix \"Agt-9\" is not valid",
        "cannot be adopted: public.agt_8_messages is no table",
        "cannot be adopted: public.agt_11_orders belongs to supabase_admin, for whom postgres may not act",
        "6 tables and views of no template, left alone: agt_1_settings, ",
        "cannot be adopted: its deletion was asked for, by job ",
        "cannot be adopted: tables of agent 999 are still registered for its prefix",
        "6 agents to adopt, 5 not adoptable",
        "Nothing was changed. To go on: the same command with --yes",
    ];
    for args in [&[][..], &["--dry-run"], &["--dry-run", "--yes"]] {
        expect(&adopt(&db, args).await, 0, &texts);
    }
    let one = adopt(&db, &["agt_2"]).await;
    expect(
        &one,
        0,
        &[
            "left alone: agt_2_settings",
            "extra    policy       \"Service role full access\" on public.agt_2_orders\n",
        ],
    );
    let plan = json(&adopt(&db, &["--json"]).await);
    let tables = plan["agents"][0]["tables"].clone();
    let state = |index: usize| tables[index]["state"].as_str().unwrap();
    assert_eq!([0, 1, 2, 3].map(state), ["differs", "differs", "missing", "missing"]);
    assert_eq!(schema(&admin).await, before);
}

#[tokio::test]
async fn whoever_is_not_adopted_is_a_failure_each_time_it_is_asked_for() {
    let (db, admin) = mixed().await;
    let refused = [
        "Agt-9 was not adopted: agent prefix",
        "agt_8 was not adopted: public.agt_8_messages is no table",
    ];
    let adopted = adopt(&db, &["--yes"]).await;
    expect(&adopted, 1, &refused);
    let repairs = "select count(*) from provisioning.jobs where kind = 'repair'";
    assert_eq!(admin.one::<i64>(repairs).await, 6);
    let again = adopt(&db, &["--yes"]).await;
    expect(&again, 1, &refused);
    let done = json(&adopt(&db, &["--yes", "--json"]).await);
    assert_eq!(done["failed"].as_array().unwrap().len(), 5);
    assert_eq!([&done["adopted"], &done["jobs"]], [&value!([]); 2]);
    let named = adopt(&db, &["--yes", "--json", "agt_1", "agt_7"]).await;
    expect(&named, 0, &[]);
    assert_eq!(json(&named)["adopted"], value!([]));
    // Who is registered is not adopted again, whatever has taken a table's place.
    let stand_in = "alter table public.agt_1_messages rename to agt_1_kept; create table public.agt_1_messages ()";
    admin.run(stand_in).await;
    let plan = json(&adopt(&db, &["--json"]).await);
    assert_eq!(plan["agents"], value!([]));
    assert_eq!(admin.one::<i64>(repairs).await, 6);
}

#[tokio::test]
async fn killed_midway_it_goes_on_where_it_was_and_one_locked_agent_holds_up_no_other() {
    let (db, admin) = legacy((1..=20).map(|number| (number, 3))).await;
    db.migrate().await;
    let customer = db.admin().await;
    customer.run("begin; lock table public.agt_3_messages in row exclusive mode").await;
    let mut child = start(&db, "5s");
    let registered = "(select count(*) from provisioning.agents)";
    admin.holds(&format!("select {registered} = 19")).await;
    let waits = "select exists (select from pg_locks l where not l.granted and l.relation = 'public.agt_3_messages'::regclass)";
    admin.holds(waits).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let half = "select count(*) from public.agents a join pg_class c on c.relname ^@ (a.agent_prefix || '_')
            and c.relname ~ '(customers|messages|orders|items)$' and c.relkind = 'r'
        where (c.relowner = 'agent_provisioner'::regrole) <> exists (
                select from provisioning.agent_tables t where t.relation = c.oid)
           or (c.relowner = 'agent_provisioner'::regrole) <> exists (
                select from provisioning.jobs j where j.agent_id = a.id and j.kind = 'repair')";
    admin
        .holds(
            "select not exists (select from pg_stat_activity where datname = current_database()
        and application_name ^@ 'agent-provisioner' and state <> 'idle')",
        )
        .await;
    assert_eq!(admin.one::<i64>(half).await, 0);
    assert!(admin.one::<bool>(&format!("select {registered} = 19")).await);
    // It comes back to who is in use, and does not do so for ever.
    let mut impatient = provisioner(&db.url(ADMIN));
    impatient.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "5ms").args(["agents", "adopt", "--yes"]);
    let given_up = ["agt_3 ", "55P03"];
    expect(&finish(&mut impatient).await, 1, &given_up);
    let mut child = start(&db, "5s");
    admin.holds(waits).await;
    admin.holds(&waits.replacen("select", "select not", 1)).await;
    customer.run("commit").await;
    assert!(child.wait().unwrap().success());
    assert!(admin.one::<bool>(&format!("select {registered} = 20")).await);
    let _service = db.service().await;
    admin.settled().await;
    sound(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await, 20);
}

fn start(db: &Database, lock_timeout: &str) -> Child {
    let mut command = provisioner(&db.url(ADMIN));
    command.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", lock_timeout);
    command.args(["agents", "adopt", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[tokio::test]
async fn an_adoption_is_one_transaction_which_sweeps_and_deletions_do_not_cross() {
    let (db, admin) = legacy([(1, 1)]).await;
    db.migrate().await;
    let (holder, deleter) = (db.admin().await, db.admin().await);
    // A sweep that is under way, and then something that holds up the queueing of the repair.
    admin
        .run(
            "create function public.hold() returns trigger language plpgsql as
                 $$ begin perform pg_advisory_xact_lock_shared(1); return new; end $$;
             create trigger hold before insert on provisioning.jobs for each row
                 when (new.kind = 'repair') execute function public.hold()",
        )
        .await;
    holder.run("select pg_advisory_lock(1); begin; lock table provisioning.sweep_gate in exclusive mode").await;
    let waits = |what: &str| {
        format!(
            "select exists (select from pg_locks l join pg_stat_activity a using (pid)
             where not l.granted and a.datname = current_database() and {what})"
        )
    };
    let mut broken_off = start(&db, "50s");
    admin.holds(&waits("l.relation = 'provisioning.sweep_gate'::regclass")).await;
    let found = "insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('provision', 1, 'agt_1')";
    admin.run(found).await;
    let before = schema(&admin).await;
    holder.run("commit").await;
    let held = waits("l.locktype = 'advisory' and l.objid = 1");
    admin.holds(&held).await;
    let end = held.replace("exists (select from", "(select pg_terminate_backend(pid, 10000) from");
    admin.run(&end).await;
    assert_eq!(broken_off.wait().unwrap().code(), Some(1));
    assert_eq!(schema(&admin).await, before);

    let mut adopting = start(&db, "50s");
    admin.holds(&held).await;
    let delete = "delete from public.agents where agent_prefix = 'agt_1'";
    let deleting = tokio::spawn(async move { deleter.run(delete).await });
    admin.holds(&waits("a.query ^@ 'delete from public.agents'")).await;
    holder.run("select pg_advisory_unlock(1)").await;
    deleting.await.unwrap();
    assert!(adopting.wait().unwrap().success());
    let provisions = "select state, outcome from provisioning.jobs where kind = 'provision'";
    assert_eq!(admin.rows(provisions).await, ["cancelled|superseded by adoption"]);
    let _service = db.service().await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_1").await, ["agt_1_settings"]);
}

#[tokio::test]
async fn of_two_prefixes_that_head_a_name_the_longer_counts_and_a_table_of_either_is_nobodys() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let tables = "create table public.{prefix}_a (); create table public.{prefix}_b_a ();
                  -- provisioner: public {prefix}_a
                  -- provisioner: public {prefix}_b_a\n";
    let third = "create table public.{prefix}_c ();
                 -- provisioner: public {prefix}_c\n";
    let files = Files::new(&[("0001_tables.sql", tables), ("0002_third.sql", third)]);
    let insert =
        "insert into public.agents (agent_prefix) values ('agt'), ('agt_b'), ('crm'), ('crm_x')";
    admin.run(insert).await;
    for prefix in ["agt", "crm", "crm_x"] {
        admin.run(&tables.replace("{prefix}", prefix)).await;
    }
    let more = "create table public.crm_x_notes (); create table public.crm_notes ();";
    admin.run(&format!("{more} {}", third.replace("{prefix}", "crm"))).await;
    let plan = async |args: &[&str]| {
        let mut command = files.command(&db, &[&["agents", "adopt"], args].concat());
        finish(command.env("DATABASE_URL", db.url(ADMIN))).await
    };
    let refused = [
        "agt (1) cannot be adopted: public.agt_b_a may as well be agent \"agt_b\"'s",
        "agt_b (2) cannot be adopted: public.agt_b_a may as well be agent \"agt\"'s",
        "2 agents to adopt, 2 not adoptable",
    ];
    expect(&plan(&[]).await, 0, &refused);
    for (prefix, other, version) in [("crm", "crm_notes", 2), ("crm_x", "crm_x_notes", 1)] {
        let planned = json(&plan(&[prefix, "--json"]).await);
        assert_eq!(planned["agents"][0]["other_tables"], value!([other]));
        assert_eq!(planned["agents"][0]["template_version"], version);
    }
}

#[tokio::test]
async fn rows_of_another_agent_keep_the_old_policies_until_somebody_decides() {
    let (db, admin) = legacy([(1, 3), (2, 3)]).await;
    fill(&admin, "agt_1").await;
    fill(&admin, "agt_2").await;
    // Rows without a partner, which no rule guards.
    admin
        .run(
            "update public.agt_1_customers set agent_id = 2 where id = 5;
             alter table public.agt_2_messages drop constraint agt_2_messages_customer_id_fkey,
                 alter direction drop not null;
             update public.agt_2_messages set direction = null where id = 1;
             insert into public.agt_2_messages (customer_id, message, direction)
                 values (999, 'lost', 'inbound')",
        )
        .await;
    db.migrate().await;
    let service = db.service().await;
    service.logged("agt_2_customers").await;
    let job = "select id from provisioning.jobs where state = 'dead' and agent_prefix = 'agt_1'";
    admin.holds("select count(*) = 2 from provisioning.jobs where state = 'dead'").await;
    let shown =
        ask(&db.url(ADMIN), &["jobs", "show", &admin.one::<i64>(job).await.to_string()]).await;
    expect(&shown, 0, &["agent-provisioner agents adopt agt_1"]);
    let adopted = adopt(&db, &["--yes", "--wait"]).await;
    expect(&adopted, 1, &["agt_1_customers_agent_id_check", "agt_2"]);
    let repairs = "select state || ' ' || outcome from provisioning.jobs
                   where kind = 'repair' and agent_prefix in ('agt_1', 'agt_2')";
    assert_eq!(admin.rows(repairs).await, ["succeeded drifted"; 2]);
    service.logged("create policy agt_1_customers_owner on").await;
    let policies = "select count(*) from pg_policies where tablename = 'agt_1_customers' and policyname ~ 'policy'";
    assert_eq!(admin.one::<i64>(policies).await, 1);
    let verified = json(&ask(&db.url(ADMIN), &["agents", "verify", "agt_2", "--json"]).await);
    let left = differences(&verified["drifted"], "differences");
    let expected = [
        "differs column public.agt_2_messages.direction",
        "differs constraint agt_2_messages_customer_id_fkey on public.agt_2_messages",
    ];
    assert_eq!(left["agt_2"], expected.map(str::to_owned).into());
    admin.run("delete from public.agt_1_customers where agent_id = 2").await;
    let repaired = ask(&db.url(ADMIN), &["agents", "repair", "--force", "agt_1", "--wait"]).await;
    expect(&repaired, 0, &[]);
    expect(&ask(&db.url(ADMIN), &["agents", "verify", "agt_1"]).await, 0, &[]);
}

#[tokio::test]
async fn a_plan_tells_what_hangs_on_the_tables_and_what_differs_in_name_only() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run("insert into public.agents (agent_prefix) values ('agt_a'), ('agt_b')").await;
    let built = include_str!("../sql/agent/0001_crm.sql");
    for (prefix, id) in [("agt_a", "1"), ("agt_b", "2")] {
        admin.run(&built.replace("{prefix}", prefix).replace("{agent_id}", id)).await;
        let old = format!(
            "alter index public.{prefix}_orders_status_idx rename to idx_{prefix}_orders_status;
             alter table public.{prefix}_customers alter agent_id set default '{id}'::bigint + 0;
             alter policy {prefix}_customers_owner on public.{prefix}_customers using (agent_id = {id});
             alter policy {prefix}_orders_owner on public.{prefix}_orders rename to owner_only;
             alter trigger touch_updated_at on public.{prefix}_orders rename to touch"
        );
        admin.run(&old).await;
    }
    admin
        .run(
            "create table public.agt_a_broadcasts (customer_id bigint references public.agt_a_customers (id));
             create table public.agt_a_log (agent bigint references public.agents (id));
             create view public.agt_a_view as select * from public.agt_a_orders;
             create table public.agt_a_notes ();
             create table public.log_of_all (agent bigint references public.agents (id) on delete cascade);
             create schema crm;
             create table crm.notes (customer_id bigint references public.agt_b_customers (id));
             create table crm.plain ()",
        )
        .await;
    let plan = json(&adopt(&db, &["--json"]).await);
    let (first, second) = (&plan["agents"][0], &plan["agents"][1]);
    let hanging = first["hanging"].as_array().unwrap().iter();
    let hanging: Vec<_> = hanging.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(hanging, ["agt_a_broadcasts", "agt_a_log", "agt_a_view"]);
    assert_eq!(first["other_tables"].as_array().unwrap().len(), 4);
    assert_eq!(second["hanging"][0]["name"], "crm.notes");
    assert_eq!([&second["hanging"][1], &second["other_tables"]], [&Value::Null, &value!([])]);
    let because = "log_of_all_agent_fkey refers to public.agents";
    assert_eq!(plan["hanging"], value!([{ "name": "log_of_all", "because": because }]));
    let of_kinds = |kinds: &[&str]| {
        let all = second["differences"].as_array().unwrap().iter();
        let named = all.filter(|one| kinds.contains(&one["kind"].as_str().unwrap()));
        Value::Array(named.filter(|one| one["change"] != "differs").cloned().collect())
    };
    let renamed = |kind: &str, object: &str, found: &str| value!({ "change": "renamed", "kind": kind, "object": object, "found": found });
    let on = "on public.agt_b_orders";
    let expected = [
        renamed("index", "public.agt_b_orders_status_idx", "public.idx_agt_b_orders_status"),
        renamed("policy", &format!("agt_b_orders_owner {on}"), &format!("owner_only {on}")),
        renamed("trigger", &format!("touch_updated_at {on}"), &format!("touch {on}")),
    ];
    assert_eq!(of_kinds(&["index", "policy", "trigger"]), value!(expected));
    let text = String::from_utf8(adopt(&db, &[]).await.stdout).unwrap();
    assert!(text.contains("2 agents: agt_a, agt_b\n"), "one group: {text}");
    for told in ["agt_a_broadcasts", "crm.notes", "log_of_all"] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[tokio::test]
async fn an_old_index_that_is_the_same_is_taken_and_not_doubled() {
    let (db, admin) = legacy([(1, 2)]).await;
    db.migrate().await;
    let index = async |name: &str| {
        admin.one::<u32>(&format!("select 'public.{name}'::regclass::oid")).await
    };
    let old = index("idx_agt_1_orders_customer_id_status").await;
    let _service = db.service().await;
    expect(&adopt(&db, &["--yes", "--wait"]).await, 0, &[]);
    assert_eq!(index("agt_1_orders_customer_id_status_idx").await, old);
    let twice = "select count(*) from pg_index a join pg_index b
            on a.indrelid = b.indrelid and a.indexrelid < b.indexrelid and a.indkey::text = b.indkey::text
        where a.indrelid::regclass::text ^@ 'agt_1_'";
    assert_eq!(admin.one::<i64>(twice).await, 0);
}
