//! A lock on a table that all agents share is asked for so that nobody stands still, and who is in its way is
//! named.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json as value};

use crate::jobs::jobs;
use crate::support::{
    ADMIN, Admin, Database, Files, Service, WORKER, ask, expect, finish, get, json, provisioner,
    until,
};

/// Deletions are done for good, and need the strongest lock.
const AT_ONCE: (&str, &str) = ("DEPROVISION__RETENTION", "0s");
const QUIET: [(&str, &str); 2] = [("WORKER__RECONCILE_INTERVAL", "1h"), AT_ONCE];

/// For which share of the time somebody waited for a table, and how many workers did at once at most. Seen by
/// the server, so that a busy machine does not count.
const WATCH: &str = "
    create function pg_temp.watch(watched regclass, held text, seconds float8)
    returns table (share float8, most bigint) language plpgsql as $$
    declare
        started constant timestamptz := clock_timestamp();
        seen timestamptz := started;
        total interval := '0';
        waiting record;
    begin
        most := 0;
        while seen < started + seconds * interval '1 s' loop
            select count(*) filter (where mode = held) as others, count(*) filter (where mode <> held) as workers
            into waiting from pg_locks
            where relation = watched and not granted
              and database = (select oid from pg_database where datname = current_database());
            total := total + case when waiting.others > 0 then clock_timestamp() - seen else '0' end;
            most := greatest(most, waiting.workers);
            seen := clock_timestamp();
            perform pg_sleep(0.001);
        end loop;
        share := extract(epoch from total) / seconds;
        return next;
    end $$";

/// What keeps asking for a table as others do, and how `pg_locks` calls the lock that it asks for.
struct Others {
    table: &'static str,
    asks: &'static str,
    mode: &'static str,
}

const READERS: Others =
    Others { table: "public.agents", asks: "access share", mode: "AccessShareLock" };
const WRITERS: Others =
    Others { table: "public.agents", asks: "row exclusive", mode: "RowExclusiveLock" };

impl Others {
    /// For ten seconds: nobody stands still for longer than promised, and one worker at most waits.
    async fn go_on(&self, db: &Database) {
        let (watcher, other, over) = (db.admin().await, db.admin().await, Cell::new(false));
        watcher.run(WATCH).await;
        let watching = async {
            let sql = "select share, most from pg_temp.watch($1::text::regclass, $2, 10)";
            let row = watcher.query_one(sql, &[&self.table, &self.mode]).await.unwrap();
            over.set(true);
            (row.get::<_, f64>(0), row.get::<_, i64>(1))
        };
        let asks = format!("begin; lock table {} in {} mode; commit", self.table, self.asks);
        let asking = async {
            while !over.get() {
                other.run(&asks).await;
            }
        };
        let ((share, most), ()) = tokio::join!(watching, asking);
        assert!(share < 0.06, "{} stood still for {share} of the time", self.mode);
        assert!(most <= 1, "{most} workers waited at once");
    }
}

async fn two_processes(db: &Database, settings: &[(&str, &str)]) -> [Service; 2] {
    [db.service_with(settings).await, db.service_with(settings).await]
}

const WAITING: &str = "select count(*) from provisioning.jobs
                       where state = 'pending' and lock_wanted is not null";

#[tokio::test]
async fn eight_deletions_behind_a_report_hold_nobody_up() {
    let db = Database::new().await;
    let (admin, report) = (db.admin().await, db.admin().await);
    let _services = two_processes(&db, &QUIET).await;
    admin.run("insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 9) n").await;
    admin.settled().await;
    report.run("begin; lock table public.agents in access share mode").await;
    admin.run("delete from public.agents where agent_prefix <> 'agt_9'").await;
    admin.holds(&format!("select ({WAITING}) = 8")).await;
    READERS.go_on(&db).await;
    // New agents are none of the report's business.
    admin.create("agt_new").await;
    admin
        .holds("select exists (select from provisioning.agents where agent_prefix = 'agt_new')")
        .await;
    assert_eq!(admin.one::<i64>(WAITING).await, 8);
    report.run("commit").await;
    admin.settled().await;
    assert_eq!(
        admin.rows("select agent_prefix from provisioning.agents order by 1").await,
        ["agt_9", "agt_new"]
    );
    assert_eq!(admin.one::<i64>("select sum(attempts) from provisioning.jobs").await, 0);
}

