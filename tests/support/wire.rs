//! A way to the server that knows PostgreSQL's messages, and breaks at a chosen one of a job.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::until;

/// Which of the two streams of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Both streams end.
    Cut,
    /// This stream ends, the other goes on.
    HalfClose,
    /// Both stay open, and nothing passes any more.
    Stall,
}

/// In place of which message of a job's transaction, counted from 1, what happens.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub way: Way,
    pub message: usize,
    pub how: Break,
}

/// How many messages a whole job took each way: to the server, to the client.
pub type Length = (usize, usize);

#[derive(Default)]
struct Plan {
    points: VecDeque<Point>,
    closed: bool,
    looked: usize,
    /// Connections that are in the middle of a look without a point.
    looking: usize,
    reached: usize,
    missed: Vec<(Point, Length)>,
}

/// Each connection that begins a job gets one of the points, and ends with that job in any case.
#[derive(Clone)]
pub struct Wire {
    url: String,
    plan: Arc<Mutex<Plan>>,
}

impl Wire {
    /// In front of a database URL of the form `postgres://user:password@host:port/name`.
    pub async fn before(url: &str) -> Self {
        let (user, rest) = url.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // In clear text: it has to be read.
        let url = format!("{user}@{}/{name}?sslmode=disable", listener.local_addr().unwrap());
        let wire = Self { url, plan: Arc::default() };
        let (own, server) = (wire.clone(), server.to_owned());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if !own.plan.lock().unwrap().closed {
                    tokio::spawn(own.clone().pass(client, server.clone()));
                }
            }
        });
        wire
    }

    /// The way through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on jobs break at these points; a job for which none is left is cut off at once, and
    /// new connections are refused. A look that is under way could still find a job, so it waits for
    /// the end of all.
    pub async fn arm(&self, points: &[Point]) {
        let armed = || async {
            let mut plan = self.plan.lock().unwrap();
            (plan.looking == 0).then(|| {
                plan.points.extend(points);
                plan.closed = true;
            })
        };
        until("nobody to be looking for a job", armed).await;
    }

    /// From now on everything passes, but for what broke already.
    pub fn open(&self) {
        self.plan.lock().unwrap().closed = false;
    }

    /// How many connections have looked for a job.
    pub fn looked(&self) -> usize {
        self.plan.lock().unwrap().looked
    }

    /// How many points were reached, and which ones a whole job went by without reaching.
    pub fn outcome(&self) -> (usize, Vec<(Point, Length)>) {
        let plan = self.plan.lock().unwrap();
        (plan.reached, plan.missed.clone())
    }

    async fn pass(self, client: TcpStream, server: String) {
        let Ok(server) = TcpStream::connect(server).await else { return };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        let job = Mutex::new(Job {
            plan: self.plan,
            point: None,
            seen: (0, 0),
            looking: None,
            claimed: false,
            stalled: false,
        });
        // Whichever ends takes the other along.
        tokio::select! {
            () = relay(Way::ToServer, from_client, to_server, &job) => {}
            () = relay(Way::ToClient, from_server, to_client, &job) => {}
        }
        job.lock().unwrap().look_is_over();
    }
}

/// One connection's part in the plan.
struct Job {
    plan: Arc<Mutex<Plan>>,
    point: Option<Point>,
    seen: Length,
    /// In the middle of a look without a point, or behind one; `None` before the first.
    looking: Option<bool>,
    claimed: bool,
    stalled: bool,
}

enum Verdict {
    Pass,
    PassAndEnd,
    Strike(Break),
}

impl Job {
    fn judge(&mut self, way: Way, message: &[u8]) -> Verdict {
        let is =
            |text: &str| message.get(5..).is_some_and(|body| body.starts_with(text.as_bytes()));
        if way == Way::ToServer
            && self.point.is_none()
            && is("begin isolation level read committed")
        {
            let mut plan = self.plan.lock().unwrap();
            plan.looked += usize::from(self.looking.is_none());
            self.point = plan.points.pop_front();
            if self.point.is_none() && plan.closed {
                return Verdict::Strike(Break::Cut);
            }
            self.looking = Some(self.point.is_none());
            plan.looking += usize::from(self.point.is_none());
        }
        // Ready for the next, outside a transaction.
        let ready = way == Way::ToClient && message.first() == Some(&b'Z') && is("I");
        if ready {
            self.look_is_over();
        }
        let Some(point) = self.point else { return Verdict::Pass };
        let seen = if way == Way::ToServer { &mut self.seen.0 } else { &mut self.seen.1 };
        *seen += 1;
        if (way, *seen) == (point.way, point.message) {
            self.plan.lock().unwrap().reached += 1;
            return Verdict::Strike(point.how);
        }
        self.claimed |= way == Way::ToServer && is("savepoint job");
        if !ready {
            return Verdict::Pass;
        }
        if self.claimed {
            self.plan.lock().unwrap().missed.push((point, self.seen));
            return Verdict::PassAndEnd;
        }
        self.seen = (0, 0); // there was no job: the next may be one
        Verdict::Pass
    }

    fn look_is_over(&mut self) {
        if self.looking == Some(true) {
            self.looking = Some(false);
            self.plan.lock().unwrap().looking -= 1;
        }
    }
}

/// Until the stream ends, or breaks as it was told to.
async fn relay(way: Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, job: &Mutex<Job>) {
    let mut starting = way == Way::ToServer;
    while let Some(message) = message(&mut from, starting).await {
        starting = false;
        let verdict = job.lock().unwrap().judge(way, &message);
        if job.lock().unwrap().stalled {
            return pending().await;
        }
        match verdict {
            Verdict::Pass | Verdict::PassAndEnd => {
                if to.write_all(&message).await.is_err() {
                    return;
                }
                if matches!(verdict, Verdict::PassAndEnd) {
                    return;
                }
            }
            Verdict::Strike(Break::Cut) => return,
            Verdict::Strike(Break::HalfClose) => {
                to.shutdown().await.ok();
                while from.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
                return;
            }
            Verdict::Strike(Break::Stall) => {
                job.lock().unwrap().stalled = true;
                return pending().await;
            }
        }
    }
    if job.lock().unwrap().stalled {
        pending::<()>().await; // a host that is gone does not say so
    }
}

/// A byte of type, but not in a connection's first message; four of length, which count themselves.
pub(super) async fn message(from: &mut OwnedReadHalf, starting: bool) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    if !starting {
        message.push(from.read_u8().await.ok()?);
    }
    let length = from.read_u32().await.ok()?;
    message.extend(length.to_be_bytes());
    let rest = u64::from(length) - 4;
    let read = AsyncReadExt::take(from, rest).read_to_end(&mut message).await.ok()?;
    (u64::try_from(read).unwrap() == rest).then_some(message)
}
