//! Instances that are configured differently say so, and those that are alike say nothing.

use serde_json::Value;

use crate::support::{
    ADMIN, Admin, Database, Files, Pooler, Service, WORKER, finish, get, have, json, provisioner,
    until,
};

const DIFFERS: &str = "another instance is configured differently";
const HERE: &str = "select count(*) from provisioning.instances";

/// Waits until every instance has looked since the last one came.
async fn all_have_looked(admin: &Admin, instances: i64) {
    let looked = format!(
        "select count(*) = {instances} and min(seen_at) > max(started_at) + interval '1 second'
         from provisioning.instances"
    );
    admin.holds(&looked).await;
}

/// Waits until every instance has looked once more.
async fn all_look_again(admin: &Admin) {
    let now: String = admin.one("select clock_timestamp()::text").await;
    let again = format!("select min(seen_at) > '{now}' from provisioning.instances");
    admin.holds(&again).await;
}

/// The settings that an instance has warned of, in the order in which it did.
fn warned(service: &Service) -> Vec<String> {
    let log = service.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let warnings = lines.filter(|line| line.get("message").unwrap() == DIFFERS);
    let told = warnings.map(|line| {
        assert_eq!(line.get("level").unwrap(), "WARN");
        assert!(line.get("pid").unwrap().as_i64() > Some(1));
        let text = |field| line.get(field).unwrap().as_str().unwrap();
        assert!(!text("host").is_empty());
        ["setting", "own", "other"].map(text).join(" ")
    });
    told.collect()
}

/// What `doctor` finds of the instances: severity and text.
async fn doctor(db: &Database, role: &str, settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut command = provisioner(&db.url(role));
    let output = finish(command.args(["doctor", "--json"]).envs(settings.iter().copied())).await;
    let findings = json(&output);
    let of_instances = findings.as_array().unwrap().iter().filter(|f| f["what"] == "instances");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    of_instances.map(|f| (text(&f["severity"]), text(&f["found"]))).collect()
}

/// How many other instances differ from this one in a setting.
async fn differing(service: &Service, setting: &str) -> String {
    let (code, exposition) = get(&service.http().await, "/metrics");
    assert_eq!(code, 200);
    let series = format!("agent_provisioner_differing_instances{{setting=\"{setting}\"}} ");
    exposition.lines().find_map(|line| line.strip_prefix(&series)).unwrap().to_owned()
}

#[tokio::test]
async fn instances_that_differ_name_the_setting_once_and_those_that_agree_never() {
    let db = Database::new().await;
    let admin = db.admin().await;
    assert_eq!(doctor(&db, WORKER, &[]).await, [("ok".to_owned(), "none runs".to_owned())]);
    let (one, two) = (db.service().await, db.service().await);
    all_have_looked(&admin, 2).await;
    assert_eq!(warned(&one), [""; 0]);
    assert_eq!(warned(&two), [""; 0]);
    assert_eq!(differing(&one, "retention").await, "0");
    let [(severity, found)] = &*doctor(&db, WORKER, &[]).await else { panic!() };
    assert_eq!(
        (&**severity, &**found),
        ("ok", "2 run, configured alike, configured as this command")
    );
    let other = [("PROVISIONER_DEPROVISION__RETENTION", "1h")];
    let [(severity, found)] = &*doctor(&db, WORKER, &other).await else { panic!() };
    assert!(severity == "ok" && found.contains("retention"), "no fault of theirs: {found}");

    let crm = include_str!("../sql/agent/0001_crm.sql");
    let more = Files::new(&[("0001_crm.sql", crm), ("0002_more.sql", "select 1;\n")]);
    let mut three =
        more.service(&db, &[("REFERENCE", "check"), ("DEPROVISION__RETENTION", "1h")]).await;
    // It has the three settings in which it differs from each of the two, and they hear of it in time.
    until("the third to warn", || async { (warned(&three).len() == 6).then_some(()) }).await;
    assert_eq!(warned(&three)[2], "retention 1h 7days");
    all_have_looked(&admin, 3).await;
    for service in [&one, &two] {
        until("the others to warn", || async { (warned(service).len() == 3).then_some(()) }).await;
        let told = warned(service);
        assert_eq!(told[0], "reference foreign_key check");
        assert_eq!(told[1], "retention 7days 1h");
        assert!(told[2].starts_with("templates version 1, checksum "), "{told:?}");
    }
    for setting in ["reference", "retention", "templates"] {
        assert_eq!(differing(&one, setting).await, "1", "{setting}");
        assert_eq!(differing(&three, setting).await, "2", "{setting}");
    }
    assert_eq!(differing(&one, "max_unreported").await, "0");
    for role in [WORKER, ADMIN] {
        let found = doctor(&db, role, &[]).await;
        assert!(found.iter().all(|(severity, _)| severity == "warning"), "{found:?}");
        let named = |setting| found.iter().filter(|(_, found)| found.starts_with(setting)).count();
        assert_eq!(["reference", "retention", "templates"].map(named), [1; 3], "{found:?}");
    }

    all_look_again(&admin).await;
    three.signal("TERM");
    assert_eq!(three.ended().await.code(), Some(0));
    assert_eq!(admin.one::<i64>(HERE).await, 2, "it has removed its row");
    all_look_again(&admin).await;
    for service in [&one, &two] {
        service.logged("all instances are configured alike again").await;
        assert_eq!(warned(service).len(), 3, "said once");
        assert_eq!(differing(service, "retention").await, "0");
    }
    assert_eq!(doctor(&db, WORKER, &[]).await[0].0, "ok");
}

