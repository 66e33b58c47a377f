//! Signs of life from the server.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Error;

/// Told whenever a connection sends or receives something.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Notify>);

impl Heard {
    /// Drives a connection to its end. It is polled when there is something to send and when
    /// something has come, and at no other time.
    pub(super) async fn drive(self, mut connection: impl Future + Unpin) {
        // What breaks it, the next statement tells.
        let _ended = poll_fn(|context| {
            self.0.notify_one();
            connection.poll_unpin(context)
        })
        .await;
    }

    /// Works for as long as it takes, unless nothing is heard for so long that no answer will come.
    pub(super) async fn within<T>(
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
        let (heard, limit) = (Heard::default(), Duration::from_secs(40));
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
