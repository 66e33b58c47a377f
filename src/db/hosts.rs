//! One connection to the first of a URL's hosts that will do.

use std::fmt;
use std::time::Duration;

use deadpool_postgres::Connect;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::LoadBalanceHosts;
use tokio_postgres::{Client, Config, Connection, Error, Socket};

use super::heard::Heard;
use super::{APPLICATION_NAME, Connector, Target, TlsError, Wire};

/// Where to connect, each host with a time of its own.
///
/// The driver's `connect_timeout` is over with the TCP handshake: a primary that hung would keep
/// it from the standby that has taken over.
pub(super) struct Hosts {
    each: Vec<Config>,
    shuffled: bool,
    connector: Connector,
    patience: Duration,
    heard: Heard,
}

impl Hosts {
    pub(super) fn new(target: &Target, patience: Duration) -> Result<Self, TlsError> {
        let connector = Connector::new(target)?;
        let mut each = target.hosts.clone();
        for host in &mut each {
            host.application_name(APPLICATION_NAME);
        }
        let shuffled = target.config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        Ok(Self { each, shuffled, connector, patience, heard: Heard::default() })
    }

    /// Of the connections that the pool makes here.
    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// The longest that a connection can take.
    pub(super) fn limit(&self) -> Duration {
        self.patience * u32::try_from(self.each.len()).unwrap_or(u32::MAX)
    }

    /// Tries one host after the other; the error is the last one's. The caller limits the whole.
    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, Wire>), Error> {
        let mut hosts: Vec<&Config> = self.each.iter().collect();
        if self.shuffled {
            fastrand::shuffle(&mut hosts);
        }
        let Some(last) = hosts.pop() else { return Config::new().connect(self.connector()).await };
        for host in hosts {
            let tried = timeout(self.patience, host.connect(self.connector())).await;
            if let Ok(Ok(connected)) = tried {
                return Ok(connected);
            }
        }
        last.connect(self.connector()).await
    }

    pub(super) fn connector(&self) -> Connector {
        self.connector.clone()
    }
}

/// For the pool, which polls its connections itself.
impl Connect for Hosts {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        async {
            let (client, connection) = Self::connect(self).await?;
            #[expect(clippy::disallowed_methods, reason = "the pool ends it with the connection")]
            let polled = tokio::spawn(self.heard().drive(connection));
            Ok((client, polled))
        }
        .boxed()
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").field("each", &self.each.len()).finish_non_exhaustive()
    }
}
