//! Many agents at once, while everybody else goes on working.
//!
//! `LOAD_AGENTS=5000` makes it longer; the times it prints are for people, and nothing rests on them.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::{ADA, Admin, BOSS, Caller, Database, Service, until};

/// Nine times what the service itself waits for a lock (500 ms), as the machine may be busy, and less than the
/// 5 s of the worker's role: whoever waits longer because of it fails with 55P03, and the test with them.
const BOUND: &str = "set lock_timeout = '4500ms'";
const WRITERS: usize = 8;

/// How long each statement took.
type Times = RefCell<Vec<Duration>>;

/// What an application does all day, as people and within their rights.
async fn go_on(client: &Admin, who: &Caller, sql: &str, times: &Times) {
    let started = Instant::now();
    client.run(&format!("{}; {sql}; commit", who.begin())).await;
    times.borrow_mut().push(started.elapsed());
}

fn write(n: usize) -> String {
    format!(
        "insert into public.agt_w{n}_customers (name, phone) values ('Grace', '+1');
         insert into public.agt_w{n}_messages (customer_id, message, direction)
             select max(id), 'hello', 'inbound' from public.agt_w{n}_customers;
         insert into public.agt_w{n}_orders (customer_id) select max(id) from public.agt_w{n}_customers;
         insert into public.agt_w{n}_orders_items (order_id, name, price)
             select max(id), 'tea', 2 from public.agt_w{n}_orders"
    )
}

const READ: &str = "select count(*) from public.agents";
const UPDATE: &str =
    "update public.agents set created_by = created_by where agent_prefix = 'agt_w0'";

fn tell(what: &str, when: &str, times: &Times) {
    let mut sorted = times.take();
    sorted.sort_unstable();
    let at = |percent| sorted.get(sorted.len() * percent / 100).map_or(0.0, Duration::as_secs_f64);
    let last = sorted.last().map_or(0.0, Duration::as_secs_f64);
    let [p50, p99, most] = [at(50), at(99), last].map(|seconds| seconds * 1000.0);
    eprintln!(
        "{what} {when}: {} transactions, p50 {p50:.1} ms, p99 {p99:.1} ms, longest {most:.1} ms",
        sorted.len()
    );
}

async fn bounded_client(db: &Database) -> Admin {
    let client = db.admin().await;
    client.run(BOUND).await;
    client
}

#[tokio::test]
async fn nobody_waits_for_long_while_many_agents_are_built() {
    let agents = std::env::var("LOAD_AGENTS").map_or(300, |count| count.parse().unwrap());
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let _service = db.service().await;
    admin
        .run("insert into public.agents (agent_prefix) select 'agt_w' || n from generate_series(0, 7) n")
        .await;
    admin.settled().await;
    let clients = join_all((0..WRITERS + 3).map(|_| bounded_client(&db))).await;
    let (wrote, read, updated) = (Times::default(), Times::default(), Times::default());
    let over = Cell::new(false);
    let work = |rounds: usize| {
        let (over, clients) = (&over, &clients);
        let (wrote, read, updated) = (&wrote, &read, &updated);
        join_all(clients.iter().enumerate().map(move |(n, client)| async move {
            let mut done = 0;
            while done < rounds && !over.get() {
                match n.checked_sub(WRITERS) {
                    None => go_on(client, &BOSS, &write(n), wrote).await,
                    Some(0 | 1) => go_on(client, &ADA, READ, read).await,
                    Some(_) => go_on(client, &BOSS, UPDATE, updated).await,
                }
                done += 1;
            }
        }))
    };
    let tell = |when| {
        tell("writers of agents' tables", when, &wrote);
        tell("readers of agents", when, &read);
        tell("a writer of agents", when, &updated);
    };
    work(50).await;
    tell("before");
    let started = Instant::now();
    let insert = format!(
        "insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, {agents}) n"
    );
    admin.run(&insert).await;
    let building = async {
        admin.all_done().await;
        over.set(true);
    };
    tokio::join!(building, work(usize::MAX));
    eprintln!("{agents} agents ready after {:.1} s", started.elapsed().as_secs_f64());
    tell("during");
    let jobs =
        "select state, outcome, sum(attempts), count(*) from provisioning.jobs group by 1, 2";
    let all = agents + 2 + WRITERS;
    assert_eq!(admin.rows(jobs).await, [format!("succeeded|provisioned|0|{all}")]);
    let tables =
        "select count(*) from pg_tables where schemaname = 'public' and tablename ^@ 'agt_'";
    assert_eq!(admin.one::<i64>(tables).await, i64::try_from(all * 4).unwrap());
}