#[tokio::test]
async fn eight_builds_behind_a_writer_hold_nobody_up() {
    let db = Database::new().await;
    let (admin, batch) = (db.admin().await, db.admin().await);
    let _services = two_processes(&db, &QUIET).await;
    batch.run("begin; lock table public.agents in row exclusive mode").await;
    admin.run("insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 8) n").await;
    admin.holds(&format!("select ({WAITING}) = 8")).await;
    WRITERS.go_on(&db).await;
    batch.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 8);
}

#[tokio::test]
async fn a_fleet_that_is_converted_behind_a_report_holds_nobody_up() {
    let db = Database::new().await;
    let (admin, report) = (db.admin().await, db.admin().await);
    let _services = two_processes(&db, &QUIET).await;
    admin.run("insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 8) n").await;
    admin.settled().await;
    report.run("begin; lock table public.agents in access share mode").await;
    let convert = ["agents", "convert", "--reference", "check"];
    expect(&ask(&db.url(WORKER), &convert).await, 0, &["queued 8 jobs"]);
    admin.holds(&format!("select ({WAITING}) = 8")).await;
    READERS.go_on(&db).await;
    report.run("commit").await;
    admin.settled().await;
    let converted = "select count(*) from provisioning.jobs where outcome = 'converted'";
    assert_eq!(admin.one::<i64>(converted).await, 8);
}

/// To wait for the agent's own table while `agents` is locked would be a wait of everybody's.
#[tokio::test]
async fn who_uses_an_agents_own_table_holds_up_its_deletion_and_nobody_else() {
    let db = Database::new().await;
    let (admin, tenant) = (db.admin().await, db.admin().await);
    let _services = two_processes(&db, &QUIET).await;
    admin.run("insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 4) n").await;
    admin.settled().await;
    tenant
        .run("begin; select from public.agt_1_customers, public.agt_2_customers, public.agt_3_customers")
        .await;
    admin
        .run("select public.delete_agent(id) from public.agents where agent_prefix <> 'agt_4'")
        .await;
    admin.holds(&format!("select ({WAITING}) = 3")).await;
    READERS.go_on(&db).await;
    tenant.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.rows("select agent_prefix from public.agents").await, ["agt_4"]);
}

#[tokio::test]
async fn a_template_that_refers_to_users_holds_nobody_up() {
    let base = "
                -- provisioner: public {prefix}_customers
                create table public.{prefix}_customers (
                    id serial primary key, seller uuid references public.users (id))";
    let files = Files::new(&[("0001_base.sql", base)]);
    let db = Database::new().await;
    let (admin, batch) = (db.admin().await, db.admin().await);
    admin.run("grant references on public.users to agent_provisioner").await;
    let _services = [files.service(&db, &QUIET).await, files.service(&db, &QUIET).await];
    batch.run("begin; lock table public.users in row exclusive mode").await;
    admin.run("insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 8) n").await;
    admin.holds(&format!("select ({WAITING}) = 8")).await;
    Others { table: "public.users", ..WRITERS }.go_on(&db).await;
    batch.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 8);
}

