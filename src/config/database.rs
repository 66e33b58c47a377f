//! Section `database`: how to reach it, and with which secret.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::databases::DatabaseName;
use super::error::Error;
use super::parse::{duration, optional_choice, path};
use crate::postgres::{Source, SslMode, Target, Timeouts, UrlFile};

/// Where a packaged or documented installation has its URL.
const INSTALLED: &str = "/etc/agent-provisioner/database_url";

/// Section `database`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Its entry, of which errors speak.
    #[serde(skip)]
    pub(super) name: Option<DatabaseName>,
    url: Option<SecretString>,
    #[serde(deserialize_with = "path")]
    url_file: Option<PathBuf>,
    listen_url: Option<SecretString>,
    #[serde(deserialize_with = "path")]
    listen_url_file: Option<PathBuf>,
    /// As libpq means it; over what the URL says.
    #[serde(deserialize_with = "optional_choice")]
    pub sslmode: Option<SslMode>,
    /// Certificates to trust, PEM; over what the URL says.
    #[serde(deserialize_with = "path")]
    pub sslrootcert: Option<PathBuf>,
    /// Most connections at a time, besides the listener's.
    pub pool_size: usize,
    /// From the first packet to the first statement.
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// Longest run of a statement.
    #[serde(deserialize_with = "duration")]
    pub statement_timeout: Duration,
    /// Longest wait for a lock.
    #[serde(deserialize_with = "duration")]
    pub lock_timeout: Duration,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            name: None,
            url: None,
            url_file: None,
            listen_url: None,
            listen_url_file: None,
            sslmode: None,
            sslrootcert: None,
            pool_size: 8,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_millis(500),
        }
    }
}

impl Database {
    /// Where to work.
    pub fn source(&self) -> Result<Source, Error> {
        let key = self.key("url");
        match secret(&key, self.url.as_ref(), self.url_file.as_deref())? {
            Some(url) => self.parse(key, &url, self.url_file.as_deref()),
            None => {
                let file = self.key("url_file");
                let export = if self.name.is_none() { "export DATABASE_URL, or " } else { "" };
                let reason =
                    format!("is not set: {export}write it to a file and name that as {file}");
                Err(Error::Value { key, reason })
            }
        }
    }

    /// The environment goes over the file, also where the two say it by different keys. Where nobody says it, the file of an
    /// installation does, if it is there.
    pub(super) fn settle(&mut self, url_is_variable: bool, file_is_variable: bool) {
        match (url_is_variable, file_is_variable) {
            (true, false) => self.url_file = None,
            (false, true) => self.url = None,
            (true, true) | (false, false) => {}
        }
        let installed = Path::new(INSTALLED);
        if self.url.is_none() && self.url_file.is_none() && installed.exists() {
            self.url_file = Some(installed.to_owned());
        }
    }

    /// Sets another place to work, over what was configured.
    pub(crate) fn set_url(&mut self, url: SecretString) {
        (self.url, self.url_file) = (Some(url), None);
    }

    /// The same server for another login, which is in a file or in this URL.
    pub(super) fn as_another(
        &self,
        url: SecretString,
        url_file: Option<PathBuf>,
        statement_timeout: Duration,
    ) -> Self {
        Self {
            name: self.name.clone(),
            url: url_file.is_none().then_some(url),
            url_file,
            sslmode: self.sslmode,
            sslrootcert: self.sslrootcert.clone(),
            connect_timeout: self.connect_timeout,
            lock_timeout: self.lock_timeout,
            statement_timeout,
            ..Self::default()
        }
    }

    /// Where to listen: `listen_url`, or where to work.
    pub fn listen_source(&self, work: &Source) -> Result<Source, Error> {
        let key = self.key("listen_url");
        match secret(&key, self.listen_url.as_ref(), self.listen_url_file.as_deref())? {
            Some(url) => self.parse(key, &url, self.listen_url_file.as_deref()),
            None => Ok(work.clone()),
        }
    }

    /// The keys and files of its secrets.
    pub(super) fn files(&self) -> [(String, Option<&Path>); 2] {
        [
            (self.key("url_file"), self.url_file.as_deref()),
            (self.key("listen_url_file"), self.listen_url_file.as_deref()),
        ]
    }

    /// A key of this section, with the name of the entry that it is in.
    fn key(&self, key: &str) -> String {
        self.name.as_ref().map_or_else(|| format!("database.{key}"), |name| name.key(key))
    }

    /// The bounds on every connection.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            connect: self.connect_timeout,
            statement: self.statement_timeout,
            lock: self.lock_timeout,
        }
    }

    fn parse(&self, key: String, url: &SecretString, file: Option<&Path>) -> Result<Source, Error> {
        let (sslmode, sslrootcert) = (self.sslmode, self.sslrootcert.clone());
        let target = Target::parse(url.expose_secret(), sslmode, sslrootcert.as_deref())
            .map_err(|source| Error::Url { key, source })?;
        let file = file.map(|path| UrlFile { path: path.to_owned(), sslmode, sslrootcert });
        Ok(Source::new(target, file)?)
    }
}

/// A secret from the configuration itself or from the file it names, never from both.
pub(super) fn secret(
    key: &str,
    value: Option<&SecretString>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, Error> {
    match (value, file) {
        (Some(_), Some(_)) => {
            let reason = "is set twice: as itself and by its _file".to_owned();
            Err(Error::Value { key: key.to_owned(), reason })
        }
        (Some(value), None) => Ok(Some(value.clone())),
        (None, Some(path)) => match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.trim_end().into())),
            Err(source) => {
                Err(Error::Secret { key: key.to_owned(), path: path.to_owned(), source })
            }
        },
        (None, None) => Ok(None),
    }
}
