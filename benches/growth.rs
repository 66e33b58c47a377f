//! Row 4: what an agent more, and an agent less, costs when there are many.
//!
//! Beside the database that grows stands one that keeps a hundred agents; they take turns.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::Client;

use super::Bench;
use super::chart::{Chart, Series};
use super::report::{Figure, ms, quantile};
use super::server::insert;
use super::service::Service;

const SMALL: usize = 100;
const SIZES: [usize; 4] = [100, 300, 600, 1000];
const FULL_CHECK: [usize; 5] = [100, 1000, 2500, 5000, 10_000];
/// Somewhere in there the server refuses.
const FULL_KEYED: [usize; 9] = [100, 500, 1000, 1500, 2000, 2500, 3000, 4000, 5000];
/// At each size, in each database.
const TURNS: usize = 15;

/// A database with the service on it.
struct Fleet {
    admin: Client,
    service: Service,
    agents: usize,
}

/// Medians at one size.
struct Point {
    agents: f64,
    provision: f64,
    deprovision: f64,
}

pub async fn run(bench: &mut Bench) {
    let check = grow(bench, "check", if bench.full { &FULL_CHECK } else { &SIZES }).await;
    let keyed = grow(bench, "foreign_key", if bench.full { &FULL_KEYED } else { &SIZES }).await;
    let line = |points: &[Point], value: fn(&Point) -> f64| {
        points.iter().map(|point| (point.agents, value(point))).collect()
    };
    bench.report.chart(Chart {
        name: "growth".to_owned(),
        title: "One agent more, one agent less, in a fleet of many".to_owned(),
        x: "agents".to_owned(),
        y: "ms".to_owned(),
        logarithmic: true,
        names: Vec::new(),
        series: vec![
            Series::new("check: build", line(&check, |point| point.provision)),
            Series::new("check: delete", line(&check, |point| point.deprovision)),
            Series::new("foreign key: build", line(&keyed, |point| point.provision)),
            Series::new("foreign key: delete", line(&keyed, |point| point.deprovision)),
        ],
    });
}

async fn grow(bench: &mut Bench, reference: &str, sizes: &[usize]) -> Vec<Point> {
    let room = sizes.last().unwrap() + TURNS;
    let mut small = Fleet::new(bench, "small", reference, SMALL + sizes.len() * TURNS).await;
    let mut big = Fleet::new(bench, "big", reference, room + sizes.len() * TURNS).await;
    assert!(small.fill(SMALL).await, "a hundred agents");
    let (mut points, mut base) = (Vec::new(), (0.0, 0.0));
    for size in sizes {
        if !big.fill(*size).await {
            break;
        }
        let (mut more, mut less) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        let mut refused = false;
        for _ in 0..TURNS {
            for (fleet, more, less) in
                [(&mut small, &mut more.0, &mut less.0), (&mut big, &mut more.1, &mut less.1)]
            {
                let Some((built, dropped)) = fleet.turn().await else {
                    refused = true;
                    break;
                };
                more.push(built);
                less.push(dropped);
            }
        }
        if refused {
            break;
        }
        base = (quantile(&more.0, 50), quantile(&less.0, 50));
        points.push(Point {
            agents: f64::from(u32::try_from(*size).unwrap()),
            provision: quantile(&more.1, 50),
            deprovision: quantile(&less.1, 50),
        });
    }
    let last = points.last().unwrap();
    for (what, value, base) in
        [("provision", last.provision, base.0), ("deprovision", last.deprovision, base.1)]
    {
        let what = format!("{what} at {} agents against {SMALL}, {reference}", last.agents);
        let figure = Figure::new(4, &what, "ms", value).floor(base);
        let figure = if reference == "check" { figure.at_most(1.3) } else { figure };
        bench.report.add(figure);
    }
    let grown = points.len();
    if let Some(size) = sizes.get(grown) {
        let size = f64::from(u32::try_from(*size).unwrap());
        let what = format!("{reference}: out of shared memory, at this many agents or fewer");
        bench.report.add(Figure::new(4, &what, "", size));
    }
    points
}

impl Fleet {
    async fn new(bench: &Bench, name: &str, reference: &str, users: usize) -> Self {
        let name = format!("{name}_{reference}");
        let admin = bench.server.database(&name, users).await;
        let service = Service::start(&bench.server, &name, &[("REFERENCE", reference)]).await;
        Self { admin, service, agents: 0 }
    }

    /// Brings it to this many agents; false if the server refuses.
    async fn fill(&mut self, size: usize) -> bool {
        let standing = "select count(*) from public.agents";
        let standing: i64 = self.admin.query_one(standing, &[]).await.unwrap().get(0);
        let missing = size.saturating_sub(usize::try_from(standing).unwrap());
        self.admin.batch_execute(&insert(self.agents, self.agents + missing)).await.unwrap();
        self.agents += missing;
        for _ in 0..missing {
            if !self.done().await {
                return false;
            }
        }
        true
    }

    /// One agent more, and the same one less: milliseconds each, if the server goes along.
    async fn turn(&mut self) -> Option<(f64, f64)> {
        let n = self.agents;
        self.agents += 1;
        let started = Instant::now();
        self.admin.batch_execute(&insert(n, n + 1)).await.unwrap();
        if !self.done().await {
            return None;
        }
        let built = ms(started.elapsed());
        let delete = format!(
            "select public.delete_agent(id) from public.agents where agent_prefix = 'agt_{n}'"
        );
        let started = Instant::now();
        self.admin.batch_execute(&delete).await.unwrap();
        self.done().await.then(|| (built, ms(started.elapsed())))
    }

    /// Whether the next job was done, rather than refused for want of shared memory.
    async fn done(&mut self) -> bool {
        let refused = "select exists (select from provisioning.jobs where last_sqlstate = '53200')";
        loop {
            if timeout(Duration::from_secs(2), self.service.done()).await.is_ok() {
                return true;
            }
            if self.admin.query_one(refused, &[]).await.unwrap().get(0) {
                return false;
            }
        }
    }
}
