//! Hears of new jobs, and proves that it would.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client};
use tokio_util::sync::CancellationToken;

use super::{Db, Error, Patience, Target, connect, settings};
use crate::backoff::{reconnect, worth_a_line};
use crate::error::Chain;

/// The triggers notify here.
const CHANNEL: &str = "agent_provisioning";
/// Marks the listener's own messages to itself among those of the triggers.
const PROOF: &str = "proof ";
const PROVE_EVERY: Duration = Duration::from_secs(10);
const PROOF_TAKES: Duration = Duration::from_secs(5);

/// What a listener has to say. A notification is a hint: look at the queue, never at the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Notifications arrive, as of now. What was sent before may have been missed.
    Listening,
    /// There may be a job.
    Notified,
    /// Nothing will be heard until `Listening`.
    Deaf,
}

/// A connection of its own that does nothing but listen.
#[derive(Clone, Debug)]
pub struct Listener {
    /// A direct or session-mode connection.
    pub target: Target,
    /// Bounds on connecting.
    pub patience: Patience,
    /// Sends the proofs. What a session sends to itself would arrive even behind a pooler that
    /// delivers nothing else.
    pub sender: Db,
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Connect(#[from] Error),
    #[error("the connection broke")]
    Lost(#[from] tokio_postgres::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error(
        "a transaction-mode pooler (port 6543, or pgbouncer=true in the URL) delivers no \
         notification: set database.listen_url to a direct or session-mode connection (port 5432)"
    )]
    Pooler,
    #[error(
        "a notification sent to it did not arrive within {PROOF_TAKES:?}. LISTEN needs a direct \
         connection or a session-mode pooler (Supabase: port 5432); behind a transaction-mode pooler \
         nothing arrives: say pgbouncer=true in its URL and set database.listen_url"
    )]
    Unproven,
}

impl Listener {
    /// Listens until told to stop, reconnecting with backoff (0.25 to 30 s).
    ///
    /// Every ten seconds it has a message sent to itself; where that does not arrive, the connection
    /// counts as broken, whatever TCP says of it.
    pub async fn run(self, tell: impl Fn(Event) + Sync, stop: CancellationToken) {
        let failures = AtomicU32::new(0);
        let heard = |event| {
            if event == Event::Listening {
                tracing::info!("listening");
                failures.store(0, Ordering::Relaxed);
            }
            tell(event);
        };
        loop {
            let broken = tokio::select! {
                broken = self.listen(&heard) => broken,
                () = stop.cancelled() => return,
            };
            tell(Event::Deaf);
            if matches!(broken, Broken::Pooler) {
                tracing::warn!(error = %broken, "not listening: polling instead");
                return stop.cancelled().await;
            }
            let failed = failures.fetch_add(1, Ordering::Relaxed);
            let wait = reconnect(failed, fastrand::f64());
            if worth_a_line(failed) {
                tracing::warn!(error = %Chain(&broken), retry_in = ?wait, "not listening: polling instead");
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Connects and listens until one notification to itself has arrived; else why none did.
    pub async fn try_once(&self) -> Result<(), String> {
        let proven = Notify::new();
        let heard = |event| {
            if event == Event::Listening {
                proven.notify_one();
            }
        };
        tokio::select! {
            broken = self.listen(&heard) => Err(Chain(&broken).to_string()),
            () = proven.notified() => Ok(()),
        }
    }

    async fn listen(&self, tell: &(impl Fn(Event) + Sync)) -> Broken {
        if self.target.transaction_pooler {
            return Broken::Pooler; // it would be other clients who hear
        }
        let (client, mut connection) = match connect(&self.target, &self.patience).await {
            Ok(connected) => connected,
            Err(error) => return error.into(),
        };
        let own = format!("{PROOF}{:016x}", fastrand::u64(..));
        let arrived = Notify::new();
        let receive = async {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(heard))) if heard.payload() == own => {
                        arrived.notify_one();
                    }
                    Some(Ok(AsyncMessage::Notification(heard))) => {
                        if !heard.payload().starts_with(PROOF) {
                            tell(Event::Notified);
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Broken::Lost(error),
                    None => return Broken::Closed,
                }
            }
        };
        tokio::select! {
            broken = receive => broken,
            broken = self.prove(&client, &own, &arrived, tell) => broken,
        }
    }

    /// Listens, and proves it again and again; returns when a proof fails.
    async fn prove(
        &self,
        client: &Client,
        own: &str,
        arrived: &Notify,
        tell: &(impl Fn(Event) + Sync),
    ) -> Broken {
        let listening = async {
            settings::set(client, &settings::of_session(&self.patience)).await?;
            client.batch_execute(&format!("listen {CHANNEL}")).await
        };
        match timeout(PROOF_TAKES, listening).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Broken::Lost(error),
            Err(_) => return Broken::Unproven,
        }
        let mut known = false;
        loop {
            let proof = async {
                let sql = "select pg_notify($1, $2)";
                let sender = self.sender.get().await?;
                sender.query_typed(sql, &[(&CHANNEL, Type::TEXT), (&own, Type::TEXT)]).await?;
                arrived.notified().await;
                Ok::<_, Broken>(())
            };
            match timeout(PROOF_TAKES, proof).await {
                Ok(Ok(())) if known => {}
                Ok(Ok(())) => {
                    known = true;
                    tell(Event::Listening);
                }
                Ok(Err(broken)) => return broken,
                Err(_) => return Broken::Unproven,
            }
            sleep(PROVE_EVERY).await;
        }
    }
}