/// Each transaction lasts for three times as long as the first waits, and begins before the last one ends: with a wait that
/// does not grow they would starve the job.
#[tokio::test]
async fn short_readers_that_never_pause_delay_a_deletion_and_do_not_starve_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&QUIET).await;
    admin.create("agt_gone").await;
    admin.settled().await;
    let (mut this, mut next, over) = (db.admin().await, db.admin().await, Cell::new(false));
    let read = "begin; lock table public.agents in access share mode";
    this.run(read).await;
    let reading = async {
        while !over.get() {
            let end = async {
                tokio::time::sleep(Duration::from_millis(45)).await;
                this.run("commit").await;
            };
            tokio::join!(next.run(read), end);
            std::mem::swap(&mut this, &mut next);
        }
    };
    let deleting = async {
        admin.run("delete from public.agents").await;
        admin.settled().await;
        over.set(true);
    };
    tokio::join!(reading, deleting);
    let give_ways = "select give_ways > 1 from provisioning.jobs where kind = 'deprovision'";
    assert!(admin.one::<bool>(give_ways).await, "the case proves nothing");
    assert_eq!(admin.tables("agt_gone").await, [""; 0]);
}

/// The same session, idle in a transaction, under a name of its own.
async fn studio(db: &Database, sql: &str) -> (Admin, i32) {
    let studio = db.admin().await;
    studio.run("set application_name = 'studio'").await;
    studio.run(sql).await;
    let pid = studio.one("select pg_backend_pid()").await;
    (studio, pid)
}

async fn findings(db: &Database) -> Vec<Value> {
    let found = finish(provisioner(&db.url(WORKER)).args(["doctor", "--json"])).await;
    let found = json(&found).as_array().unwrap().clone();
    found.into_iter().filter(|f| f["what"] == "locks").collect()
}

fn metric(http: &str, name: &str) -> f64 {
    let exposition = get(http, "/metrics").1;
    let line = exposition
        .lines()
        .find_map(|line| line.strip_prefix(&format!("agent_provisioner_{name} ")));
    line.unwrap().parse().unwrap()
}

/// Waits for a scrape that counts these jobs, and that sees somebody in their way or nobody.
async fn counted(http: &str, jobs: &str) {
    let held_up = jobs != "0";
    until("a scrape that sees it", || async {
        let waiting = metric(http, "jobs_waiting_for_lock").to_string();
        let seen = metric(http, "lock_blocker_age_seconds") > 0.0;
        (waiting == jobs && seen == held_up).then_some(())
    })
    .await;
}

/// Whenever one looks, and whoever looks.
async fn named_by_commands(db: &Database, pid: i32, way_out: &str) {
    for url in [WORKER, WORKER, ADMIN, ADMIN].map(|role| db.url(role)) {
        let shown = json(&ask(&url, &["jobs", "show", "1", "--json"]).await);
        let at = |path: &str| shown.pointer(path).unwrap().clone();
        let seconds = at("/blocked_by/0/seconds");
        let holder = value!({
            "pid": pid,
            "user": "postgres",
            "application": "studio",
            "state": "idle in transaction",
            "relation": "public.agents",
            "prefix": null,
            "way_out": way_out,
            "seconds": seconds,
        });
        assert_eq!(at("/blocked_by"), value!([holder]), "no worker of ours");
        assert!(seconds.as_f64().unwrap() > 0.5, "{shown}");
        assert!(at("/next").as_str().unwrap().ends_with(way_out), "{shown}");
        let listed = json(&ask(&url, &["jobs", "list", "--json"]).await);
        assert_eq!(listed.pointer("/0/blocked_by/0/pid"), Some(&value!(pid)), "{listed}");
        let named = format!("backend {pid} (studio, user postgres, idle in transaction");
        for args in [&["list"][..], &["show", "1"]] {
            expect(&ask(&url, &[&["jobs"], args].concat()).await, 0, &[&named]);
        }
    }
}

