//! What the pages show.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use agent_provisioner::console::ROUTES;

use super::actions::dead;
use super::{Site, address};
use crate::support::{CONSOLE, Database, Service, WORKER, provisioner};

/// Would do something, where it is not escaped.
const SCRIPT: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// Puts it, as $1, wherever somebody else's text may stand.
const PLANTED: [&str; 10] = [
    "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at, last_error,
        last_error_detail, last_error_hint, last_error_statement, last_error_file, last_error_relations, outcome,
        replayed_by, replayed_at, replay_reason, requested_by)
        values ('provision', 77, $1, 'dead', now(), $1, $1, $1, $1, $1, array[$1], $1, $1, now(), $1, $1)",
    "insert into provisioning.attempts values (1, 1, 'failed', 1, now(), now(), '1s', $1, 1, $1, $1, null, null)",
    "insert into provisioning.instances (id, host, pid, version, settings) values (1, $1, 1, $1, '{}')",
    "insert into provisioning.rollouts (template_version, templates, canaries, requested_by, reason, changed_by,
        change_reason) values (1, $1, 0, $1, $1, $1, $1)",
    "insert into provisioning.trash (agent_id, agent_prefix, template_version, reference, provisioned_at,
        restore_actions, purge_at) values (77, $1, 1, 'check', now(), '[]', now() + interval '1 day')",
    "insert into provisioning.accepted_findings (key, severity, reason, accepted_by) values ($1, 'failure', $1, $1)",
    "insert into provisioning.actions (done_by, action, reason, finding) values ($1, 'replay', $1, $1)",
    "insert into provisioning.agents (agent_id, agent_prefix, template_version, reference) values (88, $1, 1, 'check')",
    "insert into provisioning.drifted_agents (agent_id, differences, found)
        values (88, 1, jsonb_build_array(jsonb_build_object('change', $1::text, 'kind', $1, 'object', $1)))",
    "insert into public.businesses (name, type) values ($1, left($1, 50))",
];

/// What takes text from the address, as `{}`, and pages of one thing.
const ADDRESSES: [&str; 20] = [
    "/jobs/1",
    "/jobs/act?action=replay&id=1",
    "/agents/{}",
    "/agents?prefix={}&state={}",
    "/jobs?prefix={}&state={}&text={}&since={}",
    "/activity?by={}&since={}",
    "/activity?action={}&before={}",
    "/businesses?name={}",
    "/businesses?after={}",
    "/businesses/{}",
    "/doctor/act?action=accept&key={}",
    "/doctor/act?action=withdraw&key={}",
    "/drift?prefix={}",
    "/drift/act?action=repair&prefix={}",
    "/trash?prefix={}&page={}",
    "/rollouts/act?action=start&prefix={}&canary={}",
    "/rollouts/act?action={}&id={}",
    "/rollouts/act?action=pause&id=1",
    "/{}",
    "/jobs/{}",
];

#[tokio::test]
async fn what_tenants_and_errors_say_is_text_on_every_page() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin.run("alter table provisioning.jobs disable trigger user").await;
    for insert in PLANTED {
        admin.0.execute(insert, &[&SCRIPT]).await.unwrap();
    }
    let encoded = percent_encoding::utf8_percent_encode(SCRIPT, percent_encoding::NON_ALPHANUMERIC)
        .to_string();
    let all = ROUTES
        .into_iter()
        .filter(|(method, path)| *method == "GET" && path.ends_with(char::is_alphabetic));
    let all = all.map(|(_, path)| path).filter(|path| *path != "/events");
    for path in all.chain(["/"]).chain(ADDRESSES) {
        let page = site.get(&path.replace("{}", &encoded)).body;
        assert!(page.contains("</html>"), "{path}: {page}");
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{path}: {page}");
    }
    for path in ["/", "/jobs/1", "/activity", "/trash", "/rollouts", "/businesses", "/doctor"] {
        assert!(site.get(path).body.contains("&lt;script&gt;alert(1)"), "{path}");
    }
}

#[tokio::test]
async fn jobs_are_found_by_the_address_and_come_in_pages() {
    let db = Database::new().await;
    let admin = dead(&db, 1).await;
    let site = Site::new(&db, &[]).await;
    admin.holds("select bool_and(state = 'dead') from provisioning.jobs").await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at, outcome)
             select 'repair', n, 'old_' || n, 'succeeded', now(), 'unchanged' from generate_series(1, 120) n",
        )
        .await;
    let ids = |page: &str| -> Vec<i64> {
        let rows = page.split("name=\"id\" value=\"").skip(1);
        rows.map(|row| row.split('"').next().unwrap().parse().unwrap()).collect()
    };
    let first = site.get("/jobs?state=succeeded").body;
    assert_eq!(ids(&first), (72..=121).rev().collect::<Vec<_>>());
    assert!(first.contains("120 jobs"), "{first}");
    let next = first.split("href=\"").find(|rest| rest.contains("before=")).unwrap();
    let next = next.split('"').next().unwrap().replace("&amp;", "&");
    let second = site.get(&format!("/{next}")).body;
    assert_eq!(ids(&second), (22..=71).rev().collect::<Vec<_>>());
    assert_eq!(
        ids(&site.get("/jobs?prefix=old_7*").body),
        [80, 79, 78, 77, 76, 75, 74, 73, 72, 71, 8]
    );
    assert_eq!(ids(&site.get("/jobs?text=NOT+managed").body), [1]);
    assert_eq!(ids(&site.get("/jobs?state=dead&state=paused&kind=provision").body), [1]);
    assert_eq!(ids(&site.get("/jobs?state=running").body), [0; 0]);
    let found = site.get("/jobs?text=1");
    assert!(found.status == 303 && found.head.contains("location: jobs/1"), "{}", found.head);
    assert_eq!(site.get("/jobs/999").status, 404);
    assert_eq!(site.get("/agents/nobody").status, 404);
    assert!(site.get("/agents/agt_1").body.contains("agt_1"));
    let agents = site.get("/agents?prefix=gt_1&state=failed&sort=job").body;
    assert!(agents.contains("1 of 1 agents"), "{agents}");
    assert!(site.get("/agents?state=ready").body.contains("0 of 1 agents"));
}

