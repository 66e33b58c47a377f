//! An older and a newer program on one database, as in every rollout.
//!
//! There is one version of the program. What a newer one leaves behind stands for it here: a kind
//! of job that this one does not know, and a row in the ledger of migrations.

use crate::support::{Database, Service, WORKER, ask, expect};

const NEWER: &str = "the database has schema version 99, this program knows versions up to ";
const MIGRATED: &str = "insert into provisioning.migrations values (99, 'from the future', '')";
const JOBS: &str = "select kind, agent_prefix, state, attempts from provisioning.jobs order by id";

#[tokio::test]
async fn kinds_of_jobs_that_it_does_not_know_are_left_to_a_newer_one() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "alter table provisioning.jobs drop constraint jobs_kind_check;
             alter table provisioning.jobs add check (kind <> '');
             insert into provisioning.jobs (kind, agent_id, agent_prefix) values
                 ('rename', 1, 'agt_a'), ('repair', 1, 'agt_a'), ('rename', 7, 'agt_x')",
        )
        .await;
    let mut service = db.service().await;
    admin.create("agt_b").await;
    admin.create("agt_c").await;
    let built = "select count(*) = 2 from provisioning.jobs where state = 'succeeded'";
    admin.holds(built).await;
    expect(&ask(&db.url(WORKER), &["jobs", "list"]).await, 0, &["rename"]);
    expect(&ask(&db.url(WORKER), &["jobs", "show", "1"]).await, 0, &["rename of agt_a"]);
    // A deletion overtakes what its own agent waits for, whatever that is.
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix)
             values ('deprovision', 1, 'agt_a'); notify agent_provisioning",
        )
        .await;
    admin
        .holds("select state = 'succeeded' from provisioning.jobs where kind = 'deprovision'")
        .await;
    service.signal("TERM");
    assert_eq!(service.ended().await.code(), Some(0));
    let left = [
        "rename|agt_a|cancelled|0",
        "repair|agt_a|cancelled|0", // until then it waited for the one before it
        "rename|agt_x|pending|0",
    ];
    assert_eq!(admin.rows(JOBS).await[..3], left);
}

#[tokio::test]
async fn a_running_program_that_is_older_than_the_schema_ends_and_loses_nothing() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let mut older = db.service_with(&[("DATABASE__LOCK_TIMEOUT", "50s")]).await;
    holder.run("begin; lock table provisioning.lock_gate in exclusive mode").await;
    admin.create("agt_before").await;
    admin.held_up("agt_before").await;
    // From this commit on no job is taken on, not even one that comes with it.
    admin
        .run(&format!(
            "begin; {MIGRATED}; notify agent_provisioning;
             insert into provisioning.jobs (kind, agent_id, agent_prefix)
                 values ('repair', 7, 'agt_x'); commit"
        ))
        .await;
    older.logged("stopping").await;
    holder.run("insert into public.agents (agent_prefix) values ('agt_after'); commit").await;
    assert_eq!(older.ended().await.code(), Some(1), "for its supervisor to start the newer one");
    assert!(older.log().contains(NEWER));
    let left = [
        "provision|agt_before|succeeded|0",
        "repair|agt_x|pending|0",
        "provision|agt_after|pending|0",
    ];
    assert_eq!(admin.rows(JOBS).await, left);
    assert_eq!(admin.tables("agt_after").await, [""; 0]);

    let mut again = Service::start(&db.url(WORKER), &[]);
    assert_eq!(again.ended().await.code(), Some(1));
    again.logged(NEWER).await;
    assert_eq!(admin.rows(JOBS).await, left);

    // Now it is the one that knows the schema.
    admin.run("delete from provisioning.migrations where version = 99").await;
    let _newer = db.service().await;
    admin.settled().await;
    assert_eq!(
        admin.rows(JOBS).await[1..],
        ["repair|agt_x|succeeded|0", "provision|agt_after|succeeded|0"]
    );
    assert_eq!(admin.tables("agt_after").await.len(), 4);
}
