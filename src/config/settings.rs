//! The settings: a TOML file, then `DATABASE_URL`, then `PROVISIONER_…`, each over the last.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Environment, File, FileFormat};
use serde::Deserialize;

use super::console::Console;
use super::database::Database;
use super::deprovision::Deprovision;
use super::error::Error;
use super::jobs::Jobs;
use super::parse::{address, choice, duration, names, optional_choice, path};
use super::secret_file::exposure;
use super::tokens::Tokens;
use super::verify::Verify;
use crate::agent::Reference;
use crate::telemetry::LogFormat;

/// Everything that can be set, checked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How to reach the database.
    pub database: Database,
    /// How the service works.
    pub worker: Worker,
    /// A directory of templates in place of the built-in set.
    #[serde(deserialize_with = "path")]
    pub templates: Option<PathBuf>,
    /// What ties a new agent's customers to its row in `agents`.
    #[serde(deserialize_with = "choice")]
    pub reference: Reference,
    /// The tables, by their names without the prefix, that Supabase Realtime is to tell of.
    #[serde(deserialize_with = "names")]
    pub realtime: Vec<String>,
    /// How agents go.
    pub deprovision: Deprovision,
    /// What is kept of jobs.
    pub jobs: Jobs,
    /// How agents are watched.
    pub verify: Verify,
    /// Where the keys of secrets are.
    pub tokens: Tokens,
    /// What probes and Prometheus ask.
    pub http: Http,
    /// The operator's console.
    pub console: Console,
    /// What is logged.
    pub log: Log,
    /// Keys that have another name by now: the old name and the new one.
    #[serde(skip)]
    pub renamed: Vec<(&'static str, &'static str)>,
}

/// Section `worker`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// Jobs at a time.
    pub concurrency: usize,
    /// Between looks at the queue when no notification comes.
    #[serde(deserialize_with = "duration")]
    pub poll_interval: Duration,
    /// Between comparisons of agents with what is built.
    #[serde(deserialize_with = "duration")]
    pub reconcile_interval: Duration,
    /// Failed attempts until a job is dead.
    pub max_attempts: i32,
    /// For running jobs to end in when the service is stopped. Until 0.2 it was called `grace`.
    #[serde(deserialize_with = "duration", alias = "grace")]
    pub shutdown_timeout: Duration,
}

/// Section `http`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where to answer; `None`, written `off` or as nothing, for nowhere. Port 0 is a free one.
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
}

/// Section `log`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Text on a terminal and JSON otherwise, where nothing is set.
    #[serde(deserialize_with = "optional_choice")]
    pub format: Option<LogFormat>,
    /// As `tracing_subscriber::EnvFilter` reads it.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        // The driver reports every NOTICE at `info`; the pool reports again what its caller is told.
        Self { format: None, level: "info,tokio_postgres=warn,deadpool=error".to_owned() }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            concurrency: 4,
            poll_interval: Duration::from_secs(10),
            reconcile_interval: Duration::from_mins(1),
            max_attempts: 10,
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: Some((Ipv4Addr::LOCALHOST, 9187).into()) }
    }
}

/// Keys that are still taken under their old names.
const RENAMED: [(&str, &str); 1] = [("worker.grace", "worker.shutdown_timeout")];

/// Where a packaged or documented installation has its settings. Read where nobody names another file.
const INSTALLED: &str = "/etc/agent-provisioner/config.toml";

/// Reads file and environment and checks every value; unknown keys are errors.
///
/// Variables that are not ours are not looked at. Without a file the one in `/etc/agent-provisioner` is read, if it is
/// there.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
) -> Result<Config, Error> {
    load_or(file, Path::new(INSTALLED), environment)
}

