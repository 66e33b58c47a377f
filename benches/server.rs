//! The server that everything is measured on, and the databases in it.

use std::future::poll_fn;

use agent_provisioner::dev_server::{DevServer, SUPERUSER, Stop};
use agent_provisioner::postgres;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// As on Supabase: administers, and is no superuser.
pub const ADMIN: &str = "postgres";
/// The roles of `deploy/roles.sql`.
pub const WORKER: &str = "agent_provisioner";
pub const CONSOLE: &str = "agent_console";

const SHIM: &str = include_str!("../sql/supabase_shim.sql");
/// It flushes its log as a production server does.
const DURABLE: [(&str, &str); 3] =
    [("fsync", "on"), ("full_page_writes", "on"), ("max_wal_size", "4GB")];

/// One throwaway server for the whole run.
///
/// No database is dropped before the end: for minutes after thousands of files were deleted, some
/// file systems (ext4 without a journal) are slow to create others.
pub struct Server(DevServer);

impl Server {
    /// Takes a few seconds.
    pub async fn start() -> Self {
        let server = Self(DevServer::start(&DURABLE).unwrap());
        let root = server.connect(SUPERUSER, "postgres").await;
        root.batch_execute(SHIM).await.unwrap();
        let password = |role| format!("alter role {role} password '{}'", server.0.password());
        root.batch_execute(&password(ADMIN)).await.unwrap();
        server.shim("migrated").await;
        let mut admin = server.connect(ADMIN, "migrated").await;
        postgres::migrate(&mut admin).await.unwrap();
        admin.batch_execute(include_str!("../deploy/roles.sql")).await.unwrap();
        admin.batch_execute(&password(WORKER)).await.unwrap();
        admin.batch_execute(&password(CONSOLE)).await.unwrap();
        server.shim("documented").await;
        let admin = server.connect(ADMIN, "documented").await;
        admin.batch_execute(include_str!("baseline.sql")).await.unwrap();
        server
    }

    async fn shim(&self, name: &str) {
        let root = self.connect(SUPERUSER, "postgres").await;
        root.batch_execute(&format!("create database {name} owner {ADMIN}")).await.unwrap();
        self.connect(SUPERUSER, name).await.batch_execute(SHIM).await.unwrap();
    }

    /// A new database with our schema, and users for this many agents.
    pub async fn database(&self, name: &str, users: usize) -> Client {
        self.copy("migrated", name, users).await
    }

    /// A new database with the trigger that builds tables.
    pub async fn baseline(&self, name: &str, users: usize) -> Client {
        self.copy("documented", name, users).await
    }

    async fn copy(&self, template: &str, name: &str, users: usize) -> Client {
        let root = self.connect(SUPERUSER, "postgres").await;
        // Its last session may still be ending.
        let end = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1";
        root.query(end, &[&template]).await.unwrap();
        let create = format!("create database {name} template {template} owner {ADMIN}");
        root.batch_execute(&create).await.unwrap();
        let root = self.connect(SUPERUSER, name).await;
        let people = "insert into auth.users (id, email) select \
                      ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n || '@x.org' \
                      from generate_series(0, $1::int - 1) n";
        root.execute(people, &[&i32::try_from(users).unwrap()]).await.unwrap();
        self.connect(ADMIN, name).await
    }

    pub fn url(&self, role: &str, database: &str) -> String {
        self.0.url(role, database)
    }

    pub async fn connect(&self, role: &str, database: &str) -> Client {
        self.hear(role, database).await.0
    }

    /// A connection, and what it is notified of: channel and payload.
    pub async fn hear(&self, role: &str, database: &str) -> (Client, Heard) {
        let url = self.url(role, database);
        let (client, mut connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(heard) = message {
                    tell.send((heard.channel().to_owned(), heard.payload().to_owned())).ok();
                }
            }
        });
        (client, told)
    }

    /// Everything the server has logged.
    pub fn log(&self) -> String {
        let path = self.0.data_dir().with_file_name("server.log");
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
    }

    /// Returns when it is down.
    pub fn stop(&mut self, how: Stop) {
        self.0.stop(how).unwrap();
    }

    /// Returns when it accepts connections.
    pub fn resume(&mut self) {
        self.0.resume().unwrap();
    }
}

/// Channel and payload of each notification.
pub type Heard = mpsc::UnboundedReceiver<(String, String)>;

/// The statement by which an admin adds agents number `from` to `to - 1`.
pub fn insert(from: usize, to: usize) -> String {
    format!(
        "insert into public.agents (agent_prefix, user_id) select 'agt_' || n, \
         ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid \
         from generate_series({from}, {to} - 1) n"
    )
}

/// How the gateway begins what the user of agent number `n` asks.
pub fn user(n: usize) -> String {
    format!(
        "begin; set local role authenticated; \
         set local request.jwt.claims = '{{\"role\":\"authenticated\",\"sub\":\"{}\"}}'",
        format_args!("00000000-0000-0000-0000-{n:012}")
    )
}
