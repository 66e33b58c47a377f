//! The primary goes, and another server takes its place.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use agent_provisioner::dev_server::{SUPERUSER, Stop};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::{Admin, Database, Server, Service, Standby, WORKER, get, make_standby, until};

const ONE: (&str, &str) = ("WORKER__CONCURRENCY", "1");
const PATIENT: (&str, &str) = ("DATABASE__LOCK_TIMEOUT", "50s");
const HOLD: &str = "begin; lock table provisioning.lock_gate in exclusive mode";
const JOBS: &str =
    "select agent_prefix, state, outcome, attempts from provisioning.jobs order by id";

async fn server() -> &'static Server {
    Box::leak(Box::new(Server::start(&[]).await))
}

/// What was logged after so many lines.
pub fn since(service: &Service, lines: usize) -> String {
    service.log().lines().skip(lines).collect::<Vec<_>>().join("\n")
}

/// Seconds that the log promises to wait before each next try.
pub fn waits(log: &str) -> Vec<f64> {
    let mark = "\"retry_in\":\"";
    let promised = log.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap());
    let seconds = |text: &str| match (text.strip_suffix("ms"), text.strip_suffix("ns")) {
        (Some(ms), _) => ms.parse::<f64>().unwrap() / 1000.0,
        (_, Some(ns)) => ns.parse::<f64>().unwrap() / 1e9,
        _ => text.strip_suffix('s').unwrap().parse().unwrap(),
    };
    promised.map(seconds).collect()
}

/// Whoever tries again waits a quarter of a second at least, and logs the first try and then ever
/// fewer: the second, the fourth, the eighth…
#[track_caller]
pub fn bounded(log: &str, actors: usize, lasted: Duration) {
    let tries = lasted.as_millis() / 250 + 2;
    let most = actors * (3 + tries.ilog2() as usize);
    let waits = waits(log);
    assert!(waits.len() <= most, "{} lines, not {most}, in {lasted:?}: {waits:?}", waits.len());
}

#[tokio::test]
async fn a_promoted_standby_gets_the_worker_and_the_job_that_was_under_way() {
    let started = Instant::now();
    let primary = server().await;
    let db = primary.database().await;
    let standby = Standby::of(primary);
    let (admin, holder) = (db.admin().await, db.admin().await);
    let service = Service::start(&standby.either(&db, WORKER), &[ONE, PATIENT]);
    service.logged("\"listening\"").await;
    admin.create("agt_before").await;
    admin.settled().await;
    holder.run(HOLD).await;
    admin.create("agt_under_way").await;
    admin.held_up("agt_under_way").await;
    standby.caught_up(&admin).await;
    let before = service.log().lines().count();
    primary.stop(Stop::Immediate);
    // Now the first refuses and the second does not write.
    let tries = || async { (waits(&since(&service, before)).len() >= 7).then_some(()) };
    until("some tries", tries).await;
    let log = since(&service, before);
    assert!(log.contains("database does not allow writes"), "{log}");
    // The worker and the listener; reconcile failed once at most.
    bounded(&log, 2, started.elapsed());
    assert!(log.lines().count() <= waits(&log).len() + 1, "{log}");
    assert_eq!(get(&service.http().await, "/livez").0, 200);

    standby.promote().await;
    let admin = standby.admin(&db).await;
    admin.create("agt_after").await;
    admin.settled().await;
    let done = ["agt_before|succeeded|provisioned|0", "agt_under_way|succeeded|provisioned|1"];
    assert_eq!(
        admin.rows(JOBS).await,
        [&done[..], &["agt_after|succeeded|provisioned|0"]].concat()
    );
    for prefix in ["agt_before", "agt_under_way", "agt_after"] {
        assert_eq!(admin.tables(prefix).await.len(), 4, "{prefix}");
    }
    let listening =
        || async { (service.log().matches("\"listening\"").count() == 2).then_some(()) };
    until("the listener to listen there", listening).await;
}

#[tokio::test]
async fn a_job_on_a_server_that_becomes_read_only_is_done_when_it_writes_again() {
    let started = Instant::now();
    let server = server().await;
    let db = server.database().await;
    let holder = db.admin().await;
    let service = db.service_with(&[ONE, PATIENT]).await;
    holder.run(HOLD).await;
    db.admin().await.create("agt_under_way").await;
    db.admin().await.held_up("agt_under_way").await;
    let (data, _) = server.place();
    let before = service.log().lines().count();
    server.restart(Stop::Immediate, || make_standby(&data));
    until("some refusals", || async {
        (service.log().matches("(SQLSTATE 25006)").count() >= 3).then_some(())
    })
    .await;
    bounded(&since(&service, before), 2, started.elapsed());
    let root = Admin(db.connect(SUPERUSER).await);
    assert!(root.one::<bool>("select pg_promote()").await);
    let admin = db.admin().await;
    admin.settled().await;
    assert_eq!(admin.rows(JOBS).await, ["agt_under_way|succeeded|provisioned|1"]);
    assert_eq!(admin.tables("agt_under_way").await.len(), 4);

    // As a platform does with a database whose disk is full.
    let refused = service.log().matches("(SQLSTATE 25006)").count();
    root.run("alter system set default_transaction_read_only = on").await;
    root.run("select pg_reload_conf()").await;
    let writer = db.admin().await;
    writer.run("set default_transaction_read_only = off").await;
    writer.create("agt_full").await;
    until("a refusal", || async {
        (service.log().matches("(SQLSTATE 25006)").count() > refused).then_some(())
    })
    .await;
    root.run("alter system reset default_transaction_read_only").await;
    root.run("select pg_reload_conf()").await;
    writer.settled().await;
    assert_eq!(writer.rows(JOBS).await[1..], ["agt_full|succeeded|provisioned|0"]);
}

#[tokio::test]
async fn hosts_that_vanished_or_hang_do_not_keep_it_from_the_next_one() {
    let db = Database::new().await;
    let admin = db.admin().await;
    // The kernel accepts for a process that hangs; of a host that is gone nothing comes back.
    let hung = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let gone = gone.listen(0).unwrap();
    let _fills = TcpStream::connect(gone.local_addr().unwrap()).await.unwrap();
    let others = [hung.local_addr().unwrap(), gone.local_addr().unwrap()];
    let url = db.url(WORKER).replace('@', &format!("@{},{},", others[0], others[1]));
    let service = Service::start(&url, &[("DATABASE__CONNECT_TIMEOUT", "1500ms"), ONE]);
    service.logged("running").await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    service.logged("\"listening\"").await;
}