#[tokio::test]
async fn an_instance_that_is_gone_is_not_counted_and_soon_forgotten() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let mut killed = db.service_with(&[("REFERENCE", "check")]).await;
    admin.holds("select exists (select from provisioning.instances)").await;
    killed.signal("KILL");
    killed.ended().await;
    let differing =
        "select count(*) from provisioning.differing_instances(null, '{\"reference\": \"other\"}')";
    assert_eq!(admin.one::<i64>(differing).await, 1);
    // 30 seconds later; and with a clock that was set back since.
    for gone in ["now() - interval '31 seconds'", "now() + interval '1 hour'"] {
        admin.run(&format!("update provisioning.instances set seen_at = {gone}")).await;
        assert_eq!(admin.one::<i64>(differing).await, 0, "{gone}");
        assert_eq!(doctor(&db, WORKER, &[]).await[0].1, "none runs");
    }
    let service = db.service().await;
    admin
        .holds(
            "select bool_and(settings ->> 'reference' = 'foreign_key') from provisioning.instances",
        )
        .await;
    assert_eq!(admin.one::<i64>(HERE).await, 1);
    assert_eq!(warned(&service), [""; 0]);
}

/// A program that knows more settings, or fewer, differs in none of those.
#[tokio::test]
async fn an_instance_is_compared_in_the_settings_that_both_know() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.instances (id, host, pid, version, settings)
             values (1, 'app-1', 7, '0.0.1', '{\"colour\": \"red\", \"reference\": \"check\"}')",
        )
        .await;
    let mine = "'{\"reference\": \"foreign_key\", \"retention\": \"7days\"}'";
    let differing = format!("select d from provisioning.differing_instances(2, {mine}) d");
    assert_eq!(admin.rows(&differing).await, ["(reference,foreign_key,check,app-1,7)"]);
    let own = format!("select d from provisioning.differing_instances(1, {mine}) d");
    assert_eq!(admin.rows(&own).await, [""; 0], "it is not compared with itself");
}

/// There the listener sends no proof that could carry it.
#[tokio::test]
async fn an_instance_that_does_not_listen_is_seen_as_well() {
    if !have(&["pgbouncer"]) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let pooler = Pooler::before(&db, "transaction").await;
    let url = pooler.url(&db, WORKER) + "?pgbouncer=true";
    let one = Service::start(&url, &[("DEPROVISION__RETENTION", "1h")]);
    let deaf = ("DATABASE__LISTEN_URL", "postgres://u:secret@127.0.0.1:9/x");
    let two = db.service_with(&[deaf]).await;
    all_have_looked(&admin, 2).await;
    all_look_again(&admin).await;
    for service in [&one, &two] {
        until("a warning", || async { (warned(service).len() == 1).then_some(()) }).await;
    }
    assert_eq!(warned(&one), ["retention 1h 7days"]);
}
