//! Row 1: how long the admin's INSERT takes, alone and in a crowd.

use std::time::Instant;

use tokio::task::JoinSet;

use super::Bench;
use super::report::{Figure, ms, quantile};
use super::server::{ADMIN, Server, insert};
use super::service::Service;

const AGENTS: usize = 150;
const CLIENTS: usize = 16;
/// Each client's, with the service.
const MANY: usize = 40;
/// Each client's, with the trigger, which is that much slower.
const FEW: usize = 5;

pub async fn run(bench: &mut Bench) {
    alone(bench).await;
    crowd(bench).await;
}

async fn alone(bench: &mut Bench) {
    let ours = bench.server.database("inserts", AGENTS).await;
    let theirs = bench.server.baseline("inserts_baseline", AGENTS).await;
    let mut service = Service::start(&bench.server, "inserts", &[]).await;
    let (mut measured, mut baseline) = (Vec::new(), Vec::new());
    for n in 0..AGENTS {
        for (client, times) in [(&ours, &mut measured), (&theirs, &mut baseline)] {
            let started = Instant::now();
            client.batch_execute(&insert(n, n + 1)).await.unwrap();
            times.push(ms(started.elapsed()));
        }
        service.done().await;
    }
    for percent in [50, 99] {
        let figure = Figure::new(
            1,
            &format!("INSERT of an agent, p{percent}"),
            "ms",
            quantile(&measured, percent),
        );
        bench.report.add(figure.baseline(quantile(&baseline, percent)).at_most(0.1));
    }
}

async fn crowd(bench: &mut Bench) {
    bench.server.baseline("crowd_baseline", CLIENTS * FEW).await;
    let (baseline, refused) = together(&bench.server, "crowd_baseline", FEW).await;
    bench.server.database("crowd", CLIENTS * MANY).await;
    let service = Service::start(&bench.server, "crowd", &[]).await;
    let (measured, failures) = together(&bench.server, "crowd", MANY).await;
    drop(service);
    let percent = |failures: usize, each: usize| {
        f64::from(u32::try_from(failures * 100).unwrap())
            / f64::from(u32::try_from(CLIENTS * each).unwrap())
    };
    let what = format!("{CLIENTS} clients insert at once: ");
    let failed =
        Figure::new(1, &(what.clone() + "failures"), "%", percent(failures, MANY)).at_most(0.0);
    bench.report.add(failed.beside(percent(refused, FEW)));
    let figure = Figure::new(1, &(what + "agents a second"), "", measured);
    bench.report.add(figure.baseline(baseline).at_least(50.0));
}

/// Agents that were inserted per second, and how many were refused.
async fn together(server: &Server, database: &str, each: usize) -> (f64, usize) {
    let mut clients = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(server.connect(ADMIN, database).await);
    }
    let started = Instant::now();
    for (client, connection) in connections.into_iter().enumerate() {
        clients.spawn(async move {
            let mut refused = 0;
            for n in client * each..(client + 1) * each {
                refused += usize::from(connection.batch_execute(&insert(n, n + 1)).await.is_err());
            }
            refused
        });
    }
    let refused = clients.join_all().await.into_iter().sum();
    let done = f64::from(u32::try_from(CLIENTS * each - refused).unwrap());
    (done / started.elapsed().as_secs_f64(), refused)
}
