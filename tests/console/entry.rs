//! Who may enter, and who may act.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use agent_provisioner::console::ROUTES;
use agent_provisioner::dev_server::SUPERUSER;
use sha2::{Digest, Sha256};

use super::{Site, hex};
use crate::support::{
    ADMIN, Admin, CONSOLE, Database, Files, Service, WORKER, expect, finish, json, provisioner,
};

const READS: &str = "r-0123456789012345678901234567890123456789";
const ACTS: &str = "a-0123456789012345678901234567890123456789";

/// A file of tokens, one of them as its hash.
fn tokens() -> (Files, String) {
    let hash = hex(&Sha256::digest(ACTS));
    let text = format!("# who may enter\nrita read {READS}\nolga operate sha256:{hash}\n");
    let files = Files::new(&[("tokens", &text)]);
    let path = format!("{}/tokens", files.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    (files, path)
}

fn with(token: &str) -> (&'static str, String) {
    ("Cookie", format!("other=1; agent_provisioner_console={token}"))
}

/// Where a route's placeholder stands for something that there is.
fn concrete(path: &str) -> String {
    path.replace("{id}", "1")
        .replace("{prefix}", "agt_x")
        .replace("{name}", "x")
        .replace("{business}", "00000000-0000-0000-0000-000000000001")
}

#[tokio::test]
async fn every_route_refuses_strangers_and_every_change_refuses_those_who_read() {
    let db = Database::new().await;
    let (_files, path) = tokens();
    let site = Site::new(&db, &[("CONSOLE__AUTH", "token"), ("CONSOLE__TOKENS_FILE", &path)]).await;
    let own = ("Sec-Fetch-Site", "same-origin");
    let (reads, acts) = (with(READS), with(ACTS));
    let (reads, acts) = ((reads.0, reads.1.as_str()), (acts.0, acts.1.as_str()));
    let mut changes = 0;
    for (method, path) in ROUTES {
        let at = concrete(path);
        if path.starts_with("/assets/") {
            continue; // style and script tell nothing
        }
        let stranger = site.send(method, &at, &[own], "");
        assert_eq!(stranger.status, 401, "{method} {path}: {stranger:?}");
        assert!(!stranger.body.contains("<nav"), "{method} {path}");
        let is_action = path.ends_with("/act");
        if is_action {
            assert_eq!(site.send(method, &at, &[own, reads], "").status, 403, "{method} {path}");
        }
        if method == "GET" {
            let foreign = site.send(method, &at, &[("Sec-Fetch-Site", "cross-site"), acts], "");
            let asks = is_action || path == "/events";
            assert!(!asks || foreign.status == 403, "{method} {path}");
            continue;
        }
        let foreign = site.send(method, &at, &[("Sec-Fetch-Site", "cross-site"), acts], "");
        assert_eq!(foreign.status, 403, "{method} {path}");
        if ["/login", "/logout"].contains(&path) {
            continue;
        }
        changes += 1;
        assert_eq!(site.send(method, &at, &[own, reads], "").status, 403, "{method} {path}");
        // Refused for what it asks, no longer for who asks it.
        assert_eq!(site.send(method, &at, &[own, acts], "").status, 400, "{method} {path}");
    }
    assert!(changes > 0);
    // An address that is none, and methods that there are none of.
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(site.send(method, "/jobs", &[own, reads], "").status, 403, "{method}");
    }
    let pages = ROUTES.into_iter().filter(|(method, path)| {
        *method == "GET" && !path.contains('{') && !path.ends_with("/act") && *path != "/events"
    });
    for (_, path) in pages {
        let page = site.send("GET", path, &[reads], "");
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(page.body.contains("rita"), "{}", page.body);
        assert!(!page.body.contains("name=\"action\" value"), "{}", page.body);
        assert_eq!(site.send("GET", path, &[acts], "").status, 200);
    }
    assert_eq!(site.send("GET", "/", &[("Cookie", "agent_provisioner_console=x")], "").status, 401);
    assert!(!site.service.log().contains(READS));
}