#[tokio::test]
async fn who_holds_the_lock_is_named_everywhere_while_it_lasts_and_nowhere_afterwards() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&QUIET).await;
    let http = service.http().await;
    let (_studio, pid) = studio(&db, "begin; lock table public.agents in row exclusive mode").await;
    admin.create("agt_6f78").await;
    admin.holds("select give_ways >= 2 from provisioning.jobs").await;
    let way_out = format!("select pg_terminate_backend({pid})");
    named_by_commands(&db, pid, &way_out).await;
    let found = findings(&db).await;
    assert_eq!(found[0]["severity"], "warning", "{found:?}");
    assert!(found[0]["fix"].as_str().unwrap().ends_with(&way_out), "{found:?}");
    counted(&http, "1").await;
    service.logged("\"times\":4").await;
    let log = service.log();
    let warned: Vec<_> = log.lines().filter(|line| line.contains("\"job gave way\"")).collect();
    let named = |line: &&str| line.contains(&way_out) && line.contains("\"level\":\"WARN\"");
    assert!(warned.iter().all(named), "{warned:#?}");
    assert!(!log.contains("\"times\":3"), "ever more seldom: {warned:#?}");

    // As an operator pastes it.
    admin.run(&way_out).await;
    admin.settled().await;
    let shown = json(&jobs(&db, &["show", "1", "--json"]).await);
    assert_eq!((&shown["state"], &shown["blocked_by"]), (&value!("succeeded"), &value!([])));
    assert_eq!(findings(&db).await[0]["severity"], "ok");
    counted(&http, "0").await;
}

#[tokio::test]
async fn who_uses_one_agents_table_is_named_for_that_agents_job_only() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service =
        db.service_with(&[&QUIET[..], &[("DATABASE__LOCK_TIMEOUT", "50ms")]].concat()).await;
    admin.run("insert into public.agents (agent_prefix) values ('agt_a'), ('agt_b')").await;
    admin.settled().await;
    let (_studio, pid) = studio(&db, "begin; select from public.agt_a_messages").await;
    let (_other, other) = studio(&db, "begin; select from public.agt_b_messages").await;
    admin.run("select public.delete_agent(id) from public.agents").await;
    admin
        .holds("select count(*) = 2 from provisioning.jobs where lock_wanted = 'own tables'")
        .await;
    let listed = json(&jobs(&db, &["list", "--state", "pending", "--json"]).await);
    for job in listed.as_array().unwrap() {
        let expected = if job["agent_prefix"] == "agt_a" { pid } else { other };
        assert_eq!(job["blocked_by"][0]["pid"], expected, "{job}");
        assert_eq!(job["blocked_by"].as_array().unwrap().len(), 1, "{job}");
    }
}

#[tokio::test]
async fn a_prepared_transaction_is_named_with_the_statement_that_ends_it() {
    let server = Box::leak(Box::new(
        crate::support::Server::start(&[("max_prepared_transactions", "2")]).await,
    ));
    let db = server.database().await;
    let (admin, forgotten) = (db.admin().await, db.admin().await);
    let _service = db.service_with(&QUIET).await;
    forgotten
        .run("begin; lock table public.agents in row exclusive mode; prepare transaction 'it''s'")
        .await;
    admin.create("agt_6f78").await;
    admin.holds("select lock_wanted is not null from provisioning.jobs").await;
    let shown = json(&jobs(&db, &["show", "1", "--json"]).await);
    assert_eq!(shown["blocked_by"][0]["pid"], Value::Null);
    let way_out = shown["blocked_by"][0]["way_out"].as_str().unwrap();
    assert_eq!(way_out, "rollback prepared 'it''s'");
    admin.run(way_out).await;
    admin.settled().await;
}

