//! The settings: a TOML file, then `DATABASE_URL`, then `PROVISIONER_…`, each over the last.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Environment, File, FileFormat, Map, Source as _, Value};
use serde::Deserialize;

use super::console::Console;
use super::database::Database;
use super::databases::{self, DatabaseName, Databases, Entry, Settings};
use super::deprovision::Deprovision;
use super::error::Error;
use super::jobs::Jobs;
use super::parse::{address, choice, duration, names, optional_choice, path};
use super::secret_file::exposure;
use super::tokens::Tokens;
use super::verify::Verify;
use crate::agent::Reference;
use crate::telemetry::LogFormat;

/// Everything that can be set for one database, checked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name of its entry, where each database has one.
    #[serde(skip)]
    pub name: Option<DatabaseName>,
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
    /// Jobs at a time over all databases of the process; `None` for `concurrency` times their number.
    pub total_concurrency: Option<usize>,
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
            total_concurrency: None,
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

/// Variables that name one database, so that entries of the file do not count.
const URL: &str = "PROVISIONER_DATABASE__URL";
const URL_FILE: &str = "PROVISIONER_DATABASE__URL_FILE";

/// Reads file and environment and checks every value; unknown keys are errors.
///
/// Variables that are not ours are not looked at. Without a file the one in `/etc/agent-provisioner` is read, if it is
/// there. Where the file has `[[database]]` and the environment has a URL, there is one database: that of the environment.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
) -> Result<Databases, Error> {
    load_or(file, Path::new(INSTALLED), environment)
}

fn load_or(
    file: Option<&Path>,
    installed: &Path,
    environment: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
) -> Result<Databases, Error> {
    // Also where its directory is closed to this user: then nobody can say that there is none.
    let file = file.or_else(|| installed.try_exists().unwrap_or(true).then_some(installed));
    let mut settings = file.map_or_else(|| Ok(Map::new()), |file| read(file, installed))?;
    let own = own(environment)?;
    let sources = Sources { file, variables: own.keys().cloned().collect(), own };
    let entries = databases::entries(&mut settings)?.unwrap_or_default();
    let settings = Settings(settings);
    if entries.is_empty() || sources.has(URL) || sources.has(URL_FILE) {
        let mut config = sources.config(&settings, None)?;
        config.database.settle(sources.has(URL), sources.has(URL_FILE));
        config.check(1)?;
        let passed_over = entries.into_iter().map(|entry| entry.name).collect();
        return Ok(Databases::one(config, passed_over));
    }
    sources.refuse_of_one()?;
    let configured = |entry: &Entry| {
        let mut config = sources.config(&settings, Some(&entry.settings))?;
        config.name = Some(entry.name.clone());
        config.database.name = Some(entry.name.clone());
        config.check(entries.len())?;
        Ok(config)
    };
    let blamed = |entry| configured(entry).map_err(|error| entry.blame(error));
    let configs = entries.iter().map(blamed).collect::<Result<Vec<_>, _>>()?;
    let none = || Error::Value { key: "database".to_owned(), reason: "has no entry".to_owned() };
    Databases::many(configs).ok_or_else(none)
}

fn read(file: &Path, installed: &Path) -> Result<Map<String, Value>, Error> {
    let text = fs::read_to_string(file).map_err(|source| {
        let error = if file == installed { Error::Installed } else { Error::File };
        error(file.into(), source)
    })?;
    let parsed = File::from_str(&text, FileFormat::Toml).collect();
    parsed.map_err(|error| Error::of(&error, Some(file), &[]))
}

/// What settings are read from, besides the file's text.
struct Sources<'a> {
    file: Option<&'a Path>,
    variables: Vec<String>,
    own: HashMap<String, String>,
}

impl Sources<'_> {
    /// The settings for one database: the file's, its entry's over them, and the environment's over both.
    fn config(&self, file: &Settings, entry: Option<&Settings>) -> Result<Config, Error> {
        let own = Environment::with_prefix("PROVISIONER")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("realtime")
            .with_list_parse_key("console.proxies")
            .with_list_parse_key("console.operators")
            .with_list_parse_key("console.hosts")
            .source(Some(self.own.clone()));
        let mut builder = config::Config::builder().add_source(file.clone());
        if let Some(entry) = entry {
            builder = builder.add_source(entry.clone());
        }
        let built = builder.add_source(own).build();
        let is_set = |key| built.as_ref().is_ok_and(|built| built.get::<Value>(key).is_ok());
        let renamed = RENAMED.into_iter().filter(|(old, _)| is_set(old)).collect();
        let read = built.and_then(config::Config::try_deserialize);
        let config: Config = read.map_err(|error| Error::of(&error, self.file, &self.variables))?;
        Ok(Config { renamed, ..config })
    }

    fn has(&self, variable: &str) -> bool {
        self.own.contains_key(variable)
    }

    /// A variable of section `database` would hold for every entry.
    fn refuse_of_one(&self) -> Result<(), Error> {
        let of_one = |name: &&String| {
            let rest = name.to_uppercase();
            let rest = rest.strip_prefix("PROVISIONER_DATABASE").map(ToOwned::to_owned);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("__"))
        };
        let mut variables: Vec<_> = self.variables.iter().filter(of_one).collect();
        variables.sort();
        let Some(variable) = variables.first() else { return Ok(()) };
        let reason =
            "is for one database, and the file has [[database]]: write the key into each entry";
        Err(Error::Value { key: format!("the variable {variable}"), reason: reason.to_owned() })
    }
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
            own.entry(URL.to_owned()).or_insert(value);
        } else {
            own.insert(key, value);
        }
    }
    Ok(own)
}

impl Config {
    /// The keys and files of secrets that others can read or change.
    pub fn exposed(&self) -> Vec<(String, &Path)> {
        let keys = ("tokens.keys_file", self.tokens.keys_file.as_deref());
        let shared = self.console.files().into_iter().chain([keys]);
        let shared = shared.map(|(key, file)| (key.to_owned(), file));
        let files = self.database.files().into_iter().chain(shared);
        let files = files.filter_map(|(key, file)| Some((key, file?)));
        files.filter(|(_, file)| matches!(exposure(file), Ok(Some(_)))).collect()
    }

    /// `databases`: how many this process has.
    fn check(&self, databases: usize) -> Result<(), Error> {
        let Database { connect_timeout, statement_timeout, lock_timeout, .. } = self.database;
        let Worker { concurrency, poll_interval, reconcile_interval, max_attempts, .. } =
            self.worker;
        let refuse = |key: &str, reason: &str| {
            Err(Error::Value { key: key.to_owned(), reason: reason.to_owned() })
        };
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
        if self.worker.total_concurrency.is_some_and(|total| total < databases) {
            let reason = format!("must be at least {databases}: one for each database");
            return refuse("worker.total_concurrency", &reason);
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
