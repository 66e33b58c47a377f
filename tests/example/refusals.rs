//! What the page says where it cannot do what it was asked for.

use super::{ADMIN, Example};
use crate::support::Browser;

#[tokio::test]
async fn a_refusal_is_told_with_its_code() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { admin, browser, .. } = &example;
    browser.fill("#sign-in [name=email]", "boss@example.com").await;
    browser.fill("#sign-in [name=password]", "wrong").await;
    browser.click("#sign-in button").await;
    example.notice("invalid_credentials").await;
    browser.go(&example.api.url).await;

    example.sign_in(ADMIN).await;
    for (user, prefix, code) in [
        ("dan", "agt_ada", "prefix_taken"),
        ("dan", "Agt-1", "prefix_invalid"),
        ("ada", "agt_x", "user_has_agent"),
        ("gone", "agt_x", "no_such_user"),
    ] {
        example.create(user, prefix).await;
        example.notice(code).await;
    }
    // A business is to be named only where there are several.
    assert_eq!(browser.text("#business").await, "");
    admin.run("insert into public.businesses (name) values ('Second'), ('Third')").await;
    browser.go(&example.api.url).await;
    browser.shows("#business", "Third").await;
    admin
        .run("update public.user_businesses set role = 'admin'; delete from public.user_businesses")
        .await;
    example.create("dan", "agt_dan").await;
    example.notice("business_required").await;
    browser.click("#business option:nth-child(3)").await;
    example.create("dan", "agt_dan").await;
    browser.shows("#state", "pending").await;
    let business =
        "select b.name from public.agents a join public.businesses b on b.id = a.business_id
        where a.agent_prefix = 'agt_dan'";
    assert_eq!(admin.rows(business).await, [browser.text("#business option:nth-child(3)").await]);
}

#[tokio::test]
async fn who_is_no_admin_may_look() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { admin, browser, .. } = &example;
    example.sign_in("ada").await;
    example.create("dan", "agt_dan").await;
    example.notice("not_admin").await;
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 2);
    // The state of another's agent is not for her.
    browser.shows("#agents", "agt_ada: pending").await;
    example.choose("agt_ben").await;
    browser.shows("#message", "(42501)").await;
    assert_eq!(browser.text("#state").await, "");
    example.choose("agt_ada").await;
    browser.shows("#state", "pending").await;
}

#[tokio::test]
async fn whoever_meets_a_lock_may_try_again() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { db, browser, .. } = &example;
    example.sign_in(ADMIN).await;
    let holder = db.admin().await;
    holder.run("begin; lock table provisioning.jobs").await;
    example.create("dan", "agt_dan").await;
    example.notice("busy").await;
    holder.run("commit").await;
    example.create("dan", "agt_dan").await;
    browser.shows("#state", "pending").await;
}

#[tokio::test]
async fn a_deletion_that_waits_for_an_operator_is_told_with_the_command() {
    let Some(example) = Example::new(Browser::new).await else { return };
    let Example { db, admin, browser, .. } = &example;
    let service = db.service_with(&[("DEPROVISION__MAX_PER_HOUR", "0")]).await;
    admin.settled().await;
    example.sign_in(ADMIN).await;
    example.choose("agt_ada").await;
    browser.shows("#state", "ready").await;
    example.delete().await;
    browser.shows("#state", "paused").await;
    browser.shows("#command", "agent-provisioner jobs list --state paused").await;
    example.delete().await;
    example.notice("paused").await;
    drop(service);
}
