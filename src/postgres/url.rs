//! A PostgreSQL URL as operators paste it, in libpq's sense (PostgreSQL manual, 34.1).
//!
//! `tokio_postgres` refuses some of libpq's parameters and reads `tcp_user_timeout` in seconds, so
//! the URL is taken apart here. An unknown parameter is an error: it may have asked for safety.
//! No error holds a value of the URL, for a slip of the pen can put the password anywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{self, Host, SslNegotiation};

use super::auth::Methods;
use super::tls::{self, SslMode};

/// A dead peer is noticed in 10 + 3 × 5 s, or in 20 s (given in ms) with data in flight.
const DEFAULTS: [(&str, &str); 4] = [
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_retries", "3"),
    ("tcp_user_timeout", "20000"),
];

/// Parameters of libpq that we or `tokio_postgres` take in the same sense; and `pgbouncer=true`, by
/// which several ORMs are told of a transaction-mode pooler.
const KNOWN: &str = "application_name channel_binding connect_timeout dbname host hostaddr \
    keepalives keepalives_idle keepalives_interval keepalives_retries load_balance_hosts options \
    password pgbouncer port require_auth sslmode sslnegotiation sslrootcert target_session_attrs tcp_user_timeout user";

/// Parameters for ORMs and their pools, which say nothing to the server.
const IGNORED: &str = "connection_limit pool_timeout schema socket_timeout statement_cache_size \
    supa uselibpqcompat";

/// The port of Supabase's transaction-mode pooler.
const SUPAVISOR: u16 = 6543;

/// Where to connect and how to encrypt. `Debug` does not show the password.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// For [`Connector`](super::Connector), which begins to encrypt where the driver believes it would itself.
    pub config: Config,
    /// The same for each of its hosts, in the order in which they are tried.
    pub hosts: Vec<Config>,
    /// Always `Disable` on Unix sockets, which libpq never encrypts.
    pub sslmode: SslMode,
    /// Certificates to trust.
    pub sslrootcert: Option<PathBuf>,
    /// The server expects TLS without being asked.
    pub direct_tls: bool,
    /// How it may ask who we are, where the URL says so.
    pub require_auth: Option<Methods>,
    /// A session's settings and its LISTEN would become other clients' there.
    pub transaction_pooler: bool,
}

