//! From signing in to an agent that is back.

use super::{ADMIN, Example};
use crate::support::{self, Browser, ask, expect, until};

/// Words of a command that the page shows, after the name of the program.
pub async fn command(example: &Example) -> Vec<String> {
    let shown = example.browser.text("#command").await;
    let words = shown.strip_prefix("agent-provisioner ").unwrap().split(' ');
    words.map(str::to_owned).collect()
}

#[tokio::test]
async fn an_agent_is_created_used_deleted_and_restored() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { db, admin, api, browser } = &example;
    example.sign_in(ADMIN).await;
    example.create("dan", "agt_dan").await;
    browser.shows("#notice", "agt_dan").await;
    browser.shows("#state", "pending").await;
    browser.shows("#user", "dan").await;

    // The API learns of the tables late. The page asks again, and so does the form.
    api.hold_schema();
    let service = db.service().await;
    browser.shows("#state", "ready").await;
    browser.shows("#agents", "agt_dan: ready").await;
    browser.fill("#customer [name=name]", "Grace").await;
    browser.fill("#customer [name=phone]", "+4915100000").await;
    browser.click("#customer button").await;
    for request in ["GET agt_dan_orders_items", "POST agt_dan_customers"] {
        let met = || async { api.unknown().iter().any(|met| met == request).then_some(()) };
        until(request, met).await;
    }
    api.release_schema();
    browser.shows("#notice", "Grace").await;
    browser.shows("#customers", "Grace, +4915100000").await;
    browser.shows("#tables", "agt_dan_customers: 1 rows").await;
    browser.shows("#tables", "agt_dan_orders_items: 0 rows").await;
    let customers = "select concat_ws(' ', name, phone, agent_id) from public.agt_dan_customers";
    assert_eq!(admin.rows(customers).await, ["Grace +4915100000 3"]);

    example.delete().await;
    browser.shows("#state", "gone").await;
    assert_eq!(admin.tables("agt_dan").await, [""; 0]);
    let restore = command(&example).await;
    let words: Vec<&str> = restore.iter().map(String::as_str).collect();
    assert_eq!(words, ["agents", "restore", "agt_dan"]);
    expect(&ask(&db.url(support::ADMIN), &words).await, 0, &[]);
    browser.shows("#state", "ready").await;
    browser.shows("#customers", "Grace, +4915100000").await;
    assert_eq!(browser.text("#command").await, "");
    assert_eq!(admin.rows(customers).await, ["Grace +4915100000 3"]);

    browser.click("#sign-out button").await;
    browser.shows("#sign-in button", "Sign in").await;
    drop(service);
}
