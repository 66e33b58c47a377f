//! Section `console`: who may open the operator's console, and with which database role it works.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::database::{Database, secret};
use super::error::Error;
use super::parse::{address, choice, path, texts};

/// No page waits longer for the database.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Section `console`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Where to serve it; `None`, written `off` or as nothing, for nowhere. Port 0 is a free one.
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
    /// How a viewer is known.
    #[serde(deserialize_with = "choice")]
    pub auth: ConsoleAuth,
    /// Names, roles and tokens of those who may enter.
    #[serde(deserialize_with = "path")]
    pub tokens_file: Option<PathBuf>,
    /// The header in which a proxy names the viewer.
    pub header: String,
    /// The addresses of the proxies whose header is believed.
    #[serde(deserialize_with = "texts")]
    pub proxies: Vec<String>,
    /// Those of the proxy's names that may act. All others may read.
    #[serde(deserialize_with = "texts")]
    pub operators: Vec<String>,
    /// Names under which browsers reach it, besides the loopback ones.
    #[serde(deserialize_with = "texts")]
    pub hosts: Vec<String>,
    database_url: Option<SecretString>,
    #[serde(deserialize_with = "path")]
    database_url_file: Option<PathBuf>,
}

/// How a viewer is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleAuth {
    /// Whoever reaches the address may act: it has to be a loopback one.
    #[default]
    None,
    /// By a token of `tokens_file`.
    Token,
    /// By a header that a proxy sets.
    Header,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            listen: None,
            auth: ConsoleAuth::None,
            tokens_file: None,
            header: "X-Forwarded-User".to_owned(),
            proxies: Vec::new(),
            operators: Vec::new(),
            hosts: Vec::new(),
            database_url: None,
            database_url_file: None,
        }
    }
}

impl Console {
    /// Most connections at a time with the console's own role.
    pub const CONNECTIONS: usize = 4;
    /// Most connections with the service's role, beside the service's own. One look at a time takes no more: agents are compared
    /// by two while one learns the templates.
    pub const SERVICE_CONNECTIONS: usize = 3;

    /// The database as the console reaches it: with its own role, and less patience.
    pub fn database(&self, of_service: &Database) -> Result<Database, Error> {
        let key = "console.database_url";
        let url = secret(key, self.database_url.as_ref(), self.database_url_file.as_deref())?;
        let reason = "is not set: the console logs in with its own role, agent_console, which deploy/roles.sql makes; \
                      write its URL to a file and name that as console.database_url_file";
        let url = url.ok_or(Error::Value { key: key.to_owned(), reason: reason.to_owned() })?;
        let statement_timeout = STATEMENT_TIMEOUT.min(of_service.statement_timeout);
        Ok(of_service.as_another(url, self.database_url_file.clone(), statement_timeout))
    }

    /// The keys and files of its secrets.
    pub(super) fn files(&self) -> [(&'static str, Option<&Path>); 2] {
        [
            ("console.database_url_file", self.database_url_file.as_deref()),
            ("console.tokens_file", self.tokens_file.as_deref()),
        ]
    }

    /// The addresses of `proxies`.
    pub fn proxies(&self) -> Result<Vec<IpAddr>, Error> {
        let wanted = |_quotes| Error::Value {
            key: "console.proxies".to_owned(),
            reason: "must be IP addresses, such as \"10.0.0.5\"".to_owned(),
        };
        self.proxies.iter().map(|proxy| proxy.parse().map_err(wanted)).collect()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some(listen) = self.listen else { return Ok(()) };
        let refuse = |key: &str, reason: &str| {
            Err(Error::Value { key: key.to_owned(), reason: reason.to_owned() })
        };
        let proxies = self.proxies()?;
        match self.auth {
            ConsoleAuth::None if !listen.ip().is_loopback() => refuse(
                "console.auth",
                "must be \"token\" or \"header\" where console.listen is no loopback address",
            ),
            ConsoleAuth::Token if self.tokens_file.is_none() => {
                refuse("console.tokens_file", "is not set, and console.auth is \"token\"")
            }
            ConsoleAuth::Header if proxies.is_empty() => refuse(
                "console.proxies",
                "is not set, and console.auth is \"header\": name the addresses of the proxies",
            ),
            ConsoleAuth::Header if !is_header(&self.header) => refuse(
                "console.header",
                "must be the name of a header that no browser sends, such as \"X-Forwarded-User\"",
            ),
            ConsoleAuth::Header => match self.operators.iter().find(|name| !is_viewer(name)) {
                Some(name) => {
                    let reason = format!(
                        "has {name:?}: a name has 1 to 100 ASCII signs, and no bracket or quote"
                    );
                    refuse("console.operators", &reason)
                }
                None => Ok(()),
            },
            ConsoleAuth::None | ConsoleAuth::Token => Ok(()),
        }
    }
}

/// Headers that say something else: a browser, or whoever uses one, decides what is in them.
const OTHERS: [&str; 12] = [
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "origin",
    "referer",
    "te",
    "transfer-encoding",
    "user-agent",
];

fn is_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !lower.starts_with("sec-")
        && !OTHERS.contains(&&*lower)
}

/// Whether a name can stand in the record, where the database role stands before it and the name is in brackets.
pub(crate) fn is_viewer(name: &str) -> bool {
    let usual = |c: char| (c.is_ascii_graphic() || c == ' ') && !"()[]{}<>\"'`".contains(c);
    (1..=100).contains(&name.len()) && name.chars().all(usual)
}