/// Why a URL is not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key=value string or the URL of something else.
    #[error("not a PostgreSQL URL: write postgres://user:password@host:5432/database")]
    Scheme,
    /// The parts cannot be told apart with certainty.
    #[error("a part of the URL, perhaps the password, holds `@`, `/` or `?`: write %40, %2F, %3F")]
    Reserved,
    /// A part that has no safe default.
    #[error("the URL names no {0}: write postgres://user:password@host:5432/database")]
    Missing(&'static str),
    /// Supabase's connection string as copied.
    #[error("the URL still says [YOUR-PASSWORD]: write the password there")]
    Placeholder,
    /// Not text.
    #[error("the URL is not UTF-8 after percent-decoding")]
    Encoding(#[source] Utf8Error),
    /// A bracket without its other half.
    #[error("the URL has a malformed host: write an IPv6 address as [::1]:5432")]
    Host,
    /// Something without `=` after the `?`.
    #[error("the URL's parameters are not all name=value (`&` inside a value is %26)")]
    Query,
    /// The parameter, and what to do about it.
    #[error("the URL's parameter {0} is not supported: {1}")]
    Parameter(String, &'static str),
    /// A value that the driver refuses; the source names the parameter.
    #[error("the URL has an unusable parameter")]
    Value(#[source] tokio_postgres::Error),
    /// A value that is not a mode.
    #[error("the URL has an unusable sslmode")]
    SslMode(#[source] tls::Error),
}

impl Target {
    /// Reads a URL; `sslmode` and `sslrootcert` given here win over the URL's.
    ///
    /// Without either, the mode is `prefer`, or `verify-full` if the root is `system`.
    pub fn parse(
        url: &str,
        sslmode: Option<SslMode>,
        sslrootcert: Option<&Path>,
    ) -> Result<Self, Error> {
        let mut parameters = parameters(url.trim())?;
        let root = parameters.remove("sslrootcert").filter(|root| !root.is_empty());
        let sslrootcert = sslrootcert.map(PathBuf::from).or(root.map(PathBuf::from));
        let mode = parameters.remove("sslmode").map(|mode| mode.parse()).transpose();
        let sslmode = match (sslmode, mode.map_err(Error::SslMode)?, &sslrootcert) {
            (Some(mode), ..) | (None, Some(mode), _) => mode,
            (None, None, Some(root)) if root == Path::new(tls::SYSTEM) => SslMode::VerifyFull,
            (None, None, _) => SslMode::Prefer,
        };
        let pooler = match parameters.remove("pgbouncer").as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err(Error::Parameter("pgbouncer".into(), "write true or false")),
        };
        let require_auth = parameters.remove("require_auth").map(|list| require_auth(&list));
        let require_auth = require_auth.transpose()?;
        let mut config = config(&parameters)?;
        let mut hosts = each_host(&parameters)?;
        let direct_tls = config.get_ssl_negotiation() == SslNegotiation::Direct;
        if direct_tls && sslmode == SslMode::Prefer && sslrootcert.is_none() {
            let wanted = "it takes sslmode=require, or better verify-full";
            return Err(Error::Parameter("sslnegotiation".into(), wanted));
        }
        // PostgreSQL has no TLS on Unix sockets, and there libpq ignores the mode.
        let is_socket = |host: &Host| matches!(host, Host::Unix(_));
        if require_auth.is_some() && config.get_hosts().iter().any(is_socket) {
            let wanted = "it is not checked on a Unix socket: remove it";
            return Err(Error::Parameter("require_auth".into(), wanted));
        }
        let sockets = config.get_hosts().iter().all(is_socket);
        let sslmode = if sockets { SslMode::Disable } else { sslmode };
        for config in hosts.iter_mut().chain([&mut config]) {
            let ours = !config.get_hosts().iter().all(is_socket);
            config.ssl_mode(if ours { config::SslMode::Require } else { config::SslMode::Disable });
            config.ssl_negotiation(SslNegotiation::Direct);
        }
        let transaction_pooler = pooler.unwrap_or(config.get_ports().contains(&SUPAVISOR));
        Ok(Self {
            config,
            hosts,
            sslmode,
            sslrootcert,
            direct_tls,
            require_auth,
            transaction_pooler,
        })
    }
}

fn require_auth(list: &str) -> Result<Methods, Error> {
    let wanted = "write some of password, md5, scram-sha-256 and none, or all of them with a `!`";
    Methods::parse(list).ok_or_else(|| Error::Parameter("require_auth".into(), wanted))
}

type Parameters = BTreeMap<String, String>;

/// A URL's parts under libpq's names for them, and its parameters over them.
fn parameters(url: &str) -> Result<Parameters, Error> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.ok_or(Error::Scheme)?;
    let (credentials, rest) = rest.split_once('@').unwrap_or(("", rest));
    if credentials.contains(['/', '?']) || rest.contains('@') {
        return Err(Error::Reserved);
    }
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    if password == "[YOUR-PASSWORD]" {
        return Err(Error::Placeholder);
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, dbname) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = hosts_and_ports(hosts)?;
    let mut parameters = DEFAULTS.map(|(name, value)| (name.into(), value.into())).into();
    let parts = [user, password, &host, &port, dbname];
    for (name, part) in ["user", "password", "host", "port", "dbname"].into_iter().zip(parts) {
        if !part.is_empty() {
            Parameters::insert(&mut parameters, name.into(), decode(part)?);
        }
    }
    override_by(query, &mut parameters)?;
    Ok(parameters)
}

/// The last mention of a parameter wins, as in libpq.
fn override_by(query: &str, parameters: &mut Parameters) -> Result<(), Error> {
    // What follows a password here may be the rest of it, after a bare `&`.
    let mut secret = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(Error::Query)?;
        let (name, value) = (decode(name)?, decode(value)?);
        let (name, value) = match (name.as_str(), value.as_str()) {
            ("ssl", "true") => ("sslmode".into(), "require".into()),
            ("target_session_attrs", "primary") => (name, "read-write".into()),
            ("keepalives_count", _) => ("keepalives_retries".into(), value),
            ("sslcert" | "sslkey" | "sslpassword", _) => {
                return Err(Error::Parameter(name, "authenticate with a password"));
            }
            (known, _) if KNOWN.split(' ').any(|listed| listed == known) => (name, value),
            (orm, _) if IGNORED.split(' ').any(|listed| listed == orm) => continue,
            _ if secret => return Err(Error::Query),
            _ => return Err(Error::Parameter(name, "remove it")),
        };
        secret |= name == "password";
        parameters.insert(name, value);
    }
    Ok(())
}

fn hosts_and_ports(list: &str) -> Result<(String, String), Error> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for item in list.split(',') {
        let (host, port) = match item.strip_prefix('[').map(|rest| rest.split_once(']')) {
            None => item.split_once(':').unwrap_or((item, "")),
            Some(Some((host, ""))) => (host, ""),
            Some(Some((host, rest))) => (host, rest.strip_prefix(':').ok_or(Error::Host)?),
            Some(None) => return Err(Error::Host),
        };
        hosts.push(host);
        ports.push(port);
    }
    Ok((hosts.join(","), ports.join(",")))
}

fn config(parameters: &Parameters) -> Result<Config, Error> {
    for (name, what) in [("user", "user"), ("host", "host"), ("dbname", "database")] {
        if parameters.get(name).is_none_or(|value| value.split(',').any(str::is_empty)) {
            return Err(Error::Missing(what));
        }
    }
    let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
    let settings = parameters.iter().map(|(name, value)| format!("{name}='{}'", quoted(value)));
    let mut config: Config =
        settings.collect::<Vec<_>>().join(" ").parse().map_err(Error::Value)?;
    if let Some(milliseconds) = config.get_tcp_user_timeout().map(Duration::as_secs) {
        config.tcp_user_timeout(Duration::from_millis(milliseconds));
    }
    Ok(config)
}

/// One configuration for each host; a single port is for all of them.
fn each_host(parameters: &Parameters) -> Result<Vec<Config>, Error> {
    let count = parameters.get("host").map_or(0, |hosts| hosts.split(',').count());
    let of_host = |n: usize| {
        let mut own = parameters.clone();
        for name in ["host", "hostaddr", "port"] {
            if let Some(list) = own.get_mut(name) {
                let picked = list.split(',').nth(n).or_else(|| list.split(',').next());
                *list = picked.unwrap_or_default().to_owned();
            }
        }
        config(&own)
    };
    (0..count).map(of_host).collect()
}

fn decode(part: &str) -> Result<String, Error> {
    percent_decode_str(part).decode_utf8().map(Into::into).map_err(Error::Encoding)
}

#[cfg(test)]
mod tests;
