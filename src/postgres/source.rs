//! Where to connect, which may change while the service runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, fs, io};

use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};

use super::backoff::worth_a_line;
use super::connector::Connector;
use super::session_settings::APPLICATION_NAME;
use super::tls::{Error as TlsError, SslMode};
use super::url::{Error as UrlError, Target};
use crate::telemetry::ErrorReport;

/// A file that contains a URL, and what goes over the URL's own parameters.
#[derive(Clone, Debug)]
pub struct UrlFile {
    /// It may be replaced at any time.
    pub path: PathBuf,
    /// For [`Target::parse`].
    pub sslmode: Option<SslMode>,
    /// For [`Target::parse`].
    pub sslrootcert: Option<PathBuf>,
}

/// Where to connect: as configured, or as the file of the URL says by now.
///
/// A password that is rotated in the file is used for the next connection. While the file cannot be used, that is
/// what it said last.
#[derive(Clone, Debug)]
pub struct Source {
    file: Option<UrlFile>,
    known: Arc<Mutex<Known>>,
}

/// Where a URL leads, without the password. As text: `user@host:port,host:port/database`.
#[derive(Clone, Debug)]
pub struct Place {
    /// Who logs in.
    pub user: String,
    /// In the order in which they are tried.
    pub hosts: Vec<String>,
    /// One for each host.
    pub ports: Vec<u16>,
    /// The database.
    pub database: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.hosts.iter().zip(&self.ports);
        let hosts: Vec<String> = hosts.map(|(host, port)| format!("{host}:{port}")).collect();
        write!(f, "{}@{}/{}", self.user, hosts.join(","), self.database)
    }
}

#[derive(Debug)]
struct Known {
    endpoint: Arc<Endpoint>,
    /// To use the file, since it last was of use.
    failures: u32,
}

/// What it takes to connect.
pub(crate) struct Endpoint {
    target: Target,
    /// In the order in which they are tried.
    pub(crate) hosts: Vec<Config>,
    pub(crate) shuffled: bool,
    pub(crate) connector: Connector,
}

#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("cannot read it")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
}

impl Source {
    /// What `target` says, for ever or until the file says something else.
    pub fn new(target: Target, file: Option<UrlFile>) -> Result<Self, TlsError> {
        let connector = Connector::new(&target)?;
        let endpoint = Arc::new(Endpoint::new(target, connector));
        Ok(Self { file, known: Arc::new(Mutex::new(Known { endpoint, failures: 0 })) })
    }

    /// Whether sessions are shared with other clients, as far as is known.
    pub fn is_pooled(&self) -> bool {
        self.known().endpoint.target.transaction_pooler
    }

    /// How connections are encrypted, as far as is known.
    pub fn sslmode(&self) -> SslMode {
        self.known().endpoint.target.sslmode
    }

    /// Where it leads, as far as is known.
    pub fn place(&self) -> Place {
        let endpoint = self.last();
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for config in &endpoint.target.hosts {
            let host = config.get_hosts().first().map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            });
            let host = host.or_else(|| config.get_hostaddrs().first().map(ToString::to_string));
            hosts.push(host.unwrap_or_default());
            ports.push(config.get_ports().first().copied().unwrap_or(5432));
        }
        let config = &endpoint.target.config;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Place { user: text(config.get_user()), hosts, ports, database: text(config.get_dbname()) }
    }

    /// As far as is known: reads no file.
    pub(crate) fn last(&self) -> Arc<Endpoint> {
        Arc::clone(&self.known().endpoint)
    }

    /// For a new connection.
    pub(crate) fn now(&self) -> Arc<Endpoint> {
        let Some(file) = &self.file else { return self.last() };
        let mut known = self.known();
        match file.endpoint(&known.endpoint) {
            Ok(found) => {
                known.failures = 0;
                if let Some(endpoint) = found {
                    tracing::info!(file = %file.path.display(), "the URL in the file has changed");
                    known.endpoint = Arc::new(endpoint);
                }
            }
            Err(error) => {
                let (file, error) = (file.path.display(), ErrorReport(&error));
                if worth_a_line(known.failures) {
                    tracing::warn!(%file, %error, "no URL in the file: connecting as it said last");
                }
                known.failures = known.failures.saturating_add(1);
            }
        }
        Arc::clone(&known.endpoint)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UrlFile {
    /// `None` where it says what it said before.
    fn endpoint(&self, last: &Endpoint) -> Result<Option<Endpoint>, Unusable> {
        let text = fs::read_to_string(&self.path)?;
        let target = Target::parse(text.trim_end(), self.sslmode, self.sslrootcert.as_deref())?;
        if target == last.target {
            return Ok(None);
        }
        let connector = Connector::new(&target)?;
        Ok(Some(Endpoint::new(target, connector)))
    }
}

impl Endpoint {
    fn new(target: Target, connector: Connector) -> Self {
        let mut hosts = target.hosts.clone();
        for host in &mut hosts {
            host.application_name(APPLICATION_NAME);
        }
        let shuffled = target.config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        Self { target, hosts, shuffled, connector }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("target", &self.target).finish_non_exhaustive()
    }
}
