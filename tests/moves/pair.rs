//! Two databases of one file of settings, each with its service.

use std::process::{Command, Output};

use crate::support::{
    ADA, ADMIN, Admin, BEN, Database, Files, Server, Service, finish, provisioner,
};
use crate::trash::KEPT;

/// A row, for somebody who writes as the agent's user; `{}` is its text.
pub const MESSAGE: &str = "insert into public.agt_ada_messages (customer_id, message, direction) values (1, '{}', 'inbound')";

pub struct Side {
    pub db: Database,
    pub admin: Admin,
    _service: Service,
}

/// `eu` has the agents of [`Admin::populate`] with a row in each table; `us` has their users.
pub struct Pair {
    pub eu: Side,
    pub us: Side,
    settings: String,
    file: Files,
}

impl Pair {
    /// `settings`: TOML, for both.
    pub async fn new(settings: &str) -> Self {
        Self::of(Database::new().await, Database::new().await, settings).await
    }

    /// Each in a server of its own, which tests may stop.
    pub async fn apart(settings: &str) -> Self {
        let (eu, us) = (Server::start(&[]).await, Server::start(&[]).await);
        let (eu, us): (&'static Server, &'static Server) =
            (Box::leak(Box::new(eu)), Box::leak(Box::new(us)));
        Self::of(eu.database().await, us.database().await, settings).await
    }

    async fn of(eu: Database, us: Database, settings: &str) -> Self {
        let (eu, us) = (Side::new(eu, settings).await, Side::new(us, settings).await);
        eu.admin.populate().await;
        eu.admin.settled().await;
        eu.admin.fill(&["agt_ada", "agt_ben"]).await;
        us.users().await;
        let urls = [eu.db.url(ADMIN), us.db.url(ADMIN)];
        let file = Files::new(&[("settings.toml", &text(settings, &urls))]);
        Self { eu, us, settings: settings.to_owned(), file }
    }

    /// `agent-provisioner --database … agents …`, as `postgres`.
    pub fn command(&self, from: &str, args: &[&str]) -> Command {
        self.command_of("settings.toml", from, args)
    }

    /// The same by other ways to the two databases.
    pub fn command_by(&self, urls: &[String; 2], from: &str, args: &[&str]) -> Command {
        self.file.write("other.toml", &text(&self.settings, urls));
        self.command_of("other.toml", from, args)
    }

    fn command_of(&self, file: &str, from: &str, args: &[&str]) -> Command {
        let mut command = provisioner("");
        command.env_remove("DATABASE_URL").env("USER", "ada");
        command.env("PROVISIONER_CONFIG", format!("{}/{file}", self.file.path()));
        command.args(["--database", from, "agents"]).args(args);
        command
    }

    pub async fn agents(&self, from: &str, args: &[&str]) -> Output {
        finish(&mut self.command(from, args)).await
    }

    pub fn urls(&self) -> [String; 2] {
        [self.eu.db.url(ADMIN), self.us.db.url(ADMIN)]
    }

    pub fn side(&self, name: &str) -> &Side {
        if name == "eu" { &self.eu } else { &self.us }
    }
}

fn text(settings: &str, [eu, us]: &[String; 2]) -> String {
    format!(
        "{settings}\n[[database]]\nname = \"eu\"\nurl = \"{eu}\"\n[[database]]\nname = \"us\"\nurl = \"{us}\"\n"
    )
}

impl Side {
    async fn new(db: Database, settings: &str) -> Self {
        let admin = db.admin().await;
        let service = Self::start(&db, settings).await;
        Self { db, admin, _service: service }
    }

    /// The service, with those of the settings that a service of one database takes from its environment.
    async fn start(db: &Database, settings: &str) -> Service {
        let set = |line: &str| {
            let (key, value) = line.split_once(" = ")?;
            let value = value.trim_matches(['"', '[', ']']).to_owned();
            Some((key.to_uppercase(), value))
        };
        let own: Vec<(String, String)> = settings.lines().filter_map(set).collect();
        let own = own.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let own: Vec<(&str, &str)> = own.chain([KEPT]).collect();
        db.service_with(&own).await
    }

    /// The users of the agents, without the agents.
    async fn users(&self) {
        for who in [ADA, BEN, crate::support::CAT] {
            let (id, name) = (who.id, who.name);
            let insert =
                format!("insert into auth.users (id, email) values ('{id}', '{name}@example.com')");
            self.admin.run(&insert).await;
        }
    }
}

/// Whether the agent's user gets a row in.
pub async fn can_write(admin: &Admin) -> bool {
    admin.ask(&ADA, &MESSAGE.replace("{}", "try")).await.is_ok()
}
