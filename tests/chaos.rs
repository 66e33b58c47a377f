//! Everything fails at once, again and again, and in the end there is what the clients were told.
//!
//! Clients create, fill, delete and re-create agents; several workers build and drop; and all the
//! while workers are killed and stopped, backends terminated, networks cut and silenced, triggers
//! switched off, agents hidden from the workers, `agents` read for long, and the server crashes. Seeded: `CHAOS_SEED` repeats a run's choices (though not the
//! scheduling around them), `CHAOS_EVENTS` makes it longer.

mod client;
mod driver;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use client::{Client, Slot};
use driver::Driver;

use crate::support::{Admin, Audit, Database, Server, until};

const CLIENTS: u64 = 4;
const PREFIXES: usize = 6; // of each client

/// What everybody in a run shares.
pub struct Stage {
    pub db: Database,
    /// Acknowledged events, and how many there are to be at least.
    done: AtomicU64,
    events: u64,
    /// Every fault has come.
    dealt: AtomicBool,
}

impl Stage {
    pub fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub fn dealt(&self) {
        self.dealt.store(true, Ordering::Relaxed);
    }

    pub fn over(&self) -> bool {
        self.dealt.load(Ordering::Relaxed) && self.done.load(Ordering::Relaxed) >= self.events
    }

