//! Alerts and dashboard speak of what the service exports, and fire when they should.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::deploy::{path, read, tool, yaml};
use crate::support::{Database, get, provisioner, said};

#[test]
fn each_alert_fires_when_it_should_and_says_what_to_run() {
    let alerts = yaml("deploy/alerts.yml");
    for alert in alerts["groups"][0]["rules"].as_array().unwrap() {
        assert!(alert["for"].is_string(), "{alert}");
        assert!(alert["annotations"]["summary"].is_string(), "{alert}");
        let runbook = alert["annotations"]["runbook_url"].as_str().unwrap();
        let anchor = runbook.strip_prefix("docs/operate.md#").unwrap();
        let title = |line: &str| {
            line.starts_with('#')
                && line
                    .trim_start_matches('#')
                    .trim()
                    .to_lowercase()
                    .replace(' ', "-")
                    .replace('?', "")
                    == anchor
        };
        assert!(read("docs/operate.md").lines().any(title), "{alert}");
        let text = alert["annotations"]["description"].as_str().unwrap();
        assert!(text.contains("`agent-provisioner "), "{alert}");
    }
    let tests = path("tests/alerts.yml");
    let Some((sound, report)) = tool("promtool", &["test", "rules", tests.to_str().unwrap()])
    else {
        return;
    };
    assert!(sound, "{report}");
}

/// Every name of ours in the alerts and on the dashboard.
fn used() -> BTreeSet<String> {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana.json")).unwrap();
    let alerts = yaml("deploy/alerts.yml");
    let mut names = BTreeSet::new();
    for (file, value) in [("grafana.json", &dashboard), ("alerts.yml", &alerts)] {
        let mut found = BTreeSet::new();
        collect(value, &mut found);
        assert!(found.len() > 5, "{file}: {found:?}");
        names.append(&mut found);
    }
    names
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            for rest in text.split("agent_provisioner_").skip(1) {
                let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                names.extend(name.take(1).map(str::to_owned));
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, names)),
        Value::Object(map) => map.values().for_each(|value| collect(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The names of all series that an exposition may hold, without our prefix.
fn exported(exposition: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let name = name.strip_prefix("agent_provisioner_").unwrap();
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => &[""],
        };
        names.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    names
}

#[tokio::test]
async fn alerts_and_dashboard_use_metrics_that_exist() {
    let db = Database::new().await;
    let service = db.service().await;
    db.admin().await.create("agt_6f78").await;
    service.logged("job done").await; // what has not happened yet has no name
    let (code, exposition) = get(&service.http().await, "/metrics");
    assert_eq!(code, 200, "{exposition}");
    let mut exported = exported(&exposition);
    exported.extend(["database_ready".to_owned()]); // where there are many: tests/many_databases.rs
    let unknown: Vec<String> = used().difference(&exported).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?} of {exported:?}");
}

#[test]
fn alerts_name_commands_that_exist() {
    let mut named = BTreeSet::new();
    for (place, text) in read("deploy/alerts.yml").split('`').enumerate() {
        let words: Vec<&str> = text.split_whitespace().collect();
        if place % 2 == 1 && words.first() == Some(&"agent-provisioner") {
            let placeholder = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase());
            let words = words.into_iter().skip(1).filter(|word| !placeholder(word));
            named.insert(words.map(str::to_owned).collect::<Vec<_>>());
        }
    }
    assert!(named.len() > 4, "{named:?}");
    for words in named {
        let output = provisioner("").args(&words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }
}