fn load_or(
    file: Option<&Path>,
    installed: &Path,
    environment: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
) -> Result<Config, Error> {
    let mut builder = config::Config::builder();
    // Also where its directory is closed to this user: then nobody can say that there is none.
    let file = file.or_else(|| installed.try_exists().unwrap_or(true).then_some(installed));
    if let Some(path) = file {
        let text = fs::read_to_string(path).map_err(|source| {
            let error = if path == installed { Error::Installed } else { Error::File };
            error(path.into(), source)
        })?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let own = own(environment)?;
    let variables: Vec<String> = own.keys().cloned().collect();
    let own = Environment::with_prefix("PROVISIONER")
        .prefix_separator("_")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("realtime")
        .with_list_parse_key("console.proxies")
        .with_list_parse_key("console.operators")
        .with_list_parse_key("console.hosts")
        .source(Some(own));
    let built = builder.add_source(own).build();
    let is_set = |key| built.as_ref().is_ok_and(|built| built.get::<config::Value>(key).is_ok());
    let renamed = RENAMED.into_iter().filter(|(old, _)| is_set(old)).collect();
    let read = built.and_then(config::Config::try_deserialize);
    let mut config: Config = read.map_err(|error| Error::of(&error, file, &variables))?;
    let is_variable = |name| variables.iter().any(|variable| variable == name);
    config.database.settle(
        is_variable("PROVISIONER_DATABASE__URL"),
        is_variable("PROVISIONER_DATABASE__URL_FILE"),
    );
    config.check()?;
    Ok(Config { renamed, ..config })
}

fn own(
    environment: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
) -> Result<HashMap<String, String>, Error> {
    let mut own = HashMap::new();
    for (key, value) in environment {
        let key = key.into().to_string_lossy().into_owned();
        let url = key == "DATABASE_URL";
        if key == "PROVISIONER_CONFIG" || !(url || key.starts_with("PROVISIONER_")) {
            continue;
        }
        let value = value.into().into_string().map_err(|_value| Error::Encoding(key.clone()))?;
        if url {
            own.entry("PROVISIONER_DATABASE__URL".to_owned()).or_insert(value);
        } else {
            own.insert(key, value);
        }
    }
    Ok(own)
}

impl Config {
    /// The keys and files of secrets that others can read or change.
    pub fn exposed(&self) -> Vec<(&'static str, &Path)> {
        let keys = ("tokens.keys_file", self.tokens.keys_file.as_deref());
        let files = self.database.files().into_iter().chain(self.console.files()).chain([keys]);
        let files = files.filter_map(|(key, file)| Some((key, file?)));
        files.filter(|(_, file)| matches!(exposure(file), Ok(Some(_)))).collect()
    }

    fn check(&self) -> Result<(), Error> {
        let Database { connect_timeout, statement_timeout, lock_timeout, .. } = self.database;
        let Worker { concurrency, poll_interval, reconcile_interval, max_attempts, .. } =
            self.worker;
        let refuse = |key, reason: &str| Err(Error::Value { key, reason: reason.to_owned() });
        for (key, value) in [
            ("database.connect_timeout", connect_timeout),
            ("database.statement_timeout", statement_timeout),
            ("database.lock_timeout", lock_timeout),
            ("worker.poll_interval", poll_interval),
            ("worker.reconcile_interval", reconcile_interval),
        ] {
            if value < Duration::from_millis(1) {
                return refuse(key, "must be at least 1ms");
            }
        }
        if !(1..=64).contains(&concurrency) {
            return refuse("worker.concurrency", "must be between 1 and 64");
        }
        if self.database.pool_size < concurrency + 2 {
            return refuse("database.pool_size", "must be at least worker.concurrency + 2");
        }
        if max_attempts < 1 {
            return refuse("worker.max_attempts", "must be at least 1");
        }
        self.jobs.check()?;
        self.verify.check()?;
        self.deprovision.check()?;
        self.console.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_an_installation_that_cannot_be_read_is_not_left_out() {
        let url = [("DATABASE_URL", "postgres://u@h/d")];
        // A directory can be read as a file by nobody, root included.
        let unreadable = Path::new("/");
        let refused = load_or(None, unreadable, url);
        assert!(matches!(refused, Err(Error::Installed(..))), "{refused:?}");
        load_or(None, Path::new("/nonexistent/config.toml"), url).unwrap();
        load_or(Some(Path::new("/dev/null")), unreadable, url).unwrap();
    }
}
