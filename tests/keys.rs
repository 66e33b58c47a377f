//! Foreign keys of an agent's tables to tables that stay: how they go, how they come back, and who waits for that.

use std::process::{Child, Stdio};

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::{Value, json as value};

use crate::settings::{HOSTILE, spoil};
use crate::support::{
    ADA, ADMIN, Admin, Database, Pooler, WORKER, ask, expect, have, json, provisioner, until,
};
use crate::trash::{AT_ONCE, CHECKED, KEPT, KEYED, LAST, agents, contents, crm};

const KEY: &str = "agt_ada_customers_agent_id_fkey";

/// The keys of the agent's tables, as the catalog has them.
const KEYS: &str = "select conname, pg_get_constraintdef(oid) from pg_constraint
    where contype = 'f' and conrelid::regclass::text ~ 'agt_ada' order by 1";

/// From now on whoever has checked the rows behind the key waits before the commit.
async fn hold_the_check(db: &Database) -> Admin {
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(&format!(
        "create function public.hold() returns event_trigger language plpgsql as $$
         begin
             if exists (select from pg_catalog.pg_constraint where conname = '{KEY}' and convalidated) then
                 perform pg_catalog.pg_advisory_xact_lock_shared(4711);
             end if;
         end $$;
         create event trigger hold on ddl_command_end when tag in ('ALTER TABLE') execute function public.hold();
         select pg_advisory_lock(4711)"
    ))
    .await;
    root
}

/// Whoever has checked the rows by now.
async fn checker(admin: &Admin) -> i32 {
    until("the rows to be checked", || async {
        let waiting =
            "select pid from pg_locks where locktype = 'advisory' and objid = 4711 and not granted
            and database = (select oid from pg_database where datname = current_database())";
        admin.query_opt(waiting, &[]).await.unwrap().map(|row| row.get(0))
    })
    .await
}

/// That `agents` is free for writers, although somebody checks the rows behind a key to it.
async fn writers_go_on(admin: &Admin, checker: i32) {
    let locks = format!(
        "select mode from pg_locks where pid = {checker} and relation = 'public.agents'::regclass
         and mode not in ('AccessShareLock', 'RowShareLock')"
    );
    assert_eq!(admin.rows(&locks).await, [""; 0]);
    admin.run("set lock_timeout = '30s'").await;
    admin.create("agt_new").await;
    let customer = "insert into public.agt_ada_customers (name, phone) values ('New', '2')";
    admin.run(customer).await;
}

