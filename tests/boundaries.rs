//! A job's connection breaks in place of its first message, its second, and so on to its last, each
//! way and in three manners: the job is done or not done, and the next worker does it once.
//!
//! Each of a worker's connections gets a point of its own to break at, so many break at once.

use crate::support::{
    Admin, Audit, Break, Database, Findings, Length, Point, Server, Service, WORKER, Way, Wire,
    until,
};

/// Connections of a worker, and so points that are tried at a time.
const AT_ONCE: usize = 48;

/// Patient, so that nothing but the break makes an attempt fail; and of one mind where to look.
const SETTINGS: [(&str, &str); 5] = [
    ("DATABASE__CONNECT_TIMEOUT", "1m"), // for all of them at once
    ("DATABASE__POOL_SIZE", "60"),
    ("DATABASE__LOCK_TIMEOUT", "50s"),
    ("WORKER__POLL_INTERVAL", "50ms"),
    ("WORKER__RECONCILE_INTERVAL", "2s"),
];

/// Where there is anything between all and nothing, or a job that is neither pending nor done.
const HALF: &str = "
    select j.id, j.state, t.tables, r.tables
    from provisioning.jobs j, lateral (
        select count(*) as tables from pg_class where relkind = 'r'
            and relnamespace = 'public'::regnamespace and relname ^@ (j.agent_prefix || '_')
    ) t, lateral (
        select count(*) as tables from provisioning.agent_tables where agent_id = j.agent_id
    ) r
    where j.kind = '{kind}' and (j.state not in ('pending', 'succeeded') or (t.tables, r.tables)
        is distinct from case when (j.kind = 'provision') = (j.state = 'succeeded')
            then (4::bigint, 4::bigint) else (0::bigint, 0::bigint) end)";

const DONE: &str =
    "select count(*) from provisioning.jobs where kind = '{kind}' and state = 'succeeded'";

/// A server for many more connections than a worker is allowed anywhere else.
async fn server() -> &'static Server {
    let server = Box::leak(Box::new(Server::start(&[("max_connections", "800")]).await));
    server.crowd().await;
    server
}

/// One kind of job, with one reference, in a database of its own.
struct Scene {
    kind: &'static str,
    reference: (&'static str, &'static str),
    db: Database,
    admin: Admin,
    audit: Audit,
    agents: usize,
}

impl Scene {
    async fn new(kind: &'static str, reference: &'static str, server: &'static Server) -> Self {
        let (db, reference) = (server.database().await, ("REFERENCE", reference));
        let (admin, audit) = (db.admin().await, Audit::begin(&db).await);
        Self { kind, reference, db, admin, audit, agents: 0 }
    }

    /// A worker with this many connections, all of them there.
    async fn worker(&self, count: usize) -> (Service, Wire) {
        let wire = Wire::before(&self.db.url(WORKER)).await;
        let url = self.db.url(WORKER);
        let concurrency = count.to_string();
        let (listen, workers) = ("DATABASE__LISTEN_URL", "WORKER__CONCURRENCY");
        let own = [self.reference, (listen, url.as_str()), (workers, &concurrency)];
        let settings = [&SETTINGS[..], &own].concat();
        let service = Service::start(wire.url(), &settings);
        let looked = || async { (wire.looked() >= count).then_some(()) };
        until("all workers to have looked for a job", looked).await;
        (service, wire)
    }

    /// As many agents as jobs are wanted, built already if they are to be dropped.
    async fn cast(&mut self, count: usize) {
        if self.kind == "deprovision" {
            self.insert(count).await;
            let service = self.db.service_with(&[self.reference]).await;
            self.admin.settled().await;
            drop(service);
            self.admin.deserted().await;
        }
    }

    async fn insert(&mut self, count: usize) {
        let (from, to) = (self.agents + 1, self.agents + count);
        self.agents = to;
        self.admin
            .run(&format!(
                "insert into public.agents (agent_prefix)
                 select 'a' || n from generate_series({from}, {to}) n"
            ))
            .await;
    }

    async fn begin(&mut self, count: usize) {
        if self.kind == "deprovision" {
            self.admin.run("delete from public.agents").await;
        } else {
            self.insert(count).await;
        }
    }

    async fn done(&self) -> i64 {
        self.admin.one(&DONE.replace("{kind}", self.kind)).await
    }

    async fn whole(&self) {
        assert_eq!(self.admin.rows(&HALF.replace("{kind}", self.kind)).await, [""; 0]);
    }

    /// Everything is done, and nothing twice.
    async fn finished(&mut self) {
        self.admin.settled().await;
        self.whole().await;
        let dead = "select count(*) from provisioning.jobs where state <> 'succeeded'";
        assert_eq!(self.admin.one::<i64>(dead).await, 0);
        assert_eq!(self.audit.findings(&self.db).await, Findings::default());
    }

    /// How many messages a job takes when nothing breaks.
    async fn length(&mut self) -> Length {
        self.cast(1).await;
        let (service, wire) = self.worker(1).await;
        wire.arm(&[Point { way: Way::ToServer, message: usize::MAX, how: Break::Cut }]).await;
        self.begin(1).await;
        let length = || async { wire.outcome().1.first().map(|(_, length)| *length) };
        let length = until("a whole job", length).await;
        drop(service);
        length
    }
}

