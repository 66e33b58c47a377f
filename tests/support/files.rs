//! Files of a test's own: templates, or a project.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::{Database, Service, WORKER, finish, json, provisioner, temp_dir};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A directory that is gone when dropped.
pub struct Files(PathBuf);

impl Files {
    /// Of these names and texts.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = temp_dir().join(format!("files-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let made = Self(path);
        for (name, text) in files {
            made.write(name, text);
        }
        made
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).unwrap();
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// The service with these templates, ready.
    pub async fn service(&self, db: &Database, settings: &[(&str, &str)]) -> Service {
        let mut settings = settings.to_vec();
        settings.push(("TEMPLATES", self.path()));
        db.service_with(&settings).await
    }

    /// A command with these templates.
    pub fn command(&self, db: &Database, args: &[&str]) -> std::process::Command {
        let mut command = provisioner(&db.url(WORKER));
        command.env("PROVISIONER_TEMPLATES", &self.0).env("USER", "ada").args(args);
        command
    }

    /// Runs a command with these templates to its end.
    pub async fn ask(&self, db: &Database, args: &[&str]) -> Output {
        finish(&mut self.command(db, args)).await
    }

    /// What `agents verify` says with these templates.
    pub async fn verify(&self, db: &Database, args: &[&str]) -> Value {
        json(&self.ask(db, &[&["agents", "verify", "--json"], args].concat()).await)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