#[tokio::test]
async fn a_token_comes_by_a_form_and_stays_in_a_cookie() {
    let db = Database::new().await;
    let (_files, path) = tokens();
    let site = Site::new(&db, &[("CONSOLE__AUTH", "token"), ("CONSOLE__TOKENS_FILE", &path)]).await;
    assert_eq!(site.get("/").status, 401);
    assert_eq!(site.post("/login", "token=wrong").status, 401);
    let entered = site.post("/login", &format!("token={ACTS}"));
    assert_eq!(entered.status, 303, "{entered:?}");
    let cookie = entered.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    for part in ["httponly", "samesite=strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("secure"), "{cookie}"); // this is a loopback address
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(site.send("GET", "/", &[("Cookie", pair)], "").status, 200);
    let left =
        site.send("POST", "/logout", &[("Sec-Fetch-Site", "same-origin"), ("Cookie", pair)], "");
    assert!(left.head.contains("max-age=0"), "{left:?}");
    // Who is taken out of the file is out at once, and so is everybody when it is open to others.
    let mut stream = TcpStream::connect(&site.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nHost: {}\r\nCookie: {pair}\r\n\r\n", site.address)
        .unwrap();
    let mut events = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("data:") {
        line.clear();
        assert!(events.read_line(&mut line).unwrap() > 0);
    }
    fs::write(&path, format!("rita read {READS}\n")).unwrap();
    assert_eq!(site.send("GET", "/", &[("Cookie", pair)], "").status, 401);
    let mut rest = Vec::new();
    events.read_to_end(&mut rest).unwrap(); // or it takes twenty seconds
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (name, value) = with(READS);
    assert_eq!(site.send("GET", "/", &[(name, &value)], "").status, 403);
}

#[tokio::test]
async fn only_a_form_of_its_own_and_a_name_of_its_own_are_answered() {
    let db = Database::new().await;
    let site = Site::new(&db, &[("CONSOLE__HOSTS", "console.example,other.example")]).await;
    let act = |headers: &[(&str, &str)]| site.send("POST", "/jobs/act", headers, "").status;
    let own = format!("http://{}", site.address);
    for (headers, status) in [
        (&[][..], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Sec-Fetch-Site", "same-site")], 403),
        (&[("Origin", "http://evil.example")], 403),
        (&[("Origin", "null")], 403),
        (&[("Sec-Fetch-Site", "same-origin"), ("Origin", "http://evil.example")], 403),
        (&[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "same-origin")], 403),
        (&[("Origin", own.as_str())], 400),
        (&[("Sec-Fetch-Site", "same-origin"), ("Origin", own.as_str())], 400),
    ] {
        assert_eq!(act(headers), status, "{headers:?}");
    }
    for (host, status) in [
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("console.example", 200),
        ("Console.Example:443", 200),
        ("localhost:1", 200),
        ("[::1]:9188", 200),
    ] {
        assert_eq!(site.send("GET", "/", &[("Host", host)], "").status, status, "{host}");
    }
    // A proxy that makes everybody an operator.
    assert_eq!(site.send("GET", "/", &[("X-Forwarded-For", "10.0.0.1")], "").status, 403);
    // No browser speaks it; a proxy that adds nothing does.
    let mut stream = TcpStream::connect(&site.address).unwrap();
    write!(stream, "GET / HTTP/1.0\r\nHost: {}\r\n\r\n", site.address).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.split(' ').nth(1), Some("403"), "{answer}");
    let page = site.get("/");
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
        "frame-ancestors 'none'",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "referrer-policy: same-origin",
    ] {
        assert!(page.head.contains(header), "{}", page.head);
    }
    assert!(!page.body.contains("style=") && !page.body.contains("onclick"), "{}", page.body);
    let asset = page.body.split("assets/").nth(1).unwrap().split('"').next().unwrap();
    let style = site.get(&format!("/assets/{asset}"));
    assert!(style.status == 200 && style.head.contains("immutable"), "{}", style.head);
    assert_eq!(site.get("/nowhere").status, 404);
    assert_eq!(
        site.send("POST", "/jobs/act", &[("Origin", &own)], &"x".repeat(100_000)).status,
        413
    );
}

#[tokio::test]
async fn a_header_counts_only_from_a_proxy_that_is_named() {
    let db = Database::new().await;
    let named = [
        ("CONSOLE__AUTH", "header"),
        ("CONSOLE__PROXIES", "127.0.0.1"),
        ("CONSOLE__OPERATORS", "olga@example.com"),
    ];
    let site = Site::new(&db, &named).await;
    let act = |name: &str| {
        let headers = [("Sec-Fetch-Site", "same-origin"), ("X-Forwarded-User", name)];
        site.send("POST", "/jobs/act", &headers, "").status
    };
    assert_eq!(site.get("/").status, 403);
    assert_eq!(act("rita@example.com"), 403);
    assert_eq!(act("olga@example.com"), 400); // it asks for nothing
    for odd in ["olga) (boss", "\"olga\"", "<olga>", &"o".repeat(101), "\u{202e}aglo"] {
        assert_eq!(act(odd), 403, "{odd}");
    }
    let twice = [("X-Forwarded-User", "olga@example.com"), ("X-Forwarded-User", "rita")];
    assert_eq!(site.send("GET", "/", &twice, "").status, 403);
    drop(site);
    let elsewhere = [named[0], ("CONSOLE__PROXIES", "10.0.0.5"), named[2]];
    let site = Site::new(&db, &elsewhere).await;
    let headers = [("X-Forwarded-User", "olga@example.com")];
    assert_eq!(site.send("GET", "/", &headers, "").status, 403);
}

