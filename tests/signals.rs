//! What the service does when it is signalled.

use crate::support::Database;

#[tokio::test]
async fn a_hangup_ends_nothing() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let mut service = db.service_with(&[("DATABASE__LOCK_TIMEOUT", "50s")]).await;
    holder.run("begin; create table public.agt_a_customers ()").await; // it waits for the name
    admin.create("agt_a").await;
    admin.held_up("agt_a").await;
    service.signal("HUP HUP"); // in the middle of a job
    service.logged("SIGHUP").await;
    holder.run("rollback").await;
    admin.settled().await;
    admin.create("agt_b").await;
    admin.settled().await;
    let jobs = "select state, attempts from provisioning.jobs order by id";
    assert_eq!(admin.rows(jobs).await, ["succeeded|0", "succeeded|0"]);
    service.signal("TERM");
    service.logged("stopping").await;
    service.signal("HUP"); // is no second request to stop
    assert_eq!(service.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_old_name_of_the_shutdown_timeout_holds_and_is_warned_of() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let settings = [("WORKER__GRACE", "100ms"), ("DATABASE__LOCK_TIMEOUT", "50s")];
    let mut service = db.service_with(&settings).await;
    service.logged("\"old\":\"worker.grace\",\"new\":\"worker.shutdown_timeout\"").await;
    holder.run("begin; create table public.agt_a_customers ()").await; // it waits for the name
    admin.create("agt_a").await;
    admin.held_up("agt_a").await;
    service.signal("TERM");
    assert_eq!(service.ended().await.code(), Some(1));
    assert!(service.log().contains("worker.shutdown_timeout is over"), "{}", service.log());
}
