//! A connection outside the pool, for one piece of work that takes as long as it takes.

use std::time::Duration;

use tokio_postgres::{Client, Connection, Socket};

use super::connector::Wire as Stream;
use super::error::Error;
use super::failover::connect;
use super::session_settings;
use super::source::Source;
use super::timeouts::Timeouts;

/// A statement whose client is gone ends within this time: nobody is left to cancel it.
const ORPHANED: Duration = Duration::from_secs(1);

/// Makes such connections.
#[derive(Clone, Debug)]
pub struct DedicatedConnector {
    /// A direct or session-mode connection.
    pub source: Source,
    /// Bounds on connecting.
    pub timeouts: Timeouts,
}

/// Does nothing unless driven.
type Wire = Connection<Socket, Stream>;

impl DedicatedConnector {
    /// A connection, without a limit to its statements, and the half of it that [`drive`] needs.
    ///
    /// `name` is what `pg_stat_activity` shows. Unqualified names mean schema `public`.
    pub async fn connect(&self, name: &str) -> Result<(Client, Wire), Error> {
        let (client, mut wire) = connect(&self.source, &self.timeouts).await?;
        let mut wanted = session_settings::of_session(&self.timeouts);
        wanted.extend([
            ("application_name", name.to_owned()),
            ("client_connection_check_interval", ORPHANED.as_millis().to_string()),
            ("statement_timeout", "0".to_owned()),
        ]);
        let ready = async {
            tokio::select! {
                done = session_settings::set(&client, &wanted) => done,
                ended = &mut wire => ended,
            }
        };
        let limit = self.timeouts.connect;
        let late = |_| Error::Timeout { place: self.source.place().to_string(), limit };
        tokio::time::timeout(limit, ready).await.map_err(late)??;
        Ok((client, wire))
    }
}

/// Works on a connection, and closes it.
pub async fn drive<T>(client: Client, wire: Wire, work: impl AsyncFnOnce(&Client) -> T) -> T {
    let working = async {
        let worked = work(&client).await;
        drop(client);
        worked
    };
    // What breaks the connection fails the work too, which can say what it was doing.
    let (worked, _) = tokio::join!(working, wire);
    worked
}