fn restoring(db: &Database) -> Child {
    let mut restore = provisioner(&db.url(ADMIN));
    restore.env("PROVISIONER_DATABASE__LOCK_TIMEOUT", "50s").args(["agents", "restore", "agt_ada"]);
    restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn verified(db: &Database) -> Vec<Value> {
    let verified = json(&ask(&db.url(WORKER), &["agents", "verify", "agt_ada", "--json"]).await);
    let differences = verified.pointer("/drifted/0/differences").and_then(Value::as_array);
    differences.cloned().unwrap_or_default()
}

async fn removed(admin: &Admin) -> i64 {
    admin.one("select jsonb_array_length(removed_keys)::bigint from provisioning.agents where agent_id = 1").await
}

async fn delete(admin: &Admin) {
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
}

#[tokio::test]
async fn agents_is_free_while_a_restore_checks_the_rows() {
    let (db, admin, _service) = crm(KEYED).await;
    let before = admin.rows(KEYS).await;
    delete(&admin).await;
    let holder = hold_the_check(&db).await;
    let mut restore = restoring(&db);
    let pid = checker(&admin).await;
    writers_go_on(&admin, pid).await;
    assert_eq!(removed(&admin).await, 1);
    holder.run("select pg_advisory_unlock(4711)").await;
    assert!(restore.wait().unwrap().success());
    assert_eq!(admin.rows(KEYS).await, before);
    assert_eq!(removed(&admin).await, 0);
    expect(&agents(&db, &["verify", "agt_ada"]).await, 0, &[]);
}

#[tokio::test]
async fn a_restore_that_is_killed_before_the_check_is_seen_and_finished_by_a_repair() {
    let (db, admin, service) = crm(KEYED).await;
    let before = admin.rows(KEYS).await;
    delete(&admin).await;
    drop(service);
    let holder = hold_the_check(&db).await;
    let mut restore = restoring(&db);
    let pid = checker(&admin).await;
    restore.kill().unwrap();
    restore.wait().unwrap();
    admin.run(&format!("select pg_terminate_backend({pid})")).await;
    admin
        .holds(&format!("select not exists (select from pg_stat_activity where pid = {pid})"))
        .await;
    let seen = verified(&db).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!([&seen[0]["change"], &seen[0]["kind"]], [&value!("differs"), &value!("constraint")]);
    assert!(seen[0]["found"].as_str().unwrap().ends_with(" NOT VALID"), "{seen:?}");
    // The repair checks them, and nobody waits for it either.
    let _service = db.service_with(&[KEYED, KEPT, ("DATABASE__LOCK_TIMEOUT", "50s")]).await;
    expect(&agents(&db, &["repair", "agt_ada"]).await, 0, &["queued 1 job"]);
    let pid = checker(&admin).await;
    writers_go_on(&admin, pid).await;
    holder.run("select pg_advisory_unlock(4711)").await;
    admin.settled().await;
    assert_eq!(admin.rows(KEYS).await, before);
    assert_eq!(removed(&admin).await, 0);
    expect(&agents(&db, &["verify", "agt_ada"]).await, 0, &[]);
}

#[tokio::test]
async fn agents_is_free_while_a_repair_checks_the_rows() {
    let (db, admin, service) = crm(KEYED).await;
    drop(service);
    let before = admin.rows(KEYS).await;
    admin.run(&format!("alter table public.agt_ada_customers drop constraint {KEY}")).await;
    let holder = hold_the_check(&db).await;
    let _service = db.service_with(&[KEYED, KEPT, ("DATABASE__LOCK_TIMEOUT", "50s")]).await;
    expect(&agents(&db, &["repair", "agt_ada"]).await, 0, &["queued 1 job"]);
    let pid = checker(&admin).await;
    writers_go_on(&admin, pid).await;
    holder.run("select pg_advisory_unlock(4711)").await;
    admin.settled().await;
    let repair = "select state, outcome from provisioning.jobs where kind = 'repair'";
    assert_eq!(admin.rows(repair).await, ["succeeded|repaired"]);
    assert_eq!(admin.rows(KEYS).await, before);
    expect(&agents(&db, &["verify", "agt_ada"]).await, 0, &[]);
}

#[tokio::test]
async fn agents_is_free_while_a_conversion_checks_the_rows() {
    let (db, admin, service) = crm(CHECKED).await;
    drop(service);
    let holder = hold_the_check(&db).await;
    let _service = db.service_with(&[CHECKED, KEPT, ("DATABASE__LOCK_TIMEOUT", "50s")]).await;
    let convert = ["convert", "agt_ada", "--reference", "foreign_key"];
    expect(&agents(&db, &convert).await, 0, &["queued 1 job"]);
    let pid = checker(&admin).await;
    writers_go_on(&admin, pid).await;
    holder.run("select pg_advisory_unlock(4711)").await;
    admin.settled().await;
    let job = "select state, outcome from provisioning.jobs where kind = 'convert'";
    assert_eq!(admin.rows(job).await, ["succeeded|converted"]);
    expect(&agents(&db, &["verify", "agt_ada"]).await, 0, &[]);
}

#[tokio::test]
async fn settings_of_the_database_change_nothing_of_a_restore_behind_a_pooler() {
    if !have(&["pgbouncer"]) {
        return;
    }
    let (db, admin, service) = crm(KEYED).await;
    let before = (contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await);
    delete(&admin).await;
    drop(service);
    spoil(&db, &HOSTILE[..16]).await; // but for one: the pooler's sessions are its own affair
    let pooler = Pooler::before(&db, "transaction").await;
    let url = pooler.url(&db, ADMIN) + "?pgbouncer=true";
    expect(&ask(&url, &["agents", "restore", "agt_ada"]).await, 0, &["restored agt_ada"]);
    let after = (contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await);
    assert_eq!(after, before);
}

/// Somebody's key to a table that the worker may not refer to.
fn login(table: &str) -> String {
    format!(
        "alter table public.agt_ada_customers add column login uuid default '{}';
         alter table public.agt_ada_customers add constraint \"who logs in\"
             foreign key (login) references {table} (id) on delete set null",
        ADA.id
    )
}

#[tokio::test]
async fn a_key_that_the_worker_may_not_make_goes_and_a_person_brings_it_back() {
    for table in ["auth.users", "public.users"] {
        let (db, admin, _service) = crm(KEYED).await;
        admin.run(&login(table)).await;
        let before = admin.rows(KEYS).await;
        assert_eq!(before.len(), 5);
        delete(&admin).await;
        let dry = json(&agents(&db, &["restore", "agt_ada", "--dry-run", "--json"]).await);
        assert_eq!(dry[0]["keys_off"].as_array().unwrap().len(), 1, "{dry}");

        let restored = agents(&db, &["restore", "agt_ada", "--json"]).await;
        expect(&restored, 1, &[]);
        let restored = json(&restored)[0].clone();
        assert_eq!(
            [&restored["restored"], &restored["failed"], &restored["error"]],
            [&value!(true), &value!([]), &value!(null)]
        );
        let off = &restored["keys_off"].as_array().unwrap()[..];
        assert_eq!(off, &dry[0]["keys_off"].as_array().unwrap()[..]);
        let by_hand = off[0]["by_hand"].as_str().unwrap();
        assert_eq!(contents(&admin, "agt_ada").await.len(), 5);
        // The rest is back, and this one is on the books until it is.
        assert_eq!(admin.rows(KEYS).await.len(), 4);
        assert_eq!(removed(&admin).await, 1);
        expect(&agents(&db, &["repair", "agt_ada", "--wait"]).await, 1, &["1 job succeeded"]);
        let missing = |seen: &&Value| seen["change"] == "missing";
        let seen = verified(&db).await;
        let seen = seen.iter().find(missing).unwrap();
        assert_eq!([&seen["by_hand"], &seen["obstacle"]], [&off[0]["by_hand"], &off[0]["why"]]);
        admin.run(by_hand).await;
        expect(&agents(&db, &["repair", "agt_ada", "--wait"]).await, 1, &["1 job succeeded"]);
        assert!(!verified(&db).await.iter().any(|seen| seen["object"] == KEY));
        assert_eq!(admin.rows(KEYS).await, before);
        assert_eq!(removed(&admin).await, 0);
    }
}

#[tokio::test]
async fn a_key_of_an_agent_that_goes_for_good_holds_nothing_up() {
    // Its owner may keep that table from `postgres`, too.
    for kept in ["select", "revoke all on auth.users from postgres"] {
        let db = Database::new().await;
        let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
        let _service = db.service_with(&[AT_ONCE]).await;
        admin.populate().await;
        admin.settled().await;
        admin.run(&login("auth.users")).await;
        root.run(kept).await;
        admin.run("select from public.delete_agent(1)").await;
        admin.settled().await;
        assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|deprovisioned"], "{kept}");
    }
}

#[tokio::test]
async fn a_reader_of_the_other_table_makes_the_deletion_wait_and_nobody_else() {
    let (db, admin, service) = crm(KEYED).await;
    admin.run(&login("auth.users")).await;
    drop(service);
    let reader = db.admin().await;
    reader.run("begin; select from auth.users").await;
    let _service = db.service_with(&[KEYED, KEPT]).await;
    admin.run("select from public.delete_agent(1)").await;
    admin
        .holds("select lock_wanted = 'access exclusive' from provisioning.jobs where kind = 'deprovision'")
        .await;
    reader.run("commit").await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
}

#[tokio::test]
async fn a_deletion_that_is_cancelled_halfway_says_so_and_a_repair_gives_all_keys_back() {
    let (db, admin, service) = crm(KEYED).await;
    admin.run(&format!("grant references on public.users to {WORKER}")).await;
    admin.run(&login("public.users")).await;
    // A key that was never checked comes back like that, although one of its rows has no partner.
    admin
        .run(
            "create table public.colours (name text primary key);
             grant references on public.colours to agent_provisioner;
             alter table public.agt_ada_orders add constraint coloured
                 foreign key (status) references public.colours (name) not valid",
        )
        .await;
    drop(service);
    let before = (admin.rows(KEYS).await, verified(&db).await);
    assert_eq!(before.0.len(), 6);
    let holder = db.admin().await;
    holder.run("begin; select from public.agt_ada_messages").await;
    let service = db.service_with(&[KEYED, KEPT]).await;
    admin.run("select from public.delete_agent(1)").await;
    admin.holds("select jsonb_array_length(removed_keys) = 3 from provisioning.agents where agent_id = 1").await;
    drop(service);
    admin.deserted().await; // or what it began goes on after the lock
    holder.run("commit").await;
    assert_eq!(admin.rows(KEYS).await.len(), 3);
    let missing = |seen: Vec<Value>| seen.iter().filter(|seen| seen["change"] == "missing").count();
    assert_eq!(missing(verified(&db).await), 3);
    let job: i64 = admin.one("select id from provisioning.jobs where kind = 'deprovision'").await;
    let cancelled = ask(&db.url(ADMIN), &["jobs", "cancel", &job.to_string(), "--json"]).await;
    expect(&cancelled, 0, &[]);
    let next = json(&cancelled)[0]["next"].as_str().unwrap().to_owned();
    assert!(next.ends_with("agents repair agt_ada"), "{next}");
    expect(&ask(&db.url(ADMIN), &["jobs", "show", &job.to_string()]).await, 0, &[&next]);
    let _service = db.service_with(&[KEYED, KEPT]).await;
    agents(&db, &["repair", "agt_ada", "--wait"]).await;
    assert_eq!(admin.rows(KEYS).await, before.0);
    assert_eq!(verified(&db).await, before.1);
    assert_eq!(removed(&admin).await, 0);
}

/// Code of whoever knows the worker's password, which lets an operator's rights out: the worker may not use the
/// sequence. In a session of the worker's own it does nothing.
fn evil(argument: &str, returns: &str, value: &str) -> String {
    format!(
        "create function public.let_out() returns void language plpgsql as $$
         begin
             if session_user <> 'agent_provisioner' then
                 reset role;
                 perform nextval('public.advanced');
             end if;
         end $$;
         create function public.evil({argument}) returns {returns} language plpgsql immutable as $$
         begin
             perform public.let_out();
             return {value};
         end $$"
    )
}

const ADVANCED: &str = "select is_called from public.advanced";

#[tokio::test]
async fn no_cast_of_the_tables_owner_runs_in_an_operators_session() {
    let (db, admin, service) = crm(KEYED).await;
    admin.run("create sequence public.advanced").await;
    delete(&admin).await;
    drop(service);
    let worker = Admin(db.connect(WORKER).await);
    worker.run("create type public.mine as enum ('x')").await;
    worker.run(&evil("public.mine", "bigint", "1")).await;
    worker
        .run(
            "create cast (public.mine as bigint) with function public.evil(public.mine) as implicit;
             alter table provisioning_trash._1_customers drop constraint agt_ada_customers_agent_id_check,
                 alter agent_id drop default, alter agent_id type public.mine using 'x'",
        )
        .await;
    for operator in [ADMIN, SUPERUSER] {
        let args = ["agents", "restore", "agt_ada", "--dry-run", "--json"];
        let dry = ask(&db.url(operator), &args).await;
        expect(&dry, 0, &[]);
        assert_ne!(json(&dry)[0]["keys_off"], Value::Array([].into()));
        assert!(!admin.one::<bool>(ADVANCED).await);
    }
    let restored =
        json(&ask(&db.url(SUPERUSER), &["agents", "restore", "agt_ada", "--json"]).await);
    assert!(!admin.one::<bool>(ADVANCED).await);
    let off = &restored[0]["keys_off"];
    assert_eq!(off.as_array().unwrap().len(), 1, "{off}");
    assert!(off[0]["by_hand"].is_null(), "{off}");
}

#[tokio::test]
async fn no_policy_and_no_index_of_the_tables_owner_runs_in_an_operators_session() {
    let (db, admin, service) = crm(KEYED).await;
    // Both tables can be read by their owners, so the check is a query in the role of the owner.
    admin
        .run(
            "create sequence public.advanced; create table public.colours (name varchar primary key);
             insert into public.colours values ('pending');
             grant select, references on public.colours to agent_provisioner;
             alter table public.agt_ada_orders add constraint coloured
                 foreign key (status) references public.colours (name)",
        )
        .await;
    delete(&admin).await;
    drop(service);
    let worker = Admin(db.connect(WORKER).await);
    worker.run(&evil("integer", "boolean", "true")).await;
    worker
        .run(
            "create policy evil on provisioning_trash._1_orders to public using (public.evil(1));
             create index evil on provisioning_trash._1_orders (id) where public.evil(2)",
        )
        .await;
    let restored =
        json(&ask(&db.url(SUPERUSER), &["agents", "restore", "agt_ada", "--json"]).await);
    assert!(!admin.one::<bool>(ADVANCED).await);
    assert_eq!(restored[0]["keys_off"].as_array().unwrap().len(), 1, "{restored}");
    // The worker checks it in a session of its own.
    let valid = "select convalidated from pg_constraint where conname = 'coloured'";
    assert!(!admin.one::<bool>(valid).await);
    let _service = db.service_with(&[KEYED, KEPT]).await;
    agents(&db, &["repair", "agt_ada", "--wait"]).await;
    assert!(admin.one::<bool>(valid).await);
    assert!(!admin.one::<bool>(ADVANCED).await);
    assert_eq!(removed(&admin).await, 0);
}
