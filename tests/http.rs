//! What probes and Prometheus hear.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use agent_provisioner::dev_server::Stop;
use agent_provisioner::postgres::{Db, Source, Target, Timeouts};
use agent_provisioner::service::DatabaseStats;
use agent_provisioner::service::Http;
use agent_provisioner::service::Served;
use agent_provisioner::telemetry::Metrics;
use openmetrics_parser::openmetrics::parse_openmetrics;
use openmetrics_parser::{OpenMetricsValue, Sample};
use tokio_util::sync::CancellationToken;

use crate::support::{Database, Server, Service, WORKER, get, provisioner, said, until};
use crate::systemd::Manager;

/// A metric's value as a real parser reads it; `None` where there is no such series.
///
/// A histogram's is the number of its samples.
pub fn metric(exposition: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let parsed = parse_openmetrics(exposition).unwrap();
    let family = parsed.families.get(&format!("agent_provisioner_{name}"))?;
    let bears = |sample: &&Sample<OpenMetricsValue>| {
        let labelled = sample.get_labelset().unwrap();
        labels.iter().all(|(key, value)| labelled.get_label_value(key) == Some(value))
    };
    let mut found = family.iter_samples().filter(bears);
    let value = match &found.next()?.value {
        OpenMetricsValue::Gauge(value) => value.as_f64(),
        OpenMetricsValue::Counter(counter) => counter.value.as_f64(),
        OpenMetricsValue::Histogram(histogram) => {
            u32::try_from(histogram.count.unwrap_or(0)).unwrap().into()
        }
        OpenMetricsValue::Info => 1.0,
        other @ (OpenMetricsValue::Unknown(_)
        | OpenMetricsValue::StateSet(_)
        | OpenMetricsValue::GaugeHistogram(_)
        | OpenMetricsValue::Summary(_)) => unreachable!("{name} is {other:?}"),
    };
    assert_eq!(found.count(), 0, "more than one {name} with {labels:?}");
    Some(value)
}

async fn becomes(address: &str, name: &str, labels: &[(&str, &str)], value: f64) {
    until(name, || async {
        let (code, exposition) = get(address, "/metrics");
        assert_eq!(code, 200, "{exposition}");
        (metric(&exposition, name, labels) == Some(value)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_metrics_move_with_the_jobs() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    admin.run("create table public.agt_taken_orders ()").await;
    holder.run("begin; lock table public.agents in row exclusive mode").await;
    let settings = [("DATABASE__LOCK_TIMEOUT", "50ms"), ("WORKER__RECONCILE_INTERVAL", "100ms")];
    let service = db.service_with(&settings).await;
    let http = service.http().await;
    let provision = ("kind", "provision");

    becomes(&http, "build", &[("version", env!("CARGO_PKG_VERSION"))], 1.0).await;
    becomes(&http, "listener_connected", &[], 1.0).await;
    becomes(&http, "jobs", &[provision, ("state", "pending")], 0.0).await;
    becomes(&http, "oldest_due_age_seconds", &[], 0.0).await;
    becomes(&http, "reconcile_findings", &[("finding", "missing")], 0.0).await;
    becomes(&http, "scrape_errors", &[], 0.0).await;

    admin.create("agt_6f78").await;
    admin.holds("select last_sqlstate = '55P03' from provisioning.jobs").await;
    holder.run("commit").await;
    let two = "insert into public.agents (agent_prefix) values ('agt_taken'), ('agt_more')";
    admin.run(two).await; // whoever claims the first of them wakes another worker
    admin.settled().await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix)
             values ('upgrade', 99, 'agt_taken'), ('upgrade', 98, 'agt_other');
             update provisioning.jobs set template_version = 99 where kind = 'upgrade'; -- not this worker's
             update provisioning.jobs set due_at = now() - interval '1 hour' where agent_id = 98;
             alter table public.agents disable trigger user, enable trigger guard_agent;
             insert into public.agents (agent_prefix) values ('agt_unheard')",
        )
        .await;
    becomes(&http, "reconcile_findings", &[("finding", "missing")], 1.0).await;
    becomes(&http, "jobs", &[provision, ("state", "dead")], 1.0).await;
    becomes(&http, "jobs", &[("kind", "upgrade"), ("state", "pending")], 2.0).await;
    becomes(&http, "blocked_prefixes", &[], 1.0).await;
    becomes(&http, "agents", &[("template_version", "1")], 3.0).await;

    becomes(&http, "job_duration_seconds", &[provision], 3.0).await; // right after the commit
    let (_, exposition) = get(&http, "/metrics");
    let value = |name, labels: &[_]| metric(&exposition, name, labels);
    assert!(value("oldest_due_age_seconds", &[]) >= Some(3600.0));
    let attempts = |outcome, class| {
        value("attempts", &[provision, ("outcome", outcome), ("sqlstate_class", class)])
    };
    assert_eq!(attempts("provisioned", "none"), Some(3.0));
    assert_eq!(attempts("dead", "42"), Some(1.0));
    assert!(attempts("gave_way", "55") >= Some(1.0));
    assert_eq!(attempts("gave_way", "55"), value("lock_timeouts", &[]));
    for reason in ["notified", "timer", "listening", "more", "reconcile"] {
        assert!(value("wakeups", &[("reason", reason)]) >= Some(1.0), "{reason}");
    }
    assert_eq!(get(&http, "/").0, 404);
}

#[tokio::test]
async fn without_its_database_the_service_is_live_and_not_ready() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let service = db.service().await;
    let http = service.http().await;
    becomes_ready(&http).await;
    let down = async {
        answers(&http, "database_unreachable").await;
        assert_eq!(get(&http, "/livez"), (200, "live\n".to_owned()));
        until("a scrape without the database", || async {
            let exposition = get(&http, "/metrics").1;
            assert_eq!(metric(&exposition, "build", &[]), Some(1.0));
            metric(&exposition, "scrape_errors", &[]).filter(|errors| *errors > 0.0)
        })
        .await;
    };
    server.restart(Stop::Fast, || on_a_thread(down));
    becomes_ready(&http).await;
    let last = agent_provisioner::postgres::schema_version();
    let older = format!("delete from provisioning.migrations where version = {last}");
    db.admin().await.run(&older).await;
    answers(&http, "schema_version").await;
    // The words are in the log.
    service.logged(&format!("the database has schema version {}", last - 1)).await;
    let explained: Vec<_> = service.log().lines().filter_map(readiness).collect();
    let mut once = explained.clone();
    once.dedup();
    assert_eq!(explained, once, "each change is told once");
    assert_eq!(once.last().unwrap(), "schema_version");
}

