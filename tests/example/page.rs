//! The page itself: texts stay texts, and everybody can use it.

use serde_json::json;

use super::{ADMIN, Example};
use crate::support::{Browser, DAN, axe};

const MARKUP: &str = "<img src=x onerror=alert(1)>";

#[tokio::test]
async fn markup_in_a_name_is_shown_and_not_run() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { db, admin, browser, .. } = &example;
    admin.run(&format!("update public.users set name = '{MARKUP}' where id = '{}'", DAN.id)).await;
    admin.run(&format!("insert into public.businesses (name) values ('{MARKUP}')")).await;
    let service = db.service().await;
    example.sign_in(ADMIN).await;
    browser.shows("#business", MARKUP).await;
    browser.click("#business option:nth-child(2)").await;
    example.create("dan", "agt_dan").await;
    browser.shows("#state", "ready").await;
    browser.shows("#user", MARKUP).await;
    browser.fill("#customer [name=name]", MARKUP).await;
    browser.fill("#customer [name=phone]", MARKUP).await;
    browser.click("#customer button").await;
    browser.shows("#notice", MARKUP).await;
    browser.shows("#customers", &format!("{MARKUP}, {MARKUP}")).await;
    admin.run(&format!("alter table public.agt_dan_orders rename to \"{MARKUP}\"")).await;
    admin.run("update public.agent_states set changed_at = now()").await;
    browser.shows("#message", MARKUP).await;
    example.create(MARKUP, MARKUP).await;
    assert_eq!(browser.value("document.images.length").await, 0);
    drop(service);
}

#[tokio::test]
async fn it_asks_its_own_host_and_the_project_only() {
    let Some(example) = Example::new(Browser::new).await else { return };
    example.sign_in(ADMIN).await;
    let hosts =
        "[...new Set(performance.getEntriesByType('resource').map(it => new URL(it.name).origin))]";
    assert_eq!(example.browser.value(hosts).await, json!([example.api.url]));
}

/// Signed out and in, with all that a built agent shows.
async fn built(example: &Example) {
    let service = example.db.service().await;
    example.admin.settled().await;
    example.sign_in(ADMIN).await;
    example.choose("agt_ada").await;
    example.browser.shows("#tables", "agt_ada_customers").await;
    drop(service);
}

#[tokio::test]
async fn it_is_no_wider_than_a_small_telephone_and_everything_has_a_name() {
    let Some(example) = Example::new(Browser::small).await else { return };
    let browser = &example.browser;
    for signed_in in [false, true] {
        if signed_in {
            built(&example).await;
        }
        assert_eq!(browser.value("innerWidth").await, 360);
        assert!(browser.overhang().await <= 0);
        assert_eq!(browser.nameless().await, 0);
    }
}

#[tokio::test]
async fn it_has_no_serious_barrier_in_light_and_in_dark() {
    let Some(axe) = axe() else { return };
    for kind in [false, true] {
        let browser = async || if kind { Browser::dark().await } else { Browser::new().await };
        let Some(example) = Example::new(browser).await else { return };
        let dark =
            example.browser.value("matchMedia('(prefers-color-scheme: dark)').matches").await;
        assert_eq!(dark, kind);
        assert_eq!(example.browser.barriers(&axe).await, json!([]));
        built(&example).await;
        assert_eq!(example.browser.barriers(&axe).await, json!([]));
    }
}
