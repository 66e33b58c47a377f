//! `agents convert`: from the foreign key to the check and back, under way.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use crate::support::{Admin, Database, Server, WORKER, ask, expect, sound};

const KEYS: &str = "select count(*) from pg_constraint where contype = 'f' and confrelid = 'public.agents'::regclass
    and conrelid <> all ('{public.whatsapp_numbers,public.agent_states}'::regclass[])";

const AGENTS: i64 = 12;

#[tokio::test]
async fn a_fleet_is_converted_both_ways_while_everybody_works() {
    static DONE: AtomicBool = AtomicBool::new(false);
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    for n in 0..AGENTS {
        admin.create(&format!("agt_{n}")).await;
    }
    admin.settled().await;
    assert_eq!(admin.one::<i64>(KEYS).await, AGENTS);
    let mut clients = JoinSet::new();
    let (inserter, comer) = (db.admin().await, db.admin().await);
    clients.spawn(async move {
        let mut rows = 0;
        while !DONE.load(Ordering::Relaxed) {
            let insert = "insert into public.agt_N_customers (name, phone) values ('x', '1')";
            inserter.run(&insert.replace('N', &(rows % AGENTS).to_string())).await;
            rows += 1;
        }
        rows
    });
    clients.spawn(async move {
        while !DONE.load(Ordering::Relaxed) {
            comer.create("new").await;
            let built = "exists (select from provisioning.agents where agent_prefix = 'new')";
            comer.holds(&format!("select {built}")).await;
            comer.run("delete from public.agents where agent_prefix = 'new'").await;
            comer.holds(&format!("select not {built}")).await;
        }
        0
    });
    let url = db.url(WORKER);
    let fleet: Vec<String> = (0..AGENTS).map(|n| format!("agt_{n}")).collect();
    let prefixes: Vec<&str> = fleet.iter().map(String::as_str).collect();
    let mut args = vec!["agents", "convert", "--wait", "--reference", "check"];
    args.extend(&prefixes);
    let told = "reference = \"check\"";
    expect(&ask(&url, &args).await, 0, &[told]);
    let ours = "select count(*) from pg_constraint k join provisioning.agent_tables t
                on t.relation = k.conrelid where k.contype = 'f' and t.table_name ^@ 'agt_'
                and k.confrelid = 'public.agents'::regclass";
    assert_eq!(admin.one::<i64>(ours).await, 0);
    verified(&url, &prefixes).await;
    args[4] = "foreign_key";
    expect(&ask(&url, &args).await, 0, &[]);
    assert_eq!(admin.one::<i64>(ours).await, AGENTS);
    verified(&url, &prefixes).await;
    DONE.store(true, Ordering::Relaxed);
    let mut rows = 0;
    while let Some(inserted) = clients.join_next().await {
        rows += inserted.unwrap();
    }
    admin.settled().await;
    let dead = "select count(*) from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.one::<i64>(dead).await, 0);
    assert_eq!(customers(&admin).await, rows);
    let converted = "select count(*) from provisioning.jobs where kind = 'convert'";
    let before: i64 = admin.one(converted).await;
    expect(&ask(&url, &args).await, 0, &[]);
    assert_eq!(admin.one::<i64>(converted).await, before, "there is nothing to convert");
}

async fn verified(url: &str, prefixes: &[&str]) {
    let args = [&["agents", "verify", "--json"], prefixes].concat();
    sound(&ask(url, &args).await, 12);
}

async fn customers(admin: &Admin) -> i64 {
    let mut all = 0;
    for n in 0..AGENTS {
        all += admin.one::<i64>(&format!("select count(*) from public.agt_{n}_customers")).await;
    }
    all
}

