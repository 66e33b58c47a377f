//! How the service ends: on a signal, in order; or because a part of it died, with failure.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// timeout(1) and its like signal the process and then its whole group: two signals, one request.
const DUPLICATE_SIGNAL: Duration = Duration::from_millis(200);

/// The tasks of the service and what tells them to stop.
#[derive(Debug)]
pub struct Shutdown {
    /// Take on nothing new.
    pub stop: CancellationToken,
    /// Give up what is running.
    pub abort: CancellationToken,
    died: CancellationToken,
    tasks: TaskTracker,
    interrupt: Signal,
    terminate: Signal,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything ended by itself after the first signal.
    Drained,
    /// Work was rolled back: a second signal came, or the shutdown timeout was over.
    Aborted,
    /// A task ended that nobody had told to.
    Died,
}

impl Shutdown {
    /// Watches SIGINT and SIGTERM from here on.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            died: CancellationToken::new(),
            tasks: TaskTracker::new(),
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Runs a task without which the service is none: its end before `stop` ends the process.
    pub fn vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let death = Death { name, stop: self.stop.clone(), died: self.died.clone() };
        self.tasks.spawn(async move {
            let _death = death; // dropped on return and on panic alike
            task.await;
        });
    }

    /// Returns at the first signal: for what must be able to end before there are tasks.
    pub async fn asked(&mut self) {
        Self::signalled(&mut self.interrupt, &mut self.terminate).await;
    }

    /// Waits for a signal (or `end`, or a death) and then for the tasks, at most for `timeout`.
    pub async fn wait(mut self, end: impl Future<Output = ()>, timeout: Duration) -> End {
        tokio::select! {
            () = Self::signalled(&mut self.interrupt, &mut self.terminate) => {}
            () = end => {}
            () = self.died.cancelled() => {}
        }
        let died = self.died.is_cancelled();
        tracing::info!("stopping");
        self.stop.cancel();
        self.tasks.close();
        let second = async {
            tokio::time::sleep(DUPLICATE_SIGNAL).await;
            let signalled = Self::signalled(&mut self.interrupt, &mut self.terminate);
            let _echo = signalled.now_or_never();
            Self::signalled(&mut self.interrupt, &mut self.terminate).await;
        };
        let why = tokio::select! {
            () = self.tasks.wait() => None,
            () = second => Some("second signal"),
            () = tokio::time::sleep(timeout) => Some("worker.shutdown_timeout is over"),
        };
        if let Some(why) = why {
            tracing::warn!(
                why,
                "giving up what is running; it is rolled back and done again later"
            );
            self.abort.cancel();
            // The last word is a cancelled statement's, which takes milliseconds.
            let ended = tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await;
            if ended.is_err() {
                tracing::warn!("a task did not end");
            }
        }
        match (died, why.is_some()) {
            (true, _) => End::Died,
            (false, true) => End::Aborted,
            (false, false) => End::Drained,
        }
    }

    async fn signalled(interrupt: &mut Signal, terminate: &mut Signal) {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// From here on SIGHUP ends nothing; the future, which never ends, says so in the log.
///
/// To a service it says that its files have changed. The only ones that may are read at each connection.
pub fn ignore_sighup() -> io::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: going on; the next connection reads url_file as it is by then");
        }
        std::future::pending::<()>().await;
    })
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
