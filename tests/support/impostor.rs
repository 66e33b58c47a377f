//! Somebody who answers in the server's place, without TLS.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Gives every client the same answer, and keeps what the client says to that.
pub struct Impostor {
    /// A URL with a password.
    pub url: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Impostor {
    /// The password in its URL.
    pub const PASSWORD: &str = "hunter2";

    pub fn new(answer: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answer, keep) = (answer.to_vec(), Arc::clone(&heard));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (answer, keep) = (answer.clone(), Arc::clone(&keep));
                thread::spawn(move || serve(client, &answer, &keep));
            }
        });
        Self { url: format!("postgres://me:{}@{address}/app", Self::PASSWORD), heard }
    }

    /// An error with this text.
    pub fn refusing(text: &str) -> Self {
        let fields = format!("SFATAL\0C28P01\0M{text}\0D{text}\0H{text}\0\0");
        let length = u32::try_from(fields.len() + 4).unwrap();
        Self::new(&[b"E".as_slice(), &length.to_be_bytes(), fields.as_bytes()].concat())
    }

    /// All that clients said to the answer.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

fn serve(mut client: TcpStream, answer: &[u8], keep: &Mutex<Vec<u8>>) -> Option<()> {
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length).ok()?;
        let mut message = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
        client.read_exact(&mut message).ok()?;
        if message.len() > 4 {
            break; // the startup message
        }
        client.write_all(b"N").ok()?;
    }
    client.write_all(answer).ok()?;
    let mut buffer = [0; 1024];
    loop {
        let read = client.read(&mut buffer).ok().filter(|read| *read > 0)?;
        keep.lock().unwrap().extend(buffer.iter().take(read));
    }
}
