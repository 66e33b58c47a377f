//! Row 2: from the committed INSERT to four tables that the agent can use.

use std::time::{Duration, Instant};

use agent_provisioner::agent::{AgentId, Reference};
use agent_provisioner::templates::Templates;
use tokio_postgres::Client;

use super::Bench;
use super::chart::{Chart, Series};
use super::proxy::far;
use super::report::{Figure, ms, quantile};
use super::server::{WORKER, insert, user};
use super::service::Service;

const AGENTS: usize = 200;
const FAR_AGENTS: usize = 60;
const FAR: Duration = Duration::from_millis(20);

/// The same tables by hand: one message per agent on a connection that is open.
pub struct Floor {
    client: Client,
    templates: Templates,
    reference: Reference,
    built: usize,
}

impl Floor {
    pub fn new(client: Client, reference: Reference) -> Self {
        Self { client, templates: Templates::builtin().unwrap(), reference, built: 0 }
    }

    /// One of several in a database, which numbers its agents from here.
    pub fn from(self, built: usize) -> Self {
        Self { built, ..self }
    }

    /// Builds the next agent; how many milliseconds that took.
    pub async fn build(&mut self) -> f64 {
        let id = AgentId(i64::try_from(self.built).unwrap());
        let prefix = format!("flr_{}", self.built).parse().unwrap();
        let sql = self.templates.render(&prefix, id, self.reference);
        self.built += 1;
        let started = Instant::now();
        self.client.batch_execute(&format!("begin;\n{sql}\ncommit")).await.unwrap();
        ms(started.elapsed())
    }
}

pub async fn run(bench: &mut Bench) {
    let (floor, near) = by_turns(bench, "usable", AGENTS, false).await;
    for (percent, goal) in [(50, 1.15), (99, 2.0)] {
        let what = format!("committed INSERT to usable tables, p{percent}");
        let figure = Figure::new(2, &what, "ms", quantile(&near, percent));
        bench.report.add(figure.floor(quantile(&floor, percent)).at_most(goal));
    }
    let (far_floor, far) = by_turns(bench, "usable_far", FAR_AGENTS, true).await;
    let round_trip = round_trip(bench).await;
    let (p50, base) = (quantile(&far, 50), quantile(&far_floor, 50));
    let what = format!("the same through {} ms of round trip, p50", FAR.as_millis());
    bench.report.add(Figure::new(2, &what, "ms", p50).floor(base));
    let trips = Figure::new(2, "in round trips above the floor", "", (p50 - base) / round_trip);
    bench.report.add(trips.at_most(6.0));

    let spread = |values: &[f64]| {
        (1_u8..=99).map(|p| (f64::from(p), quantile(values, usize::from(p)))).collect()
    };
    bench.report.chart(Chart {
        name: "usable".to_owned(),
        title: "From the committed INSERT to usable tables".to_owned(),
        x: "percent of the agents that took no longer".to_owned(),
        y: "ms".to_owned(),
        logarithmic: false,
        names: Vec::new(),
        series: vec![
            Series::new("the SQL alone", spread(&floor)),
            Series::new("service", spread(&near)),
        ],
    });
}

/// One agent by hand, one by the service, and so on. The floor is never far away.
async fn by_turns(bench: &Bench, name: &str, agents: usize, through: bool) -> (Vec<f64>, Vec<f64>) {
    let admin = bench.server.database(name, agents).await;
    let by_hand = format!("{name}_floor");
    bench.server.database(&by_hand, 0).await;
    let alone = bench.server.connect(WORKER, &by_hand).await;
    let mut floor = Floor::new(alone, Reference::ForeignKey);
    let near = bench.server.url(WORKER, name);
    let url = if through { far(&near, FAR).await } else { near };
    let mut service = Service::through(&bench.server, &url, name, &[]).await;
    let (mut base, mut times) = (Vec::new(), Vec::new());
    for n in 0..agents {
        // What the service has left to be flushed is not the floor's to wait for.
        admin.batch_execute("select txid_current()").await.unwrap();
        base.push(floor.build().await);
        admin.batch_execute(&insert(n, n + 1)).await.unwrap();
        let committed = Instant::now();
        service.done().await;
        times.push(ms(committed.elapsed()));
        work(&admin, n).await;
    }
    (base, times)
}

/// The agent's own user uses every table.
pub async fn work(client: &Client, n: usize) {
    let sql = format!(
        "{}; insert into public.agt_{n}_customers (name, phone) values ('Grace', '+1'); \
         insert into public.agt_{n}_messages (customer_id, message, direction) \
         values (1, 'hello', 'inbound'); \
         insert into public.agt_{n}_orders (customer_id) values (1); \
         insert into public.agt_{n}_orders_items (order_id, name) values (1, 'tea'); rollback",
        user(n)
    );
    client.batch_execute(&sql).await.unwrap();
}

async fn round_trip(bench: &Bench) -> f64 {
    let url = far(&bench.server.url(WORKER, "migrated"), FAR).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let mut times = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        client.batch_execute("select 1").await.unwrap();
        times.push(ms(started.elapsed()));
    }
    quantile(&times, 50)
}
