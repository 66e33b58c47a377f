//! Row 11: the console's pages, of a large database and, beside it, of a small one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use agent_provisioner::dev_server::SUPERUSER;

use super::Bench;
use super::report::{Figure, ms, quantile};
use super::server::{CONSOLE, Server};
use super::service::Service;

const AGENTS: u32 = 10_000;
const JOBS: u32 = 1_000_000;
const SMALL_AGENTS: u32 = 10;
const SMALL_JOBS: u32 = 1000;
/// Milliseconds.
const GOAL: f64 = 200.0;
const TURNS: usize = 5;
/// The console keeps no answer as long.
const FORGOTTEN: Duration = Duration::from_millis(5100);

const PAGES: [&str; 9] = [
    "/",
    "/jobs",
    "/jobs?state=dead",
    "/jobs?state=succeeded&prefix=agt_5*",
    "/jobs?text=no+space",
    "/jobs/500",
    "/agents",
    "/agents/agt_5",
    "/jobs/act?action=replay&id=500",
];

/// Agents that are built, as the registry has them, and jobs of the last week: of a thousand five are dead and five are not due.
/// $1 agents, $2 jobs.
const FILL: &str = "
    set session_replication_role = replica;
    insert into public.agents (id, agent_prefix, business_id)
        select n, 'agt_' || n, '00000000-0000-0000-0000-000000000001' from generate_series(1, {agents}) n;
    insert into provisioning.agents (agent_id, agent_prefix, template_version, reference, provisioned_at)
        select n, 'agt_' || n, 1, 'check', now() from generate_series(1, {agents}) n;
    insert into provisioning.agent_tables (relation, agent_id, table_name)
        select (100000000 + n)::oid::regclass, 1 + n % {agents}, 'agt_' || 1 + n % {agents} || '_t' || n
        from generate_series(1, 4 * {agents}) n;
    reset session_replication_role;
    insert into provisioning.jobs (
        kind, agent_id, agent_prefix, state, attempts, run_at, due_at, finished_at, outcome, last_error, last_sqlstate)
    select case when s.state = 'pending' then 'repair' else 'provision' end, 1 + n % {agents}, 'agt_' || 1 + n % {agents},
        s.state, case when s.state = 'dead' then 10 else 0 end, s.at, s.at,
        case when s.state <> 'pending' then s.at end, case when s.state = 'succeeded' then 'provisioned' end,
        case when s.state = 'dead' then 'no space left on device' end, case when s.state = 'dead' then '53100' end
    from generate_series(1, {jobs}) n
    cross join lateral (
        select case when n % 1000 between 500 and 504 then 'dead'
                    when n <= {agents} / 10 then 'pending' else 'succeeded' end as state,
            now() - (1 - n::float / {jobs}) * interval '7 days' as past
    ) p
    cross join lateral (
        select p.state, case when p.state = 'pending' then now() + interval '1 day' else p.past end as at) s;
    analyze";

pub async fn run(bench: &mut Bench) {
    let small = site(&bench.server, "console_small", SMALL_AGENTS, SMALL_JOBS).await;
    let large = site(&bench.server, "console", AGENTS, JOBS).await;
    let mut times = PAGES.map(|_page| [Vec::new(), Vec::new()]);
    for _ in 0..TURNS {
        for (page, [of_small, of_large]) in PAGES.iter().zip(&mut times) {
            if ["/", "/agents"].contains(page) {
                thread::sleep(FORGOTTEN);
            }
            of_small.push(get(&small.1, page));
            of_large.push(get(&large.1, page));
        }
    }
    for (page, [of_small, of_large]) in PAGES.iter().zip(&times) {
        let (small, large) = (quantile(of_small, 50), quantile(of_large, 50));
        let what = format!("`{page}` with {JOBS} jobs and {AGENTS} agents");
        bench.report.add(Figure::new(11, &what, "ms", large).beside(small).at_most(GOAL));
    }
}

/// A service with a console, on a database of so many agents and jobs, and where that is.
async fn site(server: &Server, database: &str, agents: u32, jobs: u32) -> (Service, String) {
    server.database(database, 0).await;
    let fill = FILL.replace("{agents}", &agents.to_string()).replace("{jobs}", &jobs.to_string());
    let root = server.connect(SUPERUSER, database).await;
    root.batch_execute(&fill).await.unwrap();
    root.batch_execute("vacuum").await.unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let url = server.url(CONSOLE, database);
    let settings = [
        ("CONSOLE__LISTEN", free.as_str()),
        ("CONSOLE__DATABASE_URL", &url),
        // Tables that are not there are no drift to look for meanwhile.
        ("VERIFY__INTERVAL", "0s"),
    ];
    let service = Service::start(server, database, &settings).await;
    (service, free)
}

/// Milliseconds until the whole page is there.
fn get(address: &str, page: &str) -> f64 {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{page}: {answer}");
    ms(started.elapsed())
}
