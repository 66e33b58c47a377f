//! The end of a session. What one user has seen the next one does not find.

use super::{ADMIN, Example};
use crate::support::{Browser, PASSWORD, PUBLISHABLE};

/// What another tab does to the session that both share.
async fn elsewhere(example: &Example, call: &str) {
    let client = format!("supabase.createClient(location.origin, '{PUBLISHABLE}')");
    example.browser.value(&format!("({client}.auth.{call}, true)")).await;
}

#[tokio::test]
async fn signing_out_ends_the_session_though_auth_does_not_answer() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { api, browser, .. } = &example;
    example.sign_in(ADMIN).await;
    example.choose("agt_ada").await;
    api.fail("/auth/v1/logout");
    browser.click("#sign-out button").await;
    browser.shows("#sign-in button", "Sign in").await;
    browser.shows("#notice", "out of order").await;
    browser.go(&api.url).await;
    browser.shows("#sign-in button", "Sign in").await;
    assert_eq!(browser.value("localStorage.length").await, 0);
}

#[tokio::test]
async fn a_session_that_ends_elsewhere_leaves_nothing() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let browser = &example.browser;
    example.sign_in(ADMIN).await;
    example.choose("agt_ada").await;
    elsewhere(&example, "signOut({ scope: 'local' })").await;
    browser.shows("#sign-in button", "Sign in").await;
    browser.shows("#notice", "ended").await;
    assert_eq!(browser.value("document.querySelector('#prefix').textContent").await, "");
}

#[tokio::test]
async fn another_user_finds_nothing_of_the_one_before() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let browser = &example.browser;
    example.sign_in(ADMIN).await;
    example.choose("agt_ada").await;
    let sign_in =
        format!("signInWithPassword({{ email: 'ada@example.com', password: '{PASSWORD}' }})");
    elsewhere(&example, &sign_in).await;
    browser.shows("#who", "ada").await;
    assert_eq!(browser.value("document.querySelector('#prefix').textContent").await, "");
}
