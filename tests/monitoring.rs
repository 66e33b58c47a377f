//! Alerts and dashboard speak of what the service exports, and fire when they should.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::deploy::{path, read, tool, yaml};

/// Exported by the service.
const METRICS: &str = "build_info jobs oldest_due_age_seconds blocked_prefixes agents \
    wakeups_total listener_connected job_duration_seconds_bucket job_duration_seconds_sum \
    job_duration_seconds_count attempts_total lock_timeouts_total reconcile_findings_total \
    scrape_errors_total";

#[test]
fn each_alert_fires_when_it_should_and_says_what_to_run() {
    let alerts = yaml("deploy/alerts.yml");
    for alert in alerts["groups"][0]["rules"].as_array().unwrap() {
        assert!(alert["for"].is_string(), "{alert}");
        assert!(alert["annotations"]["summary"].is_string(), "{alert}");
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

#[test]
fn alerts_and_dashboard_use_metrics_that_exist() {
    let exported: BTreeSet<String> = METRICS.split(' ').map(str::to_owned).collect();
    let unknown: Vec<String> = used().difference(&exported).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?} of {exported:?}");
}
