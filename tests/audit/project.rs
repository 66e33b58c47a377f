//! A project's files, the database that they were applied to, and what an audit says of the two.

use std::path::Path;
use std::process::Output;

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{ADMIN, Database, Files, finish, provisioner, said};

/// Two tables, and one of everything.
pub const CLEAN: [(&str, &str); 2] = [
    ("0001_profiles.sql", include_str!("clean/0001_profiles.sql")),
    ("0002_orders.sql", include_str!("clean/0002_orders.sql")),
];

/// The files of a project.
pub struct Project(Files);

impl Project {
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self(Files::new(files))
    }

    pub fn write(&self, name: &str, text: &str) {
        self.0.write(name, text);
    }

    pub fn path(&self) -> &Path {
        Path::new(self.0.path())
    }

    /// A database to which these files were applied, in this order.
    pub async fn database(files: &[(&str, &str)]) -> Database {
        let db = Self::empty_database().await;
        let admin = db.connect(ADMIN).await;
        for (name, text) in files {
            let applied = admin.batch_execute(text).await;
            assert!(applied.is_ok(), "{name}: {applied:?}");
        }
        db
    }

    /// As a new project has it from the platform.
    pub async fn empty_database() -> Database {
        let db = Database::empty().await;
        let sql = "create schema extensions authorization postgres; \
                   grant usage on schema extensions to public";
        db.connect(SUPERUSER).await.batch_execute(sql).await.unwrap();
        db
    }

    /// Runs an audit with a shadow on the tests' server.
    pub async fn run(&self, db: Option<&Database>, more: &[&str]) -> Output {
        let shadow = Database::empty().await;
        let url = db.map(|db| db.url(ADMIN)).unwrap_or_default();
        let mut command = provisioner(&url);
        command.arg("audit").arg("--migrations").arg(self.path()).args(["--format", "json"]);
        command.args(["--shadow", &shadow.url(SUPERUSER)]).args(more);
        if db.is_none() {
            command.arg("--no-database");
        }
        finish(&mut command).await
    }

    /// What it says; `None`: of the files alone.
    pub async fn audit(&self, db: Option<&Database>) -> Report {
        Report::of(&self.run(db, &[]).await)
    }
}

/// What an audit says.
pub struct Report(pub Value);

impl Report {
    #[track_caller]
    pub fn of(output: &Output) -> Self {
        let parsed = serde_json::from_slice(&output.stdout);
        assert!(parsed.is_ok(), "{}", said(output));
        Self(parsed.unwrap())
    }

    pub fn list(&self, key: &str) -> &[Value] {
        self.0.get(key).and_then(Value::as_array).unwrap()
    }

    /// Kind and object of each finding, in alphabetical order; of a file only its name.
    pub fn found(&self) -> Vec<(String, String)> {
        let text =
            |finding: &Value, key: &str| finding.get(key).unwrap().as_str().unwrap().to_owned();
        let object = |finding: &Value| {
            let object = text(finding, "object");
            object.rsplit('/').next().unwrap().to_owned()
        };
        let mut found: Vec<_> =
            self.list("findings").iter().map(|it| (text(it, "kind"), object(it))).collect();
        found.sort();
        found
    }

    /// Checks that there are exactly these findings.
    #[track_caller]
    pub fn is(&self, expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(kind, object)| ((*kind).to_owned(), (*object).to_owned()))
            .collect();
        assert_eq!(self.found(), expected, "{:#}", self.0);
    }

    /// A text of the only finding of a kind.
    #[track_caller]
    pub fn text(&self, kind: &str, key: &str) -> String {
        let mut of_kind = self.list("findings").iter().filter(|it| it["kind"] == kind);
        let finding = of_kind.next().unwrap();
        assert!(of_kind.next().is_none(), "{:#}", self.0);
        finding.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The status of an object.
    pub fn status(&self, component: &str, object: &str) -> String {
        let rows = self.list("status").iter();
        let mut row = rows.filter(|row| row["component"] == component && row["object"] == object);
        row.next().map(|row| row["status"].as_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// The names of the files that ran, without their directories.
    pub fn order(&self) -> Vec<String> {
        let name = |path: &Value| path.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        self.list("order").iter().map(name).collect()
    }
}