#[tokio::test]
async fn a_job_that_waits_is_looked_at_seldom_however_many_wait() {
    const JOBS: i64 = 40;
    let db = Database::new().await;
    let (admin, batch) = (db.admin().await, db.admin().await);
    let services = two_processes(&db, &QUIET).await;
    let mut addresses = Vec::new();
    for service in &services {
        addresses.push(service.http().await);
    }
    batch.run("begin; lock table public.agents in row exclusive mode").await;
    let insert = format!(
        "insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, {JOBS}) n"
    );
    admin.run(&insert).await;
    admin.holds(&format!("select ({WAITING}) = {JOBS}")).await;
    let attempts = || addresses.iter().map(|http| metric(http, "lock_timeouts_total")).sum::<f64>();
    let before = attempts();
    admin.run("select pg_sleep(6)").await;
    let tried = attempts() - before;
    assert!((1.0..=90.0).contains(&tried), "{tried} attempts at {JOBS} jobs in 6 s");
    // Who gets through makes the others due, whenever it would have been their time.
    let late = "update provisioning.jobs set run_at = now() + interval '1 hour'
                where state = 'pending' and lock_wanted is not null
                and id <> (select min(id) from provisioning.jobs where state = 'pending')";
    admin.run(late).await;
    batch.run("commit").await;
    admin
        .run("update provisioning.jobs set run_at = now() where run_at < now() + interval '59 min'")
        .await;
    admin.all_done().await;
}

/// The worker's role by itself: how it waits, and what it leaves behind.
#[tokio::test]
async fn a_wait_is_paid_for_with_a_pause_and_leaves_no_setting_behind() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let worker = Admin(db.connect(WORKER).await);
    let lock = async |mode: &str| {
        worker.run("begin; set local lock_timeout = '7s'; savepoint s").await;
        let asked = std::time::Instant::now();
        let locked = worker.answer(&format!("select provisioning.lock_shared('{mode}')")).await;
        let took = asked.elapsed();
        worker.run("rollback to savepoint s").await;
        assert_eq!(worker.rows("show lock_timeout").await, ["7s"]);
        worker.run("rollback").await;
        (locked.map(drop).map_err(|error| error.constraint().unwrap().to_owned()), took)
    };
    holder.run("begin; lock table public.agents in access share mode").await;
    assert_eq!(lock("share row exclusive").await.0, Ok(()), "readers do not matter to it");
    let (refused, took) = lock("access exclusive").await;
    assert_eq!(refused, Err("waited".to_owned()));
    assert!(took.as_millis() >= 15, "{took:?}");
    assert_eq!(lock("access exclusive").await.0, Err("turned_away".to_owned()));
    let turn = "select provisioning.require_lock_turn('access exclusive')";
    assert_eq!(worker.answer(turn).await.unwrap_err().constraint(), Some("turned_away"));
    worker.run("select provisioning.require_lock_turn('share row exclusive')").await;
    holder.run("commit").await;
    // What is free is taken at once, and ends the pause.
    assert_eq!(lock("access exclusive").await.0, Ok(()));
    worker.run(turn).await;

    // A clock that was an hour ahead, and waits that ended long ago, delay nobody.
    for offset in ["1 hour", "-1 hour"] {
        let set = format!(
            "select setval(s::regclass, (extract(epoch from now() + interval '{offset}') * 1e6)::bigint)
             from unnest(array['provisioning.lock_budget', 'provisioning.lock_all_since',
                               'provisioning.lock_all_last']) s"
        );
        admin.run(&set).await;
        worker.run(turn).await;
        holder.run("begin; lock table public.agents in access share mode").await;
        assert_eq!(lock("access exclusive").await.0, Err("waited".to_owned()), "{offset}");
        holder.run("commit").await;
    }
}