/// What a log line says of it: the code of what is missing, or that nothing is.
fn readiness(line: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    let text = |key| event.get(key).and_then(serde_json::Value::as_str);
    match text("message")? {
        "ready" => Some("ready".to_owned()),
        "not ready" => text("code").map(str::to_owned),
        _ => None,
    }
}

/// Waits until the service is not ready for this reason, and says no more than its code.
pub async fn answers(http: &str, code: &str) {
    let expected = (503, format!("{code}\n"));
    until(code, || async { (get(http, "/readyz") == expected).then_some(()) }).await;
}

async fn becomes_ready(http: &str) {
    let ready = (200, "ready\n".to_owned());
    until("ready", || async { (get(http, "/readyz") == ready).then_some(()) }).await;
}

/// In the middle of something that does not await.
fn on_a_thread(work: impl Future<Output = ()> + Send) {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work);
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap());
}

#[tokio::test(start_paused = true)]
async fn no_move_for_thirty_seconds_is_not_live() {
    let metrics = Arc::new(Metrics::default());
    let target = Target::parse("postgres://nobody@127.0.0.1:9/nothing", None, None).unwrap();
    let second = Duration::from_secs(1);
    let patience = Timeouts { connect: second, statement: second, lock: second };
    let database_stats = DatabaseStats::new(
        Db::new(&Source::new(target, None).unwrap(), &patience, 1).unwrap(),
        None,
    );
    let http = Http::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = http.address.to_string();
    let served = Served::one(Arc::clone(&metrics), database_stats);
    tokio::spawn(http.serve(Arc::new(served), CancellationToken::new()));
    let livez = || async {
        let address = address.clone();
        // The clock stands while this runs.
        tokio::task::spawn_blocking(move || get(&address, "/livez")).await.unwrap()
    };
    tokio::time::advance(second * 29).await;
    assert_eq!(livez().await, (200, "live\n".to_owned()));
    tokio::time::advance(second).await;
    assert_eq!(livez().await, (503, "no worker has moved for 30 s\n".to_owned()));
    metrics.liveness.beat();
    assert_eq!(livez().await, (200, "live\n".to_owned()));
}

