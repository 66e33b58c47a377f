//! Row 5: how long `agents` is locked, as somebody else finds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::Bench;
use super::report::{Figure, ms, quantile};
use super::server::{ADMIN, insert};
use super::service::Service;

const AGENTS: usize = 200;
const PAUSE: Duration = Duration::from_micros(200);

pub async fn run(bench: &mut Bench) {
    for (reference, goals) in [("foreign_key", (5.0, 15.0)), ("check", (0.0, 0.0))] {
        let name = format!("locks_{reference}");
        let admin = bench.server.database(&name, AGENTS).await;
        let settings = [("REFERENCE", reference)];
        let mut service = Service::start(&bench.server, &name, &settings).await;
        let writer = Prober::start(bench, &name, "row exclusive").await;
        for n in 0..AGENTS {
            admin.batch_execute(&insert(n, n + 1)).await.unwrap();
            service.done().await;
        }
        let writers = writer.stop().await;
        let reader = Prober::start(bench, &name, "access share").await;
        for n in 0..AGENTS {
            let delete = format!(
                "select public.delete_agent(id) from public.agents where agent_prefix = 'agt_{n}'"
            );
            admin.batch_execute(&delete).await.unwrap();
            service.done().await;
        }
        let readers = reader.stop().await;
        drop(service);
        for (what, spans, goal) in [
            ("a provision locks agents against writers", writers, goals.0),
            ("a deprovision locks agents against readers", readers, goals.1),
        ] {
            let found = spans.len();
            let what = format!("{what}, p99 of {found}, {reference}");
            let p99 = if spans.is_empty() { 0.0 } else { quantile(&spans, 99) };
            bench.report.add(Figure::new(5, &what, "ms", p99).at_most(goal));
        }
    }
}

/// Tries for a lock every 0.2 ms and so, and gives it back at once.
struct Prober {
    stop: Arc<AtomicBool>,
    spans: JoinHandle<Vec<f64>>,
}

impl Prober {
    async fn start(bench: &Bench, database: &str, mode: &str) -> Self {
        let client = bench.server.connect(ADMIN, database).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, sql) = (
            Arc::clone(&stop),
            format!("lock table public.agents in {mode} mode nowait; select 1"),
        );
        let spans = tokio::task::spawn_blocking(move || probe(&client, &sql, &stopped));
        Self { stop, spans }
    }

    /// For how many milliseconds at a time it was refused.
    async fn stop(self) -> Vec<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.spans.await.unwrap()
    }
}

fn probe(client: &Client, sql: &str, stop: &AtomicBool) -> Vec<f64> {
    let (mut spans, mut since) = (Vec::new(), None);
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let refused = Handle::current().block_on(client.batch_execute(sql)).is_err();
        if refused {
            since.get_or_insert(asked);
        } else if let Some(since) = since.take() {
            spans.push(ms(since.elapsed()));
        }
        thread::sleep(PAUSE);
    }
    spans
}