#[tokio::test]
async fn one_worker_of_the_fleet_waits_at_a_time_and_no_longer_for_the_agents_own_tables() {
    let db = Database::new().await;
    let (admin, holder, watcher) = (db.admin().await, db.admin().await, db.admin().await);
    let service = db.service_with(&QUIET).await;
    admin.create("agt_x").await;
    admin.settled().await;
    drop(service);
    watcher.run(WATCH).await;
    // As after three minutes of waits in vain: the next one is long.
    let long_waits = "select setval('provisioning.lock_all_since', (extract(epoch from now() - interval '3 min') * 1e6)::bigint),
                      setval('provisioning.lock_all_last', (extract(epoch from now() - interval '1 min') * 1e6)::bigint)";
    admin.run(long_waits).await;
    holder.run("begin; lock table public.agents in access share mode").await;
    let (first, second) = (Admin(db.connect(WORKER).await), Admin(db.connect(WORKER).await));
    let lock = "select provisioning.lock_shared('access exclusive')";
    let asking = async |worker: &Admin| {
        worker.run("begin; set local lock_timeout = '7s'").await;
        worker.run(lock).await;
        let left = worker.rows("show lock_timeout").await;
        worker.run("commit").await;
        left
    };
    let watching = async {
        admin
            .holds(
                "select count(*) = 2 from pg_stat_activity where datname = current_database()
                 and usename = 'agent_provisioner' and wait_event_type = 'Lock'",
            )
            .await;
        let sql = "select most from pg_temp.watch('public.agents', '', 0.1)";
        let most = watcher.one::<i64>(sql).await;
        holder.run("commit").await;
        most
    };
    let (left, behind, most) = tokio::join!(asking(&first), asking(&second), watching);
    assert_eq!((left, behind), (vec!["7s".to_owned()], vec!["7s".to_owned()]));
    assert_eq!(most, 1);

    let forget =
        "select setval('provisioning.lock_all_since', 0), setval('provisioning.lock_budget', 0)";
    admin.run(forget).await;
    holder.run("begin; select from public.agt_x_customers").await;
    let asked = std::time::Instant::now();
    let with_own = "select provisioning.lock_shared('access exclusive', '{public.agents}', '{public.agt_x_customers}')";
    let refused = first.answer(with_own).await.unwrap_err();
    assert_eq!(refused.constraint(), Some("waited"));
    // Without a limit of its own it would be the 5 s of the role.
    assert!(asked.elapsed().as_secs() < 4, "{:?}", asked.elapsed());
}

/// Whoever has its turn would wait for those who wait for theirs.
#[tokio::test]
async fn who_waits_for_its_turn_has_no_lock_on_agents() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let _service =
        db.service_with(&[&QUIET[..], &[("DATABASE__LOCK_TIMEOUT", "50s")]].concat()).await;
    admin.create("agt_old").await;
    admin.settled().await;
    holder.run("begin; lock table provisioning.lock_gate in exclusive mode").await;
    admin.run("select public.delete_agent(id) from public.agents").await;
    admin.create("agt_new").await;
    for prefix in ["agt_old", "agt_new"] {
        admin.held_up(prefix).await;
    }
    // A look of the service's may have it for a moment; who waits for the gate would have it until the end.
    let lock = "lock table public.agents in access exclusive mode";
    admin.run(&format!("begin; set local lock_timeout = '20s'; {lock}; commit")).await;
    holder.run("commit").await;
    admin.settled().await;
    let user =
        "select count(*) from provisioning.agents p join public.agents a on a.id = p.agent_id";
    assert_eq!(admin.one::<i64>(user).await, 1);
}

#[tokio::test]
async fn the_script_for_the_role_behind_a_report_holds_nobody_up() {
    let db = Database::new().await;
    let (admin, report) = (db.admin().await, db.admin().await);
    report.run("begin; lock table public.agents in access share mode").await;
    let running = async {
        admin.run(crate::support::ROLES).await;
    };
    let watching = async {
        READERS.go_on(&db).await;
        report.run("commit").await;
    };
    tokio::join!(running, watching);
}

#[tokio::test]
async fn a_migration_behind_an_open_sign_up_holds_nobody_up_and_goes_through() {
    let db = Database::empty().await;
    let sign_up = db.admin().await;
    sign_up.run("begin; lock table auth.users in row exclusive mode").await;
    let url = db.url(ADMIN);
    let migrating = ask(&url, &["migrate"]);
    let watching = async {
        Others { table: "auth.users", ..WRITERS }.go_on(&db).await;
        sign_up.run("commit").await;
    };
    let (migrated, ()) = tokio::join!(migrating, watching);
    expect(&migrated, 0, &["applied 0001 crm tables"]);
}

