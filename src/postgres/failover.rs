//! One connection to the first of a URL's hosts that will do.

use std::time::Duration;

use deadpool_postgres::Connect;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Connection, Socket};
use tracing::Instrument as _;

use super::activity::ActivityMonitor;
use super::connector::Wire;
use super::error::Error;
use super::source::Source;
use super::timeouts::Timeouts;

/// Where to connect, each host with a time of its own.
///
/// The driver's `connect_timeout` is over with the TCP handshake: a primary that hung would keep
/// it from the standby that has taken over.
#[derive(Debug)]
pub(crate) struct Hosts {
    source: Source,
    limit: Duration,
    heard: ActivityMonitor,
}

impl Hosts {
    /// `patience` is for each of the hosts that are known now.
    pub(crate) fn new(source: &Source, patience: Duration) -> Self {
        let count = u32::try_from(source.last().hosts.len()).unwrap_or(u32::MAX);
        let limit = patience.saturating_mul(count);
        Self { source: source.clone(), limit, heard: ActivityMonitor::default() }
    }

    /// Of the connections that the pool makes here.
    pub(crate) fn heard(&self) -> ActivityMonitor {
        self.heard.clone()
    }

    /// The longest that a connection can take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Tries one host after the other; the error is the last one's. The caller limits the whole.
    pub(crate) async fn connect(
        &self,
    ) -> Result<(Client, Connection<Socket, Wire>), tokio_postgres::Error> {
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
    fn connect(
        &self,
        _: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        async {
            let (client, connection) = Self::connect(self).await?;
            #[expect(clippy::disallowed_methods, reason = "the pool ends it with the connection")]
            let polled = tokio::spawn(self.heard().drive(connection).in_current_span());
            Ok((client, polled))
        }
        .boxed()
    }
}

/// A connection outside the pool, with the half of it that the caller must poll.
pub(crate) async fn connect(
    source: &Source,
    timeouts: &Timeouts,
) -> Result<(Client, Connection<Socket, Wire>), Error> {
    let hosts = Hosts::new(source, timeouts.connect);
    match timeout(hosts.limit(), hosts.connect()).await {
        Ok(connected) => connected
            .map_err(|error| Error::Connect { place: source.place().to_string(), source: error }),
        Err(_) => Err(Error::Timeout { place: source.place().to_string(), limit: hosts.limit() }),
    }
}