#[tokio::test]
async fn unsafe_settings_end_the_start() {
    let db = Database::new().await;
    let (files, path) = tokens();
    let open = Files::new(&[
        ("tokens", &format!("rita read {READS}\n")),
        ("short", "rita read x\n"),
        ("empty", ""),
    ]);
    let close = |name: &str| {
        let path = format!("{}/{name}", open.path());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    fs::set_permissions(format!("{}/tokens", open.path()), fs::Permissions::from_mode(0o644))
        .unwrap();
    let (short, empty, url) = (close("short"), close("empty"), db.url(CONSOLE));
    let open_file = format!("{}/tokens", open.path());
    let (url, everywhere) =
        (("CONSOLE__DATABASE_URL", url.as_str()), ("CONSOLE__LISTEN", "0.0.0.0:0"));
    let (loopback, token) = (("CONSOLE__LISTEN", "127.0.0.1:0"), ("CONSOLE__AUTH", "token"));
    let file = "CONSOLE__TOKENS_FILE";
    let header = [loopback, url, ("CONSOLE__AUTH", "header"), ("CONSOLE__PROXIES", "127.0.0.1")];
    let by = |key: &'static str, value: &'static str| [&header[..], &[(key, value)]].concat();
    for (settings, said) in [
        (vec![everywhere, url], "console.auth"),
        (vec![everywhere, url, token], "console.tokens_file"),
        (vec![everywhere, url, ("CONSOLE__AUTH", "header")], "console.proxies"),
        (
            vec![loopback, url, ("CONSOLE__AUTH", "header"), ("CONSOLE__PROXIES", "nginx")],
            "console.proxies",
        ),
        (by("CONSOLE__HEADER", "X-User)"), "console.header"),
        (by("CONSOLE__HEADER", "X User"), "console.header"),
        (by("CONSOLE__HEADER", "X-Us\u{e9}r"), "console.header"),
        (by("CONSOLE__HEADER", "cookie"), "console.header"),
        (by("CONSOLE__HEADER", "Sec-Fetch-Site"), "console.header"),
        (by("CONSOLE__OPERATORS", "ada,olga) (boss"), "olga) (boss"),
        (vec![loopback], "console.database_url"),
        (vec![loopback, url, token, (file, &open_file)], "chmod 600"),
        (vec![loopback, url, token, (file, &short)], "32 characters"),
        (vec![loopback, url, token, (file, &empty)], "names nobody"),
    ] {
        let mut service = Service::start(&db.url(WORKER), &settings);
        assert_eq!(service.ended().await.code(), Some(2), "{settings:?}");
        service.logged(said).await;
        assert!(!service.log().contains(READS), "{}", service.log());
    }
    let service = Service::start(&db.url(WORKER), &[everywhere, url, token, (file, &path)]);
    service.started().await.unwrap();
    drop(files);
}

/// Refused with this SQLSTATE, or allowed.
const ROLE: [(&str, &str); 27] = [
    ("select from public.agt_ada_customers", "42501"),
    ("select from public.agt_ada_messages", "42501"),
    ("select from public.agt_ada_orders_items", "42501"),
    ("select from public.agents", "42501"),
    ("select from public.users", "42501"),
    ("select api_key from public.whatsapp_configuration", "42501"),
    ("select from public.whatsapp_numbers", "42501"),
    ("select from public.businesses", "42501"),
    ("select from provisioning.secrets", "42501"),
    ("select from public.get_whatsapp_token('1')", "42501"),
    ("select from provisioning.list_businesses(null, null, 1)", ""),
    ("select from auth.users", "42501"),
    ("update provisioning.jobs set state = 'dead'", "42501"),
    ("delete from provisioning.agents", "42501"),
    (
        "select from provisioning.enqueue('repair', '{1}', true, null, null, null, 0::smallint)",
        "42501",
    ),
    // A repair only as it was shown.
    ("select from provisioning.repair_as_shown('{1}', '{null}', 'x', 'x')", "22023"),
    (
        "select from provisioning.queue_jobs('repair', '{1}', true, null, null, null, 0::smallint, null)",
        "42501",
    ),
    ("delete from provisioning.actions", "42501"),
    ("select from provisioning.note_action('replay', 'x', 'x', '{1}', null, null)", "42501"),
    ("select from provisioning.remove_agent(1, null)", "42501"),
    ("select from provisioning.purge_item(1, false)", "42501"),
    ("select from public.delete_agent(1)", "42501"),
    ("create table public.mine ()", "42501"),
    ("set role agent_provisioner", "42501"),
    ("set role postgres", "42501"),
    ("select from provisioning.jobs", ""),
    ("select from provisioning.replay('{1}', null, '{dead}', 'x', 'x', true)", ""),
];

#[tokio::test]
async fn its_database_role_reads_no_customer_and_changes_nothing_but_jobs() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_ada").await;
    admin.settled().await;
    drop(service);
    let console = Admin(db.connect(CONSOLE).await);
    for (sql, expected) in ROLE {
        let found = console
            .answer(sql)
            .await
            .err()
            .map_or(String::new(), |error| error.code().code().to_owned());
        assert_eq!(found, expected, "{sql}");
    }
    // Of all relations it reads those of the queue and the registry, and it writes none.
    let readable = "select string_agg(c.oid::regclass::text, ' ' order by 1) from pg_class c
        where c.relkind in ('r', 'p', 'v', 'm') and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
          and (has_table_privilege('agent_console', c.oid, 'select') or has_any_column_privilege('agent_console', c.oid, 'select'))";
    let readable: String = admin.one(readable).await;
    assert!(readable.split(' ').all(|name| name.starts_with("provisioning.")), "{readable}");
    // Also of a session that sets nothing itself.
    for (setting, expected) in [
        ("statement_timeout", "30s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "30s"),
    ] {
        let console = Admin(db.connect(CONSOLE).await);
        assert_eq!(console.rows(&format!("show {setting}")).await, [expected]);
    }
    let writable = "select count(*) from pg_class c where c.relkind in ('r', 'p', 'v')
        and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
        and has_table_privilege('agent_console', c.oid, 'insert, update, delete, truncate')";
    assert_eq!(admin.one::<i64>(writable).await, 0);
}

#[tokio::test]
async fn doctor_finds_a_console_that_reads_customers_or_nothing() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_ada").await;
    admin.settled().await;
    drop(service);
    let found = async |settings: &[(&str, &str)]| {
        let mut doctor = provisioner(&db.url(WORKER));
        for (key, value) in settings {
            doctor.env(format!("PROVISIONER_{key}"), value);
        }
        let findings = json(&finish(doctor.args(["doctor", "--json"])).await);
        let find = |what: &str| {
            findings.as_array().unwrap().iter().find(|it| it["what"] == what).unwrap()["severity"]
                .clone()
        };
        [find("console"), find("secrets")]
    };
    let on = ("CONSOLE__LISTEN", "127.0.0.1:9188");
    let as_role = |role: &str| db.url(role);
    assert_eq!(found(&[]).await, ["ok", "ok"]);
    assert_eq!(found(&[on]).await, ["failure", "ok"]);
    for (role, expected) in
        [(CONSOLE, "ok"), (WORKER, "failure"), (ADMIN, "failure"), (SUPERUSER, "failure")]
    {
        let url = as_role(role);
        assert_eq!(found(&[on, ("CONSOLE__DATABASE_URL", &url)]).await, [expected, "ok"], "{role}");
    }
    let url = as_role(CONSOLE);
    admin.run("revoke select on provisioning.jobs from agent_console").await;
    assert_eq!(found(&[on, ("CONSOLE__DATABASE_URL", &url)]).await, ["failure", "ok"]);
    // Its files are secrets, too.
    let (_files, path) = tokens();
    let token = [on, ("CONSOLE__AUTH", "token"), ("CONSOLE__TOKENS_FILE", path.as_str())];
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(found(&token).await, ["failure", "ok"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(found(&token).await, ["failure", "warning"]);
    // An address that everybody reaches without a name is no set-up at all.
    let mut doctor = provisioner(&db.url(WORKER));
    let open = doctor.env("PROVISIONER_CONSOLE__LISTEN", "0.0.0.0:9188").arg("doctor");
    expect(&finish(open).await, 2, &["console.auth"]);
}

#[tokio::test]
async fn strangers_end_no_connection_of_somebody_who_has_entered() {
    let db = Database::new().await;
    let (_files, path) = tokens();
    let site = Site::new(&db, &[("CONSOLE__AUTH", "token"), ("CONSOLE__TOKENS_FILE", &path)]).await;
    let (name, value) = with(READS);
    let mut stream = TcpStream::connect(&site.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "GET /events?job=1 HTTP/1.1\r\nHost: {}\r\n{name}: {value}\r\n\r\n",
        site.address
    )
    .unwrap();
    let mut events = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(events.any(|line| line.starts_with("data:")));
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(&site.address).unwrap()).collect();
    assert_eq!(site.send("GET", "/", &[(name, &value)], "").status, 200);
    let admin = db.admin().await;
    admin.create("agt_1").await;
    assert!(events.any(|line| line.contains("succeeded")));
    drop(idle);
}