const LOSE_A_POLICY: &str = "drop policy agents_insert on public.agents";

#[tokio::test]
async fn a_repair_behind_a_report_holds_nobody_up_and_goes_through() {
    let db = Database::new().await;
    let (admin, report) = (db.admin().await, db.admin().await);
    admin.run(LOSE_A_POLICY).await;
    report.run("begin; lock table public.agents in access share mode").await;
    let url = db.url(ADMIN);
    let repairing = ask(&url, &["migrate", "repair"]);
    let watching = async {
        READERS.go_on(&db).await;
        report.run("commit").await;
    };
    let (repaired, ()) = tokio::join!(repairing, watching);
    expect(&repaired, 0, &["agents_insert"]);
}

#[tokio::test]
async fn a_repair_that_gives_up_names_who_holds_the_lock() {
    let db = Database::new().await;
    let (admin, writer) = (db.admin().await, db.admin().await);
    admin.run(LOSE_A_POLICY).await;
    writer.run("begin; lock table public.agents in row exclusive mode").await;
    let pid: i32 = writer.one("select pg_backend_pid()").await;
    let refused = ask(&db.url(ADMIN), &["migrate", "repair"]).await;
    let way_out = format!("select pg_terminate_backend({pid});");
    expect(&refused, 1, &["public.agents", &way_out]);
    writer.run("commit").await;
    // Nothing of it is there.
    let verified = json(&ask(&db.url(WORKER), &["migrate", "verify", "--json"]).await);
    assert_eq!(verified["differences"].as_array().unwrap().len(), 1, "{verified}");
}

#[tokio::test]
async fn a_repair_that_needs_no_lock_on_a_table_waits_for_nobody() {
    let db = Database::new().await;
    let (admin, report) = (db.admin().await, db.admin().await);
    admin
        .run("drop function public.agent_status(bigint); grant select on public.users to anon")
        .await;
    report.run("begin; lock table public.agents in access share mode").await;
    let repaired = ask(&db.url(ADMIN), &["migrate", "repair", "--force"]).await;
    expect(&repaired, 0, &["agent_status", "anon"]);
    report.run("commit").await;
}

#[tokio::test]
async fn a_worker_waits_for_no_lock_behind_another_worker_that_waits_for_one() {
    let db = Database::new().await;
    let (admin, other) = (db.admin().await, db.admin().await);
    admin.run("create table public.shop (id int); grant select on public.shop to public").await;
    let table = "create table public.{prefix}_t (id int primary key);
                 alter table public.{prefix}_t enable row level security;
                 revoke all on public.{prefix}_t from public, anon, authenticated, service_role;
                 do $$ begin perform from public.shop; end $$";
    let files = Files::new(&[("0001_t.sql", table)]);
    let patient = [("DATABASE__LOCK_TIMEOUT", "1min"), ("DATABASE__STATEMENT_TIMEOUT", "2min")];
    let service = files.service(&db, &patient).await;
    admin.create("agt_a").await;
    admin.create("agt_b").await;
    admin.settled().await;
    admin.run("drop table public.agt_a_t, public.agt_b_t").await;
    service.signal("STOP");
    expect(&files.ask(&db, &["agents", "repair"]).await, 0, &[]);
    other.run("begin; lock table public.shop").await;
    service.signal("CONT");
    // What made the table is learnt by both, and neither is idle meanwhile.
    admin
        .holds(
            "select count(*) = 2 from pg_stat_activity where usename = 'agent_provisioner'
             and datname = current_database() and wait_event_type = 'Lock'",
        )
        .await;
    other.run("rollback").await;
    admin.settled().await;
    assert_eq!(
        admin.rows("select outcome from provisioning.jobs where kind = 'repair'").await,
        ["repaired"; 2]
    );
    drop(service);
}
