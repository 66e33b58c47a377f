//! A report as SARIF 2.1.0, for code scanning.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::finding::{Finding, Place, Severity};
use super::report::Report;

/// What a path may not contain as it stands.
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');
/// GitHub takes no more results of one run.
const MOST: usize = 25_000;

/// The report as one run. An alert stays the same while the finding's id does.
pub fn sarif(report: &Report) -> Value {
    let mut kinds: BTreeMap<&str, (Severity, &str)> = BTreeMap::new();
    for Finding { kind, severity, impact, .. } in &report.findings {
        let known = kinds.entry(kind).or_insert((*severity, impact));
        known.0 = known.0.max(*severity);
    }
    let rule = |(kind, (severity, impact)): (&&str, &(Severity, &str))| {
        json!({
            "id": kind,
            "shortDescription": { "text": kind.replace('_', " ") },
            "fullDescription": { "text": impact },
            "defaultConfiguration": { "level": level(*severity) },
        })
    };
    let rules: Vec<Value> = kinds.iter().map(rule).collect();
    let index = |kind: &str| kinds.keys().position(|known| *known == kind);
    let last = report.order.last().map(|file| Place { file: file.clone(), line: 1 });
    let results = report.findings.iter().take(MOST);
    let results = results.map(|it| result(it, index(it.kind), last.as_ref()));
    let notes = report.unchecked.iter();
    let notes = notes.map(|text| json!({ "level": "note", "message": { "text": plain(text) } }));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": env!("CARGO_PKG_NAME"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notes.collect::<Vec<_>>(),
            }],
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

/// What is only in the database is shown at the last file, `last`: GitHub refuses a report of which a result has no file.
fn result(finding: &Finding, rule: Option<usize>, last: Option<&Place>) -> Value {
    let Finding { id, kind, severity, object, place, message, fix, .. } = finding;
    let text = if fix.is_empty() { message.clone() } else { format!("{message}\n{fix}") };
    let mut location = json!({ "logicalLocations": [{ "fullyQualifiedName": object }] });
    if let (Some(place), Some(location)) = (place.as_ref().or(last), location.as_object_mut()) {
        location.insert("physicalLocation".to_owned(), physical(place));
    }
    json!({
        "ruleId": kind,
        "ruleIndex": rule,
        "level": level(*severity),
        "message": { "text": plain(&text) },
        "locations": [location],
        "partialFingerprints": { "auditId/v1": id },
    })
}

/// Viewers make links of `[text](target)`.
fn plain(text: &str) -> String {
    text.replace("](", "] (")
}

fn physical(Place { file, line }: &Place) -> Value {
    let path = utf8_percent_encode(file.trim_start_matches("./"), IN_PATH).to_string();
    let uri = if path.starts_with('/') { format!("file://{path}") } else { path };
    json!({ "artifactLocation": { "uri": uri }, "region": { "startLine": (*line).max(1) } })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_rule_level_place_and_fingerprint() {
        let at = |file: &str, line| Place { file: file.to_owned(), line };
        let findings = vec![
            Finding::new("unknown_table", Severity::Error, "public.a", "No.".to_owned())
                .at(at("./a b.ts", 3)),
            Finding::new("unknown_table", Severity::Warning, "public.b", "No.".to_owned())
                .at(at("/x/b.ts", 0)),
            Finding::new("extra_table", Severity::Note, "public.c", "Yes.".to_owned()),
        ];
        let id = findings[0].id.clone();
        let unchecked = vec!["c.ts: not read".to_owned()];
        let mut report = Report { findings, unchecked, ..Report::default() };
        let uri = "/runs/0/results/2/locations/0/physicalLocation/artifactLocation/uri";
        assert_eq!(sarif(&report).pointer(uri), None);
        report.order = vec!["m/1.sql".to_owned(), "m/2.sql".to_owned()];
        let run = sarif(&report)["runs"][0].clone();
        let rules: Vec<_> = run["tool"]["driver"]["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].clone())
            .collect();
        assert_eq!(rules, ["extra_table", "unknown_table"]);
        let results = run["results"].as_array().unwrap();
        let shown: Vec<_> = results
            .iter()
            .map(|it| {
                let place = &it["locations"][0]["physicalLocation"];
                (
                    it["level"].as_str().unwrap(),
                    it["ruleIndex"].as_u64().unwrap(),
                    place["artifactLocation"]["uri"].as_str().unwrap(),
                    place["region"]["startLine"].as_u64(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("error", 1, "a%20b.ts", Some(3)),
                ("warning", 1, "file:///x/b.ts", Some(1)),
                ("note", 0, "m/2.sql", Some(1))
            ]
        );
        assert_eq!(results[0]["partialFingerprints"]["auditId/v1"], json!(id));
        let notes = &run["invocations"][0]["toolExecutionNotifications"];
        assert_eq!(notes[0]["message"]["text"], json!("c.ts: not read"));
    }
}
