//! `public.agent_states`: the row of each agent that a front end follows.

use std::collections::BTreeSet;

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::{
    ADA, ADMIN, Admin, BEN, BOSS, CALLERS, Caller, DAN, Database, ROLES, WORKER, ask, expect,
    provisioner, until,
};

/// The row of an agent: its state, version and message.
async fn row(admin: &Admin, id: i64) -> Vec<String> {
    let sql = "select state, template_version, message from public.agent_states where agent_id = ";
    admin.rows(&format!("{sql}{id}")).await
}

async fn state(admin: &Admin, id: i64) -> Vec<String> {
    admin.rows(&format!("select state from public.agent_states where agent_id = {id}")).await
}

/// Waits until the row has this state.
#[track_caller]
fn comes_to<'a>(admin: &'a Admin, id: i64, expected: &'a str) -> impl Future<Output = ()> + 'a {
    until(expected, move || async move { (state(admin, id).await == [expected]).then_some(()) })
}

/// Agents whose row differs from what their jobs and registration say now.
async fn stale(admin: &Admin) -> Vec<String> {
    let sql = "select a.id from public.agents a left join public.agent_states s on s.agent_id = a.id
        cross join lateral provisioning.lasting_states(array[a.id]) l
        where (s.state, s.template_version, s.message) is distinct from (l.state, l.template_version, l.message)";
    admin.rows(sql).await
}

#[tokio::test]
async fn the_row_follows_an_agent_from_its_insert_to_its_end() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let id = admin.create("agt_a").await;
    assert_eq!(row(&admin, id).await, ["pending|-|The tables are being built."]);
    let service = db.service_with(&[("DEPROVISION__MAX_PER_HOUR", "1")]).await;
    comes_to(&admin, id, "ready").await;
    assert_eq!(row(&admin, id).await, ["ready|1|The tables are ready."]);

    // What is in the way fails the build. A replay makes it pending, and then it goes well.
    admin.run("create table public.agt_b_orders ()").await;
    let failing = admin.create("agt_b").await;
    comes_to(&admin, failing, "failed").await;
    let job = "select id from provisioning.jobs where agent_prefix = 'agt_b'";
    let job: i64 = admin.one(job).await;
    let words = format!("Building the tables failed; an operator has to look at job {job}.");
    assert_eq!(row(&admin, failing).await, [format!("failed|-|{words}")]);
    service.stop().await;
    admin.run("drop table public.agt_b_orders").await;
    let replayed = ask(&db.url(ADMIN), &["jobs", "replay", &job.to_string()]).await;
    expect(&replayed, 0, &[]);
    assert_eq!(state(&admin, failing).await, ["pending"]);
    expect(&ask(&db.url(ADMIN), &["jobs", "cancel", &job.to_string()]).await, 0, &[]);
    assert_eq!(state(&admin, failing).await, ["cancelled"]);
    let again = format!("select success from public.create_agent_tables('agt_b', {failing})");
    assert_eq!(admin.rows(&again).await, ["t"]);
    assert_eq!(state(&admin, failing).await, ["pending"]);
    let service = db.service_with(&[("DEPROVISION__MAX_PER_HOUR", "1")]).await;
    comes_to(&admin, failing, "ready").await;

    // Of two deletions the second waits for an operator.
    admin.run(&format!("select public.delete_agent({id})")).await;
    admin.settled().await;
    assert_eq!(row(&admin, id).await, [""; 0]);
    admin.run(&format!("select public.delete_agent({failing})")).await;
    comes_to(&admin, failing, "paused").await;
    service.stop().await;
    let paused = "select id from provisioning.jobs where state = 'paused'";
    let paused: i64 = admin.one(paused).await;
    expect(&ask(&db.url(ADMIN), &["jobs", "cancel", &paused.to_string()]).await, 0, &[]);
    assert_eq!(row(&admin, failing).await, ["ready|1|The tables are ready."]);
    admin.run(&format!("select public.delete_agent({failing})")).await;
    assert_eq!(row(&admin, failing).await, ["deleting|1|The agent is being deleted."]);
    assert_eq!(stale(&admin).await, [""; 0]);
}

