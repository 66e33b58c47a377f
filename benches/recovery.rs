//! Row 9: how long work waits after a worker, or the server, was killed.

use std::time::{Duration, Instant};

use agent_provisioner::dev_server::Stop;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::Bench;
use super::report::{Figure, ms, quantile};
use super::server::{ADMIN, Server, WORKER, insert};
use super::service::Service;

const KILLS: usize = 11;
const RESTARTS: usize = 6;
/// Long enough for backoff to grow.
const DOWN: Duration = Duration::from_secs(3);

pub async fn run(bench: &mut Bench) {
    bench.server = Server::start().await; // one that need not recover what the other rows did
    let killed = kill_workers(bench).await;
    let what = "a worker is killed: its job done by another, p50";
    bench.report.add(Figure::new(9, what, "ms", quantile(&killed, 50)).at_most(500.0));
    let restarted = restart_server(bench).await;
    for percent in [50, 100] {
        let what = format!("the server is back after {DOWN:?}: caught up, p{percent}");
        let figure = Figure::new(9, &what, "ms", quantile(&restarted, percent));
        bench.report.add(figure.at_most(1000.0));
    }
}

/// Two services that log in by different names, so that the one at work can be told.
async fn kill_workers(bench: &Bench) -> Vec<f64> {
    let server = &bench.server;
    let admin = server.database("killed", KILLS).await;
    let start =
        async |role| Service::through(server, &server.url(role, "killed"), "killed", &[]).await;
    let mut services = [start(WORKER).await, start(ADMIN).await];
    let mut times = Vec::new();
    for n in 0..KILLS {
        admin.batch_execute(&insert(n, n + 1)).await.unwrap();
        let (at, role) = match at_work(&admin).await.as_str() {
            WORKER => (0, WORKER),
            _ => (1, ADMIN),
        };
        services.get_mut(at).unwrap().kill();
        let killed = Instant::now();
        services.get_mut(1 - at).unwrap().done().await;
        times.push(ms(killed.elapsed()));
        *services.get_mut(at).unwrap() = start(role).await;
    }
    times
}

/// The role that a job runs as.
async fn at_work(admin: &Client) -> String {
    let sql = "select usename from pg_stat_activity where datname = current_database() \
               and application_name ^@ 'agent-provisioner job'";
    loop {
        if let Some(row) = admin.query(sql, &[]).await.unwrap().first() {
            return row.get(0);
        }
    }
}

/// From the first connection that the server takes until nothing is left to do.
async fn restart_server(bench: &mut Bench) -> Vec<f64> {
    let admin = bench.server.database("restarted", 3 * RESTARTS).await;
    drop(admin);
    let _service = Service::start(&bench.server, "restarted", &[]).await;
    let mut times = Vec::new();
    for round in 0..RESTARTS {
        let n = 3 * round;
        let admin = bench.server.connect(ADMIN, "restarted").await;
        admin.batch_execute(&insert(n, n + 2)).await.unwrap();
        bench.server.stop(if round % 2 == 0 { Stop::Fast } else { Stop::Immediate });
        sleep(DOWN).await;
        bench.server.resume();
        let back = Instant::now();
        let admin = bench.server.connect(ADMIN, "restarted").await;
        admin.batch_execute(&insert(n + 2, n + 3)).await.unwrap();
        let built = "select count(*) from provisioning.agents";
        while admin.query_one(built, &[]).await.unwrap().get::<_, i64>(0)
            < i64::try_from(n + 3).unwrap()
        {
            sleep(Duration::from_millis(2)).await;
        }
        times.push(ms(back.elapsed()));
    }
    times
}
