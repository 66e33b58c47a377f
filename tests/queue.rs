//! A long queue behind one dead job is its own prefix's matter.

use crate::support::Database;

#[tokio::test]
async fn however_many_jobs_wait_behind_a_dead_one_others_are_found() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
             values ('provision', 1000, 'agt_stuck', 'dead', now()),
                    ('deprovision', 1000, 'agt_stuck', 'cancelled', now());
             insert into provisioning.jobs (kind, agent_id, agent_prefix)
             select 'provision', n, 'agt_stuck' from generate_series(1001, 1100) n",
        )
        .await;
    admin.create("agt_a").await;
    admin.create("agt_z").await;
    let _service = db.service().await;
    admin.holds("select count(*) = 2 from provisioning.agents").await;
    let pending = "select count(*) from provisioning.jobs where state = 'pending'";
    assert_eq!(admin.one::<i64>(pending).await, 100);
    // Due after all of them, and not held up: it cancels the dead job, which is its own agent's.
    admin
        .run(
            "update provisioning.jobs set state = 'pending', finished_at = null, run_at = now()
             where kind = 'deprovision'; notify agent_provisioning",
        )
        .await;
    admin.settled().await;
    let done = "select kind, state, outcome, count(*) from provisioning.jobs \
                where agent_prefix = 'agt_stuck' group by 1, 2, 3 order by 1, 2";
    let expected = [
        "deprovision|succeeded|deprovisioned|1",
        "provision|cancelled|superseded by job 2|1",
        "provision|succeeded|superseded|100",
    ];
    assert_eq!(admin.rows(done).await, expected);
}

#[tokio::test]
async fn however_many_jobs_wait_behind_a_running_one_others_are_found() {
    let db = Database::new().await;
    let (admin, other) = (db.admin().await, db.admin().await);
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix)
             select 'provision', n, 'agt_busy' from generate_series(1001, 1050) n",
        )
        .await;
    other.run("begin; select from provisioning.jobs where agent_id = 1001 for update").await;
    admin.create("agt_z").await;
    let _service = db.service().await;
    admin.holds("select count(*) = 1 from provisioning.agents").await;
    let waiting = "select count(*) from provisioning.jobs where state = 'pending'";
    assert_eq!(admin.one::<i64>(waiting).await, 50);
    other.run("rollback").await;
    admin.settled().await;
}

/// A former agent's deletion and the next agent's build would else wait for each other for ever.
#[tokio::test]
async fn a_deletion_gets_past_the_dead_job_of_its_own_agent_and_what_waits_behind_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    let former = admin.create("agt_6f78").await;
    admin.settled().await;
    drop(service);
    admin
        .run(&format!(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
                 values ('repair', {former}, 'agt_6f78', 'dead', now());
             alter table public.agents disable trigger enqueue_deprovision;
             delete from public.agents"
        ))
        .await;
    let next = admin.create("agt_6f78").await;
    let _service = db.service().await; // its sweep finds the deletion, after the build was queued
    admin.holds(&format!("select agent_id = {next} from provisioning.agents")).await;
    admin.settled().await;
    let jobs = "select kind, agent_id - $, state from provisioning.jobs order by id";
    let jobs = jobs.replace('$', &former.to_string());
    let expected = [
        "provision|0|succeeded",
        "repair|0|cancelled",
        "provision|1|succeeded",
        "deprovision|0|succeeded",
    ];
    let mut jobs = admin.rows(&jobs).await;
    // Where the build came before the sweep, it found the former tables, and went behind their deletion.
    assert!(jobs.len() == 4 || jobs.pop().as_deref() == Some("provision|1|succeeded"), "{jobs:?}");
    assert_eq!(jobs, expected);
}

