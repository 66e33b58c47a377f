//! Row 8: what the service costs when there is nothing to do.

use std::fs;
use std::time::Duration;

use agent_provisioner::dev_server::SUPERUSER;
use agent_provisioner::sql_text;
use tokio::time::sleep;

use super::Bench;
use super::report::Figure;
use super::server::{WORKER, insert};
use super::service::{PROGRAM, Service};

const AGENTS: usize = 100;
/// For the last job's echoes to fade.
const SETTLE: Duration = Duration::from_secs(5);
/// One round of everything that recurs.
const REST: Duration = Duration::from_mins(1);

pub async fn run(bench: &mut Bench) {
    let admin = bench.server.database("rest", AGENTS).await;
    let root = bench.server.connect(SUPERUSER, "rest").await;
    let logged = format!("alter role {WORKER} in database rest set log_statement = 'all'");
    root.batch_execute(&logged).await.unwrap();
    let mut service = Service::start(&bench.server, "rest", &[]).await;
    admin.batch_execute(&insert(0, AGENTS)).await.unwrap();
    service.all_done(AGENTS).await;
    sleep(SETTLE).await;
    let (before, busy) = (bench.server.log().len(), service.cpu());
    sleep(REST).await;
    let log = bench.server.log();
    let statements = f64::from(count(log.get(before..).unwrap())) / REST.as_secs_f64();
    let cpu = service.cpu() - busy;
    let memory = service.resident();
    #[expect(clippy::cast_precision_loss, reason = "megabytes of a program")]
    let program = fs::metadata(PROGRAM).unwrap().len() as f64 / 1024.0 / 1024.0;
    for (what, unit, value, goal) in [
        ("resident memory", "MB", memory, 15.0),
        ("statements a second at rest", "", statements, 0.3),
        ("CPU time in a minute at rest", "ms", cpu, 30.0),
        ("size of the program", "MB", program, 12.0),
    ] {
        bench.report.add(Figure::new(8, what, unit, value).at_most(goal));
    }
}

/// Statements in a piece of the server's log; a message may hold several.
fn count(log: &str) -> u32 {
    let one = log.matches("LOG:  execute <unnamed>: ").count();
    let batches = log.split("LOG:  statement: ").skip(1);
    let in_them: usize =
        batches.map(|sql| sql_text::split(sql.lines().next().unwrap()).len()).sum();
    u32::try_from(one + in_them).unwrap()
}
