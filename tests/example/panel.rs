//! The forms act on the agent that the page shows.

use fantoccini::Locator;

use super::{ADMIN, Example};
use crate::support::Browser;

const STATUS: &str = "/rest/v1/rpc/agent_status";

/// Whether an element can be seen.
async fn visible(example: &Example, selector: &str) -> bool {
    let found = example.browser.window.find(Locator::Css(selector)).await.unwrap();
    found.is_displayed().await.unwrap()
}

#[tokio::test]
async fn an_agent_that_is_not_shown_yet_is_not_deleted() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { admin, api, browser, .. } = &example;
    example.sign_in(ADMIN).await;
    example.choose("agt_ada").await;
    browser.click("#delete summary").await;
    assert!(visible(&example, "#delete button").await);

    api.stop(STATUS);
    example.pick("agt_ben").await;
    let button = browser.window.find(Locator::Css("#delete button")).await.unwrap();
    assert!(button.click().await.is_err());
    assert!(!visible(&example, "#agent").await);
    api.stop("");
    browser.shows("#prefix", "agt_ben").await;
    assert!(visible(&example, "#delete summary").await);
    assert!(!visible(&example, "#delete button").await);
    let deletions = "select agent_prefix from provisioning.jobs where kind = 'deprovision'";
    assert_eq!(admin.rows(deletions).await, [""; 0]);

    example.delete().await;
    browser.shows("#notice", "agt_ben").await;
    assert_eq!(admin.rows(deletions).await, ["agt_ben"]);
}

#[tokio::test]
async fn an_agent_is_not_shown_in_the_place_of_another_where_the_list_fails() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { api, browser, .. } = &example;
    example.sign_in(ADMIN).await;
    example.choose("agt_ada").await;
    api.fail("/rest/v1/agents");
    example.pick("agt_ben").await;
    browser.shows("#notice", "out of order").await;
    browser.shows("#prefix", "agt_ben").await;
}
