//! One server for all tests, and a migrated database for each.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;

use agent_provisioner::dev_server::{DevServer, SUPERUSER, Stop};
use tokio_postgres::{Client, NoTls};

use super::{Admin, Service, until};

const TEMPLATE: &str = "migrated";
const SHIM: &str = include_str!("../../sql/supabase_shim.sql");
/// Makes the worker's role. Run by [`ADMIN`].
pub const ROLES: &str = include_str!("../../deploy/roles.sql");
/// As on Supabase: owns the database, and is no superuser.
pub const ADMIN: &str = "postgres";
/// The role of `deploy/roles.sql`.
pub const WORKER: &str = "agent_provisioner";
/// The console's, of the same file.
pub const CONSOLE: &str = "agent_console";
/// As which Supabase's API logs in.
pub const AUTHENTICATOR: &str = "authenticator";

/// A server with the platform's roles and a migrated database to copy.
pub struct Server {
    cluster: Mutex<DevServer>,
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
        let cluster = DevServer::start(&all).unwrap();
        let server = Self { cluster: Mutex::new(cluster) };
        let root = server.connect(SUPERUSER, "postgres").await;
        root.batch_execute(SHIM).await.unwrap();
        server.set_password(&root, ADMIN).await;
        server.shim(TEMPLATE, "").await;
        server.migrate(TEMPLATE).await;
        server.set_password(&root, WORKER).await;
        server.set_password(&root, CONSOLE).await;
        server.set_password(&root, AUTHENTICATOR).await;
        server
    }

    /// Lets in more workers than one operator would run.
    pub async fn crowd(&self) {
        let root = self.connect(SUPERUSER, "postgres").await;
        for role in [WORKER, CONSOLE] {
            let unlimited = format!("alter role {role} connection limit -1");
            root.batch_execute(&unlimited).await.unwrap();
        }
    }

    /// A new database with what a Supabase project has before our first migration.
    async fn shim(&self, name: &str, locale: &str) {
        let root = self.connect(SUPERUSER, "postgres").await;
        let create = format!("create database {name} owner {ADMIN} {locale}");
        root.batch_execute(&create).await.unwrap();
        self.connect(SUPERUSER, name).await.batch_execute(SHIM).await.unwrap();
    }

    /// As the documentation tells an operator to.
    async fn migrate(&self, name: &str) {
        let mut admin = self.connect(ADMIN, name).await;
        agent_provisioner::postgres::migrate(&mut admin).await.unwrap();
        admin.batch_execute(ROLES).await.unwrap();
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

    /// For any role that has the password, in any database.
    pub fn url(&self, role: &str, database: &str) -> String {
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

    /// Stops the server for good.
    pub fn stop(&self, how: Stop) {
        self.cluster.lock().unwrap().stop(how).unwrap();
    }

    /// Starts it again.
    pub fn resume(&self) {
        self.cluster.lock().unwrap().resume().unwrap();
    }

    /// Where its data is, and the port it listens on.
    pub fn place(&self) -> (PathBuf, u16) {
        let cluster = self.cluster.lock().unwrap();
        (cluster.data_dir().to_owned(), cluster.port())
    }

    /// A copy of the migrated database.
    pub async fn database(&'static self) -> Database {
        let name = new_name();
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
        server().await.database().await
    }

    /// In the same server, with what a Supabase project has and nothing of ours.
    pub async fn empty() -> Self {
        Self::of_locale("").await
    }

    /// The same, with a locale as `create database` takes it.
    pub async fn of_locale(locale: &str) -> Self {
        let (server, name) = (server().await, new_name());
        server.shim(&name, locale).await;
        Self { server, name }
    }

    /// Brings an empty one to where a new one is.
    pub async fn migrate(&self) {
        self.server.migrate(&self.name).await;
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

fn new_name() -> String {
    format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn server() -> &'static Server {
    tokio::task::spawn_blocking(|| SHARED.get_or_init(shared)).await.unwrap()
}

/// A runtime of its own, as the server outlives the test that happens to start it.
fn shared() -> Server {
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start(&[("track_commit_timestamp", "on")]).await;
            server.crowd().await;
            server
        })
    };
    thread::spawn(start).join().unwrap()
}
