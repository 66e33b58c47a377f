//! What stands between the service and its database, and fails as networks do.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

#[derive(Clone, Copy)]
enum Fate {
    /// Open at both ends, and nothing passes any more.
    Swallowed,
    Cut,
}

/// Passes every connection on, until told otherwise; later ones pass again.
pub struct Proxy {
    url: String,
    fate: broadcast::Sender<Fate>,
    down: Arc<AtomicBool>,
}

impl Proxy {
    /// In front of a database URL of the form `postgres://user:password@host:port/name`.
    pub async fn before(url: &str) -> Self {
        let (user, rest) = url.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{user}@{}/{name}", listener.local_addr().unwrap());
        let (fate, server) = (broadcast::Sender::new(8), server.to_owned());
        let (fates, down) = (fate.clone(), Arc::new(AtomicBool::new(false)));
        let refuse = Arc::clone(&down);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let told = fates.subscribe(); // before the look: nothing slips through a cut
                if !refuse.load(Ordering::SeqCst) {
                    tokio::spawn(pass(client, server.clone(), told));
                }
            }
        });
        Self { url, fate, down }
    }

    /// The way through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every connection there is falls silent for good; how many there are.
    pub fn swallow(&self) -> usize {
        self.fate.send(Fate::Swallowed).unwrap_or(0)
    }

    /// Every connection there is ends; how many there were.
    pub fn cut(&self) -> usize {
        self.fate.send(Fate::Cut).unwrap_or(0)
    }

    /// Every connection there is ends, and there is no new one until `restore`.
    pub fn cut_off(&self) {
        self.down.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// New connections pass again.
    pub fn restore(&self) {
        self.down.store(false, Ordering::SeqCst);
    }
}

async fn pass(mut client: TcpStream, server: String, mut fate: broadcast::Receiver<Fate>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        told = fate.recv() => if let Ok(Fate::Swallowed) = told { pending().await },
    }
}
