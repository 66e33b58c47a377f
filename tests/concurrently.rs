//! Template files that run outside a transaction, and what becomes of them when they are broken off.

use crate::support::{Admin, Database, Files, Service, WORKER, expect, sound, until};

const BASE: (&str, &str) = (
    "0001_base.sql",
    "-- provisioner: public {prefix}_customers
     create table public.{prefix}_customers (id serial primary key, name text not null);",
);

const INDEX: (&str, &str) = (
    "0002_index.sql",
    "-- provisioner: concurrently
     create index concurrently if not exists {prefix}_name_idx on public.{prefix}_customers (name);",
);

const TWO: (&str, &str) = ("WORKER__CONCURRENCY", "2");

const VALID: &str = "select indexrelid::regclass, indisvalid from pg_index
                     where indexrelid::regclass::text ~ 'name_idx'
                     order by indexrelid::regclass::text";

const UPGRADES: &str = "select agent_prefix, state, attempts from provisioning.jobs
                        where kind = 'upgrade' order by id";

/// Two agents whose index builds are asked for; that of the first waits for the holder's transaction.
async fn held_up() -> (Database, Admin, Admin, Files, Service) {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let first = Files::new(&[BASE]).service(&db, &[]).await;
    for prefix in ["agt_a", "agt_b"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    drop(first);
    holder.run("begin; insert into public.agt_a_customers (name) values ('held up')").await;
    let files = Files::new(&[BASE, INDEX]);
    let service = files.service(&db, &[TWO]).await;
    expect(&files.ask(&db, &["agents", "upgrade"]).await, 0, &["queued 2 jobs"]);
    admin.held_up("agt_a").await;
    (db, admin, holder, files, service)
}

#[tokio::test]
async fn a_build_that_was_killed_is_cleaned_up_and_done_again() {
    let (db, admin, holder, files, mut service) = held_up().await;
    admin.run("insert into public.agt_a_customers (name) values ('meanwhile')").await;
    // Whoever is new does not wait for it.
    admin.create("agt_new").await;
    admin
        .holds("select exists (select from provisioning.agents where agent_prefix = 'agt_new')")
        .await;
    // Longer than the server lets a transaction be idle: the job's own is kept alive.
    admin
        .holds(
            "select max(clock_timestamp() - xact_start) > interval '12 s' from pg_stat_activity
             where datname = current_database() and application_name ^@ 'agent-provisioner job '
             and state ^@ 'idle in transaction'",
        )
        .await;
    service.signal("KILL");
    service.ended().await;
    admin.deserted().await;
    assert_eq!(admin.rows(VALID).await.first().unwrap(), "agt_a_name_idx|f");
    assert_eq!(admin.rows(UPGRADES).await.first().unwrap(), "agt_a|pending|0");
    holder.run("rollback").await;
    let _service = files.service(&db, &[TWO]).await;
    admin.settled().await;
    let built = ["agt_a_name_idx|t", "agt_b_name_idx|t", "agt_new_name_idx|t"];
    assert_eq!(admin.rows(VALID).await, built);
    assert_eq!(admin.rows(UPGRADES).await, ["agt_a|succeeded|0", "agt_b|succeeded|0"]);
    sound(&files.ask(&db, &["agents", "verify", "--json"]).await, 3);
}

#[tokio::test]
async fn a_second_signal_ends_the_build_too() {
    let (db, admin, holder, files, mut service) = held_up().await;
    service.signal("TERM");
    service.logged("stopping").await;
    until("a later signal to be taken for a second one", || async {
        service.signal("TERM");
        service.log().contains("second signal").then_some(())
    })
    .await;
    assert_eq!(service.ended().await.code(), Some(1));
    admin.deserted().await;
    assert_eq!(admin.rows(UPGRADES).await.first().unwrap(), "agt_a|pending|0");
    holder.run("commit").await;
    let _service = files.service(&db, &[]).await;
    admin.settled().await;
    assert_eq!(admin.rows(VALID).await, ["agt_a_name_idx|t", "agt_b_name_idx|t"]);
}

#[tokio::test]
async fn a_build_whose_connection_is_ended_costs_an_attempt() {
    let (_db, admin, holder, _files, service) = held_up().await;
    let pid = admin.held_up("agt_a").await;
    admin.run(&format!("select pg_terminate_backend({pid})")).await;
    admin
        .holds("select attempts = 1 from provisioning.jobs where kind = 'upgrade' and agent_id = 1")
        .await;
    holder.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.rows(VALID).await, ["agt_a_name_idx|t", "agt_b_name_idx|t"]);
    assert_eq!(service.log().matches("\"job failed\"").count(), 1);
}

#[tokio::test]
async fn a_job_whose_transaction_is_ended_does_not_build_on() {
    let (_db, admin, holder, _files, _service) = held_up().await;
    let job =
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
               and application_name ^@ 'agent-provisioner job ' and state ^@ 'idle in transaction'";
    let build = admin.held_up("agt_a").await;
    admin.run(job).await;
    let gone = format!("select not exists (select from pg_stat_activity where pid = {build})");
    admin.holds(&gone).await;
    holder.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.rows(VALID).await, ["agt_a_name_idx|t", "agt_b_name_idx|t"]);
}

#[tokio::test]
async fn an_attempt_that_is_still_at_it_is_waited_for() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let other = Admin(db.connect(WORKER).await);
    let first = Files::new(&[BASE]).service(&db, &[]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(first);
    let files = Files::new(&[BASE, INDEX]);
    expect(&files.ask(&db, &["agents", "upgrade"]).await, 0, &["queued 1 job\n"]);
    // As a build whose worker died: it has begun, and nothing shows of the index yet.
    holder.run("begin; lock table public.agt_a_customers in share mode").await;
    let build = "set application_name = 'agent-provisioner job 2';";
    let create = "create index concurrently agt_a_name_idx on public.agt_a_customers (name)";
    let building = tokio::spawn(async move {
        other.run(build).await;
        other.run(create).await;
    });
    admin.held_up("agt_a").await;
    let _service = files.service(&db, &[TWO]).await;
    // It looks for such a build; if it did not, it would queue for the same lock by now.
    let sessions =
        "select bool_or(query ~ '<= 2') or count(*) filter (where wait_event_type = 'Lock') = 2
                    from pg_stat_activity where datname = current_database()
                    and application_name = 'agent-provisioner job 2'";
    admin.holds(sessions).await;
    holder.run("commit").await;
    building.await.unwrap();
    admin.settled().await;
    assert_eq!(admin.rows(UPGRADES).await, ["agt_a|succeeded|0"]);
    assert_eq!(admin.rows(VALID).await, ["agt_a_name_idx|t"]);
}

#[tokio::test]
async fn an_index_of_somebody_elses_is_left_alone() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let first = Files::new(&[BASE]).service(&db, &[]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    drop(first);
    admin
        .run("create table public.mine (a int); create index agt_a_name_idx on public.mine (a)")
        .await;
    let files = Files::new(&[BASE, INDEX]);
    let _service = files.service(&db, &[]).await;
    let done = files.ask(&db, &["agents", "upgrade", "--wait"]).await;
    expect(&done, 1, &["agt_a_name_idx"]);
    let dead = "select agent_prefix, last_sqlstate from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.rows(dead).await, ["agt_a|42P07"]);
    assert_eq!(admin.rows("select indrelid::regclass from pg_index where indexrelid = 'agt_a_name_idx'::regclass").await, ["mine"]);
}