#[tokio::test]
async fn who_holds_agents_for_long_delays_the_worker_and_nobody_else() {
    for reference in ["foreign_key", "check"] {
        let db = Database::new().await;
        let admin = db.admin().await;
        admin.populate().await;
        let settings = [("REFERENCE", reference), ("LOG__LEVEL", "agent_provisioner=debug")];
        let service = db.service_with(&settings).await;
        for prefix in ["agt_w0", "agt_gone"] {
            admin.create(prefix).await;
        }
        admin.settled().await;
        let [reader, writer, other] =
            [bounded_client(&db).await, bounded_client(&db).await, bounded_client(&db).await];
        reader.run("begin isolation level repeatable read; select from public.agents").await;
        writer.run("begin; insert into public.agents (agent_prefix) values ('agt_open')").await;
        let ask = "insert into public.agents (agent_prefix) values ('agt_new');
                   select from public.delete_agent((select id from public.agents
                       where agent_prefix = 'agt_gone'))";
        other.run(ask).await;
        if reference == "foreign_key" {
            goes_on_while_the_worker_gives_way(&other, &service).await;
            assert_eq!(admin.tables("agt_new").await, [""; 0]);
            assert_eq!(admin.tables("agt_gone").await.len(), 4);
            writer.run("commit").await;
            admin.holds("select count(*) = 4 from pg_tables where tablename ^@ 'agt_new_'").await;
            assert_eq!(admin.tables("agt_gone").await.len(), 4, "its reader is still there");
            reader.run("commit").await;
            admin.settled().await;
        } else {
            admin.settled().await;
            assert_eq!(admin.tables("agt_new").await.len(), 4);
            writer.run("commit").await;
            admin.settled().await;
        }
        assert_eq!(admin.tables("agt_open").await.len(), 4);
        assert_eq!(admin.tables("agt_gone").await, [""; 0]);
        let used = "select sum(attempts) from provisioning.jobs where state = 'succeeded'";
        assert_eq!(admin.one::<i64>(used).await, 0, "giving way is no failure");
    }
}

async fn goes_on_while_the_worker_gives_way(client: &Admin, service: &Service) {
    let times = Times::default();
    until("the worker to give way again and again", || async {
        go_on(client, &BOSS, &write(0), &times).await;
        go_on(client, &BOSS, UPDATE, &times).await;
        go_on(client, &ADA, READ, &times).await;
        (service.log().matches("\"job gave way\"").count() >= 4).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_reads_a_deleted_agents_tables_keeps_nobody_out_of_agents() {
    let db = Database::new().await;
    let (admin, reader, other) = (db.admin().await, db.admin().await, db.admin().await);
    let patient = ("DATABASE__LOCK_TIMEOUT", "50s");
    let _service = db.service_with(&[patient, ("REFERENCE", "foreign_key")]).await;
    let agent = admin.create("agt_gone").await;
    admin.settled().await;
    reader.run("begin; select from public.agt_gone_messages").await;
    other.run("begin; select from public.agt_gone_customers").await;
    admin.run(&format!("select public.delete_agent({agent})")).await;
    let gave_way = "select exists (select from provisioning.jobs where last_sqlstate = '55P03')";
    admin.holds(gave_way).await;
    let write = "begin; lock table public.agents in row exclusive mode";
    admin.run(&format!("{BOUND}; {write}; commit")).await;
    other.run("commit").await;
    admin.held_up("agt_gone").await;
    admin.run(&format!("{write} nowait; commit")).await;
    reader.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_gone").await, [""; 0]);
}
