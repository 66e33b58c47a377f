//! One connection to the first of a URL's hosts that will do.

use std::time::Duration;

use deadpool_postgres::Connect;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Connection, Error, Socket};

use super::heard::Heard;
use super::{Source, Wire};

/// Where to connect, each host with a time of its own.
///
/// The driver's `connect_timeout` is over with the TCP handshake: a primary that hung would keep
/// it from the standby that has taken over.
#[derive(Debug)]
pub(super) struct Hosts {
    source: Source,
    limit: Duration,
    heard: Heard,
}

impl Hosts {
    /// `patience` is for each of the hosts that are known now.
    pub(super) fn new(source: &Source, patience: Duration) -> Self {
        let count = u32::try_from(source.last().hosts.len()).unwrap_or(u32::MAX);
        let limit = patience.saturating_mul(count);
        Self { source: source.clone(), limit, heard: Heard::default() }
    }

    /// Of the connections that the pool makes here.
    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// The longest that a connection can take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Tries one host after the other; the error is the last one's. The caller limits the whole.
    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, Wire>), Error> {
        let endpoint = self.source.now();
        let connector = || endpoint.connector.clone();
        let mut hosts: Vec<&Config> = endpoint.hosts.iter().collect();
        if endpoint.shuffled {
            fastrand::shuffle(&mut hosts);
        }
        let share = self.limit / u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        let Some(last) = hosts.pop() else { return Config::new().connect(connector()).await };
        for host in hosts {
            let tried = timeout(share, host.connect(connector())).await;
            if let Ok(Ok(connected)) = tried {
                return Ok(connected);
            }
        }
        last.connect(connector()).await
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