/// However old the statistics are when a session makes its plans.
#[tokio::test]
async fn a_claim_reads_few_jobs_of_a_long_queue() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "alter table provisioning.jobs set (autovacuum_enabled = off);
             insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
             values ('provision', 0, 'agt_stuck', 'dead', now());
             insert into provisioning.jobs (kind, agent_id, agent_prefix)
             select 'provision', n, 'agt_stuck' from generate_series(1, 5000) n;
             insert into provisioning.jobs (kind, agent_id, agent_prefix)
             values ('provision', 6000, 'agt_due')",
        )
        .await;
    due_is_found(&db, 500).await;
    admin
        .run(
            "truncate provisioning.jobs, provisioning.attempts;
             insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
             select 'provision', 0, 'agt_stuck_' || n, 'dead', now() from generate_series(1, 60) n;
             insert into provisioning.jobs (kind, agent_id, agent_prefix)
             select 'provision', 10000 + n, 'agt_stuck_' || n from generate_series(1, 60) n;
             insert into provisioning.jobs (kind, agent_id, agent_prefix)
             values ('provision', 6000, 'agt_due');
             insert into provisioning.jobs (kind, agent_id, agent_prefix)
             select 'provision', n, 'agt_' || n from generate_series(1, 5000) n",
        )
        .await;
    due_is_found(&db, 1000).await;
}

/// Of 5,000 and some jobs no more than this are read for it.
async fn due_is_found(db: &Database, most: i64) {
    let admin = db.admin().await;
    let claim = "select agent_prefix from provisioning.claim('{provision, deprovision}', 1000, 1)";
    let read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables \
                where relid = 'provisioning.jobs'::regclass";
    for analyze in ["", "analyze provisioning.jobs"] {
        admin.run(analyze).await;
        let session = db.admin().await;
        for _ in 0..2 {
            session.run("begin").await;
            assert_eq!(session.rows(claim).await, ["agt_due"]);
            let read: i64 = session.one(read).await;
            assert!(read < most, "{read} of 5,000, {analyze:?}");
            session.run("rollback").await;
        }
    }
}

/// Nobody else's job waits for the one that was claimed.
#[tokio::test]
async fn a_claim_locks_no_prefix_but_its_own() {
    let db = Database::new().await;
    let (admin, other, session) = (db.admin().await, db.admin().await, db.admin().await);
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix)
             select 'provision', n, 'agt_' || n from generate_series(1, 3) n",
        )
        .await;
    other.run("begin; select from provisioning.jobs where agent_id in (1, 2) for update").await;
    session.run("begin").await;
    let claim = "select agent_prefix, more from provisioning.claim('{provision}', 1000, 1)";
    assert_eq!(session.rows(claim).await, ["agt_3|t"]);
    let locked =
        "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
    assert_eq!(session.one::<i64>(locked).await, 1);
    assert_eq!(admin.rows(claim).await, [""; 0]);
    other.run("commit").await;
    assert_eq!(admin.rows(claim).await, ["agt_1|t"]);
}

#[tokio::test]
async fn an_upgrade_waits_for_a_worker_with_its_files_however_they_are_numbered() {
    let admin = Database::new().await.admin().await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, template_version)
             values ('upgrade', 1, 'agt_a', 2026112101)",
        )
        .await;
    for (version, claimed) in [("20261121", 0), ("2026112100", 0), ("2026112101", 1)] {
        let claim = format!("provisioning.claim('{{upgrade}}', 1000, {version})");
        let found = admin.rows(&format!("select agent_prefix from {claim}")).await;
        assert_eq!(found.len(), claimed, "at {version}");
    }
    let ahead = "select wait is not null from provisioning.next_due('{upgrade}', 20261121)";
    assert!(!admin.one::<bool>(ahead).await);
}

#[tokio::test]
async fn any_number_of_workers_finds_a_job() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix)
             select 'provision', n, 'agt_' || n from generate_series(1, 200) n",
        )
        .await;
    let other = db.admin().await;
    let claim = "select agent_prefix from provisioning.claim('{provision}', 1000, 1)";
    for claimed in [0, 15, 16, 17, 127, 128, 130, 199] {
        other
            .run(&format!(
                "begin; select from provisioning.jobs order by id limit {claimed} for update"
            ))
            .await;
        assert_eq!(admin.rows(claim).await.len(), 1, "behind {claimed}");
        other.run("commit").await;
    }
}
