//! The tasks that work on one database, and how they end.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

/// The last word of a task that is to give up is a cancelled statement's, which takes milliseconds.
const LAST: Duration = Duration::from_secs(5);

/// Tasks of which none may end before the others, and what tells them to.
#[derive(Debug)]
pub struct Parts {
    /// Take on nothing new.
    pub stop: CancellationToken,
    /// Give up what is running.
    pub abort: CancellationToken,
    died: CancellationToken,
    tasks: TaskTracker,
    span: Span,
}

impl Parts {
    /// None yet.
    pub(super) fn new() -> Self {
        Self::told_by(CancellationToken::new(), CancellationToken::new(), Span::none())
    }

    /// None yet, of a service that is told to end by these. What they log is in this span.
    pub(super) fn within(stop: &CancellationToken, abort: &CancellationToken, span: Span) -> Self {
        Self::told_by(stop.child_token(), abort.child_token(), span)
    }

    fn told_by(stop: CancellationToken, abort: CancellationToken, span: Span) -> Self {
        let (died, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self { stop, abort, died, tasks, span }
    }

    /// Runs a task without which the others are of no use: its end before `stop` is a death.
    pub fn vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let death = Death { name, stop: self.stop.clone(), died: self.died.clone() };
        let task = async move {
            let _death = death; // dropped on return and on panic alike
            task.await;
        };
        self.tasks.spawn(task.instrument(self.span.clone()));
    }

    /// Waits for a death.
    pub(super) async fn died(&self) {
        self.died.cancelled().await;
    }

    /// Whether there was one.
    pub(super) fn is_dead(&self) -> bool {
        self.died.is_cancelled()
    }

    /// Stops all, and waits for their ends until something `interrupts`, which says why: from then on for five seconds. `None`
    /// where they ended by themselves.
    pub(super) async fn end(
        &self,
        interrupts: impl Future<Output = &'static str>,
    ) -> Option<&'static str> {
        self.stop.cancel();
        self.tasks.close();
        let why = tokio::select! {
            () = self.tasks.wait() => return None,
            why = interrupts => why,
        };
        tracing::warn!(why, "giving up what is running; it is rolled back and done again later");
        self.abort.cancel();
        if tokio::time::timeout(LAST, self.tasks.wait()).await.is_err() {
            tracing::warn!("a task did not end");
        }
        Some(why)
    }

    /// Waits for the ends of all, once they were told to stop.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

struct Death {
    name: &'static str,
    stop: CancellationToken,
    died: CancellationToken,
}

impl Drop for Death {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(task = self.name, "ended unasked");
            self.died.cancel();
        }
    }
}
