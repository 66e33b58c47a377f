//! How the service ends: on a signal, in order; or because a part of it died, with failure.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::parts::Parts;

/// timeout(1) and its like signal the process and then its whole group: two signals, one request.
const DUPLICATE_SIGNAL: Duration = Duration::from_millis(200);

/// The tasks of the service and what tells them to stop.
#[derive(Debug)]
pub(super) struct Shutdown {
    /// Those whose death ends the process.
    pub(super) parts: Parts,
    pub(super) signals: Signals,
}

/// SIGINT and SIGTERM, which ask for the same.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Returns at the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
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
    pub(super) fn new() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { parts: Parts::new(), signals: Signals { interrupt, terminate } })
    }

    /// Waits for a signal (or `end`, or a death) and then for the tasks, at most for `timeout`.
    pub(super) async fn wait(mut self, end: impl Future<Output = ()>, timeout: Duration) -> End {
        tokio::select! {
            () = self.signals.next() => {}
            () = end => {}
            () = self.parts.died() => {}
        }
        let died = self.parts.is_dead();
        tracing::info!("stopping");
        let interrupts = async {
            let second = async {
                tokio::time::sleep(DUPLICATE_SIGNAL).await;
                let _echo = self.signals.next().now_or_never();
                self.signals.next().await;
            };
            tokio::select! {
                () = second => "second signal",
                () = tokio::time::sleep(timeout) => "worker.shutdown_timeout is over",
            }
        };
        let why = self.parts.end(interrupts).await;
        match (died, why.is_some()) {
            (true, _) => End::Died,
            (false, true) => End::Aborted,
            (false, false) => End::Drained,
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
