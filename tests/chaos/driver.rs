//! Breaks things, one after the other, and repairs them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_provisioner::dev_server::{SUPERUSER, Stop};
use fastrand::Rng;
use futures_util::FutureExt;

use super::Stage;
use crate::support::{ADMIN, Admin, Proxy, Service, WORKER, until};

const WORKERS: usize = 3;
/// Often enough that a run needs neither notification nor trigger. Nobody is there to approve what goes
/// while the triggers are off.
const SETTINGS: [(&str, &str); 4] = [
    ("WORKER__CONCURRENCY", "3"),
    ("WORKER__POLL_INTERVAL", "1s"),
    ("WORKER__RECONCILE_INTERVAL", "500ms"),
    ("DEPROVISION__MAX_UNREPORTED", "1000000"),
];

/// The worker's role sees every other agent.
const HIDE: &str = "create policy hide on public.agents as restrictive for select \
                    to agent_provisioner using (id % 2 = 0)";
const SHOW: &str = "drop policy if exists hide on public.agents";

#[derive(Clone, Copy)]
enum Fault {
    Kill,
    Stop,
    Terminate,
    Restart,
    Cut,
    Silence,
    Triggers,
    Hide,
    Read,
}

/// Each is dealt as often as it stands here, in an order of the seed's choice, and again.
const DECK: [Fault; 17] = [
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Stop,
    Fault::Stop,
    Fault::Terminate,
    Fault::Terminate,
    Fault::Terminate,
    Fault::Restart,
    Fault::Cut,
    Fault::Cut,
    Fault::Silence,
    Fault::Triggers,
    Fault::Triggers,
    Fault::Hide,
    Fault::Hide,
    Fault::Read,
];

/// How often what was done.
#[derive(Default)]
pub struct Tally {
    kills: u32,
    stops: u32,
    terminations: usize,
    restarts: u32,
    cuts: u32,
    silences: u32,
    triggers: u32,
    hidden: u32,
    readers: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kills,
            stops,
            terminations,
            restarts,
            cuts,
            silences,
            triggers,
            hidden,
            readers,
        } = self;
        write!(
            f,
            "{kills} kills, {stops} stops, {terminations} terminations, {restarts} crashes of the \
             server, {cuts} cuts and {silences} silences of the network, triggers off {triggers} times, \
             agents hidden {hidden} times, {readers} long readers"
        )
    }
}

/// A process and its own way to the server.
struct Worker {
    service: Service,
    proxy: Proxy,
}

pub struct Driver {
    stage: Arc<Stage>,
    random: Rng,
    workers: Vec<Worker>,
    tally: Tally,
    retention: &'static str,
}