#[tokio::test]
async fn where_the_foreign_key_makes_deletions_impossible_the_check_allows_them() {
    const FLEET: i64 = 320;
    // About the smallest lock table that the migrations run with: 320 agents are to it what thousands are to a common one.
    let server: &'static Server = Box::leak(Box::new(
        Server::start(&[
            ("max_connections", "14"),
            ("max_locks_per_transaction", "14"),
            ("max_wal_senders", "0"),
            ("max_worker_processes", "1"),
            ("autovacuum_max_workers", "1"),
        ])
        .await,
    ));
    let db = server.database().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("WORKER__CONCURRENCY", "1")]).await;
    let insert = format!(
        "insert into public.agents (agent_prefix)
         select 'agt_' || n from generate_series(1, {FLEET}) n"
    );
    admin.run(&insert).await;
    admin.all_done().await;
    let delete = "delete from public.agents where agent_prefix = 'agt_7'";
    assert_eq!(admin.answer(delete).await.unwrap_err().code().code(), "53200");
    // The server tells the error before it gives the locks back; by its next answer it has.
    admin.run("select 1").await;
    let url = db.url(WORKER);
    let converted = ask(&url, &["agents", "convert", "--reference", "check"]).await;
    expect(&converted, 0, &[]);
    // Each of so many is waited for by itself.
    admin.all_done().await;
    assert_eq!(admin.one::<i64>(KEYS).await, 0);
    // It does not even look at the others' tables, however many they are.
    let locked = "begin; delete from public.agents where agent_prefix = 'agt_8';
        select count(*) from pg_locks l join provisioning.agent_tables t on t.relation = l.relation
        where l.pid = pg_backend_pid(); rollback";
    assert_eq!(admin.rows(locked).await, ["0"]);
    for prefix in ["agt_1", "agt_7", "agt_320"] {
        admin.run(&delete.replace("agt_7", prefix)).await;
        admin.settled().await;
        assert_eq!(admin.tables(prefix).await, [""; 0]);
    }
    assert_eq!(admin.tables("agt_8").await.len(), 4);
}

#[tokio::test]
async fn a_renamed_table_loses_its_key_and_is_given_none() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let keys = "select conrelid::regclass::text from pg_constraint
                where contype = 'f' and confrelid = 'public.agents'::regclass
                  and conrelid::regclass::text ~ 'agt_x_'";
    admin.run("alter table public.agt_x_customers rename to agt_x_clients").await;
    assert_eq!(admin.rows(keys).await, ["agt_x_clients"]);
    let url = db.url(WORKER);
    let convert = |to| ["agents", "convert", "--reference", to, "--wait"];
    expect(&ask(&url, &convert("check")).await, 0, &[]);
    assert_eq!(admin.rows(keys).await, [""; 0]);
    // Back: the key is the table's, which is not there.
    expect(&ask(&url, &convert("foreign_key")).await, 1, &[]);
    assert_eq!(
        admin.one::<i64>("select count(*) from provisioning.jobs where state = 'dead'").await,
        1
    );
    assert_eq!(admin.rows("select reference from provisioning.agents").await, ["check"]);
    admin.run("alter table public.agt_x_clients rename to agt_x_customers").await;
    expect(&ask(&url, &["jobs", "replay", "--all-dead", "--wait"]).await, 0, &[]);
    assert_eq!(admin.rows(keys).await, ["agt_x_customers"]);
    sound(&ask(&url, &["agents", "verify", "--full", "--json"]).await, 1);
}

#[tokio::test]
async fn what_is_converted_already_or_gone_is_left_as_it_is() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    let id = admin.create("agt_a").await;
    admin.create("agt_b").await;
    admin.settled().await;
    drop(service);
    let url = db.url(WORKER);
    let args = ["agents", "convert", "--reference", "check"];
    let dry = ask(&url, &[&args[..], &["--dry-run"]].concat()).await;
    expect(&dry, 0, &["\nagt_a\nagt_b\n"]);
    expect(&ask(&url, &args).await, 0, &["queued 2 jobs"]);
    admin.run("delete from public.agents where agent_prefix = 'agt_b'").await;
    let _service = db.service().await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_b").await, [""; 0]);
    let queue = "insert into provisioning.jobs (kind, agent_id, agent_prefix, reference) values ('convert', $1, 'agt_a', 'check')";
    admin.execute(queue, &[&id]).await.unwrap();
    admin.run("notify agent_provisioning").await;
    admin.settled().await;
    let outcomes =
        "select outcome from provisioning.jobs where kind = 'convert' and agent_id = 1 order by id";
    assert_eq!(admin.rows(outcomes).await, ["converted", "unchanged"]);
    expect(&ask(&url, &["agents", "convert", "--reference", "none"]).await, 2, &["foreign_key"]);
}
