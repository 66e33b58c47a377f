//! The operator's console, over sockets: who may enter, who may act, what is shown, and what an action does.

mod actions;
mod activity;
mod browser;
mod businesses;
mod doctor;
mod drift;
mod entry;
mod pages;
mod proxied;
mod rollouts;
mod trash;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{CONSOLE, Database, Service, WORKER};

/// A service with a console, and where that is.
pub struct Site {
    pub service: Service,
    pub address: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Site {
    /// With these settings besides.
    pub async fn new(db: &Database, settings: &[(&str, &str)]) -> Self {
        let url = db.url(CONSOLE);
        let own = [("CONSOLE__LISTEN", "127.0.0.1:0"), ("CONSOLE__DATABASE_URL", url.as_str())];
        let service = Service::start(&db.url(WORKER), &[&own, settings].concat());
        service.logged("\"running\"").await;
        Self { address: address(&service).await, service }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// As a page of the console sends a form.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("Sec-Fetch-Site", "same-origin")], body)
    }

    /// Any request. A header named `Host` takes the place of the right one.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n",
            body.len()
        );
        let own = [("Host", self.address.as_str())];
        let own = own.iter().filter(|(name, _)| headers.iter().all(|(other, _)| other != name));
        for (name, value) in own.chain(headers) {
            request += &[name, ": ", value, "\r\n"].concat();
        }
        write!(stream, "{request}\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

/// Two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Where a service has its console.
pub async fn address(service: &Service) -> String {
    let mark = "\"serving the console\",\"address\":\"";
    service.logged(mark).await;
    service.log().split(mark).nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// The value of a field that a page holds.
#[track_caller]
pub fn field<'a>(page: &'a str, name: &str) -> &'a str {
    let mark = format!("name=\"{name}\" value=\"");
    let found = page.split_once(&mark);
    assert!(found.is_some(), "no field {name} in {page}");
    found.unwrap().1.split('"').next().unwrap()
}
