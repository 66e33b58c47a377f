//! The SARIF of an audit against the schema of SARIF 2.1.0, as OASIS publishes it, here without its descriptions.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::{Value, json};

use super::project::{CLEAN, Project};
use crate::support::{self, ADMIN, Database, finish, provisioner};

const SCHEMA: &str = include_str!("sarif-2.1.0.json");

#[tokio::test]
async fn sarif_is_as_its_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let project = Project::new(&[CLEAN[0], CLEAN[1], ("0003.sql", "select gone")]);
    project.write("src/a b.ts", "supabase.from('ordrs').select('id')\nsupabase.from(x).select()\n");
    let db = Project::database(&CLEAN).await;
    db.admin().await.run("drop index orders_note_idx; create table extra ()").await;
    let shadow = Database::empty().await;
    let mut command = provisioner(&db.url(ADMIN));
    command.args(["audit", "--format", "sarif", "--shadow", &shadow.url(SUPERUSER)]);
    command.arg("--migrations").arg(project.path()).arg("--code").arg(project.path().join("src"));
    let report = support::json(&finish(&mut command).await);
    assert!(report["runs"][0]["results"].as_array().unwrap().len() > 3, "{report:#}");
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> = validator.iter_errors(&report).map(|fault| fault.to_string()).collect();
    assert_eq!(faults, [""; 0]);
    // A report that the schema refuses is refused.
    for (pointer, value) in [
        ("/runs/0/results/0/level", json!("fatal")),
        ("/runs/0/results/0/ruleIndex", json!("0")),
        ("/runs/0/results/0/message", json!({ "words": "x" })),
        ("/runs/0/tool", json!({})),
        ("/runs/0/results/0/locations/0/physicalLocation/region/startLine", json!(0)),
        ("/version", json!("2.0.0")),
    ] {
        let mut broken = report.clone();
        *broken.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&broken), "{pointer}");
    }
}