/// A job begins and ends with so many messages that differ. Between them it runs the templates, a statement a message.
const DIFFERENT: usize = 16;
/// Every so many of the statements of the templates.
const STEP: usize = 9;

fn points(length: Length, how: Break) -> Vec<Point> {
    let each = |way, last: usize| {
        let is_tried = move |message: &usize| {
            *message <= DIFFERENT || message + DIFFERENT > last || message.is_multiple_of(STEP)
        };
        (1..=last).filter(is_tried).map(move |message| Point { way, message, how })
    };
    each(Way::ToServer, length.0).chain(each(Way::ToClient, length.1)).collect()
}

/// Waits until every point was met or missed, and whether or not the worker's jobs are free again; the points
/// that were missed. A job that gives way to another one's lock on `agents` is shorter than the first.
async fn met(wire: &Wire, points: &[Point]) -> Vec<Point> {
    let all = || async {
        let (reached, missed) = wire.outcome();
        (reached + missed.len() == points.len()).then_some(missed)
    };
    let missed = until("every point to be met", all).await;
    missed.into_iter().map(|(point, _)| point).collect()
}

/// The worker learns what became of the jobs whose answers it did not get, and ends well.
async fn recovered(mut service: Service) {
    let recorded = || async {
        let log = service.log();
        let count = |text| log.matches(text).count();
        let known = count("settled all the same") + count("job failed") + count("is on the job");
        (count("in the middle of job") == known).then_some(())
    };
    until("the worker to know about its jobs", recorded).await;
    service.signal("TERM");
    assert_eq!(service.ended().await.code(), Some(0));
}

/// Breaks at these points, all at once. How many commits took effect without their answer, and the points that
/// were missed.
async fn interrupt(scene: &mut Scene, points: &[Point]) -> (i64, Vec<Point>) {
    // Each point may be one behind the commit, and so the end of its job.
    let jobs = points.len();
    scene.cast(jobs).await;
    let (service, wire) = scene.worker(points.len()).await;
    let before = scene.done().await;
    wire.arm(points).await;
    scene.begin(jobs).await;
    let missed = met(&wire, points).await;
    scene
        .admin
        .holds(
            "select not exists (select from pg_stat_activity where datname = current_database()
             and application_name ^@ 'agent-prov' and xact_start is not null)",
        )
        .await;
    service.signal("STOP"); // or its reconnecting grows ever slower
    scene.whole().await;
    let unanswered = scene.done().await - before;
    let next = scene.db.service_with(&[scene.reference]).await;
    scene.finished().await;
    drop(next);
    wire.open();
    service.signal("CONT");
    recovered(service).await;
    scene.finished().await;
    (unanswered, missed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_connection_ends_at_any_message_is_done_once_by_the_next_worker() {
    let server = server().await;
    // With the foreign key a deprovision's first transaction, with the check its only one.
    for (kind, reference, last) in [
        ("provision", "foreign_key", true),
        ("deprovision", "foreign_key", false),
        ("deprovision", "check", true),
    ] {
        let mut scene = Scene::new(kind, reference, server).await;
        let length = scene.length().await;
        let mut points = points(length, Break::Cut);
        points.extend(self::points(length, Break::HalfClose));
        let mut unanswered = 0;
        let (mut left, mut tries) = (points.clone(), 0);
        while !left.is_empty() {
            assert!(tries < 5, "jobs do not get so far: {left:?}");
            tries += 1;
            let mut missed = Vec::new();
            for points in left.chunks(AT_ONCE) {
                let (more, again) = interrupt(&mut scene, points).await;
                unanswered += more;
                missed.extend(again);
            }
            left = missed;
        }
        eprintln!("{kind}: {length:?} messages, {} breaks, {unanswered} unanswered", points.len());
        // The last two messages to the client tell of the commit.
        assert!(unanswered >= 4 || !last, "{unanswered}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_connection_falls_silent_at_any_message_is_done_once() {
    let server = server().await;
    tokio::join!(silence("provision", server), silence("deprovision", server));
}

/// All points at once, since each takes the server's ten seconds to give up. With the foreign key one
/// silent job would hold up all others meanwhile.
async fn silence(kind: &'static str, server: &'static Server) {
    let mut scene = Scene::new(kind, "check", server).await;
    let length = scene.length().await;
    let points = points(length, Break::Stall);
    scene.cast(points.len()).await;
    let mut workers = Vec::new();
    for points in points.chunks(AT_ONCE) {
        let (service, wire) = scene.worker(points.len()).await;
        workers.push((service, wire, points));
    }
    for (_, wire, points) in &workers {
        wire.arm(points).await;
    }
    scene.begin(points.len()).await;
    for (_, wire, points) in &workers {
        assert!(met(wire, points).await.is_empty(), "not every job is as long as the first");
    }
    scene.whole().await;
    for (_, wire, _) in &workers {
        wire.open();
    }
    let _next = scene.db.service_with(&[scene.reference]).await;
    scene.finished().await;
    for (service, _, _) in workers {
        recovered(service).await;
    }
    scene.finished().await;
    eprintln!("{kind}: {length:?} messages, {} silences", points.len());
}
