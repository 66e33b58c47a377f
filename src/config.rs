//! The settings: a TOML file, then `DATABASE_URL`, then `PROVISIONER_…`, each over the last.

mod database;
mod deprovision;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Environment, File, FileFormat};
use serde::{Deserialize, Deserializer};

pub use database::Database;
pub use deprovision::Deprovision;

use crate::agent::Reference;
use crate::db::{TlsError, UrlError};

/// Everything that can be set, checked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How to reach the database.
    pub database: Database,
    /// How the service works.
    pub worker: Worker,
    /// A directory of templates in place of the built-in set.
    pub templates: Option<PathBuf>,
    /// What ties a new agent's customers to its row in `agents`.
    pub reference: Reference,
    /// The tables, by their names without the prefix, that Supabase Realtime is to tell of.
    #[serde(deserialize_with = "names")]
    pub realtime: Vec<String>,
    /// How agents go.
    pub deprovision: Deprovision,
    /// What probes and Prometheus ask.
    pub http: Http,
    /// What is logged.
    pub log: Log,
}

/// Section `worker`.
#[derive(Debug, Deserialize)]
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
    /// For running jobs to end in when the service is stopped.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
}

/// Section `http`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where to answer; `None`, written `off` or as nothing, for nowhere. Port 0 is a free one.
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
}

/// Section `log`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Text on a terminal and JSON otherwise, where nothing is set.
    pub format: Option<LogFormat>,
    /// As `tracing_subscriber::EnvFilter` reads it.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
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
            reconcile_interval: Duration::from_secs(60),
            max_attempts: 10,
            grace: Duration::from_secs(30),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: Some((Ipv4Addr::LOCALHOST, 9187).into()) }
    }
}

/// Settings that cannot be used. No message contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An unknown key, or a value of the wrong kind.
    #[error("cannot read the configuration")]
    Read(#[from] config::ConfigError),
    /// A value outside its range.
    #[error("{key} {reason}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What would be right.
        reason: String,
    },
    /// A secret's file cannot be read.
    #[error("cannot read {key} from {path}")]
    Secret {
        /// The key, with its section.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The TLS settings cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// The URL names no usable target.
    #[error("{key} cannot be used")]
    Url {
        /// The key, with its section.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        source: UrlError,
    },
}

/// Reads file and environment and checks every value; unknown keys are errors.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Error> {
    let mut builder = config::Config::builder();
    if let Some(file) = file {
        builder = builder.add_source(File::from(file).format(FileFormat::Toml));
    }
    let mut own = HashMap::new();
    for (key, value) in environment {
        if key == "DATABASE_URL" {
            own.entry("PROVISIONER_DATABASE__URL".to_owned()).or_insert(value);
        } else if key.starts_with("PROVISIONER_") && key != "PROVISIONER_CONFIG" {
            own.insert(key, value);
        }
    }
    let own = Environment::with_prefix("PROVISIONER")
        .prefix_separator("_")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("realtime")
        .source(Some(own));
    let config: Config = builder.add_source(own).build()?.try_deserialize()?;
    config.check()?;
    Ok(config)
}

impl Config {
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
        self.deprovision.check()
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        let wanted = "write it like \"5s\", \"500ms\" or \"1m 30s\"";
        serde::de::Error::custom(format_args!("{text:?} is no duration ({error}): {wanted}"))
    })
}

/// Names that may be spliced into SQL.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut names = Vec::<String>::deserialize(deserializer)?;
    names.retain(|name| !name.is_empty()); // an empty variable of the environment is one
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    match names.iter().find(|name| !name.bytes().all(plain)) {
        Some(name) => Err(serde::de::Error::custom(format_args!(
            "{name:?} is no name of a table without its prefix, such as \"messages\": a-z, 0-9 and _"
        ))),
        None => Ok(names),
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| {
        let wanted = "write it like \"127.0.0.1:9187\", or \"off\"";
        serde::de::Error::custom(format_args!("{text:?} cannot be used ({error}): {wanted}"))
    })
}