impl Driver {
    pub async fn new(stage: Arc<Stage>, seed: u64) -> Self {
        // Odd seeds keep what is deleted, and even ones drop it.
        let retention = if seed % 2 == 1 { "7d" } else { "0s" };
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let proxy = Proxy::before(&stage.db.url(WORKER)).await;
            workers.push(Worker { service: start(&proxy, retention), proxy });
        }
        Self { stage, random: Rng::with_seed(seed), workers, tally: Tally::default(), retention }
    }

    /// Until the clients have had enough; the workers, all of them running, and what they suffered.
    pub async fn run(mut self) -> (Vec<Service>, Tally) {
        'all: loop {
            let mut deck = DECK;
            self.random.shuffle(&mut deck);
            for fault in deck {
                let events = self.random.u64(2..10);
                self.stage.pass(events).await;
                if self.stage.over() {
                    break 'all;
                }
                self.supervise();
                self.strike(fault).await;
            }
            self.stage.dealt();
        }
        let mut told = Instant::now() + Duration::from_secs(45);
        until("every worker to be up", || {
            self.supervise();
            let down = |worker: &&Worker| !worker.service.log().contains("\"listening\"");
            let mut down = self.workers.iter().filter(down).peekable();
            let all = down.peek().is_none();
            if Instant::now() > told {
                told += Duration::from_mins(1);
                down.for_each(|worker| eprintln!("chaos: not up: {}", worker.service.log()));
            }
            async move { all.then_some(()) }
        })
        .await;
        (self.workers.into_iter().map(|worker| worker.service).collect(), self.tally)
    }

    /// Starts again what could not start, as a supervisor does. Nothing else may end a worker.
    fn supervise(&mut self) {
        for Worker { service, proxy } in &mut self.workers {
            if let Some(status) = service.ended().now_or_never() {
                let log = service.log();
                assert!(
                    status.code() == Some(1) && !log.contains("\"running\""),
                    "{status}: {log}"
                );
                *service = start(proxy, self.retention);
            }
        }
    }

    async fn strike(&mut self, fault: Fault) {
        let at = self.random.usize(..WORKERS);
        let Worker { service, proxy } = self.workers.get_mut(at).unwrap();
        match fault {
            Fault::Kill => {
                service.signal("KILL");
                service.ended().await;
                *service = start(proxy, self.retention);
                self.tally.kills += 1;
            }
            Fault::Stop => {
                service.signal("STOP");
                self.tally.stops += 1;
                // Sometimes so long that the server gives up on it in the middle of a job.
                for _ in 0..if self.random.u8(..8) == 0 { 8 } else { 1 } {
                    self.stage.pass(u64::MAX / 2).await;
                }
                service.signal("CONT");
            }
            Fault::Terminate => self.terminate().await,
            Fault::Restart => {
                let server = self.stage.db.server;
                let restart = move || server.restart(Stop::Immediate, || {});
                tokio::task::spawn_blocking(restart).await.unwrap();
                self.tally.restarts += 1;
            }
            Fault::Cut => {
                proxy.cut_off();
                self.tally.cuts += 1;
                self.stage.pass(self.random.u64(2..10)).await;
                proxy.restore();
            }
            Fault::Silence => {
                proxy.swallow();
                self.tally.silences += 1;
            }
            Fault::Triggers => {
                self.alter(&switch("disable")).await;
                self.tally.triggers += 1;
                self.stage.pass(self.random.u64(10..20)).await;
                self.alter(&switch("enable")).await;
            }
            Fault::Hide => {
                self.alter(HIDE).await;
                self.tally.hidden += 1;
                self.stage.pass(self.random.u64(10..20)).await;
                self.alter(SHOW).await;
            }
            Fault::Read => {
                let reader = Admin(self.stage.db.connect(ADMIN).await);
                let read = "begin; lock table public.agents in access share mode";
                // Whoever gives this up has been told to by the server's restart or a termination.
                self.tally.readers += u32::from(reader.batch_execute(read).await.is_ok());
                self.stage.pass(u64::MAX / 2).await;
                self.stage.pass(u64::MAX / 2).await;
            }
        }
    }

    /// Ends a few sessions, of those in the middle of a job if there are any.
    async fn terminate(&mut self) {
        let root = Admin(self.stage.db.connect(SUPERUSER).await);
        let victims = self.random.u8(1..4);
        let end = format!(
            "select pg_terminate_backend(pid) from (
                 select pid from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()
                     and backend_type = 'client backend'
                 order by application_name ^@ 'agent-provisioner job' desc, query_start desc
                 limit {victims}) victims"
        );
        self.tally.terminations += root.rows(&end).await.len();
    }

    /// Runs DDL on `agents`, again and again until it gets the lock.
    async fn alter(&self, sql: &str) {
        let sql = format!("set lock_timeout = '100ms'; {sql}");
        let db = &self.stage.db;
        until("agents to be altered", || async {
            Admin(db.connect(ADMIN).await).batch_execute(&sql).await.ok()
        })
        .await;
    }
}

fn switch(how: &str) -> String {
    format!(
        "alter table public.agents {how} trigger enqueue_provision, {how} trigger enqueue_deprovision"
    )
}

fn start(proxy: &Proxy, retention: &str) -> Service {
    let mut settings = SETTINGS.to_vec();
    settings.push(("DEPROVISION__RETENTION", retention));
    Service::start(proxy.url(), &settings)
}
