//! A notification is a hint: none costs a commit, and none is sent for nothing.

use std::future::poll_fn;

use agent_provisioner::dev_server::SUPERUSER;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification};

use crate::jobs::{DEAF, queue};
use crate::support::{ADMIN, Admin, Database, ROLES, Server, WORKER, ask, expect, json, until};

const LISTENING: &str = "\"message\":\"listening\"";

/// A session that listens to one channel.
struct Ear {
    client: Client,
    channel: &'static str,
    heard: UnboundedReceiver<Notification>,
}

impl Ear {
    async fn on(db: &Database, channel: &'static str) -> Self {
        let (client, mut connection) =
            tokio_postgres::connect(&db.url(ADMIN), NoTls).await.unwrap();
        let (tell, heard) = unbounded_channel();
        tokio::task::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message {
                    tell.send(notification).ok();
                }
            }
        });
        client.batch_execute(&format!("listen {channel}")).await.unwrap();
        Self { client, channel, heard }
    }

    /// How many have come since the last call, besides what listeners send to themselves.
    async fn count(&mut self) -> usize {
        // They come in the order of the commits.
        self.client.batch_execute(&format!("notify {}, 'the end'", self.channel)).await.unwrap();
        let mut count = 0;
        loop {
            match self.heard.recv().await.unwrap().payload() {
                "the end" => return count,
                payload => count += usize::from(!payload.starts_with("proof ")),
            }
        }
    }
}

/// A server whose queue of notifications can be filled, and a session that keeps it from being emptied.
struct Filled {
    db: Database,
    root: Admin,
    holder: Admin,
    /// The queue is really full, and not only taken to be.
    really: bool,
}

impl Filled {
    /// Where the server's queue cannot be made small (before PostgreSQL 17) the helper is told that a little of
    /// it is nearly all.
    async fn empty() -> Self {
        let version = "select current_setting('server_version_num')::int >= 170000";
        let really = Database::new().await.admin().await.one::<bool>(version).await;
        let small: &[_] = if really { &[("max_notify_queue_pages", "64")] } else { &[] };
        let server: &'static Server = Box::leak(Box::new(Server::start(small).await));
        let db = server.database().await;
        let root = Admin(db.connect(SUPERUSER).await);
        if !really {
            let helper = "'provisioning.notify(text,text,float8)'::regprocedure";
            root.run(&format!(
                "do $$ begin execute replace(pg_get_functiondef({helper}), '0.9', '1e-5'); end $$"
            ))
            .await;
        }
        let holder = Admin(db.server.connect(SUPERUSER, "postgres").await);
        Self { db, root, holder, really }
    }

    /// A queue that is full.
    async fn new() -> Self {
        let filled = Self::empty().await;
        filled.fill().await;
        filled
    }

    /// Each of these takes a page of the queue.
    async fn fill(&self) {
        self.holder.run("listen anything").await;
        self.holder.run("begin; select 1").await;
        for page in 0..100 {
            let notify = format!("select pg_notify('anything', repeat('x', 7000) || {page})");
            if let Err(error) = self.root.batch_execute(&notify).await {
                assert_eq!(error.code().unwrap().code(), "54000");
                assert!(self.really);
                return;
            }
        }
        assert!(!self.really, "the queue is not full");
    }

    /// The session that holds it up goes, and somebody looks, which makes room.
    async fn make_room(&self) {
        self.holder.run("rollback").await;
        self.root.holds("select pg_notification_queue_usage() < 1e-5").await;
    }
}

#[tokio::test]
async fn while_the_queue_of_notifications_is_full_everything_commits_and_agents_are_built() {
    let filled = Filled::empty().await;
    let (db, admin) = (&filled.db, filled.db.admin().await);
    let (mut workers, mut clients) =
        (Ear::on(db, "agent_provisioning").await, Ear::on(db, "agent_provisioned").await);
    let service = db.service_with(&DEAF).await;
    service.logged(LISTENING).await;
    filled.fill().await;
    let gone = admin.create("agt_gone").await;
    service.logged("queue of notifications is nearly full, so none is sent: polling instead").await;
    admin.settled().await;
    for prefix in ["agt_1", "agt_2"] {
        // By polling: a look an hour, as is set, would find nothing, and nobody looks again after a job.
        let quiet = "select bool_and(state_change < clock_timestamp() - interval '700 ms')
                     from pg_stat_activity where datname = current_database()
                     and application_name ^@ 'agent-provisioner'";
        admin.holds(quiet).await;
        admin.create(prefix).await;
        admin.settled().await;
        assert_eq!(admin.tables(prefix).await.len(), 4);
    }
    let asked = format!("select success from public.delete_agent({gone})");
    assert!(admin.one::<bool>(&asked).await);
    admin.settled().await;
    let by_admin = db.url(ADMIN);
    expect(&ask(&by_admin, &["agents", "restore", "agt_gone"]).await, 0, &["restored agt_gone"]);
    admin.settled().await;
    queue(&admin, &[("provision", 99, "agt_x", "dead"), ("provision", 98, "agt_y", "dead")]).await;
    expect(&ask(&by_admin, &["jobs", "replay", "--prefix", "agt_x"]).await, 0, &["replayed 1"]);
    let other = "select id::text from provisioning.jobs where agent_prefix = 'agt_y'";
    let other: String = admin.one(other).await;
    expect(&ask(&by_admin, &["jobs", "cancel", &other]).await, 0, &["cancelled 1"]);
    admin.run("drop index public.agt_1_orders_status_idx").await;
    expect(&ask(&by_admin, &["agents", "repair", "agt_1", "--wait"]).await, 0, &[]);
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 3);
    let failed = "select count(*) from provisioning.jobs where last_sqlstate is not null";
    assert_eq!(admin.one::<i64>(failed).await, 0);

    filled.make_room().await;
    assert_eq!((workers.count().await, clients.count().await), (0, 0), "nothing was sent");
    let again = || async { (service.log().matches(LISTENING).count() == 2).then_some(()) };
    until("the listener", again).await;
    admin.create("agt_3").await;
    admin.settled().await;
    assert_eq!((workers.count().await, clients.count().await), (1, 1));
    assert_eq!(service.log().matches("nearly full").count(), 1, "said once");
}

