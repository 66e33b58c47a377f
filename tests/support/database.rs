//! One server for all tests, and a migrated database for each.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;

use agent_provisioner::cluster::{Cluster, SUPERUSER, Stop};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{Service, until};

const TEMPLATE: &str = "migrated";
/// As on Supabase: owns the database, and is no superuser.
pub const ADMIN: &str = "postgres";
/// The role of `deploy/roles.sql`.
pub const WORKER: &str = "agent_provisioner";

/// A server with the platform's roles and a migrated database to copy.
pub struct Server {
    cluster: Mutex<Cluster>,
}

/// A migrated database of a test's own, and where it is.
pub struct Database {
    pub server: &'static Server,
    pub name: String,
}

static SHARED: OnceLock<Server> = OnceLock::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// For tests that stop it or need settings of its own. Takes a second.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let mut all = vec![("max_connections", "300")];
        all.extend(settings);
        let cluster = Cluster::start(&all).unwrap();
        let server = Self { cluster: Mutex::new(cluster) };
        let root = server.connect(SUPERUSER, "postgres").await;
        root.batch_execute(include_str!("../../sql/supabase_shim.sql")).await.unwrap();
        server.set_password(&root, ADMIN).await;
        root.batch_execute(&format!("create database {TEMPLATE} owner {ADMIN}")).await.unwrap();
        let root = server.connect(SUPERUSER, TEMPLATE).await;
        root.batch_execute(include_str!("../../sql/supabase_shim.sql")).await.unwrap();
        let mut admin = server.connect(ADMIN, TEMPLATE).await;
        agent_provisioner::db::migrate(&mut admin).await.unwrap();
        admin.batch_execute(include_str!("../../deploy/roles.sql")).await.unwrap();
        server.set_password(&admin, WORKER).await;
        server
    }

    /// Any role in any database.
    pub async fn connect(&self, role: &str, database: &str) -> Client {
        let url = self.url(role, database);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::task::spawn(connection);
        client
    }

    async fn set_password(&self, client: &Client, role: &str) {
        let password = self.password();
        let alter = client
            .query_one(
                "select format('alter role %I password %L', $1::text, $2::text)",
                &[&role, &password],
            )
            .await;
        client.batch_execute(alter.unwrap().get(0)).await.unwrap();
    }

    fn url(&self, role: &str, database: &str) -> String {
        self.cluster.lock().unwrap().url(role, database)
    }

    /// Of every role that can log in.
    pub fn password(&self) -> String {
        self.cluster.lock().unwrap().password().to_owned()
    }

    /// Stops the server, does something meanwhile, and starts it again.
    pub fn restart(&self, how: Stop, meanwhile: impl FnOnce()) {
        let mut cluster = self.cluster.lock().unwrap();
        cluster.stop(how).unwrap();
        meanwhile();
        cluster.resume().unwrap();
    }

    /// A copy of the migrated database.
    pub async fn database(&'static self) -> Database {
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let root = self.connect(SUPERUSER, "postgres").await;
        let sessions = "select count(*) from pg_stat_activity where datname = $1";
        until("the template to be free", || async {
            let open: i64 = root.query_one(sessions, &[&TEMPLATE]).await.unwrap().get(0);
            (open == 0).then_some(())
        })
        .await;
        let create = format!("create database {name} template {TEMPLATE} owner {ADMIN}");
        root.batch_execute(&create).await.unwrap();
        Database { server: self, name }
    }
}

impl Database {
    /// In the server that all tests share.
    pub async fn new() -> Self {
        let server = tokio::task::spawn_blocking(|| SHARED.get_or_init(shared)).await.unwrap();
        server.database().await
    }

    pub fn url(&self, role: &str) -> String {
        self.server.url(role, &self.name)
    }

    pub async fn connect(&self, role: &str) -> Client {
        self.server.connect(role, &self.name).await
    }

    /// As `postgres`, who administers a Supabase project.
    pub async fn admin(&self) -> Admin {
        Admin(self.connect(ADMIN).await)
    }

    /// The service on this database, ready.
    pub async fn service(&self) -> Service {
        self.service_with(&[]).await
    }

    /// The service with settings of its own.
    pub async fn service_with(&self, settings: &[(&str, &str)]) -> Service {
        let service = Service::start(&self.url(WORKER), settings);
        service.logged("running").await;
        service
    }
}

/// A runtime of its own, as the server outlives the test that happens to start it.
fn shared() -> Server {
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Server::start(&[("track_commit_timestamp", "on")]))
    };
    thread::spawn(start).join().unwrap()
}

/// An administrator's session, with what the tests ask again and again.
pub struct Admin(Client);

impl Deref for Admin {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Admin {
    pub async fn run(&self, sql: &str) {
        self.batch_execute(sql).await.unwrap();
    }

    /// The first column of the only row.
    pub async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// The rows of any statement, cells joined by `|`.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let messages = self.simple_query(sql).await.unwrap();
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                let cells = (0..row.len()).map(|i| row.get(i).unwrap_or("-"));
                rows.push(cells.collect::<Vec<_>>().join("|"));
            }
        }
        rows
    }

    /// Inserts an agent; its id.
    pub async fn create(&self, prefix: &str) -> i64 {
        let sql = "insert into public.agents (agent_prefix) values ($1) returning id";
        self.query_one(sql, &[&prefix]).await.unwrap().get(0)
    }

    /// Waits until a query says `true`.
    #[track_caller]
    pub fn holds<'a>(&'a self, sql: &'a str) -> impl Future<Output = ()> + 'a {
        until(sql, move || async move {
            self.one::<bool>(&format!("select coalesce(({sql}), false)")).await.then_some(())
        })
    }

    /// Waits until no job is pending.
    #[track_caller]
    pub fn settled(&self) -> impl Future<Output = ()> + '_ {
        self.holds("select not exists (select from provisioning.jobs where state = 'pending')")
    }

    /// Waits until a worker is in the middle of a job of this prefix, held up by a lock.
    #[track_caller]
    pub fn held_up<'a>(&'a self, prefix: &'a str) -> impl Future<Output = i32> + 'a {
        until("a job that waits for a lock", move || async move {
            let sql = "select a.pid from pg_stat_activity a join provisioning.jobs j \
                       on a.application_name = 'agent-provisioner job ' || j.id \
                       where a.datname = current_database() and j.agent_prefix = $1 \
                       and a.wait_event_type = 'Lock'";
            self.query_opt(sql, &[&prefix]).await.unwrap().map(|row| row.get(0))
        })
    }

    /// What the catalog says of an agent's tables, with placeholders for prefix and id.
    pub async fn catalog(&self, prefix: &str, id: i64) -> String {
        let sql = include_str!("catalog.sql").replace("$1", &format!("'{prefix}'"));
        let lines = self.rows(&sql).await.join("\n");
        lines.replace(prefix, "{prefix}").replace(&id.to_string(), "{agent_id}")
    }

    /// The tables in `public` that bear a prefix.
    pub async fn tables(&self, prefix: &str) -> Vec<String> {
        self.rows(&format!(
            "select tablename from pg_tables where schemaname = 'public' \
             and tablename ^@ '{prefix}_' order by 1"
        ))
        .await
    }
}
