//! One program serves many databases: settings, commands, and the failure of one.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use agent_provisioner::config::{self, DatabaseName, Databases};
use agent_provisioner::dev_server::Stop;
use agent_provisioner::telemetry::ErrorReport;
use serde_json::{Value, json as value};

use crate::console::{Site, address};
use crate::support::{
    ADMIN, Admin, CONSOLE, Database, Files, Server, Service, WORKER, expect, finish, get, json,
    provisioner, said, until,
};
use crate::systemd::Manager;

/// Settings with these entries; each is a name, a URL and more lines.
fn settings(shared: &str, entries: &[(&str, &str, &str)]) -> Files {
    let entry = |(name, url, more): &(&str, &str, &str)| {
        format!("[[database]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}\n")
    };
    let text = shared.to_owned() + "\n" + &entries.iter().map(entry).collect::<String>();
    Files::new(&[("config.toml", &text)])
}

fn at(files: &Files) -> String {
    format!("{}/config.toml", files.path())
}

/// A command with these settings, and no URL in the environment.
fn command(files: &Files, args: &[&str]) -> Command {
    let mut command = provisioner("");
    command.env_remove("DATABASE_URL").env("PROVISIONER_CONFIG", at(files)).env("USER", "ada");
    command.args(args);
    command
}

async fn ask_of(files: &Files, args: &[&str]) -> Output {
    finish(&mut command(files, args)).await
}

