//! A way to servers that knows their statements, and stops at a chosen one.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::wait::PATIENCE;
use super::wire::message;
use super::{Way, until};

/// Where to stop: at a statement, by its text or the end of it, and its number among those that have it.
#[derive(Clone, Debug)]
pub struct Stop {
    pub text: String,
    /// From 1.
    pub number: usize,
    /// The server has done it, and its answer is held back.
    pub after: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Reached,
    Resumed,
    Over,
}

/// Several ways with one plan: the statements of all count.
#[derive(Clone)]
pub struct Gates {
    stop: Option<Stop>,
    seen: Arc<Mutex<Vec<String>>>,
    phase: watch::Sender<Phase>,
}

impl Gates {
    pub fn new(stop: Option<Stop>) -> Self {
        Self { stop, seen: Arc::default(), phase: watch::Sender::new(Phase::Open) }
    }

    /// A way to the server of a URL of the form `postgres://user:password@host:port/name`; its own URL.
    pub async fn before(&self, url: &str) -> String {
        let (user, rest) = url.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("{user}@{}/{name}?sslmode=disable", listener.local_addr().unwrap());
        let (gates, server) = (self.clone(), server.to_owned());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(gates.clone().pass(client, server.clone()));
            }
        });
        own
    }

    /// All statements, in order.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the statement is there.
    #[track_caller]
    pub fn reached(&self) -> impl Future<Output = ()> + '_ {
        until("the statement to be reached", || async {
            (*self.phase.borrow() == Phase::Reached).then_some(())
        })
    }

    /// Runs a command to the statement, and kills it there.
    pub async fn kill_there(&self, command: &mut Command) {
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while *self.phase.borrow() != Phase::Reached {
            let (stop, seen) = (&self.stop, self.seen());
            let last: Vec<&String> = seen.iter().rev().take(4).collect();
            let status = child.try_wait().unwrap();
            assert_eq!(status, None, "before {stop:?}; backwards from there: {last:?}");
            assert!(Instant::now() < deadline, "stands still before {stop:?}: {last:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.end();
    }

    /// What was stopped goes on.
    pub fn resume(&self) {
        self.phase.send_replace(Phase::Resumed);
    }

    /// All connections end.
    pub fn end(&self) {
        self.phase.send_replace(Phase::Over);
    }

    async fn pass(self, client: TcpStream, server: String) {
        let Ok(server) = TcpStream::connect(server).await else { return };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        let held_back = Mutex::new(false);
        let mut over = self.phase.subscribe();
        tokio::select! {
            () = self.relay(Way::ToServer, from_client, to_server, &held_back) => {}
            () = self.relay(Way::ToClient, from_server, to_client, &held_back) => {}
            _ = over.wait_for(|phase| *phase == Phase::Over) => {}
        }
    }

    async fn relay(
        &self,
        way: Way,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        held_back: &Mutex<bool>,
    ) {
        let mut starting = way == Way::ToServer;
        while let Some(message) = message(&mut from, starting).await {
            if way == Way::ToServer && !starting && self.is_stop(&message) {
                if self.stop.as_ref().is_some_and(|stop| stop.after) {
                    *held_back.lock().unwrap() = true;
                } else if !self.hold().await {
                    return;
                }
            }
            starting = false;
            let answered = way == Way::ToClient && message.first() == Some(&b'Z');
            if answered && std::mem::take(&mut *held_back.lock().unwrap()) && !self.hold().await {
                return;
            }
            if to.write_all(&message).await.is_err() {
                return;
            }
        }
    }

    /// Notes a statement; whether it is the one.
    fn is_stop(&self, message: &[u8]) -> bool {
        let (kind, body) = (message.first(), message.get(5..).unwrap_or_default());
        let text = match kind {
            Some(b'Q') => body.split(|byte| *byte == 0).next(),
            Some(b'P') => body.split(|byte| *byte == 0).nth(1),
            _ => None,
        };
        let Some(text) = text else { return false };
        let text = String::from_utf8_lossy(text).into_owned();
        let mut seen = self.seen.lock().unwrap();
        seen.push(text);
        self.stop.as_ref().is_some_and(|stop| {
            let is_last = seen.last().is_some_and(|last| last.ends_with(&stop.text));
            is_last && seen.iter().filter(|one| one.ends_with(&stop.text)).count() == stop.number
        })
    }

    /// Whether it goes on.
    async fn hold(&self) -> bool {
        self.phase.send_if_modified(|phase| {
            let first = *phase == Phase::Open;
            *phase = if first { Phase::Reached } else { *phase };
            first
        });
        let mut resumed = self.phase.subscribe();
        let next = resumed.wait_for(|phase| *phase != Phase::Reached).await;
        next.is_ok_and(|phase| *phase != Phase::Over)
    }
}