#[tokio::test]
async fn a_claim_loop_that_hangs_is_not_live_and_feeds_no_watchdog() {
    let db = Database::new().await;
    let (admin, manager) = (db.admin().await, Manager::new("hung"));
    let (holder, second) = (db.admin().await, db.admin().await);
    let hung = Service::with(|command| {
        command.env("DATABASE_URL", db.url(WORKER));
        command.env("PROVISIONER_WORKER__CONCURRENCY", "1");
        command.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "10min");
        command.env("PROVISIONER_DATABASE__STATEMENT_TIMEOUT", "10min");
        command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "400000");
    });
    let http = hung.http().await;
    becomes_ready(&http).await;
    // The only worker loses its connection in the middle of a job, and to record that it waits for the job's row, which
    // somebody has taken meanwhile.
    holder.run("begin; create table public.agt_a_customers ()").await; // it waits for the name
    admin.create("agt_a").await;
    let lost = admin.held_up("agt_a").await;
    second.run("begin").await;
    tokio::join!(second.run("select from provisioning.jobs for update"), async {
        let waits = "select exists (select from pg_stat_activity where query ~ '^select from prov' \
                     and datname = current_database() and wait_event_type = 'Lock')";
        admin.holds(waits).await;
        admin.run(&format!("select pg_terminate_backend({lost})")).await;
    });
    let drain = || while manager.heard().is_some() {};
    until("not live", || async {
        drain(); // a full socket would hold the service up
        (get(&http, "/livez").0 == 503).then_some(())
    })
    .await;
    drain(); // what was sent before
    let pending = "select exists (select from provisioning.jobs where state = 'pending')";
    assert!(admin.one::<bool>(pending).await);
    let heard = manager.heard_within(Duration::from_secs(1)).concat();
    assert!(!heard.contains("WATCHDOG"), "{heard}");
    let check = [("PROVISIONER_HTTP__LISTEN", &*http)];
    let checked = provisioner("").arg("healthcheck").envs(check).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
}

#[tokio::test]
async fn healthcheck_asks_the_configured_address() {
    let db = Database::new().await;
    let service = db.service().await;
    let http = service.http().await;
    becomes_ready(&http).await;
    let port = http.rsplit(':').next().unwrap();
    let check = |listen: &str, args: &[&str]| {
        let mut command = provisioner("");
        command.env_remove("DATABASE_URL").env("PROVISIONER_HTTP__LISTEN", listen);
        let output = command.arg("healthcheck").args(args).output().unwrap();
        (output.status.code().unwrap(), said(&output))
    };
    assert_eq!(check(&http, &[]), (0, "live\n".to_owned()));
    assert_eq!(check(&format!("0.0.0.0:{port}"), &["--ready"]), (0, "ready\n".to_owned()));
    assert!(check("127.0.0.1:9", &[]).1.contains("http://127.0.0.1:9"));
    // A server that accepts and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(check(&mute.local_addr().unwrap().to_string(), &[]).1.contains("timed out"));
    for (listen, code) in [("127.0.0.1:9", 1), ("off", 0), ("", 0), ("localhost", 2)] {
        assert_eq!(check(listen, &[]).0, code, "{listen}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_ends_the_start_and_off_needs_none() {
    let db = Database::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut service = Service::start(&db.url(WORKER), &[("HTTP__LISTEN", &address)]);
    assert_eq!(service.ended().await.code(), Some(1));
    service.logged(&format!("cannot serve HTTP on {address}: set http.listen to a free")).await;
    service.logged("Address already in use").await;
    let service = db.service_with(&[("HTTP__LISTEN", "off")]).await;
    assert!(!service.log().contains("serving HTTP"));
}

/// Sockets of a process.
fn sockets(pid: u32) -> usize {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// What comes until the end; nothing where the end is a reset. Fails after a minute.
fn rest(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn strangers_hold_few_connections_and_not_for_long() {
    let db = Database::new().await;
    let service = db.service().await;
    let http = service.http().await;
    becomes_ready(&http).await;
    let before = sockets(service.pid());
    let connect = |_| {
        let mut stream = TcpStream::connect(&http).unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
        stream
    };
    // On a machine that stands still for seconds their time is over before they are evicted, and that shows nothing.
    let (opening, mut newest) = until("the oldest to make room long before their time", || async {
        let opening = Instant::now();
        let mut strangers: Vec<_> = (0..100).map(connect).collect();
        // A probe comes through, and the database's connections keep their descriptors.
        assert_eq!(get(&http, "/livez"), (200, "live\n".to_owned()));
        let few = || async { (sockets(service.pid()) <= before + 65).then_some(()) };
        until("few sockets", few).await;
        assert_eq!(rest(&mut strangers[0]), "");
        let at_once = opening.elapsed() < Duration::from_secs(4);
        at_once.then(|| (opening, strangers.pop().unwrap()))
    })
    .await;
    // The newest has its five seconds, and no more.
    rest(&mut newest);
    assert!(opening.elapsed() > Duration::from_secs(4), "{:?}", opening.elapsed());
}

#[tokio::test]
async fn a_connection_is_for_one_small_request() {
    let db = Database::new().await;
    let service = db.service().await;
    let http = service.http().await;
    let send = |request: &str| {
        let mut stream = TcpStream::connect(&http).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        rest(&mut stream)
    };
    let head = "GET /livez HTTP/1.1\r\nHost: x\r\n";
    let answer = send(&format!("{head}X: {}\r\n\r\n", "x".repeat(12_000)));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    // Ended by the service, although HTTP/1.1 may keep it.
    assert!(answer.ends_with("\r\n\r\nlive\n"), "{answer}");
    let refused = send(&format!("{head}X: {}", "x".repeat(18_000)));
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431 "), "{refused}");
}
