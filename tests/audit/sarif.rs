//! The SARIF of an audit against the schema of SARIF 2.1.0, as OASIS publishes it, here without its descriptions.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::{Value, json};

use super::project::{CLEAN, Project};
use crate::support::{self, ADMIN, Database, finish, provisioner};

const SCHEMA: &str = include_str!("sarif-2.1.0.json");

/// Everything in a value that its schema refuses.
fn refused(schema: &Value, root: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut refuse = |is_good: bool, what: &str| {
        if !is_good {
            all.push(format!("{at}: {what}: {value}"));
        }
    };
    let keywords = schema.as_object().unwrap();
    let mut below = Vec::new();
    for (keyword, rule) in keywords {
        match keyword.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                below.push((root.pointer(pointer).unwrap(), value, at.to_owned()));
            }
            "type" => refuse(is_of(value, rule.as_str().unwrap()), "type"),
            "enum" => refuse(rule.as_array().unwrap().contains(value), "enum"),
            "minimum" => {
                refuse(value.as_f64().is_none_or(|it| it >= rule.as_f64().unwrap()), "minimum");
            }
            "maximum" => {
                refuse(value.as_f64().is_none_or(|it| it <= rule.as_f64().unwrap()), "maximum");
            }
            "minItems" => {
                let least = rule.as_u64().unwrap();
                refuse(value.as_array().is_none_or(|it| it.len() as u64 >= least), "minItems");
            }
            "uniqueItems" => {
                let mut left = value.as_array().map(Vec::as_slice).unwrap_or_default();
                while let Some((first, rest)) = left.split_first() {
                    refuse(!rest.contains(first), "uniqueItems");
                    left = rest;
                }
            }
            "required" => {
                let names = rule.as_array().unwrap().iter().map(|it| it.as_str().unwrap());
                refuse(names.into_iter().all(|it| value.get(it).is_some()), "required");
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                below.extend(items.map(|(n, item)| (rule, item, format!("{at}/{n}"))));
            }
            "anyOf" | "oneOf" => {
                let mut ways = rule.as_array().unwrap().iter();
                refuse(ways.any(|way| refused(way, root, value, at).is_empty()), keyword);
            }
            // These are read below; texts are not looked at.
            "properties" | "additionalProperties" | "definitions" | "pattern" | "format" => {}
            other => refuse(false, &format!("the schema has {other}")),
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let own = schema.get("properties").and_then(|own| own.get(name));
        match own.or(schema.get("additionalProperties")) {
            Some(Value::Bool(is_good)) => refuse(*is_good, name),
            Some(rule) => below.push((rule, value, format!("{at}/{name}"))),
            None => {}
        }
    }
    all.extend(below.iter().flat_map(|(rule, value, at)| refused(rule, root, value, at)));
    all
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => false,
    }
}

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
    assert_eq!(refused(&schema, &schema, &report, ""), [""; 0]);
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
        assert_ne!(refused(&schema, &schema, &broken, ""), [""; 0], "{pointer}");
    }
}