#[tokio::test]
async fn that_nobody_works_is_said_only_while_it_is_so() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin.holds("select exists (select from provisioning.instances where provisioning.is_current(seen_at))").await;
    let missing = || site.get("/").body.contains("No worker is connected");
    crate::support::until("a worker to be seen", || async { (!missing()).then_some(()) }).await;
    // A console whose own worker is stopped, as on a machine of its own: this one shows itself again and again.
    crate::support::until("nobody to be seen", || async {
        admin.run("delete from provisioning.instances").await;
        missing().then_some(())
    })
    .await;
}

/// Reads events until one holds this.
fn event(reader: &mut impl BufRead, text: &str) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended before {text}");
        if line.contains(text) {
            return line;
        }
    }
}

#[tokio::test]
async fn all_viewers_share_one_look_and_nobody_causes_none() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    let stream = || {
        let mut stream = TcpStream::connect(&site.address).unwrap();
        write!(stream, "GET /events?job=1 HTTP/1.1\r\nHost: {}\r\n\r\n", site.address).unwrap();
        BufReader::new(stream)
    };
    let console = "select count(*) from pg_stat_activity where usename = 'agent_console' and datname = current_database()";
    assert_eq!(admin.one::<i64>(console).await, 0); // nobody has looked yet
    let mut streams: Vec<_> = (0..10).map(|_| stream()).collect();
    for reader in &mut streams {
        event(reader, "\"parts\"");
    }
    // Ten viewers ask over the connections of one.
    assert!(admin.one::<i64>(console).await <= 2);
    admin.create("agt_1").await;
    for reader in &mut streams {
        event(reader, "\"1\":\"succeeded\"");
    }
    let mut service = site.service;
    service.signal("TERM");
    assert!(service.ended().await.success());
}

#[tokio::test]
async fn without_a_database_the_pages_say_so_and_the_listener_stays() {
    let db = Database::new().await;
    let url = db.url(CONSOLE).replace(&db.name, "nowhere");
    let settings = [("CONSOLE__LISTEN", "127.0.0.1:0"), ("CONSOLE__DATABASE_URL", url.as_str())];
    let service = Service::start(&db.url(WORKER), &settings);
    let site = Site { address: address(&service).await, service };
    for path in [
        "/",
        "/jobs",
        "/agents",
        "/jobs/1",
        "/rollouts",
        "/trash",
        "/drift",
        "/activity",
        "/businesses",
    ] {
        let page = site.get(path);
        assert_eq!(page.status, 503, "{path}: {}", page.body);
        assert!(page.body.contains("nowhere") && page.body.contains("</html>"), "{}", page.body);
    }
}

#[tokio::test]
async fn dev_prints_a_link_to_its_console() {
    use std::process::Stdio;
    let mut dev =
        provisioner("").arg("dev").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines().map_while(Result::ok);
    let link = lines.find(|line| line.starts_with("The console")).unwrap();
    let at = link.split("http://").nth(1).unwrap().trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&at).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {at}\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Overview"), "{answer}");
    std::process::Command::new("kill").args(["-INT", &dev.id().to_string()]).status().unwrap();
    dev.wait().unwrap();
}

/// `agents` is locked by whoever adds a column to it and does not commit.
#[tokio::test]
async fn a_page_that_waits_for_a_lock_names_who_has_it_and_how_to_end_that() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    let pid: i32 = admin.one("select pg_backend_pid()").await;
    admin.run("begin; lock table public.agents").await;
    let page = site.get("/agents");
    let way_out = format!("<code>select pg_terminate_backend({pid})</code>");
    assert!(page.status == 503 && page.body.contains(&way_out), "{}", page.body);
    admin.run("rollback").await;
    assert_eq!(site.get("/agents/agt_a").status, 200);
}

/// Which row stands first, of a list of agents.
fn first(page: &str) -> &str {
    page.split("agents/agt%5F").nth(1).unwrap().split('"').next().unwrap()
}

#[tokio::test]
async fn agents_are_listed_with_their_sizes_and_in_the_order_that_is_asked_for() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    for prefix in ["agt_a", "agt_b", "agt_c"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    assert!(
        site.get("/agents").body.contains("<td class=\"number\">4</td><td class=\"number\">–</td>")
    );
    admin
        .run(
            "insert into public.agt_b_customers (agent_id, name, phone) select 2, 'x', n from generate_series(1, 500) n;
             alter table public.agt_c_orders rename to other;
             insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at, outcome)
                 values ('repair', 1, 'agt_a', 'succeeded', now(), 'unchanged');
             insert into provisioning.drifted_agents (agent_id, differences) values (3, 1);",
        )
        .await;
    admin.run("analyze").await;
    let other = Site::new(&db, &[]).await;
    for (sort, expected) in
        [("size", "b"), ("job", "a"), ("drift", "c"), ("prefix", "a"), ("", "a")]
    {
        let page = other.get(&format!("/agents?sort={sort}")).body;
        assert_eq!(first(&page), expected, "{sort}: {page}");
        assert!(page.contains("kB, ") && page.contains("state-renamed"), "{page}");
    }
    assert!(other.get("/agents?state=renamed").body.contains("1 of 3 agents"));
}
