//! Row 6: what row level security adds to a query: ours, and the documented chain of ownership.

use std::time::Instant;

use agent_provisioner::dev_server::SUPERUSER;
use tokio_postgres::Client;

use super::Bench;
use super::chart::{Chart, Series};
use super::report::{Figure, ms, quantile};
use super::server::{ADMIN, insert, user};
use super::service::Service;

const ROUNDS: usize = 9;
/// What is asked, and how often in one turn.
const QUERIES: [(&str, &str, u32); 4] = [
    ("count of 500,000 messages", "select count(*) from public.agt_0_messages", 1),
    (
        "latest 50 messages",
        "select * from public.agt_0_messages order by \"timestamp\" desc limit 50",
        40,
    ),
    (
        "latest 50 of a customer",
        "select * from public.agt_0_messages where customer_id = 17 \
         order by \"timestamp\" desc limit 50",
        40,
    ),
    (
        "sums over 150,000 items",
        "select sum(quantity), sum(total) from public.agt_0_orders_items",
        1,
    ),
];
const ROWS: &str = "
    insert into public.agt_0_customers (name, phone) select 'c' || n, '+' || n from generate_series(1, 5000) n;
    insert into public.agt_0_messages (customer_id, message, direction, \"timestamp\")
        select 1 + n % 5000, repeat('hello ', 10), 'inbound', timestamp '2026-01-01' + n * interval '1 s'
        from generate_series(1, 500000) n;
    insert into public.agt_0_orders (customer_id) select 1 + n % 5000 from generate_series(1, 50000) n;
    insert into public.agt_0_orders_items (order_id, name, quantity, price)
        select 1 + n % 50000, 'tea', 1 + n % 3, n % 100 from generate_series(1, 150000) n;
    analyze public.agt_0_customers, public.agt_0_messages, public.agt_0_orders, public.agt_0_orders_items";
const VACUUM: &str = "vacuum public.agt_0_messages, public.agt_0_orders_items";
/// The documented policies in place of ours, until the transaction is rolled back.
const CHAIN: &str = "begin;
    drop policy agt_0_messages_owner on public.agt_0_messages;
    drop policy agt_0_orders_items_owner on public.agt_0_orders_items;
    create policy own on public.agt_0_messages to authenticated using (exists (
        select 1 from public.agt_0_customers c join public.agents a on a.id = c.agent_id
        where c.id = agt_0_messages.customer_id and a.user_id = auth.uid()));
    create policy own on public.agt_0_orders_items to authenticated using (exists (
        select 1 from public.agt_0_orders o join public.agt_0_customers c on c.id = o.customer_id
        join public.agents a on a.id = c.agent_id
        where o.id = agt_0_orders_items.order_id and a.user_id = auth.uid()));";

pub async fn run(bench: &mut Bench) {
    let admin = bench.server.database("rls", 1).await;
    let mut service = Service::start(&bench.server, "rls", &[]).await;
    admin.batch_execute(&insert(0, 1)).await.unwrap();
    service.done().await;
    drop(service);
    let root = bench.server.connect(SUPERUSER, "rls").await;
    root.batch_execute(ROWS).await.unwrap();
    root.batch_execute(VACUUM).await.unwrap();

    let (none, own) = ("begin; set local role service_role".to_owned(), user(0));
    let chain = CHAIN.to_owned() + own.trim_start_matches("begin;");
    let asker = bench.server.connect(ADMIN, "rls").await;
    let mut bars: [Vec<(f64, f64)>; 3] = Default::default();
    for (at, (what, query, times)) in QUERIES.into_iter().enumerate() {
        let mut taken: [Vec<f64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (begin, taken) in [&none, &own, &chain].into_iter().zip(&mut taken) {
                taken.push(ask(&asker, begin, query, times).await);
            }
        }
        let medians = taken.map(|taken| quantile(&taken, 50));
        let [none, own, chain] = medians;
        let figure = Figure::new(6, what, "ms", own).baseline(chain).floor(none);
        bench.report.add(figure.at_most(1.15));
        let at = f64::from(u32::try_from(at).unwrap());
        for (bar, median) in bars.iter_mut().zip(medians) {
            bar.push((at, median));
        }
    }
    let [none, own, chain] = bars;
    bench.report.chart(Chart {
        name: "rls".to_owned(),
        title: "What row level security adds to a query".to_owned(),
        x: String::new(),
        y: "ms".to_owned(),
        logarithmic: true,
        names: QUERIES.iter().map(|(what, ..)| (*what).to_owned()).collect(),
        series: vec![
            Series::new("none", none),
            Series::new("service", own),
            Series::new("documented chain", chain),
        ],
    });
}

/// Milliseconds for one of a number of times.
async fn ask(client: &Client, begin: &str, query: &str, times: u32) -> f64 {
    client.batch_execute(begin).await.unwrap();
    client.simple_query(query).await.unwrap(); // the catalog is read before, as in a busy session
    let started = Instant::now();
    for _ in 0..times {
        client.simple_query(query).await.unwrap();
    }
    let took = ms(started.elapsed());
    client.batch_execute("rollback").await.unwrap();
    took / f64::from(times)
}
