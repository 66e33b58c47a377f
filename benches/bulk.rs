//! Row 3: many agents in one statement, all usable.

use std::time::Instant;

use agent_provisioner::agent::Reference;
use tokio::task::JoinSet;

use super::Bench;
use super::report::Figure;
use super::server::{WORKER, insert};
use super::service::Service;
use super::usable::Floor;

const AGENTS: usize = 1000;
/// As many as the service has workers.
const AT_ONCE: usize = 4;
const ONE: (&str, &str) = ("WORKER__CONCURRENCY", "1");
const CHECK: (&str, &str) = ("REFERENCE", "check");

pub async fn run(bench: &mut Bench) {
    let (base, rates) = by_turns(bench, Reference::ForeignKey, &[&[]]).await;
    let (check_base, check_rates) =
        by_turns(bench, Reference::Check, &[&[CHECK], &[CHECK, ONE]]).await;
    let rows = [
        (", foreign_key", &base, rates.first(), 1.5),
        (", check", &check_base, check_rates.first(), 2.0),
        (", check, one worker", &check_base, check_rates.last(), 0.9),
    ];
    for (how, base, rate, goal) in rows {
        let what = format!("{AGENTS} agents in one statement, agents a second{how}");
        bench.report.add(Figure::new(3, &what, "", *rate.unwrap()).floor(*base).at_least(goal));
    }
    let most = at_once(bench).await;
    let what = format!("the same by hand on {AT_ONCE} connections at once, check");
    bench.report.add(Figure::new(3, &what, "", most).floor(check_base));
}

/// Agents a second by so many who do nothing else.
async fn at_once(bench: &Bench) -> f64 {
    let name = "bulk_at_once";
    bench.server.database(name, 0).await;
    let mut floors = Vec::new();
    for n in 0..AT_ONCE {
        let client = bench.server.connect(WORKER, name).await;
        floors.push(Floor::new(client, Reference::Check).from(n * AGENTS));
    }
    let started = Instant::now();
    let mut building = JoinSet::new();
    for mut floor in floors {
        building.spawn(async move {
            for _ in 0..AGENTS / AT_ONCE {
                floor.build().await;
            }
        });
    }
    building.join_all().await;
    f64::from(u32::try_from(AGENTS).unwrap()) / started.elapsed().as_secs_f64()
}

/// Agents a second by hand, in parts before and after each of the service's turns, and by the
/// service with each of these settings.
async fn by_turns(
    bench: &Bench,
    reference: Reference,
    turns: &[&[(&str, &str)]],
) -> (f64, Vec<f64>) {
    let name = format!("bulk_{}", reference.as_str());
    let by_hand = format!("{name}_floor");
    bench.server.database(&by_hand, 0).await;
    let alone = bench.server.connect(WORKER, &by_hand).await;
    let mut floor = Floor::new(alone, reference);
    let part = AGENTS / (turns.len() + 1);
    let (mut by_hand, mut rates) = (Vec::new(), Vec::new());
    for turn in 0..=turns.len() {
        for _ in 0..part {
            by_hand.push(floor.build().await);
        }
        if let Some(settings) = turns.get(turn) {
            rates.push(rate(bench, &format!("{name}_{turn}"), settings).await);
        }
    }
    let agents = f64::from(u32::try_from(by_hand.len()).unwrap());
    (agents * 1000.0 / by_hand.iter().sum::<f64>(), rates)
}

async fn rate(bench: &Bench, name: &str, settings: &[(&str, &str)]) -> f64 {
    let admin = bench.server.database(name, AGENTS).await;
    let mut service = Service::start(&bench.server, name, settings).await;
    let started = Instant::now();
    admin.batch_execute(&insert(0, AGENTS)).await.unwrap();
    service.all_done(AGENTS).await;
    let took = started.elapsed().as_secs_f64();
    f64::from(u32::try_from(AGENTS).unwrap()) / took
}
