//! What the page does while nothing happens.

use super::{ADMIN, Example};
use crate::support::Browser;

#[tokio::test]
async fn without_realtime_and_without_a_worker_it_looks_slowly_and_not_for_ever() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { db, admin, api, browser } = &example;
    api.mute();
    example.sign_in(ADMIN).await;
    example.create("dan", "agt_dan").await;
    browser.shows("#state", "pending").await;
    admin.run("update provisioning.jobs set due_at = now() - interval '10 min'").await;
    browser.shows("#state", "waiting").await;
    browser.shows("#command", "agent-provisioner doctor").await;
    example.pass().await;
    browser.shows("#again button", "Look again").await;
    let service = db.service().await;
    admin.settled().await;
    assert_eq!(browser.text("#state").await, "waiting");
    browser.click("#again button").await;
    browser.shows("#state", "ready").await;
    browser.shows("#tables", "agt_dan_orders: 0 rows").await;
    drop(service);
}

#[tokio::test]
async fn a_change_that_nobody_asked_for_here_is_seen_by_realtime() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { db, admin, browser, .. } = &example;
    let service = db.service().await;
    admin.settled().await;
    example.sign_in(ADMIN).await;
    example.choose("agt_ada").await;
    browser.shows("#tables", "agt_ada_customers").await;
    example.pass().await;
    admin.create("agt_new").await;
    browser.shows("#agents", "agt_new: ready").await;
    admin.run("select public.delete_agent(1)").await;
    browser.shows("#state", "gone").await;
    assert_eq!(browser.value("document.querySelector('#again').hidden").await, true);
    drop(service);
}

#[tokio::test]
async fn a_deletion_of_somebody_else_is_seen_without_realtime() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { db, admin, api, browser } = &example;
    api.mute();
    let service = db.service().await;
    admin.settled().await;
    example.sign_in(ADMIN).await;
    example.choose("agt_ada").await;
    browser.shows("#tables", "agt_ada_customers").await;
    admin.run("select public.delete_agent(1)").await;
    browser.shows("#state", "gone").await;
    drop(service);
}
