//! Findings that a person accepts: by key, for a reason, and for a time.

use std::collections::BTreeSet;

use serde_json::{Value, json as value};

use crate::support::{ADMIN, Database, WORKER, ask, expect, json};

const FIRST: &str = "base-schema/missing-trigger-guard_agent-on-public.agents";

/// The keys of the failures that are not accepted, and the exit code.
async fn failures(url: &str) -> (Vec<String>, Option<i32>) {
    let output = ask(url, &["doctor", "--json"]).await;
    let findings = json(&output);
    let bad = |finding: &&Value| finding["severity"] == "failure" && finding["accepted"].is_null();
    let findings = findings.as_array().unwrap().iter().filter(bad);
    let keys = findings.map(|finding| finding["key"].as_str().unwrap().to_owned());
    let sorted: BTreeSet<String> = keys.collect();
    (sorted.into_iter().collect(), output.status.code())
}

#[tokio::test]
async fn an_accepted_finding_is_no_failure_until_its_day_is_over_or_it_is_withdrawn() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let url = db.url(ADMIN);
    let (before, _) = failures(&url).await;
    assert_eq!(before, [""; 0]);
    admin.run("drop trigger guard_agent on public.agents").await;
    assert_eq!(failures(&url).await, (vec![FIRST.to_owned()], Some(1)));

    let accept =
        ["doctor", "accept", FIRST, "--reason", "moved to the app", "--until", "2999-12-31"];
    // Whoever works the queue does not say what is no failure.
    expect(&ask(&db.url(WORKER), &accept).await, 1, &["agent_provisioner may not"]);
    let written =
        db.connect(WORKER).await.batch_execute("delete from provisioning.accepted_findings").await;
    assert_eq!(written.unwrap_err().code().unwrap().code(), "42501");
    for (args, code) in [
        (&["doctor", "accept", FIRST][..], 2),
        (&["doctor", "accept", FIRST, "--reason", ""], 2),
        (&["doctor", "accept", FIRST, "--reason", "x", "--until", "2999-02-30"], 2),
        (&["doctor", "accept", FIRST, "--reason", "x", "--until", "2020-01-01"], 2),
        (&["doctor", "accept", "base-schema/nothing", "--reason", "x"], 1),
        (&["doctor", "accept", "schema", "--reason", "it is as it should be"], 1),
        (&["doctor", "withdraw", FIRST], 1),
    ] {
        expect(&ask(&url, args).await, code, &[]);
    }
    expect(&ask(&url, &accept).await, 0, &[FIRST, "2999-12-31"]);
    assert_eq!(failures(&url).await, (vec![], Some(0)));
    // The worker's role sees it, too; a person sees by whom, and why.
    assert_eq!(failures(&db.url(WORKER)).await.0, [""; 0]);
    expect(&ask(&url, &["doctor"]).await, 0, &["acc", "moved to the app", FIRST]);
    // Another one is none of it.
    admin.run("drop function public.agent_status(bigint)").await;
    let second = "base-schema/missing-function-public.agent_status-bigint-";
    assert_eq!(failures(&url).await.0, [second]);

    let listed = json(&ask(&url, &["doctor", "accepted", "--json"]).await);
    assert_eq!((&listed[0]["key"], &listed[0]["holds"]), (&value!(FIRST), &value!(true)));
    admin.run("update provisioning.accepted_findings set until = (now() at time zone 'UTC')::date - 1").await;
    assert_eq!(failures(&url).await.0, [second, FIRST]);
    let listed = json(&ask(&url, &["doctor", "accepted", "--json"]).await);
    assert_eq!(listed[0]["holds"], false);
    // For good; but not where it was less when it was accepted.
    expect(&ask(&url, &accept[..5]).await, 0, &[]);
    assert_eq!(failures(&url).await.0, [second]);
    admin.run("update provisioning.accepted_findings set severity = 'warning'").await;
    assert_eq!(failures(&url).await.0, [second, FIRST]);
    let left = ask(&url, &["doctor", "withdraw", FIRST, "--json"]).await;
    expect(&left, 0, &[]);
    assert_eq!(json(&left), value!({ "key": FIRST }));
    expect(&ask(&url, &["doctor", "accepted"]).await, 0, &["no finding"]);
}