#[tokio::test]
async fn the_row_comes_and_goes_with_the_transaction_that_changes_the_state() {
    let db = Database::new().await;
    let (admin, other) = (db.admin().await, db.admin().await);
    admin.run("begin").await;
    let id = admin.create("agt_a").await;
    assert_eq!(state(&admin, id).await, ["pending"]);
    assert_eq!(state(&other, id).await, [""; 0]);
    admin.run("rollback").await;
    assert_eq!(state(&admin, id).await, [""; 0]);

    let id = admin.create("agt_a").await;
    let changed = "select changed_at::text from public.agent_states";
    let before = admin.rows(changed).await;
    let built = format!(
        "insert into provisioning.agents (agent_id, agent_prefix, template_version, reference)
             values ({id}, 'agt_a', 1, 'check');
         update provisioning.jobs set state = 'succeeded', finished_at = now()"
    );
    admin.run(&format!("begin; {built}; set constraints all immediate")).await;
    assert_eq!(state(&admin, id).await, ["ready"]);
    assert_eq!(state(&other, id).await, ["pending"]);
    admin.run("rollback").await;
    assert_eq!(state(&admin, id).await, ["pending"]);
    assert_eq!(admin.rows(changed).await, before);
    // Two changes are one write: the row is as the commit leaves it.
    admin.run(&format!("begin; {built}; commit")).await;
    assert_eq!(row(&admin, id).await, ["ready|1|The tables are ready."]);
    let after = admin.rows(changed).await;
    assert_ne!(after, before);
    admin.run("update provisioning.agents set template_version = 2").await;
    assert_eq!(row(&admin, id).await, ["ready|2|The tables are ready."]);
    // What changes no state writes nothing.
    let written = "select xmin::text from public.agent_states";
    let before = admin.rows(written).await;
    admin
        .run(&format!(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('repair', {id}, 'agt_a');
             update provisioning.jobs set attempts = 1, run_at = now() where kind = 'repair';
             update provisioning.jobs set state = 'dead', finished_at = now() where kind = 'repair'"
        ))
        .await;
    assert_eq!(admin.rows(written).await, before);
    let told =
        format!("select state, message like '%repair failed%' from public.agent_status({id})");
    assert_eq!(admin.rows(&told).await, ["ready|t"]);
}

/// What a worker and a caller of the API do to one agent at once: each sees what the other has committed.
#[tokio::test]
async fn of_two_changes_at_once_the_row_shows_what_both_came_to() {
    let failed =
        "update provisioning.jobs set state = 'dead', finished_at = now() where kind = 'provision'";
    let deleted = "select public.delete_agent(1)";
    let gone = "delete from public.agents";
    for (first, second, expected) in [
        (failed, deleted, &["deleting"][..]),
        (deleted, failed, &["deleting"]),
        (failed, gone, &[]),
    ] {
        let db = Database::new().await;
        let (admin, worker, caller) = (db.admin().await, db.admin().await, db.admin().await);
        admin.create("agt_a").await;
        worker.run(&format!("begin; {first}; set constraints all immediate")).await;
        let waiting = tokio::task::spawn(async move { caller.batch_execute(second).await });
        let blocked = "select count(*) = 1 from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        admin.holds(blocked).await;
        worker.run("commit").await;
        waiting.await.unwrap().unwrap();
        assert_eq!(state(&admin, 1).await, expected, "{first}; {second}");
        assert_eq!(stale(&admin).await, [""; 0]);
    }
}

#[tokio::test]
async fn agents_that_no_trigger_saw_get_their_row_by_reconcile() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "alter table public.agents disable trigger enqueue_provision;
             insert into public.agents (agent_prefix) values ('agt_a');
             alter table public.agents enable trigger enqueue_provision",
        )
        .await;
    assert_eq!(row(&admin, 1).await, [""; 0]);
    admin.run("select from provisioning.reconcile()").await;
    assert_eq!(row(&admin, 1).await, ["pending|-|The tables are being built."]);
}

/// Without the limit the change would wait for the end of the DELETE.
#[tokio::test]
async fn an_open_delete_of_an_agent_holds_up_no_change_of_its_state() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let id = admin.create("agt_a").await;
    holder.run("begin; delete from public.agents").await;
    admin.run("update provisioning.jobs set state = 'dead', finished_at = now()").await;
    holder.run("rollback").await;
    assert_eq!(state(&admin, id).await, ["pending"]);
    admin.run("select from provisioning.reconcile()").await;
    assert_eq!(state(&admin, id).await, ["failed"]);
}

/// As after a DELETE that was open while the state changed, and was taken back.
#[tokio::test]
async fn a_row_that_missed_a_change_is_written_by_reconcile_whatever_it_says() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[("DEPROVISION__MAX_PER_HOUR", "0")]).await;
    let (paused, upgraded) = (admin.create("agt_a").await, admin.create("agt_b").await);
    comes_to(&admin, upgraded, "ready").await;
    admin.run(&format!("select public.delete_agent({paused})")).await;
    comes_to(&admin, paused, "paused").await;
    service.stop().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("update public.agent_states set state = 'ready', template_version = 1, message = 'The tables are ready.'")
        .await;
    root.run(&format!(
        "update provisioning.agents set template_version = 2 where agent_id = {upgraded}"
    ))
    .await;
    root.run("update public.agent_states set template_version = 1").await;
    assert_eq!(state(&admin, paused).await, ["ready"]);
    admin.run("select from provisioning.reconcile()").await;
    assert_eq!(state(&admin, paused).await, ["paused"]);
    assert_eq!(row(&admin, upgraded).await, ["ready|2|The tables are ready."]);
}

