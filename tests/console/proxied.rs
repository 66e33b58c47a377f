//! Behind nginx, with the lines that docs/console.md gives.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, iter};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Site;
use crate::support::{Database, Files, have, said, until};

/// Ends it when its own input ends: with the test, however that ends.
const GUARD: &str = r#""$0" -p "$1" -c "$1/nginx.conf" & read -r _; kill -TERM $!"#;

/// Running; ends when dropped.
struct Nginx {
    guard: Child,
    address: String,
    _files: Files,
}

impl Nginx {
    /// Passes on to this address, for `ada` and `rita`, whose password is `hush`.
    async fn before(console: &str) -> Self {
        let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console.md"));
        let docs = docs.unwrap();
        let (_, lines) = docs.split_once("    location / {\n").unwrap();
        let (lines, _) = lines.split_once("\n    }\n").unwrap();
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port);
        let port = iter::repeat_with(|| fastrand::u16(20_000..32_000)).find_map(free).unwrap();
        let openssl = Command::new("openssl").args(["passwd", "-apr1", "hush"]).output().unwrap();
        let hash = said(&openssl);
        let users = ["ada", "rita"].map(|name| format!("{name}:{}\n", hash.trim())).concat();
        let files = Files::new(&[("users", &users)]);
        let home = files.path();
        let lines = lines
            .replace("http://127.0.0.1:9188", &format!("http://{console}"))
            .replace("/etc/nginx/console_users", &format!("{home}/users"));
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {home}/{name};"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {home}/pid; error_log {home}/log;\n\
             events {{}}\n\
             http {{ access_log off; {paths}\nserver {{ listen 127.0.0.1:{port};\nlocation / {{\n{lines}\n}} }} }}\n"
        );
        files.write("nginx.conf", &config);
        let mut sh = Command::new("sh");
        sh.args(["-c", GUARD, "nginx", home]).stdin(Stdio::piped()).stdout(Stdio::null());
        sh.env("PATH", format!("{}:/usr/sbin", env::var("PATH").unwrap()));
        let guard = sh.stderr(Stdio::null()).current_dir("/").spawn().unwrap();
        until("nginx", || async { TcpStream::connect(("127.0.0.1", port)).ok() }).await;
        Self { guard, address: format!("127.0.0.1:{port}"), _files: files }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Waiting closes the guard's input.
        self.guard.wait().ok();
    }
}

#[tokio::test]
async fn behind_nginx_as_documented_a_name_is_who_has_its_password() {
    if !have(&["nginx", "openssl"]) {
        return;
    }
    let db = Database::new().await;
    let settings = [
        ("CONSOLE__AUTH", "header"),
        ("CONSOLE__PROXIES", "127.0.0.1"),
        ("CONSOLE__OPERATORS", "ada"),
    ];
    let site = Site::new(&db, &settings).await;
    let nginx = Nginx::before(&site.address).await;
    let site = Site { service: site.service, address: nginx.address.clone() };
    let basic = |name: &str| format!("Basic {}", BASE64.encode(format!("{name}:hush")));
    let (ada, rita) = (basic("ada"), basic("rita"));
    assert_eq!(site.get("/").status, 401);
    // Whatever comes from outside in the header, the proxy replaces it.
    let forged = [("X-Forwarded-User", "ada")];
    assert_eq!(site.send("GET", "/", &forged, "").status, 401);
    let as_rita = [("Authorization", rita.as_str()), ("X-Forwarded-User", "ada")];
    let page = site.send("GET", "/", &as_rita, "");
    assert!(page.status == 200 && page.body.contains("rita"), "{page:?}");
    // With its own host a form counts, and ada may act.
    let own = format!("http://{}", site.address);
    let act = |who: &str, origin: &str| {
        let headers = [("Authorization", who), ("Origin", origin)];
        site.send("POST", "/jobs/act", &headers, "").status
    };
    assert_eq!(act(&rita, &own), 403);
    assert_eq!(act(&ada, "https://evil.example"), 403);
    assert_eq!(act(&ada, &own), 400); // it asks for nothing
    // Events come when they happen.
    let mut stream = TcpStream::connect(&site.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("Host: {}\r\nAuthorization: {rita}", site.address);
    write!(stream, "GET /events?job=1 HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
    let mut events = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(events.any(|line| line.contains("\"parts\"")));
    db.admin().await.create("agt_1").await;
    assert!(events.any(|line| line.contains("\"1\":\"succeeded\"")));
}
