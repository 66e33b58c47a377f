//! Findings of doctor in the console: looked at with the service's role, accepted with the console's.

use super::Site;
use crate::support::Database;

const KEY: &str = "base-schema/missing-trigger-guard_agent-on-public.agents";

#[tokio::test]
async fn a_finding_is_accepted_for_a_reason_and_a_time_and_that_is_taken_back() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[]).await;
    admin.run("drop trigger guard_agent on public.agents").await;
    let encoded = percent_encoding::utf8_percent_encode(KEY, percent_encoding::NON_ALPHANUMERIC);
    let encoded = encoded.to_string();
    let page = site.get("/doctor").body;
    for shown in
        [KEY, "agent-provisioner migrate repair", &format!("action=accept&amp;key={encoded}")]
    {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("Not everything was looked at"), "{page}");
    let page = site.get(&format!("/doctor/act?action=accept&key={encoded}")).body;
    assert!(
        page.contains(&format!("agent-provisioner doctor accept {KEY} --reason 'why'")),
        "{page}"
    );
    let form = format!("action=accept&key={encoded}");
    for refused in ["", "&reason=+", "&reason=x&until=2999-02-30"] {
        assert_eq!(site.post("/doctor/act", &format!("{form}{refused}")).status, 400, "{refused}");
    }
    // What is as it should be, and what is not there, cannot be accepted.
    for other in ["schema", "base-schema%2Fnothing"] {
        let form = format!("action=accept&key={other}&reason=x");
        assert_eq!(site.post("/doctor/act", &form).status, 409, "{other}");
        assert_eq!(site.get(&format!("/doctor/act?{form}")).status, 409, "{other}");
    }
    let done = site.post("/doctor/act", &format!("{form}&reason=moved&until=2999-12-31"));
    assert_eq!(done.status, 200, "{}", done.body);
    let accepted =
        "select reason, until, accepted_by ~ '^agent_console [(]os user .*[)]$', severity
        from provisioning.accepted_findings";
    assert_eq!(admin.rows(accepted).await, ["moved|2999-12-31|t|failure"]);
    let page = site.get("/doctor").body;
    for shown in ["Accepted: 1", "What was accepted", "action=withdraw"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("action=accept"), "{page}");
    let form = format!("action=withdraw&key={encoded}");
    assert!(site.get(&format!("/doctor/act?{form}")).body.contains("doctor withdraw"));
    assert_eq!(site.post("/doctor/act", &format!("{form}&reason=no+more")).status, 200);
    assert_eq!(site.post("/doctor/act", &format!("{form}&reason=again")).status, 409);
    assert_eq!(admin.rows(accepted).await, [""; 0]);
    assert!(site.get("/doctor").body.contains("action=accept"));
    let actions = "select action, reason, finding, done_by ~ '^agent_console ' from provisioning.actions order by id";
    let expected = [format!("accept|moved|{KEY}|t"), format!("withdraw|no more|{KEY}|t")];
    assert_eq!(admin.rows(actions).await, expected);
}