#[tokio::test]
async fn an_agent_out_of_the_trash_is_ready() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    let id = admin.create("agt_a").await;
    comes_to(&admin, id, "ready").await;
    admin.run("delete from public.agents").await;
    assert_eq!(state(&admin, id).await, [""; 0]);
    admin.settled().await;
    service.stop().await;
    expect(&ask(&db.url(ADMIN), &["agents", "restore", "agt_a"]).await, 0, &[]);
    assert_eq!(row(&admin, id).await, ["ready|1|The tables are ready."]);
}

#[tokio::test]
async fn a_migration_fills_the_table_for_agents_that_are_there() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    let ready = admin.create("agt_ready").await;
    comes_to(&admin, ready, "ready").await;
    service.stop().await;
    admin.create("agt_pending").await;
    let all =
        "select agent_id, state, template_version, message from public.agent_states order by 1";
    let before = admin.rows(all).await;
    assert_eq!(before.len(), 2);
    for args in [&["down", "--to", "10"][..], &[]] {
        let migrated = provisioner(&db.url(ADMIN)).arg("migrate").args(args).output().unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        let there = "select to_regclass('public.agent_states') is not null";
        assert_eq!(admin.one::<bool>(there).await, args.is_empty());
    }
    assert_eq!(admin.rows(all).await, before);
    // The rights of the worker's role on what was made anew.
    admin.run(ROLES).await;
    let _service = db.service().await;
    admin.settled().await;
    assert_eq!(stale(&admin).await, [""; 0]);
}

#[tokio::test]
async fn realtime_gets_the_table_where_the_publication_is_there_and_ours() {
    let published = "select count(*) from pg_publication_tables
        where pubname = 'supabase_realtime' and tablename = 'agent_states'";
    for (publication, tables) in [
        ("", 1),
        ("drop publication supabase_realtime", 0),
        ("alter publication supabase_realtime owner to supabase_admin", 0),
        (
            "drop publication supabase_realtime; create publication supabase_realtime for all tables",
            1,
        ),
    ] {
        let db = Database::empty().await;
        db.connect(SUPERUSER).await.batch_execute(publication).await.unwrap();
        db.migrate().await;
        assert_eq!(db.admin().await.one::<i64>(published).await, tables, "{publication}");
    }
}

#[tokio::test]
async fn whoever_may_ask_for_an_agent_sees_its_row_and_nobody_else() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    admin.run("insert into public.agents (agent_prefix) values ('agt_x')").await;
    for (caller, expected) in
        [(ADA, "1"), (BEN, "2"), (DAN, ""), (BOSS, "1 2 3"), (CALLERS[6], "1 2 3")]
    {
        let seen = ["public.agent_states", "public.agent_statuses()"]
            .map(|from| format!("select agent_id from {from} order by 1"));
        for sql in seen {
            assert_eq!(ids(&admin, &caller, &sql).await.join(" "), expected, "{caller:?}: {sql}");
        }
        let mut told = Vec::new();
        for id in ["1", "2", "3"] {
            let sql = format!("select {id} from public.agent_status({id})");
            match admin.ask(&caller, &sql).await {
                Ok(answer) => told.extend(answer.rows),
                Err(error) => assert_eq!(error.code().code(), "42501", "{error}"),
            }
        }
        assert_eq!(told.join(" "), expected, "{caller:?}");
    }
    for sql in ["select from public.agent_states", "select from public.agent_statuses()"] {
        let refused = admin.ask(&CALLERS[0], sql).await.unwrap_err();
        assert_eq!(refused.code().code(), "42501", "{sql}");
    }
    // Of an agent whose row is gone, its former owner is told what becomes of its tables.
    admin.run("delete from public.agents where id = 1").await;
    let listed = "select agent_id, state from public.agent_statuses()";
    assert_eq!(ids(&admin, &ADA, listed).await, ["1|deleting"]);
    assert_eq!(ids(&admin, &BEN, listed).await, ["2|pending"]);
    let all: BTreeSet<String> = ids(&admin, &BOSS, listed).await.into_iter().collect();
    assert_eq!(all, ["1|deleting", "2|pending", "3|pending"].map(str::to_owned).into());
    // The worker's role has no right here: triggers write.
    let worker = Admin(db.connect(WORKER).await);
    let refused =
        worker.answer("update public.agent_states set state = 'ready'").await.unwrap_err();
    assert_eq!(refused.code().code(), "42501");
}

async fn ids(admin: &Admin, caller: &Caller, sql: &str) -> Vec<String> {
    admin.ask(caller, sql).await.unwrap().rows
}