fn serve(files: &Files) -> Service {
    Service::with(|command| {
        command.env_remove("DATABASE_URL").env("PROVISIONER_CONFIG", at(files));
    })
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Databases, String> {
    let files = Files::new(&[("config.toml", text)]);
    let environment = environment.iter().copied();
    config::load(Some(Path::new(&at(&files))), environment)
        .map_err(|error| ErrorReport(&error).to_string())
}

const TWO: &str = r#"
reference = "check"
[deprovision]
retention = "2d"
[[database]]
name = "eu"
url = "postgres://u@h/eu"
[[database]]
name = "us-1"
url = "postgres://u@h/us"
reference = "foreign_key"
retention = "3d"
realtime = ["messages"]
pool_size = 9
"#;

#[test]
fn each_entry_has_the_shared_settings_and_its_own_over_them() {
    let shown = |databases: &Databases| -> Vec<String> {
        let of = |config: &config::Config| {
            let name = config.name.as_ref().map_or("-", |name| name.as_str());
            let days = config.deprovision.retention.as_secs() / 86_400;
            let (reference, pool) = (config.reference.as_str(), config.database.pool_size);
            let place = config.database.source().unwrap().place();
            let realtime = config.realtime.len();
            format!("{name} {} {reference} {days} {pool} {realtime}", place.database)
        };
        databases.iter().map(of).collect()
    };
    let databases = load(TWO, &[]).unwrap();
    assert!(databases.is_many());
    assert_eq!(shown(&databases), ["eu eu check 2 8 0", "us-1 us foreign_key 3 9 1"]);
    // The environment goes over the file, as ever.
    let databases = load(TWO, &[("PROVISIONER_REFERENCE", "check")]).unwrap();
    assert_eq!(shown(&databases), ["eu eu check 2 8 0", "us-1 us check 3 9 1"]);
    // A URL in the environment means one database, which has no name.
    for variable in ["DATABASE_URL", "PROVISIONER_DATABASE__URL"] {
        let databases = load(TWO, &[(variable, "postgres://u@h/other")]).unwrap();
        assert_eq!(shown(&databases), ["- other check 2 8 0"]);
        let passed_over: Vec<_> =
            databases.passed_over().iter().map(DatabaseName::as_str).collect();
        assert_eq!((databases.is_many(), passed_over), (false, vec!["eu", "us-1"]));
    }
    let single = load("[database]\nurl = \"postgres://u@h/one\"", &[]).unwrap();
    assert_eq!(
        (shown(&single), single.is_many()),
        (vec!["- one foreign_key 7 8 0".to_owned()], false)
    );
}

#[test]
fn errors_name_the_database_and_the_key() {
    let entry = |lines: &str| format!("[[database]]\nname = \"eu\"\n{lines}");
    let name = |name: &str| format!("[[database]]\nname = {name}\n");
    let long = name(&format!("\"{}\"", "a".repeat(41)));
    let cases = [
        (entry("bogus = 1"), "database.eu.bogus"),
        (entry("bogus = 1"), "`retention`"),
        (entry("sslmode = \"nosuch\""), "database.eu.sslmode"),
        (entry("reference = \"nosuch\""), "database.eu.reference"),
        (entry("retention = \"soon\""), "database.eu.retention"),
        (entry("retention = \"90years\""), "database.eu.retention"),
        (entry("pool_size = 1"), "database.eu.pool_size"),
        (entry("") + &entry(""), "database.eu is there twice"),
        ("[[database]]\nurl = \"x\"".to_owned(), "number 1 is not set"),
        (entry("") + &name("\"all\""), "number 2 cannot be used"),
        (name("\"Eu\""), "number 1 cannot be used"),
        (name("\"\""), "number 1 cannot be used"),
        (name("[1]"), "number 1 cannot be used"),
        (long, "number 1 cannot be used"),
        ("database = [1]".to_owned(), "[[database]]"),
        ("database = []".to_owned(), "[[database]]"),
        (
            "console.database_url_file = \"/x\"\n".to_owned() + &entry(""),
            "console_database_url_file",
        ),
        ("[worker]\ntotal_concurrency = 0\n".to_owned() + &entry(""), "worker.total_concurrency"),
    ];
    for (text, part) in cases {
        let error = load(&text, &[]).map(drop).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    let secret = "postgres://u:hunter2@h/d";
    for variable in ["PROVISIONER_DATABASE__POOL_SIZE", "PROVISIONER_CONSOLE__DATABASE_URL_FILE"] {
        let error = load(TWO, &[(variable, "9")]).map(drop).unwrap_err();
        assert!(error.contains(variable), "{error}");
    }
    let twice = entry(&format!("url = \"{secret}\"\nurl_file = \"/nonexistent\""));
    let gone = entry("url_file = \"/nonexistent\"");
    let unparsable = entry("url = \"hunter2\"");
    let listen = entry(&format!("url = \"{secret}\"\nlisten_url = \"hunter2\""));
    for (text, part) in [
        (entry(""), "database.eu.url "),
        (twice, "database.eu.url "),
        (gone, "database.eu.url "),
        (unparsable, "database.eu.url "),
        (listen, "database.eu.listen_url "),
    ] {
        let databases = load(&text, &[]).unwrap();
        let database = &databases.first().database;
        let error = database.source().and_then(|work| database.listen_source(&work));
        let error = ErrorReport(&error.unwrap_err()).to_string();
        assert!(error.contains(part) && !error.contains("hunter2"), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_command_says_which_database_it_needs() {
    let url = "postgres://u@127.0.0.1:1/d";
    let many = settings("", &[("eu", url, ""), ("us", url, "")]);
    let one = settings("", &[("eu", url, "")]);
    let single = Files::new(&[("config.toml", &format!("[database]\nurl = \"{url}\""))]);
    for (files, args, part) in [
        (&many, &["agents", "show", "agt_a"][..], "--database with eu, us\n"),
        (&many, &["agents", "list"], "--database with eu, us, all\n"),
        (&many, &["status", "--watch"], "--database with eu, us\n"),
        (&many, &["jobs", "show", "1", "--database", "all"], "--database with eu, us\n"),
        (&many, &["agents", "list", "--database", "ap"], "--database takes eu, us, all\n"),
        (&many, &["migrate", "--database", "all", "--canary-database", "ap"], "eu, us, all\n"),
        (&many, &["run", "--database", "ap"], "eu, us, all\n"),
        (&many, &["render", "agt_a"], "--database with eu, us\n"),
        (&single, &["status", "--database", "eu"], "leave the option out"),
        (&single, &["run", "--database", "all"], "leave the option out"),
    ] {
        expect(&ask_of(files, args).await, 2, &[part]);
    }
    let mut exported = command(&many, &["status", "--database", "eu"]);
    expect(&finish(exported.env("DATABASE_URL", url)).await, 2, &["unset DATABASE_URL"]);
    // What needs no database needs no name; and where there is only one, it is meant.
    for (files, args) in [
        (&many, &["render", "agt_a", "--database", "us"][..]),
        (&one, &["render", "agt_a"]),
        (&many, &["keys", "generate", "--file", &format!("{}/keys", many.path())]),
    ] {
        expect(&ask_of(files, args).await, 0, &[]);
    }
    // All settings are looked at before anything runs.
    let broken = settings("", &[("eu", url, ""), ("us", url, "templates = \"/nonexistent\"")]);
    expect(&ask_of(&broken, &["run"]).await, 2, &["database us"]);
}

/// Two databases on two servers, each with an administrator.
struct Two {
    eu: Database,
    us: Database,
    eu_admin: Admin,
    us_admin: Admin,
}

impl Two {
    async fn new() -> Self {
        let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
        let (eu, us) = (Database::new().await, server.database().await);
        let (eu_admin, us_admin) = (eu.admin().await, us.admin().await);
        Self { eu, us, eu_admin, us_admin }
    }

    fn settings(&self, shared: &str, role: &str, more: [&str; 2]) -> Files {
        let [eu, us] = [self.eu.url(role), self.us.url(role)];
        let [of_eu, of_us] = more;
        settings(shared, &[("eu", &eu, of_eu), ("us", &us, of_us)])
    }
}

/// The samples of a metric by the database that they are labelled with.
fn samples(exposition: &str, metric: &str) -> BTreeMap<String, String> {
    let of = |line: &str| {
        let (_, rest) = line.strip_prefix(metric)?.split_once("database=\"")?;
        let (name, rest) = rest.split_once('"')?;
        Some((name.to_owned(), rest.rsplit(' ').next()?.to_owned()))
    };
    exposition.lines().filter_map(of).collect()
}

fn databases(report: &Value) -> Vec<&str> {
    let all = report["databases"].as_array().unwrap();
    all.iter().map(|it| it["database"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn two_databases_on_two_servers_are_served_through_the_failover_of_one() {
    let two = Two::new().await;
    let files = two.settings("reference = \"check\"", WORKER, ["", "reference = \"foreign_key\""]);
    let mut service = serve(&files);
    let address = service.http().await;
    for admin in [&two.eu_admin, &two.us_admin] {
        admin.create("agt_before").await;
        admin.settled().await;
        assert_eq!(admin.tables("agt_before").await.len(), 4);
    }
    let reference = "select string_agg(reference, ',') from provisioning.agents";
    assert_eq!(two.eu_admin.one::<String>(reference).await, "check");
    assert_eq!(two.us_admin.one::<String>(reference).await, "foreign_key");
    let ready = |path: &'static str, answer: &'static str| {
        let address = &address;
        until(answer, move || async move { (get(address, path).1 == answer).then_some(()) })
    };
    ready("/readyz", "eu: ready\nus: ready\n").await;

    two.us.server.stop(Stop::Immediate);
    until("the log to tell", || async { service.log().contains("\"retry_in\"").then_some(()) })
        .await;
    two.eu_admin.create("agt_meanwhile").await;
    two.eu_admin.settled().await;
    assert_eq!(two.eu_admin.tables("agt_meanwhile").await.len(), 4);
    // The process is neither ended nor left out for the sake of one database.
    ready("/readyz", "eu: ready\nus: database_unreachable\n").await;
    assert_eq!(get(&address, "/readyz").0, 200);
    assert_eq!(get(&address, "/livez").0, 200);
    assert_eq!(get(&address, "/readyz?database=us").0, 503);
    assert_eq!(get(&address, "/readyz?database=eu"), (200, "eu: ready\n".to_owned()));
    assert_eq!(get(&address, "/readyz?database=ap").0, 404);
    only_one_is_healthy(&files, &address).await;
    let metrics = get(&address, "/metrics").1;
    let is = |metric, eu: &str, us: &str| {
        let expected = [("eu", eu), ("us", us)].map(|(name, it)| (name.to_owned(), it.to_owned()));
        assert_eq!(samples(&metrics, metric), BTreeMap::from(expected), "{metrics}");
    };
    is("agent_provisioner_database_ready{", "1", "0");
    is("agent_provisioner_ready_seconds_count{", "2", "1");
    is("agent_provisioner_database_restarts_total{", "0", "0");
    each_series_has_a_name(&metrics);
    // A list of all says what it could not ask, and the exit code does, too.
    let listed = ask_of(&files, &["agents", "list", "--database", "all", "--json"]).await;
    expect(&listed, 1, &[]);
    let report = json(&listed);
    assert_eq!(databases(&report), ["eu", "us"]);
    assert_eq!((&report["done"], &report["failed"]), (&value!(["eu"]), &value!(["us"])));
    assert_eq!(report["databases"][0]["report"].as_array().unwrap().len(), 2);
    assert!(report["databases"][1]["error"].is_string(), "{report}");

    two.us.server.resume();
    let us_admin = two.us.admin().await;
    us_admin.create("agt_after").await;
    us_admin.settled().await;
    assert_eq!(us_admin.tables("agt_after").await.len(), 4);
    ready("/readyz", "eu: ready\nus: ready\n").await;
    let listed = ask_of(&files, &["agents", "list", "--database", "all"]).await;
    expect(&listed, 0, &["== eu ==", "agt_meanwhile", "== us ==", "agt_after", "done: eu, us"]);
    expect(&ask_of(&files, &["agents", "show", "agt_after", "--database", "us"]).await, 0, &[]);

    service.signal("TERM");
    assert!(service.ended().await.success());
    each_line_of_an_instance_has_its_name(&service.log());
}

async fn only_one_is_healthy(files: &Files, address: &str) {
    for (asked, code) in [("eu", 0), ("us", 1)] {
        let mut healthcheck = command(files, &["healthcheck", "--ready", "--database", asked]);
        healthcheck.env("PROVISIONER_HTTP__LISTEN", address);
        expect(&finish(&mut healthcheck).await, code, &[asked]);
    }
}

#[track_caller]
fn each_series_has_a_name(metrics: &str) {
    let bare = |line: &&str| !line.starts_with('#') && !line.contains("database=\"");
    assert_eq!(metrics.lines().filter(bare).collect::<Vec<_>>(), [""; 0]);
    let described = metrics.lines().filter(|line| line.starts_with("# TYPE "));
    let mut described: Vec<_> = described.collect();
    let all = described.len();
    described.dedup();
    described.sort_unstable();
    described.dedup();
    assert_eq!(described.len(), all, "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}

#[track_caller]
fn each_line_of_an_instance_has_its_name(log: &str) {
    let of_the_process = ["serving HTTP", "working on many databases", "stopping"];
    let mut told = BTreeMap::<String, usize>::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |pointer| line.pointer(pointer).and_then(Value::as_str);
        let name = text("/span/database").unwrap_or("-").to_owned();
        let message = text("/message").unwrap();
        assert_eq!(name == "-", of_the_process.contains(&message), "{line}");
        *told.entry(name).or_default() += 1;
    }
    assert!(told.contains_key("eu") && told.contains_key("us"), "{told:?}");
}

#[tokio::test]
async fn what_ends_the_work_on_one_database_is_begun_anew_and_ends_no_other() {
    let (eu, us) = (Database::new().await, Database::empty().await);
    let (eu_admin, us_admin) = (eu.admin().await, us.admin().await);
    let [eu_url, us_url] = [eu.url(WORKER), us.url(WORKER)];
    let files = settings("", &[("us", &us_url, ""), ("eu", &eu_url, "")]);
    let manager = Manager::new("many");
    let service = Service::with(|command| {
        command.env_remove("DATABASE_URL").env("PROVISIONER_CONFIG", at(&files));
        command.env("NOTIFY_SOCKET", &manager.path);
    });
    let address = service.http().await;
    // The first has no schema yet. The other makes the service ready.
    manager.heard_until("READY=1").await;
    manager.heard_until("STATUS=working on 1 of 2 databases; us: ").await;
    eu_admin.create("agt_a").await;
    eu_admin.settled().await;
    let is_refused = || async { service.log().contains("has ended").then_some(()) };
    until("the log to tell", is_refused).await;
    assert_eq!(get(&address, "/readyz?database=us").0, 503);
    us.migrate().await;
    us_admin.create("agt_b").await;
    us_admin.settled().await;
    // A newer program migrates: what this one does there ends.
    let newer = "insert into provisioning.migrations values (999, 'from the future', '')";
    us_admin.run(newer).await;
    us_admin.create("agt_c").await;
    let restarted = || async {
        let metrics = get(&address, "/metrics").1;
        let restarts = samples(&metrics, "agent_provisioner_database_restarts_total{");
        let number = |name: &str| restarts.get(name)?.parse::<u32>().ok();
        (number("us")? > 1 && number("eu") == Some(0)).then_some(())
    };
    until("the work to be begun anew", restarted).await;
    eu_admin.create("agt_d").await;
    eu_admin.settled().await;
    us_admin.run("delete from provisioning.migrations where version = 999").await;
    us_admin.settled().await;
    assert_eq!(us_admin.tables("agt_c").await.len(), 4);
    service.stop().await;
}

#[tokio::test]
async fn a_slow_database_leaves_each_other_one_a_job() {
    let (eu, us) = (Database::new().await, Database::new().await);
    let (eu_admin, us_admin, holder) = (eu.admin().await, us.admin().await, eu.admin().await);
    let patient = "lock_timeout = \"50s\"";
    let files = settings(
        "[worker]\ntotal_concurrency = 3",
        &[("eu", &eu.url(WORKER), patient), ("us", &us.url(WORKER), patient)],
    );
    let service = serve(&files);
    for admin in [&eu_admin, &us_admin] {
        admin.create("agt_first").await;
        admin.settled().await;
    }
    holder.run("begin; lock table provisioning.lock_gate in exclusive mode").await;
    for prefix in ["agt_a", "agt_b", "agt_c", "agt_d"] {
        eu_admin.create(prefix).await;
    }
    let running = "select count(*) from pg_stat_activity where datname = current_database() \
                   and application_name ^@ 'agent-provisioner job '";
    eu_admin.holds(&format!("select ({running}) = 2")).await;
    for prefix in ["agt_a", "agt_b", "agt_c"] {
        us_admin.create(prefix).await;
        us_admin.settled().await;
    }
    assert_eq!(eu_admin.one::<i64>(running).await, 2);
    holder.run("commit").await;
    eu_admin.settled().await;
    service.stop().await;
}

#[tokio::test]
async fn the_console_has_the_pages_of_each_database_below_its_name() {
    let (eu, us) = (Database::new().await, Database::new().await);
    let own = |db: &Database| format!("console_database_url = \"{}\"", db.url(CONSOLE));
    let shared = "[console]\nlisten = \"127.0.0.1:0\"";
    let (eu_url, us_url, of_eu, of_us) = (eu.url(WORKER), us.url(WORKER), own(&eu), own(&us));
    let without = settings(shared, &[("eu", &eu_url, &of_eu), ("us", &us_url, "")]);
    expect(&ask_of(&without, &["run"]).await, 2, &["database.us.console_database_url"]);
    let files = settings(shared, &[("eu", &eu_url, &of_eu), ("us", &us_url, &of_us)]);
    let service = serve(&files);
    for (db, prefix) in [(&eu, "agt_of_eu"), (&us, "agt_of_us")] {
        let admin = db.admin().await;
        admin.create(prefix).await;
        admin.settled().await;
    }
    let site = Site { address: address(&service).await, service };
    let root = site.get("/");
    assert_eq!(root.status, 303);
    assert!(root.head.contains("location: ./db/eu/"), "{root:?}");
    for (path, shown, hidden) in [
        ("/db/eu/agents", "agt_of_eu", "agt_of_us"),
        ("/db/us/agents", "agt_of_us", "agt_of_eu"),
        ("/db/us/", "href=\"./../eu/\"", "agt_of_eu"),
    ] {
        let page = site.get(path);
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains(shown) && !page.body.contains(hidden), "{page:?}");
    }
    assert!(site.get("/db/us/jobs").body.contains("<title>us: Jobs"));
    for path in ["/agents", "/db/ap/", "/db/eu/nothing"] {
        assert_eq!(site.get(path).status, 404, "{path}");
    }
    // What keeps strangers out keeps them out of each.
    let elsewhere = [("Host", "example.org")];
    assert_eq!(site.send("GET", "/db/us/agents", &elsewhere, "").status, 421);
    site.service.stop().await;
}

#[tokio::test]
async fn a_canary_goes_first_and_its_failure_stops_the_others() {
    let (eu, us) = (Database::empty().await, Database::empty().await);
    let (eu_url, us_url) = (eu.url(ADMIN), us.url(ADMIN));
    let nowhere = "postgres://postgres@127.0.0.1:1/d";
    let entries = [("eu", eu_url.as_str(), ""), ("us", us_url.as_str(), ""), ("gone", nowhere, "")];
    let files = settings("", &entries);
    let all = ["--database", "all", "--json"];
    let ask_all = async |args: &[&str], code: i32| {
        let asked = ask_of(&files, &[args, &all].concat()).await;
        expect(&asked, code, &[]);
        json(&asked)
    };
    let names = |report: &Value| {
        ["done", "failed", "not_begun"].map(|of| report[of].as_array().unwrap().len())
    };
    let report = ask_all(&["migrate", "--canary-database", "gone"], 1).await;
    assert_eq!((names(&report), databases(&report)[0]), ([0, 1, 2], "gone"), "{report}");
    let applied = "select to_regclass('provisioning.migrations') is not null";
    assert!(!eu.admin().await.one::<bool>(applied).await);

    let report = ask_all(&["migrate"], 1).await;
    assert_eq!((&report["done"], &report["failed"]), (&value!(["eu", "us"]), &value!(["gone"])));
    assert!(report["databases"][0]["report"]["applied"].is_array(), "{report}");
    assert!(eu.admin().await.one::<bool>(applied).await);
    // One at a time, and none after the first failure, unless more may fail.
    let order = [("us", us_url.as_str(), ""), ("gone", nowhere, ""), ("eu", eu_url.as_str(), "")];
    let files = settings("", &order);
    let one = ["migrate", "--parallel", "1", "--database", "all"];
    let stopped = ask_of(&files, &one).await;
    expect(&stopped, 1, &["done: us\n", "failed: gone\n", "not begun: eu\n"]);
    let more = [&one[..], &["--max-failed-databases", "1"]].concat();
    expect(&ask_of(&files, &more).await, 1, &["done: us, eu\n", "failed: gone\n"]);
    // What only looks asks all.
    let looked =
        ask_of(&files, &["agents", "verify", "--parallel", "1", "--database", "all"]).await;
    expect(&looked, 1, &["== us ==", "done: us, eu\n", "failed: gone\n"]);
    assert!(said(&looked).contains("gone: agent-provisioner: "), "{}", said(&looked));
}

#[tokio::test]
async fn an_upgrade_counts_failures_over_all_databases() {
    const BASE: (&str, &str) = (
        "0001_base.sql",
        "create table public.{prefix}_customers (id serial primary key, agent_id bigint not null default {agent_id});
         alter table public.{prefix}_customers enable row level security;",
    );
    const UNIQUE: (&str, &str) = (
        "0002_unique.sql",
        "alter table public.{prefix}_customers add column email text not null;",
    );
    let (eu, us) = (Database::new().await, Database::new().await);
    let [eu_url, us_url] = [eu.url(WORKER), us.url(WORKER)];
    let entries = [("eu", eu_url.as_str(), ""), ("us", us_url.as_str(), "")];
    let templates = Files::new(&[BASE]);
    let shared = format!("templates = \"{}\"", templates.path());
    let files = settings(&shared, &entries);
    let first = serve(&files);
    for db in [&eu, &us] {
        let admin = db.admin().await;
        for prefix in ["agt_a", "agt_b"] {
            admin.create(prefix).await;
        }
        admin.settled().await;
    }
    first.stop().await;
    // A row for which the new column has no value: the upgrade of this agent fails.
    let eu_admin = eu.admin().await;
    eu_admin.run("insert into public.agt_a_customers default values").await;
    templates.write(UNIQUE.0, UNIQUE.1);
    let service = serve(&files);
    let all = ["agents", "upgrade", "--database", "all", "--json"];
    let once = [&all[..], &["--max-failures", "1", "--canary", "1"]].concat();
    let upgraded = ask_of(&files, &once).await;
    expect(&upgraded, 1, &[]);
    let report = json(&upgraded);
    assert_eq!((&report["failed"], &report["not_begun"]), (&value!(["eu"]), &value!(["us"])));
    let behind = "select count(*) from provisioning.agents where template_version = 1";
    assert_eq!(us.admin().await.one::<i64>(behind).await, 2);
    // The canary is another one, which is fine; no more than one agent may fail over both.
    let other = [&all[..], &["--canary-database", "us", "--max-failures", "1"]].concat();
    let upgraded = ask_of(&files, &other).await;
    let report = json(&upgraded);
    assert_eq!((&report["done"], databases(&report)[0]), (&value!(["us"]), "us"), "{report}");
    assert_eq!(us.admin().await.one::<i64>(behind).await, 0);
    service.stop().await;
}