/// As Supabase's own do: they notify whatever the queue looks like.
#[tokio::test]
async fn a_build_whose_commit_an_event_trigger_fails_is_done_when_there_is_room() {
    let filled = Filled::new().await;
    if !filled.really {
        eprintln!("skipped: a commit fails when there are 8 GB in the queue");
        return;
    }
    let admin = filled.db.admin().await;
    let trigger =
        "create function public.pgrst_ddl_watch() returns event_trigger language plpgsql as
             $$ begin notify pgrst, 'reload schema'; end $$;
         create event trigger pgrst_ddl_watch on ddl_command_end
             execute function public.pgrst_ddl_watch()";
    filled.root.run(trigger).await;
    let _service = filled.db.service().await;
    admin.create("agt_6f78").await;
    admin
        .holds("select state = 'pending' and last_sqlstate = '54000' from provisioning.jobs")
        .await;
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
    filled.make_room().await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await.len(), 4);
    let jobs = "select state, outcome from provisioning.jobs";
    assert_eq!(admin.rows(jobs).await, ["succeeded|provisioned"]);
}

#[tokio::test]
async fn doctor_says_that_the_queue_is_full_and_how_to_find_who_fills_it() {
    let filled = Filled::new().await;
    let findings = json(&ask(&filled.db.url(WORKER), &["doctor", "--json"]).await);
    let of = |what: &str| {
        let mut of_it =
            findings.as_array().unwrap().iter().filter(|finding| finding["what"] == what);
        of_it.next().unwrap()["severity"].clone()
    };
    assert_eq!(of("notifications"), "warning");
    assert_eq!(of("notification queue"), if filled.really { "warning" } else { "ok" });
}

/// A migration came, and `deploy/roles.sql` was not run again.
#[tokio::test]
async fn doctor_says_what_the_role_may_not_call() {
    let db = Database::new().await;
    for function in
        ["notify", "show_instance", "differing_instances", "is_current", "end_clock_waits"]
    {
        let admin = db.admin().await;
        admin
            .run(&format!(
                "revoke execute on function provisioning.{function} from agent_provisioner"
            ))
            .await;
        let lacks = ["FAIL  role", "execute on provisioning.notify"];
        expect(&ask(&db.url(WORKER), &["doctor"]).await, 1, &lacks);
        admin.run(ROLES).await;
        expect(&ask(&db.url(WORKER), &["doctor"]).await, 0, &["ok    role"]);
    }
}

/// The last job's kind and outcome, and how often `PostgREST` was told to read the schema anew.
async fn reloads(admin: &Admin, api: &mut Ear) -> (String, usize) {
    admin.settled().await;
    let last =
        "select kind || ' ' || outcome from provisioning.jobs order by finished_at desc limit 1";
    (admin.one(last).await, api.count().await)
}

#[tokio::test]
async fn postgrest_is_told_when_something_changed_and_only_then() {
    let db = Database::new().await;
    let (admin, mut api) = (db.admin().await, Ear::on(&db, "pgrst").await);
    let _service = db.service().await;
    let repair = "select from public.create_agent_indexes('agt_a')";
    let nobody = "insert into provisioning.jobs (kind, agent_id, agent_prefix)
                  values ('$', 1000, 'agt_nobody'); notify agent_provisioning";
    for (change, outcome, told) in [
        ("insert into public.agents (agent_prefix) values ('agt_a')", "provision provisioned", 1),
        (repair, "repair unchanged", 0),
        ("drop index public.agt_a_orders_status_idx", "repair unchanged", 0),
        (repair, "repair repaired", 1),
        ("alter table public.agt_a_orders add column more int", "repair repaired", 0),
        (repair, "repair drifted", 0),
        ("drop index public.agt_a_orders_status_idx", "repair drifted", 0),
        (repair, "repair drifted", 1),
        (&nobody.replace('$', "provision"), "provision superseded", 0),
        (&nobody.replace('$', "repair"), "repair superseded", 0),
        (&nobody.replace('$', "deprovision"), "deprovision deprovisioned", 0),
        ("delete from public.agents", "deprovision trashed", 1),
    ] {
        admin.run(change).await;
        let found = reloads(&admin, &mut api).await;
        assert_eq!(found, (outcome.to_owned(), told), "{change}");
    }
    expect(&ask(&db.url(ADMIN), &["agents", "restore", "agt_a"]).await, 0, &["restored agt_a"]);
    let found = reloads(&admin, &mut api).await;
    assert_eq!(found, ("provision unchanged".to_owned(), 1), "by the restore");
    // A build that makes room for itself first: once for the deletion, once for the build.
    admin
        .run(
            "alter table public.agents disable trigger enqueue_deprovision;
             delete from public.agents; insert into public.agents (agent_prefix) values ('agt_a')",
        )
        .await;
    let found = reloads(&admin, &mut api).await;
    assert_eq!(found, ("provision provisioned".to_owned(), 2));
}
