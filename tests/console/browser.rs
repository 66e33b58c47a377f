//! What a person does in a browser.

use super::Site;
use super::actions::dead;
use super::drift::drifted;
use crate::rollouts::{PATIENT, fleet};
use crate::support::{Browser, Database, have};

const TOOLS: [&str; 2] = ["chromium", "chromedriver"];

#[tokio::test]
async fn a_dead_job_is_replayed_to_its_end_and_the_pages_follow() {
    if !have(&TOOLS) {
        return;
    }
    let db = Database::new().await;
    let admin = dead(&db, 1).await;
    let site = Site::new(&db, &[]).await;
    let browser = Browser::new().await;
    let home = format!("http://{}/", site.address);
    browser.go(&home).await;
    // Without loading it again: an agent comes, and the page tells.
    browser.shows("[data-live]", "Live").await;
    browser.shows("[data-part=tiles]", "dead").await;
    admin.create("agt_9").await;
    browser.shows("[data-part=tiles]", "1 agents built").await;
    browser.click("[data-live] button").await;
    browser.shows("[data-live]", "Paused").await;

    browser.go(&format!("{home}jobs/1")).await;
    browser.shows("h1", "dead").await;
    browser.click("a.button[href*=replay]").await;
    browser.shows("h1", "Replay: 1 job").await;
    admin.run("drop table public.agt_1_orders").await;
    // An open form stays as it is, whatever goes on.
    browser.fill("#reason", "the table is gone").await;
    admin.create("agt_10").await;
    admin.settled().await;
    assert_eq!(browser.value("document.querySelector('#reason').value").await, "the table is gone");
    browser.click("button.main").await;
    browser.shows("h1", "1 done").await;
    browser.go(&format!("{home}jobs/1")).await;
    browser.shows("h1", "succeeded").await;
    admin.settled().await;
    assert_eq!(
        admin.rows("select replay_reason from provisioning.jobs where id = 1").await,
        ["the table is gone"]
    );
}

#[tokio::test]
async fn without_scripts_a_paused_deletion_is_approved() {
    if !have(&TOOLS) {
        return;
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let site = Site::new(&db, &[("DEPROVISION__MAX_PER_HOUR", "0")]).await;
    admin.create("agt_1").await;
    admin.settled().await;
    admin.run("select public.delete_agent(1)").await;
    admin.holds("select exists (select from provisioning.jobs where state = 'paused')").await;
    let browser = Browser::without_scripts().await;
    browser.go(&format!("http://{}/jobs?state=paused", site.address)).await;
    assert_eq!(browser.text("[data-live]").await, ""); // it is the script's
    browser.click("input[name=id]").await;
    browser.click("button[value=approve]").await;
    browser.shows("h1", "Approve deletion: 1 job").await;
    browser.fill("#reason", "asked for").await;
    browser.click("button.main").await;
    browser.shows("h1", "1 done").await;
    admin.settled().await;
    assert!(admin.tables("agt_1").await.is_empty());
}

#[tokio::test]
async fn a_rollout_is_paused_and_resumed() {
    if !have(&TOOLS) {
        return;
    }
    let (db, admin, files) = fleet(&["agt_a", "agt_b"]).await;
    let holder = db.admin().await;
    holder.run("begin; lock table public.agt_a_customers in access share mode").await;
    let site = Site::new(&db, &[PATIENT, ("TEMPLATES", files.path())]).await;
    let browser = Browser::new().await;
    browser.go(&format!("http://{}/rollouts", site.address)).await;
    browser.fill("[name=canary]", "1").await;
    browser.click("form.filters button").await;
    browser.shows("h1", "Start a rollout: 2 agents").await;
    browser.fill("#reason", "release 7").await;
    browser.click("button.main").await;
    browser.shows("h1", "Rollout 1 started").await;
    admin.held_up("agt_a").await;
    browser.click("main a[href='../rollouts']").await;
    browser.shows("h2", "Rollout 1: running").await;
    browser.shows("main", "0 of 2 done, 0 failed, 2 left").await;
    browser.click("a.button[href*=pause]").await;
    browser.shows("h1", "Pause rollout 1").await;
    browser.fill("#reason", "lunch").await;
    browser.click("button.main").await;
    browser.shows("h1", "Rollout 1 is paused").await;
    browser.click("main a[href='../rollouts']").await;
    browser.shows("h2", "Rollout 1: paused").await;
    browser.shows("main", "lunch").await;
    browser.click("a.button[href*=resume]").await;
    browser.fill("#reason", "back").await;
    browser.click("button.main").await;
    browser.shows("h1", "Rollout 1 is running").await;
    holder.run("commit").await;
    admin.holds("select state = 'done' from provisioning.rollouts").await;
    browser.go(&format!("http://{}/rollouts", site.address)).await;
    browser.shows("main", "2 of 2 done").await;
}

#[tokio::test]
async fn drift_is_previewed_and_repaired() {
    if !have(&TOOLS) {
        return;
    }
    let (_db, admin, site) = drifted(&[]).await;
    let browser = Browser::new().await;
    browser.go(&format!("http://{}/drift", site.address)).await;
    browser.shows("summary", "{prefix}_customers_phone_idx: 2 agents").await;
    browser.click("summary").await;
    browser.click("input[value=agt_b]").await;
    browser.click("details button").await;
    browser.shows("h1", "Repair: 1 agent").await;
    browser.shows("main pre", "agt_b_customers_phone_idx").await;
    browser.fill("#reason", "lost in a migration").await;
    browser.click("button.main").await;
    browser.shows("h1", "Repair: 1 queued").await;
    admin.settled().await;
    browser.click("main li a").await;
    browser.shows("h1", "repair of agt_b, succeeded").await;
    browser.go(&format!("http://{}/drift", site.address)).await;
    browser.shows("summary", "{prefix}_customers_phone_idx: 1 agent").await;
}

#[tokio::test]
async fn no_page_is_wider_than_a_small_telephone() {
    if !have(&TOOLS) {
        return;
    }
    let db = Database::new().await;
    let admin = dead(&db, 1).await;
    let site = Site::new(&db, &[]).await;
    admin.create("agt_0123456789abcdef").await;
    admin.settled().await;
    let browser = Browser::small().await;
    for path in [
        "",
        "jobs",
        "jobs/1",
        "jobs/act?action=replay&id=1",
        "agents",
        "agents/agt_0123456789abcdef",
        "rollouts",
        "trash",
        "doctor",
        "businesses",
        "businesses/00000000-0000-0000-0000-000000000001",
        "activity",
        "drift",
        "nowhere",
    ] {
        browser.go(&format!("http://{}/{path}", site.address)).await;
        assert_eq!(browser.value("innerWidth").await, 360);
        let wide = browser.value("document.documentElement.scrollWidth").await;
        assert!(wide.as_i64().unwrap() <= 360, "{path}: {wide}");
        // Everything that can be clicked can be reached by keyboard, and says what it is.
        let nameless = "[...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea')]
            .filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length";
        assert_eq!(browser.value(nameless).await, 0, "{path}");
    }
}
