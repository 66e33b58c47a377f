//! Rollouts in the console: started, paused, resumed and aborted, as they were shown.

use super::{Site, field};
use crate::rollouts::{PATIENT, fleet};
use crate::support::Database;

#[tokio::test]
async fn a_rollout_is_started_as_it_was_shown_and_changed_with_who_and_why() {
    let (db, admin, files) = fleet(&["agt_a", "agt_b", "agt_c"]).await;
    let holder = db.admin().await;
    holder.run("begin; lock table public.agt_a_customers in access share mode").await;
    let settings = [PATIENT, ("WORKER__CONCURRENCY", "1"), ("TEMPLATES", files.path())];
    let site = Site::new(&db, &settings).await;
    let address = "/rollouts/act?action=start&canary=1&prefix=agt_a+agt_b";
    let page = site.get(address);
    for shown in [
        "Start a rollout: 2 agents",
        "agent-provisioner rollouts start agt_a agt_b --canary 1 --reason 'why'",
        "add column email text",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let shown = field(&page.body, "shown").to_owned();
    let form = format!("action=start&canary=1&prefix=agt_a&prefix=agt_b&shown={shown}");
    assert_eq!(site.post("/rollouts/act", &form).status, 400); // it gives no reason
    let other = form.replace("&prefix=agt_b", "");
    assert_eq!(site.post("/rollouts/act", &format!("{other}&reason=x")).status, 409);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.rollouts").await, 0);
    let done = site.post("/rollouts/act", &format!("{form}&reason=release+%3Cb%3E7"));
    assert_eq!(done.status, 200, "{}", done.body);
    admin.held_up("agt_a").await;
    let asked = "select requested_by ~ '^agent_console [(]os user .*[)]$' and reason = 'release <b>7' and canaries = 1
        from provisioning.rollouts";
    assert!(admin.one::<bool>(asked).await);
    let page = site.get("/rollouts").body;
    for shown in ["0 of 2 done, 0 failed, 2 left", "release &lt;b&gt;7", "action=pause&amp;id=1"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("action=resume") && !page.contains("Start a rollout"), "{page}");
    // One at a time: for other agents there is none.
    let other = site.get("/rollouts/act?action=start&prefix=agt_c").body;
    let other = format!("action=start&prefix=agt_c&reason=x&shown={}", field(&other, "shown"));
    assert_eq!(site.post("/rollouts/act", &other).status, 409);

    let change = |action: &str| {
        let page = site.get(&format!("/rollouts/act?action={action}&id=1")).body;
        assert!(
            page.contains(&format!("agent-provisioner rollouts {action} 1 --reason")),
            "{page}"
        );
        site.post("/rollouts/act", &format!("action={action}&id=1&reason=because+{action}"))
    };
    let changed = "select state || ': ' || change_reason from provisioning.rollouts
        where changed_by ~ '^agent_console [(]os user .*[)]$'";
    assert_eq!(change("pause").status, 200);
    assert_eq!(admin.one::<String>(changed).await, "paused: because pause");
    assert_eq!(change("resume").status, 200);
    assert_eq!(admin.one::<String>(changed).await, "running: because resume");
    assert_eq!(change("abort").status, 200);
    assert_eq!(admin.one::<String>(changed).await, "aborted: because abort");
    // What cannot be done any more is not offered either.
    assert_eq!(site.get("/rollouts/act?action=pause&id=1").status, 409);
    assert_eq!(site.get("/rollouts/act?action=pause&id=99").status, 404);
    holder.run("commit").await;
    admin.settled().await;
    assert_eq!(site.post("/rollouts/act", "action=pause&id=1&reason=x").status, 409);
}

#[tokio::test]
async fn what_is_no_rollout_or_no_action_is_refused() {
    let db = Database::new().await;
    let site = Site::new(&db, &[]).await;
    assert_eq!(site.post("/rollouts/act", "action=pause&id=99&reason=x").status, 404);
    for refused in ["action=pause&id=x", "action=drop&id=1", "action=start&canary=0"] {
        assert_eq!(
            site.post("/rollouts/act", &format!("{refused}&reason=x")).status,
            400,
            "{refused}"
        );
        assert_eq!(site.get(&format!("/rollouts/act?{refused}")).status, 400, "{refused}");
    }
}
