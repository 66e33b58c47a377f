//! Signs of life from the server.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Connection, Socket};

use super::connector::Wire;
use super::error::Error;

/// Told whenever a connection sends or receives something.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActivityMonitor(Arc<Notify>);

impl ActivityMonitor {
    /// Drives a connection to its end, and logs the server's warnings. It is polled when there is something to send
    /// and when something has come, and at no other time.
    pub(crate) async fn drive(self, mut connection: Connection<Socket, Wire>) {
        let mut next = async || {
            poll_fn(|context| {
                self.0.notify_one();
                connection.poll_message(context)
            })
            .await
        };
        // What breaks it, the next statement tells.
        while let Some(Ok(message)) = next().await {
            // A server that goes down says so to each connection; that it broke is told once.
            if let AsyncMessage::Notice(notice) = message
                && notice.parsed_severity() == Some(Severity::Warning)
                && !notice.code().code().starts_with("57P")
            {
                let (warning, sqlstate) = (notice.message(), notice.code().code());
                tracing::warn!(warning, sqlstate, "the server warns");
            }
        }
    }

    /// Works for as long as it takes, unless nothing is heard for so long that no answer will come.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let silence = async { while timeout(limit, self.0.notified()).await.is_ok() {} };
        tokio::select! {
            done = work => Ok(done),
            () = silence => Err(Error::Silent(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_may_take_long_but_not_in_silence() {
        let (heard, limit) = (ActivityMonitor::default(), Duration::from_secs(40));
        let work = async {
            for _ in 0..5 {
                sleep(limit.mul_f64(0.9)).await;
                heard.0.notify_one();
            }
        };
        assert!(heard.within(limit, work).await.is_ok());
        let started = Instant::now();
        let silent = heard.within(limit, sleep(limit * 9)).await;
        assert!(matches!(silent, Err(Error::Silent(_))), "{silent:?}");
        assert_eq!(started.elapsed(), limit);
    }
}
