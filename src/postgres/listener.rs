//! Hears of new jobs, and proves that it would.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client};
use tokio_util::sync::CancellationToken;

use super::backoff::{reconnect, worth_a_line};
use super::error::Error;
use super::failover::connect;
use super::presence::{Difference, Presence};
use super::session_settings;
use super::source::Source;
use super::timeouts::Timeouts;
use crate::telemetry::ErrorReport;

/// The triggers notify here.
const CHANNEL: &str = "agent_provisioning";
/// Marks the listener's own messages to itself among those of the triggers.
const PROOF: &str = "proof ";
const PROVE_EVERY: Duration = Duration::from_secs(10);
const PROOF_TAKES: Duration = Duration::from_secs(5);

/// What a listener has to say. A notification is a hint: look at the queue, never at the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Notifications arrive, as of now. What was sent before may have been missed.
    Listening,
    /// There may be a job.
    Notified,
    /// Nothing will be heard until `Listening`.
    NotListening,
    /// The same: the server's queue of notifications is nearly full, so that none is sent.
    Full,
    /// The settings in which other instances differ from this one by now.
    Compared(Vec<Difference>),
}

/// Why no notification arrives.
#[derive(Debug)]
pub enum ListenError {
    /// None is sent: the server's queue of notifications is nearly full.
    Full,
    /// In words.
    Broken(String),
}

/// A connection of its own that does nothing but listen.
#[derive(Debug)]
pub struct Listener {
    /// A direct or session-mode connection.
    pub source: Source,
    /// Bounds on connecting.
    pub timeouts: Timeouts,
    /// Sends the proofs.
    pub presence: Presence,
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Connect(#[from] Error),
    #[error("the connection broke")]
    ConnectionLost(#[from] tokio_postgres::Error),
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
        tokio::select! {
            () = self.listen_again(&tell) => {}
            () = self.presence.keep(CHANNEL, |found| tell(Event::Compared(found))) => {}
            () = stop.cancelled() => {}
        }
        self.presence.leave().await;
    }

    /// Does not return.
    async fn listen_again(&self, tell: &(impl Fn(Event) + Sync)) {
        let failures = AtomicU32::new(0);
        let heard = |event| {
            match event {
                Event::Listening => {
                    tracing::info!("listening");
                    failures.store(0, Ordering::Relaxed);
                }
                Event::Full => tracing::warn!(
                    "the server's queue of notifications is nearly full, so none is sent: \
                     polling instead; see `agent-provisioner doctor`"
                ),
                Event::Notified | Event::NotListening | Event::Compared(_) => {}
            }
            tell(event);
        };
        loop {
            let broken = self.listen(&heard).await;
            tell(Event::NotListening);
            if matches!(broken, Broken::Pooler) {
                tracing::warn!(error = %broken, "not listening: polling instead");
                return pending().await;
            }
            let failed = failures.fetch_add(1, Ordering::Relaxed);
            let wait = reconnect(failed, fastrand::f64());
            if worth_a_line(failed) {
                tracing::warn!(error = %ErrorReport(&broken), retry_in = ?wait, "not listening: polling instead");
            }
            sleep(wait).await;
        }
    }

    /// Connects and listens until one notification to itself has arrived; else why none did.
    pub async fn try_once(&self) -> Result<(), ListenError> {
        let (proven, full) = (Notify::new(), Notify::new());
        let heard = |event| match event {
            Event::Listening => proven.notify_one(),
            Event::Full => full.notify_one(),
            Event::Notified | Event::NotListening | Event::Compared(_) => {}
        };
        tokio::select! {
            broken = self.listen(&heard) => Err(ListenError::Broken(ErrorReport(&broken).to_string())),
            () = full.notified() => Err(ListenError::Full),
            () = proven.notified() => Ok(()),
        }
    }

    async fn listen(&self, tell: &(impl Fn(Event) + Sync)) -> Broken {
        if self.source.is_pooled() {
            return Broken::Pooler; // it would be other clients who hear
        }
        let (client, mut connection) = match connect(&self.source, &self.timeouts).await {
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
                    Some(Err(error)) => return Broken::ConnectionLost(error),
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
            session_settings::set(client, &session_settings::of_session(&self.timeouts)).await?;
            client.batch_execute(&format!("listen {CHANNEL}")).await
        };
        match timeout(PROOF_TAKES, listening).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Broken::ConnectionLost(error),
            Err(_) => return Broken::Unproven,
        }
        let mut known = None;
        loop {
            let proof = async {
                let shown = match self.presence.show(CHANNEL, Some(own)).await {
                    Err(Error::Query(error)) => return Err(Broken::ConnectionLost(error)),
                    shown => shown?,
                };
                if shown.notified {
                    arrived.notified().await;
                }
                Ok(shown)
            };
            let shown = match timeout(PROOF_TAKES, proof).await {
                Ok(Ok(shown)) => shown,
                Ok(Err(broken)) => return broken,
                Err(_) => return Broken::Unproven,
            };
            if known.replace(shown.notified) != Some(shown.notified) {
                tell(if shown.notified { Event::Listening } else { Event::Full });
            }
            tell(Event::Compared(shown.differences));
            sleep(PROVE_EVERY).await;
        }
    }
}
