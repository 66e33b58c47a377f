//! Row 5: for how much of the time an unrelated query waits while a report holds up deletions.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Client;

use super::Bench;
use super::report::{Figure, ms};
use super::server::{ADMIN, insert, user};
use super::service::Service;

const DELETIONS: usize = 8;
const LASTS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);
/// A query that takes longer has waited for somebody.
const WAITED: Duration = Duration::from_millis(5);

pub async fn run(bench: &mut Bench) {
    let admin = bench.server.database("stall", DELETIONS + 1).await;
    let settings = [("REFERENCE", "foreign_key"), ("DEPROVISION__RETENTION", "0s")];
    let mut services = Vec::new();
    for _ in 0..2 {
        services.push(Service::start(&bench.server, "stall", &settings).await);
    }
    admin.batch_execute(&insert(0, DELETIONS + 1)).await.unwrap();
    for service in &mut services {
        service.all_done(DELETIONS + 1).await;
    }
    let tenant = bench.server.connect(ADMIN, "stall").await;
    let report = bench.server.connect(ADMIN, "stall").await;
    report.batch_execute("begin; select from public.agents").await.unwrap();
    let without = stalled(&tenant).await;
    let delete = format!("delete from public.agents where agent_prefix <> 'agt_{DELETIONS}'");
    admin.batch_execute(&delete).await.unwrap();
    let with = stalled(&tenant).await;
    let what = format!(
        "a tenant's queries wait while a report holds up {DELETIONS} deletions, of the time, \
         beside the same without deletions"
    );
    let share = Figure::new(5, &what, "%", with.share).beside(without.share);
    bench.report.add(share.at_most((without.share + 2.0).ceil()));
    let longest = Figure::new(5, "the longest of these queries", "ms", with.longest);
    bench.report.add(longest.beside(without.longest));
    let ended = Instant::now();
    report.batch_execute("commit").await.unwrap();
    for service in &mut services {
        service.all_done(DELETIONS).await;
    }
    let what =
        format!("from the end of the report of {} s to the last deletion", LASTS.as_secs() * 2);
    bench.report.add(Figure::new(5, &what, "ms", ms(ended.elapsed())).at_most(10_000.0));
}

struct Stalled {
    /// Percent.
    share: f64,
    /// Milliseconds.
    longest: f64,
}

async fn stalled(tenant: &Client) -> Stalled {
    let query = format!(
        "{}; select count(*) from public.agt_{DELETIONS}_customers; commit",
        user(DELETIONS)
    );
    let (started, mut waited, mut longest) = (Instant::now(), Duration::ZERO, Duration::ZERO);
    while started.elapsed() < LASTS {
        let asked = Instant::now();
        tenant.batch_execute(&query).await.unwrap();
        let took = asked.elapsed();
        if took > WAITED {
            waited += took;
        }
        longest = longest.max(took);
        sleep(PAUSE).await;
    }
    let share = 100.0 * waited.as_secs_f64() / started.elapsed().as_secs_f64();
    Stalled { share, longest: ms(longest) }
}
