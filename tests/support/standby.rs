//! A second server that follows the first, and can take its place.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use agent_provisioner::dev_server::{DevServer, SUPERUSER, Stop};
use tokio_postgres::NoTls;

use super::{ADMIN, Admin, Database, Server, until};

/// Streams from a [`Server`] until it is promoted.
pub struct Standby {
    cluster: DevServer,
    password: String,
}

impl Standby {
    /// Copies the data while the primary is down for a moment, and follows it from there.
    pub fn of(primary: &Server) -> Self {
        let mut cluster = DevServer::start(&[]).unwrap();
        cluster.stop(Stop::Fast).unwrap();
        let (from, port) = primary.place();
        primary.restart(Stop::Fast, || {
            fs::remove_dir_all(cluster.data_dir()).unwrap();
            // As root it keeps the owner, who is the same.
            let copied = Command::new("cp").arg("-a").args([&from, cluster.data_dir()]).status();
            assert!(copied.unwrap().success());
        });
        let password = primary.password();
        make_standby(cluster.data_dir());
        let mut conf = fs::OpenOptions::new();
        let conf = conf.append(true).open(cluster.data_dir().join("postgresql.conf"));
        writeln!(
            conf.unwrap(),
            "primary_conninfo = 'host=127.0.0.1 port={port} user={SUPERUSER} password={password}'"
        )
        .unwrap();
        cluster.resume().unwrap();
        Self { cluster, password }
    }

    /// The way to the primary first and to this one second, for whoever wants to write.
    pub fn either(&self, database: &Database, role: &str) -> String {
        let (url, port) = (database.url(role), self.cluster.port());
        let (before, name) = url.rsplit_once('/').unwrap();
        format!("{before},127.0.0.1:{port}/{name}?target_session_attrs=read-write")
    }

    /// The way to this one alone.
    pub fn url(&self, database: &Database, role: &str) -> String {
        let (port, password, name) = (self.cluster.port(), &self.password, &database.name);
        format!("postgres://{role}:{password}@127.0.0.1:{port}/{name}")
    }

    /// As `postgres`, who administers a Supabase project.
    pub async fn admin(&self, database: &Database) -> Admin {
        Admin(self.connect(ADMIN, &database.name).await)
    }

    /// Waits until everything that the primary has committed is here.
    pub async fn caught_up(&self, primary: &Admin) {
        let lsn: String = primary.one("select pg_current_wal_flush_lsn()::text").await;
        let root = self.connect(SUPERUSER, "postgres").await;
        let behind = format!("select pg_last_wal_replay_lsn() >= '{lsn}'");
        Admin(root).holds(&behind).await;
    }

    /// Makes it the primary.
    pub async fn promote(&self) {
        let root = Admin(self.connect(SUPERUSER, "postgres").await);
        until("the promotion", || async {
            root.one::<bool>("select pg_promote()").await.then_some(())
        })
        .await;
    }

    async fn connect(&self, role: &str, database: &str) -> tokio_postgres::Client {
        let (port, password) = (self.cluster.port(), &self.password);
        let url = format!("postgres://{role}:{password}@127.0.0.1:{port}/{database}");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::task::spawn(connection);
        client
    }
}

/// What a stopped server with this file comes back as.
pub fn make_standby(data: &Path) {
    fs::write(data.join("standby.signal"), "").unwrap();
}
