//! A password that is rotated while the service runs.

use std::fs;

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::{Admin, Database, Files, Server, Service, WORKER, expect, until};

const TABLES: &str = "create table public.{prefix}_notes (note text); \
    alter table public.{prefix}_notes enable row level security;";
const INDEX: &str = "-- provisioner: concurrently\n\
    create index concurrently if not exists {prefix}_notes_note_idx on public.{prefix}_notes (note);";

/// The service with both of its URLs in files.
struct Rotated {
    db: Database,
    root: Admin,
    secrets: Files,
}

impl Rotated {
    async fn new() -> Self {
        // The role is everybody's in the server that the tests share.
        let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
        let db = server.database().await;
        let root = Admin(db.connect(SUPERUSER).await);
        let secrets = Files::new(&[("url", &db.url(WORKER)), ("listen_url", &db.url(WORKER))]);
        Self { db, root, secrets }
    }

    async fn service(&self, templates: &Files) -> Service {
        let service = Service::with(|command| {
            let secret = |name| format!("{}/{name}", self.secrets.path());
            command.env_remove("DATABASE_URL").env("PROVISIONER_TEMPLATES", templates.path());
            command.env("PROVISIONER_DATABASE__URL_FILE", secret("url"));
            command.env("PROVISIONER_DATABASE__LISTEN_URL_FILE", secret("listen_url"));
        });
        service.logged("\"listening\"").await;
        service
    }

    /// Puts a text in the place of both files, as secrets are replaced: at once.
    fn replace(&self, text: &str) {
        for name in ["url", "listen_url"] {
            self.secrets.write("new", text);
            let path = |name| format!("{}/{name}", self.secrets.path());
            fs::rename(path("new"), path(name)).unwrap();
        }
    }

    /// Waits until nobody opens a connection: one that is under way has the old password.
    async fn rests(&self) {
        // The listener and a worker at least: the others connect when there is something to do.
        self.root
            .holds(
                "select count(*) >= 2 and bool_and(state_change < clock_timestamp() - interval '1 s')
                 from pg_stat_activity where datname = current_database()
                 and application_name ^@ 'agent-provisioner'",
            )
            .await;
    }

    async fn rotate(&self, password: &str) {
        self.root.run(&format!("alter role {WORKER} password '{password}'")).await;
        self.replace(&(self.db.url(WORKER).replace(&self.db.server.password(), password) + "\n"));
    }

    /// Ends every session of the service, and waits for it to listen again.
    async fn end_sessions(&self, service: &Service) {
        let listening = || service.log().matches("\"message\":\"listening\"").count();
        let before = listening();
        let end = format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = '{WORKER}'"
        );
        assert!(self.root.one::<i64>(&end).await > 0);
        until("the listener", || async { (listening() > before).then_some(()) }).await;
    }
}

#[tokio::test]
async fn every_new_connection_uses_the_password_that_is_in_the_file_by_then() {
    let it = Rotated::new().await;
    let admin = it.db.admin().await;
    let templates = Files::new(&[("0001_notes.sql", TABLES)]);
    let first = it.service(&templates).await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(first);
    templates.write("0002_index.sql", INDEX);
    let service = it.service(&templates).await;

    it.rests().await;
    it.rotate("second").await;
    it.end_sessions(&service).await;
    admin.create("agt_b").await;
    admin.settled().await;
    it.rests().await;
    // A concurrent build has a connection of its own.
    it.rotate("third").await;
    let url = it.db.url(WORKER).replace(&it.db.server.password(), "third");
    let mut upgrade = templates.command(&it.db, &["agents", "upgrade", "--wait"]);
    expect(&crate::support::finish(upgrade.env("DATABASE_URL", url)).await, 0, &[]);
    let indexed = "select count(*) from pg_indexes where indexname = 'agt_a_notes_note_idx'";
    assert_eq!(admin.one::<i64>(indexed).await, 1);
    let jobs = "select bool_and(state = 'succeeded' and attempts = 0) from provisioning.jobs";
    assert!(admin.one::<bool>(jobs).await);
    let log = service.log();
    assert!(!log.contains("28P01"), "{log}");
    assert!(!log.contains("third") && !log.contains("second\""), "{log}");
}

#[tokio::test]
async fn while_the_file_is_of_no_use_connections_are_made_as_it_said_last() {
    let it = Rotated::new().await;
    let admin = it.db.admin().await;
    let service = it.service(&Files::new(&[("0001_notes.sql", TABLES)])).await;
    it.rotate("second").await;
    it.end_sessions(&service).await;
    for (n, text) in ["", "postgres://agent_provisioner:half-wri"].into_iter().enumerate() {
        it.replace(text);
        it.end_sessions(&service).await;
        admin.create(&format!("agt_{n}")).await;
        admin.settled().await;
    }
    it.secrets.remove("url");
    it.secrets.remove("listen_url");
    it.end_sessions(&service).await;
    admin.create("agt_gone").await;
    admin.settled().await;
    let warned = service.log().matches("no URL in the file").count();
    assert!((1..=8).contains(&warned), "{warned}: the first and ever fewer of each file");
    assert!(!service.log().contains("half-wri"));
    // And from then on again what it says.
    it.rotate("third").await;
    it.end_sessions(&service).await;
    admin.create("agt_again").await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 4);
}