    /// Waits for some more events; not for ever, since it may be a fault that keeps them from coming.
    pub async fn pass(&self, events: u64) {
        let goal = self.done.load(Ordering::Relaxed) + events;
        let reached = until("some events", || async {
            (self.over() || self.done.load(Ordering::Relaxed) >= goal).then_some(())
        });
        tokio::time::timeout(Duration::from_millis(1500), reached).await.ok();
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_misordered_whatever_breaks() {
    let seed = setting("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let events = setting("CHAOS_EVENTS").unwrap_or(100);
    eprintln!("chaos: CHAOS_SEED={seed} CHAOS_EVENTS={events}");
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let mut audit = Audit::begin(&db).await;
    let clients = clients(seed);
    let (pattern, bystanders) = prepare(&db, &clients).await;
    let stage =
        Arc::new(Stage { db, done: AtomicU64::new(0), events, dealt: AtomicBool::new(false) });

    let mut running = tokio::task::JoinSet::new();
    for client in clients {
        running.spawn(client.run(Arc::clone(&stage)));
    }
    let driver = Driver::new(Arc::clone(&stage), seed).await;
    let (workers, faults) = driver.run().await;
    let slots: Vec<Slot> = running.join_all().await.into_iter().flatten().collect();

    let admin = stage.db.admin().await;
    // Waiting is tested elsewhere: here nobody has ten minutes for a fifth attempt, or a minute for the next turn at
    // a lock that somebody had for long.
    admin
        .run(
            "select setval('provisioning.lock_writers_since', 0), setval('provisioning.lock_all_since', 0);
             update provisioning.jobs set run_at = now() where state = 'pending'",
        )
        .await;
    settled(&admin).await;
    for mut worker in workers {
        worker.signal("TERM");
        assert_eq!(worker.ended().await.code(), Some(0));
        assert!(!worker.log().contains("panicked"), "{}", worker.log());
    }
    let lost = lost(&admin, &slots, &pattern).await;
    let found = audit.findings(&stage.db).await;
    let touched = self::bystanders(&admin, &slots).await;
    let touched: Vec<_> = touched.iter().filter(|table| !bystanders.contains(table)).collect();
    eprintln!(
        "chaos: {} events, {faults}; {} lost, {} duplicated, {} misordered, {} touched",
        stage.done.load(Ordering::Relaxed),
        lost.len(),
        found.duplicated.len(),
        found.misordered.len(),
        touched.len()
    );
    assert_eq!(lost, [""; 0]);
    assert_eq!((found.duplicated, found.misordered), (Vec::new(), Vec::new()));
    let states = "select distinct state from provisioning.jobs order by 1";
    assert_eq!(admin.rows(states).await.join(" ").replace("cancelled ", ""), "succeeded");
    assert_eq!(touched, [""; 0], "somebody else's tables");
}

/// Waits until nothing is left to do; says what is left where that takes long.
async fn settled(admin: &Admin) {
    const LEFT: &str =
        "select a.id as alive, p.agent_id as built, j.id, j.kind, j.state, j.outcome, j.unreported,
            j.attempts, j.run_at, j.created_at, j.lock_wanted, j.last_error, d.deleted_at
        from public.agents a full join provisioning.agents p on p.agent_id = a.id
        left join provisioning.jobs j on j.agent_id = coalesce(a.id, p.agent_id)
        left join provisioning.deleted_agents d on d.agent_id = coalesce(a.id, p.agent_id)
        where a.id is null or p.agent_id is null or exists (
            select from provisioning.jobs o where o.agent_id = a.id and o.state = 'pending')
        order by j.id";
    let done = admin.holds(
        "select not exists (select from provisioning.jobs where state = 'pending')
            and not exists (select from public.agents a full join provisioning.agents p
                on p.agent_id = a.id where a.id is null or p.agent_id is null)",
    );
    let told = async {
        tokio::time::sleep(Duration::from_secs(45)).await;
        eprintln!("chaos: left after 45 s: {:#?}", admin.rows(LEFT).await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = done => {}
        () = told => {}
    }
}

fn clients(seed: u64) -> Vec<Client> {
    let client = |n| Client::new(n, PREFIXES, seed);
    (0..CLIENTS).map(client).collect()
}

/// Tables that are nobody's to touch, and an agent that was built in peace: the pattern of all.
async fn prepare(db: &Database, clients: &[Client]) -> (String, Vec<String>) {
    let admin = db.admin().await;
    let slots = || clients.iter().flat_map(|client| &client.slots);
    for prefix in slots().map(|slot| slot.prefix.as_str()).chain(["pattern"]) {
        for table in strange(prefix) {
            let make = format!("create table public.{table} as select '{table}' as precious");
            admin.run(&make).await;
        }
    }
    admin.run("alter sequence public.agents_id_seq restart 424242").await;
    let service = db.service().await;
    let id = admin.create("pattern").await;
    admin.settled().await;
    drop(service);
    let slots: Vec<Slot> = slots().cloned().collect();
    (admin.catalog("pattern", id).await, bystanders(&admin, &slots).await)
}

/// Names that a pattern, or a look at the beginning, would take for the agent's.
fn strange(prefix: &str) -> [String; 3] {
    let like = prefix.replace('_', "x");
    [format!("{prefix}_notes"), format!("{like}x_customers"), format!("{like}{prefix}_orders")]
}

/// Everything about them that might change.
async fn bystanders(admin: &Admin, slots: &[Slot]) -> Vec<String> {
    let mut found = Vec::new();
    for table in slots.iter().flat_map(|slot| strange(&slot.prefix)) {
        let sql = format!(
            "select c.oid, c.relfilenode, c.relname, c.relowner, c.relacl, c.relrowsecurity, t
             from pg_class c, public.{table} t where c.oid = 'public.{table}'::regclass"
        );
        found.extend(admin.rows(&sql).await);
    }
    found
}

/// Where what there is differs from what the clients were told, a line each.
async fn lost(admin: &Admin, slots: &[Slot], pattern: &str) -> Vec<String> {
    let mut lost = Vec::new();
    for Slot { prefix, agent, going, rows } in slots {
        let agent = agent.filter(|_| !going);
        let sql = format!("select id from public.agents where agent_prefix = '{prefix}'");
        let found = admin.rows(&sql).await;
        let told: Vec<_> = agent.iter().map(ToString::to_string).collect();
        if found != told {
            let jobs = format!(
                "select id, kind, agent_id, state, outcome, unreported, created_at, finished_at
                 from provisioning.jobs where agent_prefix = '{prefix}' order by id desc limit 8"
            );
            let jobs = admin.rows(&jobs).await;
            lost.push(format!("{prefix}: agents {found:?}, told {told:?}, jobs {jobs:#?}"));
            continue;
        }
        let Some(id) = agent else {
            let tables = admin.tables(prefix).await;
            if tables != [format!("{prefix}_notes")] {
                lost.push(format!("{prefix}: its agent is gone and {tables:?} are left"));
            }
            continue;
        };
        if admin.catalog(prefix, id).await != pattern {
            lost.push(format!("{prefix}: its tables are not those of any other agent"));
            continue;
        }
        let sql = format!("select name, phone from public.{prefix}_customers");
        let found = admin.rows(&sql).await;
        for phone in rows {
            if !found.contains(&format!("{id}|{phone}")) {
                lost.push(format!("{prefix}: customer {phone}"));
            }
        }
        let of_others = found.iter().filter(|row| !row.starts_with(&format!("{id}|")));
        lost.extend(of_others.map(|row| format!("{prefix} of {id} inherited {row}")));
    }
    lost
}
