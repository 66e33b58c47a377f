//! What a service manager hears, on a real notify socket.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Database, Service, WORKER, until};

/// As systemd's end of `NOTIFY_SOCKET`.
pub struct Manager {
    socket: UnixDatagram,
    pub path: PathBuf,
}

impl Manager {
    pub fn new(name: &str) -> Self {
        let path = crate::support::temp_dir().join(format!("notify-{name}-{}", std::process::id()));
        fs::remove_file(&path).ok();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, path }
    }

    /// The next message, if there is one.
    pub fn heard(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(buffer.get(..length)?).into_owned())
    }

    /// Everything up to a message that contains this.
    pub async fn heard_until(&self, text: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        while !all.last().is_some_and(|last| last.contains(text)) {
            all.push(until(text, || async { self.heard() }).await);
        }
        all
    }

    /// What comes within this time.
    pub fn heard_within(&self, time: Duration) -> Vec<String> {
        self.socket.set_nonblocking(false).unwrap();
        self.socket.set_read_timeout(Some(time)).unwrap();
        std::iter::from_fn(|| self.heard()).collect()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

#[tokio::test]
async fn the_service_is_ready_after_its_first_look_and_says_when_it_stops() {
    let db = Database::new().await;
    let (admin, manager) = (db.admin().await, Manager::new("life"));
    // The first look waits for this, the start does not.
    admin.run("begin; lock table provisioning.jobs in access exclusive mode").await;
    let mut service = Service::with(|command| {
        command.env("DATABASE_URL", db.url(WORKER)).env("NOTIFY_SOCKET", &manager.path);
        command.env("WATCHDOG_USEC", "200000").env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "9s");
    });
    // The manager reads all the while, as systemd does.
    until("running", || async {
        let before = manager.heard().unwrap_or_default();
        assert!(!before.contains("READY"), "{before:?}");
        service.log().contains(r#""message":"running""#).then_some(())
    })
    .await;
    for _ in 0..3 {
        let before = manager.heard_until("WATCHDOG=1").await;
        assert!(!before.concat().contains("READY"), "{before:?}");
    }
    admin.run("commit").await;
    manager.heard_until("READY=1").await;
    manager.heard_until("STATUS=working, woken by notifications").await;
    for _ in 0..3 {
        manager.heard_until("WATCHDOG=1").await;
    }
    // Somebody who never finishes asking keeps nobody from stopping.
    let mut slow = TcpStream::connect(service.http().await).unwrap();
    slow.write_all(b"GET /livez HT").unwrap();
    service.signal("TERM");
    manager.heard_until("STOPPING=1").await;
    assert_eq!(service.ended().await.code(), Some(0));
}
