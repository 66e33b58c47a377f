//! Row 7: the commands that deal with all agents, as an operator runs them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use agent_provisioner::dev_server::SUPERUSER;

use super::Bench;
use super::report::{Figure, ms, quantile};
use super::server::{ADMIN, WORKER, insert};
use super::service::{PROGRAM, Service};

const AGENTS: usize = 1000;
const FULL_AGENTS: usize = 10_000;
/// Built by the documented trigger.
const OLD: usize = 1000;
const FULL_OLD: usize = 2000;
/// Of each kind.
const VERIFY_TURNS: usize = 3;
/// Milliseconds for the start of the program and the rehearsal of the templates.
const LEAST_VERIFY: f64 = 300.0;
/// A transaction's locks must fit into the server's table of them.
const OLD_AT_ONCE: usize = 20;
const CHECK: (&str, &str) = ("REFERENCE", "check");

/// The built-in templates and one more, as an operator would write it.
const TEMPLATES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/templates");
const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/agent");
const MORE: &str = "alter table public.{prefix}_customers add column note text;\n";

const DEAD: &str = "
    insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at, attempts, last_error)
    select 'provision', n, 'agt_' || n, 'dead', now(), 10, 'no space left' from generate_series(1, 10000) n";

pub async fn run(bench: &mut Bench) {
    verify_and_upgrade(bench).await;
    replay(bench).await;
    adopt(bench).await;
}

async fn verify_and_upgrade(bench: &mut Bench) {
    let agents = if bench.full { FULL_AGENTS } else { AGENTS };
    let count = f64::from(u32::try_from(agents).unwrap());
    let admin = bench.server.database("fleet", agents).await;
    let url = bench.server.url(WORKER, "fleet");
    let mut service = Service::start(&bench.server, "fleet", &[CHECK]).await;
    admin.batch_execute(&insert(0, agents)).await.unwrap();
    service.all_done(agents).await;
    drop(service);
    verify(bench, &url, agents, count);

    write_templates();
    let settings = [CHECK, ("TEMPLATES", TEMPLATES)];
    let service = Service::start(&bench.server, "fleet", &settings).await;
    let (took, _) = command(&url, &["agents", "upgrade", "--wait"], &settings);
    drop(service);
    let what = format!("upgrade of {agents} agents by a column, agents a second");
    bench.report.add(Figure::new(7, &what, "", count / took.as_secs_f64()).at_least(400.0));
}

/// All agents, and then those of which something has changed: none. By turns.
fn verify(bench: &mut Bench, url: &str, agents: usize, count: f64) {
    let (mut full, mut unchanged, mut peak) = (Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..VERIFY_TURNS {
        let (took, memory) = command(url, &["agents", "verify", "--full"], &[]);
        full.push(ms(took));
        peak = peak.max(memory);
        unchanged.push(ms(command(url, &["agents", "verify"], &[]).0));
    }
    let (full, unchanged) = (quantile(&full, 50), quantile(&unchanged, 50));
    let what = format!("verify of {agents} agents, full");
    bench.report.add(Figure::new(7, &what, "ms", full).at_most(count)); // 10 s of 10,000
    bench.report.add(Figure::new(7, &(what + ", peak memory"), "MB", peak).at_most(200.0));
    let what = format!("verify of {agents} agents, of which nothing has changed");
    let goal = (count / 10.0).max(LEAST_VERIFY); // 1 s of 10,000
    bench.report.add(Figure::new(7, &what, "ms", unchanged).beside(full).at_most(goal));
    let what = "the same, against the full one";
    bench.report.add(Figure::new(7, what, "ms", unchanged).baseline(full).at_most(0.25));
}

/// No worker is up: the command alone.
async fn replay(bench: &mut Bench) {
    bench.server.database("replay", 0).await;
    let root = bench.server.connect(SUPERUSER, "replay").await;
    root.batch_execute(DEAD).await.unwrap();
    let url = bench.server.url(WORKER, "replay");
    let (took, _) = command(&url, &["jobs", "replay", "--all-dead"], &[]);
    bench.report.add(Figure::new(7, "replay of 10,000 dead jobs", "ms", ms(took)).at_most(1000.0));
}

async fn adopt(bench: &mut Bench) {
    let agents = if bench.full { FULL_OLD } else { OLD };
    let admin = bench.server.baseline("old", agents).await;
    for from in (0..agents).step_by(OLD_AT_ONCE) {
        let to = agents.min(from + OLD_AT_ONCE);
        admin.batch_execute(&insert(from, to)).await.unwrap();
    }
    let url = bench.server.url(ADMIN, "old");
    command(&url, &["migrate"], &[]);
    admin.batch_execute(include_str!("../deploy/roles.sql")).await.unwrap();
    let (took, _) = command(&url, &["agents", "adopt"], &[]);
    let what = format!("plan to adopt {agents} agents");
    let goal = f64::from(u32::try_from(agents).unwrap()) * 2.5; // 5 s of 2,000
    bench.report.add(Figure::new(7, &what, "ms", ms(took)).at_most(goal));
}

fn write_templates() {
    fs::create_dir_all(TEMPLATES).unwrap();
    for file in fs::read_dir(BUILT_IN).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), Path::new(TEMPLATES).join(file.file_name())).unwrap();
    }
    fs::write(Path::new(TEMPLATES).join("0002_note.sql"), MORE).unwrap();
}

/// From start to end, and the most memory it ever had, in megabytes.
fn command(url: &str, arguments: &[&str], settings: &[(&str, &str)]) -> (Duration, f64) {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().env("DATABASE_URL", url);
    for (key, value) in settings {
        command.env(format!("PROVISIONER_{key}"), value);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak = 0.0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = memory(child.id()).unwrap_or(peak);
        thread::sleep(Duration::from_millis(2));
    };
    let took = started.elapsed();
    assert!(status.success(), "{arguments:?}: {status}");
    (took, peak)
}

/// A process that has ended has none.
fn memory(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0)
}
