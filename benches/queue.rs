//! Row 8 as well: what a look at a long queue costs.

use std::time::Instant;

use agent_provisioner::dev_server::SUPERUSER;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::Bench;
use super::report::{Figure, ms, quantile};
use super::server::WORKER;

const CLAIM: &str = "select * from provisioning.claim($1, $2, $3)";
const KINDS: [&str; 3] = ["provision", "deprovision", "repair"];
/// Of any schema, and a worker's of the first template version.
const SCHEMA: i32 = i32::MAX;
const TEMPLATES: i32 = 1;
const TIMES: usize = 50;

const FINISHED: &str = "
    insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
    select 'provision', n, 'agt_' || n, 'succeeded', now() from generate_series(1, 1000000) n";
const BLOCKED: &str = "
    insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
    values ('provision', 0, 'agt_0', 'dead', now());
    insert into provisioning.jobs (kind, agent_id, agent_prefix)
    select 'provision', -n, 'agt_0' from generate_series(1, 20000) n";
const DUE: &str = "
    insert into provisioning.jobs (kind, agent_id, agent_prefix)
    values ('provision', 2000000, 'agt_due')";

pub async fn run(bench: &mut Bench) {
    bench.server.database("queue", 0).await;
    let root = bench.server.connect(SUPERUSER, "queue").await;
    let worker = bench.server.connect(WORKER, "queue").await;
    let mut figures = Vec::new();
    for (what, jobs) in [
        ("claim with 1,000,000 finished jobs", FINISHED),
        ("claim with 20,000 jobs behind a dead one", BLOCKED),
    ] {
        root.batch_execute("truncate provisioning.jobs, provisioning.attempts").await.unwrap();
        assert_eq!(claim(&worker).await, 0, "a plan is made while the queue is empty, and kept");
        root.batch_execute(jobs).await.unwrap();
        root.batch_execute(DUE).await.unwrap();
        figures.push((what, claims(&worker).await));
    }
    for (what, times) in figures {
        bench.report.add(Figure::new(8, what, "ms", quantile(&times, 50)).at_most(1.0));
    }
}

/// Milliseconds until the one job that can be had is found, as the worker goes about it; taken back.
async fn claims(client: &Client) -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        client.batch_execute("begin").await.unwrap();
        let started = Instant::now();
        let found = claim(client).await;
        times.push(ms(started.elapsed()));
        assert_eq!(found, 1);
        client.batch_execute("rollback").await.unwrap();
    }
    times
}

async fn claim(client: &Client) -> usize {
    let asked: [(&(dyn ToSql + Sync), Type); 3] =
        [(&KINDS.as_slice(), Type::TEXT_ARRAY), (&SCHEMA, Type::INT4), (&TEMPLATES, Type::INT4)];
    client.query_typed(CLAIM, &asked).await.unwrap().len()
}
