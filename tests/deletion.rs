//! What a deletion may take for granted: nothing. That somebody asked for it, that the agent is gone, whose
//! it was, and that each statement did what it was to do.

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::{
    ADA, ADMIN, Admin, BEN, Database, Files, Server, WORKER, ask, expect, json, until,
};
use crate::trash::{AT_ONCE, CHECKED, KEPT, KEYED, LAST, TRASH, agents, contents, crm};

/// What an operator's replay does.
pub const AGAIN: &str = "update provisioning.jobs set state = 'pending', finished_at = null,
    run_at = now(), attempts = 0 where state = 'dead'; notify agent_provisioning";

/// Why the deletion is dead.
pub const DEAD: &str = "select coalesce(max(last_error), '-') from provisioning.jobs
    where kind = 'deprovision' and state = 'dead'";

/// Of each user's configuration, whether it is on.
const ACTIVE: &str = "select left(w.whatsapp_number, 2), w.is_active
    from public.whatsapp_configuration w order by 1";

#[tokio::test]
async fn what_a_rule_or_a_trigger_swallows_fails_the_deletion() {
    let nothing = "create function public.nothing() returns trigger language plpgsql as
        $$ begin return null; end $$;
        create trigger nothing before";
    for (reference, table, make, fix) in [
        (
            CHECKED,
            "public.agents",
            "delete on public.agents",
            "drop trigger nothing on public.agents",
        ),
        (
            KEYED,
            "public.agents",
            "delete on public.agents",
            "drop trigger nothing on public.agents",
        ),
        (
            CHECKED,
            "public.whatsapp_configuration",
            "update on public.whatsapp_configuration",
            "drop trigger nothing on public.whatsapp_configuration",
        ),
        (
            CHECKED,
            "provisioning.agents",
            "delete on provisioning.agents",
            "drop trigger nothing on provisioning.agents",
        ),
        (
            CHECKED,
            "provisioning.trash",
            "insert on provisioning.trash",
            "drop trigger nothing on provisioning.trash",
        ),
        (
            CHECKED,
            "provisioning.trash_relations",
            "insert on provisioning.trash_relations",
            "drop trigger nothing on provisioning.trash_relations",
        ),
    ] {
        let (_db, admin, _service) = crm(reference).await;
        let before = contents(&admin, "agt_ada").await;
        admin
            .run(&format!("{nothing} {make} for each row execute function public.nothing()"))
            .await;
        admin.run("select from public.delete_agent(1)").await;
        admin.settled().await;
        let dead: String = admin.one(DEAD).await;
        assert!(dead.contains(table), "{table}: {dead}");
        assert_eq!(contents(&admin, "agt_ada").await, before, "{table}");
        assert_eq!(admin.one::<i64>(TRASH).await, 0, "{table}");
        admin.run(&format!("{fix}; {AGAIN}")).await;
        admin.settled().await;
        assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"], "{table}");
        assert_eq!(admin.rows(ACTIVE).await, ["+1|f", "+2|t"], "{table}");
    }
}

#[tokio::test]
async fn a_rule_on_the_registry_fails_an_adoption_and_a_conversion() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[KEYED]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    let swallow = "create rule swallow as on VERB to provisioning.agents do instead nothing";
    admin.run(&swallow.replace("VERB", "update")).await;
    let convert = ["agents", "convert", "--reference", "check", "--wait"];
    expect(&ask(&db.url(ADMIN), &convert).await, 1, &["1 failed"]);
    let dead: String = admin.one(&DEAD.replace("deprovision", "convert")).await;
    assert!(dead.contains("provisioning.agents"), "{dead}");
    let key = "select count(*) from pg_constraint where conname = 'agt_a_customers_agent_id_fkey'";
    assert_eq!(admin.one::<i64>(key).await, 1);
    drop(service);
    // As an older trigger would have built it.
    admin
        .run(
            "drop rule swallow on provisioning.agents; delete from provisioning.agents;
             delete from provisioning.jobs",
        )
        .await;
    admin
        .run(
            "create function public.nothing() returns trigger language plpgsql as
                 $$ begin return null; end $$;
             create trigger nothing before insert on provisioning.agent_tables
                 for each row execute function public.nothing()",
        )
        .await;
    expect(&agents(&db, &["adopt", "agt_a", "--yes"]).await, 1, &["provisioning.agent_tables"]);
    admin.run("drop trigger nothing on provisioning.agent_tables").await;
    expect(&agents(&db, &["adopt", "agt_a", "--yes"]).await, 0, &[]);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agent_tables").await, 4);
}

/// Until this session ends, no reconcile.
pub const NO_SWEEP: &str = "begin; lock table provisioning.sweep_gate in share mode";

#[tokio::test]
async fn a_deletion_that_was_asked_for_needs_none_of_the_workers_policies_on_your_tables() {
    let (db, admin, _service) = crm(CHECKED).await;
    let no_sweep = db.admin().await;
    no_sweep.run(NO_SWEEP).await;
    admin
        .run(
            "drop policy worker_select on public.agents; drop policy worker_update on public.agents;
             select from public.delete_agent(1)",
        )
        .await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
    assert_eq!(admin.rows("select id from public.agents").await, ["2"]);
    assert_eq!(admin.rows(ACTIVE).await, ["+1|f", "+2|t"]);
}

#[tokio::test]
async fn registered_tables_that_the_worker_cannot_see_are_not_taken_for_gone() {
    for table in ["agents", "agent_tables"] {
        let (_db, admin, _service) = crm(CHECKED).await;
        let before = contents(&admin, "agt_ada").await;
        let hide = format!("drop policy worker on provisioning.{table}");
        admin.run(&format!("{hide}; select from public.delete_agent(1)")).await;
        admin.settled().await;
        let dead: String = admin.one(DEAD).await;
        assert!(dead.contains("public.agt_ada_customers"), "{dead}");
        assert_eq!(contents(&admin, "agt_ada").await, before);
    }
}

#[tokio::test]
async fn where_row_security_hides_agents_from_their_owner_too_nothing_is_dropped() {
    // Of its own, since the role belongs to the whole server.
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let (admin, root) = (db.admin().await, db.connect(SUPERUSER).await);
    let _service = db.service_with(&[CHECKED, KEPT]).await;
    admin.create("agt_a").await;
    admin.settled().await;
    root.batch_execute("alter role postgres nobypassrls").await.unwrap();
    admin.run("alter table public.agents force row level security").await;
    // As a DELETE that a role with all rights makes.
    root.batch_execute("delete from public.agents").await.unwrap();
    let waits = "select state = 'pending' and attempts = 0 and last_sqlstate = '42501'
        and last_error like '%force row level security%' from provisioning.jobs where kind = 'deprovision'";
    admin.holds(waits).await;
    assert_eq!(admin.tables("agt_a").await.len(), 4);
    admin.run("alter table public.agents no force row level security").await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
}

#[tokio::test]
async fn a_deletion_that_nobody_asked_for_drops_nothing_of_an_agent_that_exists() {
    let (db, admin, _service) = crm(KEYED).await;
    let before = (contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await);
    let no_sweep = db.admin().await;
    no_sweep.run(NO_SWEEP).await;
    // The restrictive policy of a soft deletion.
    admin
        .run(
            "alter table public.agents add column deleted_at timestamptz;
             create policy hide_deleted on public.agents as restrictive for select using (deleted_at is null);
             update public.agents set deleted_at = now() where id = 1",
        )
        .await;
    admin.run(&found(1, "agt_ada")).await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|superseded"]);
    admin.run("update public.agents set deleted_at = null").await;
    admin.run("alter table public.agents drop column deleted_at cascade").await;
    let after = (contents(&admin, "agt_ada").await, admin.catalog("agt_ada", 1).await);
    assert_eq!(after, before);
}

/// A job for the tables of an agent that reconcile or a provision did not find.
fn found(id: i64, prefix: &str) -> String {
    format!(
        "insert into provisioning.jobs (kind, agent_id, agent_prefix, unreported)
         values ('deprovision', {id}, '{prefix}', true); notify agent_provisioning"
    )
}

#[tokio::test]
async fn an_agent_that_comes_back_just_before_its_deletion_ends_is_left_alone() {
    let (db, admin, service) = crm(KEYED).await;
    let holder = db.admin().await;
    drop(service);
    admin
        .run(
            "create table kept as select * from public.agents where id = 2;
             alter table public.agents disable trigger user; delete from public.agents where id = 2",
        )
        .await;
    admin.run(&found(2, "agt_ben")).await;
    holder.run("begin; lock table provisioning.trash_relations in share mode").await;
    let _service = db.service_with(&[KEYED, KEPT, ("DATABASE__LOCK_TIMEOUT", "50s")]).await;
    admin.held_up("agt_ben").await;
    admin.run("insert into public.agents select * from kept").await;
    holder.run("commit").await;
    admin.settled().await;
    let last =
        "select outcome from provisioning.jobs where kind = 'deprovision' order by id desc limit 1";
    assert_eq!(admin.rows(last).await, ["superseded"]);
    assert_eq!(admin.tables("agt_ben").await.len(), 4);
}

#[tokio::test]
async fn the_user_whose_agent_it_is_at_the_end_loses_the_configuration_and_nobody_else() {
    let (db, admin, service) = crm(CHECKED).await;
    drop(service);
    let give = format!(
        "update public.agents set user_id = null where id = 2;
         update public.agents set user_id = '{}' where id = 1",
        BEN.id
    );
    admin.run(&format!("select from public.delete_agent(1); {give}")).await;
    let service = db.service_with(&[CHECKED, KEPT]).await;
    admin.settled().await;
    assert_eq!(admin.rows(ACTIVE).await, ["+1|t", "+2|f"]);
    drop(service);
    // The DELETE comes after delete_agent, and after the agent was given away.
    expect(&agents(&db, &["restore", "agt_ada"]).await, 0, &[]);
    assert_eq!(admin.rows(ACTIVE).await, ["+1|t", "+2|t"]);
    let give = format!("update public.agents set user_id = '{}' where id = 1", ADA.id);
    admin
        .run(&format!(
            "select from public.delete_agent(1); {give}; delete from public.agents where id = 1"
        ))
        .await;
    let _service = db.service_with(&[CHECKED, KEPT]).await;
    admin.settled().await;
    assert_eq!(admin.rows(ACTIVE).await, ["+1|f", "+2|t"]);
}

#[tokio::test]
async fn of_an_agent_whose_owner_nobody_knows_no_configuration_is_switched_off() {
    let (db, admin, service) = crm(CHECKED).await;
    // The user of the day when the tables were built has a new agent; it is no orphan's.
    admin
        .run(
            "alter table public.agents disable trigger enqueue_deprovision;
             delete from public.agents where id = 1;
             insert into provisioning.jobs (kind, agent_id, agent_prefix, user_id, unreported)
             select 'deprovision', agent_id, agent_prefix, user_id, true from provisioning.agents
             where agent_id = 1 on conflict do nothing; notify agent_provisioning",
        )
        .await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
    assert_eq!(admin.rows(ACTIVE).await, ["+1|t", "+2|t"]);
    service.logged("no WhatsApp configuration was switched off").await;
    let listed = json(&agents(&db, &["trash", "--json"]).await);
    assert_eq!(listed[0]["owner_known"], false);
    assert!(listed[0]["user"].is_null());
}

#[tokio::test]
async fn a_user_who_has_the_agent_again_keeps_the_configuration() {
    let (db, admin, service) = crm(CHECKED).await;
    drop(service);
    admin
        .run(&format!(
            "delete from public.agents where id = 1;
             insert into public.agents (id, agent_prefix, user_id) values (1, 'agt_ada', '{}')",
            ADA.id
        ))
        .await;
    let _service = db.service_with(&[CHECKED, KEPT]).await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_ada").await.len(), 4);
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.trash").await, 1);
    assert_eq!(admin.rows(ACTIVE).await, ["+1|t", "+2|t"]);
}

/// Two agents with tables that nobody has adopted, as an older trigger built them, and a longer prefix.
async fn unadopted() -> (Database, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[KEYED]).await;
    for prefix in ["agt_old", "agt_old_2"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    drop(service);
    admin.fill(&["agt_old", "agt_old_2"]).await;
    admin.run("delete from provisioning.agents; delete from provisioning.jobs").await;
    (db, admin)
}

#[tokio::test]
async fn an_agent_whose_old_tables_nobody_adopted_is_not_deleted() {
    let (db, admin) = unadopted().await;
    admin
        .run(
            "create table public.agt_old_notes (agent bigint references public.agents on delete cascade);
             insert into public.agt_old_notes values (1); select from public.delete_agent(1)",
        )
        .await;
    let settings = [KEYED, KEPT, ("WORKER__RECONCILE_INTERVAL", "1h")];
    let service = db.service_with(&settings).await;
    admin.settled().await;
    let dead: String = admin.one(DEAD).await;
    for table in ["public.agt_old_customers", "public.agt_old_orders_items", "public.agt_old_notes"]
    {
        assert!(dead.contains(table), "{dead}");
    }
    assert!(!dead.contains("agt_old_2"), "{dead}");
    let rows = "select (select count(*) from public.agt_old_customers) + (select count(*) from public.agt_old_notes)";
    assert_eq!(admin.one::<i64>(rows).await, 2);
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 2);
    drop(service);
    // The first way out.
    expect(&agents(&db, &["adopt", "agt_old", "--yes"]).await, 0, &[]);
    admin.run(AGAIN).await;
    let service = db.service_with(&settings).await;
    // What no template makes was not adopted, and is not emptied either. The repair waits for that.
    admin
        .holds("select exists (select from provisioning.jobs where state = 'dead' and id = 3)")
        .await;
    let dead: String = admin.one(DEAD).await;
    let untie = "alter table public.agt_old_notes drop constraint agt_old_notes_agent_fkey";
    assert!(dead.contains(untie), "{dead}");
    admin.run(&format!("{untie}; {AGAIN}")).await;
    admin.settled().await;
    let done = "select outcome from provisioning.jobs where kind = 'deprovision'";
    assert_eq!(admin.rows(done).await, ["trashed"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_old_notes").await, 1);
    expect(&agents(&db, &["restore", "agt_old"]).await, 0, &["with 4 tables"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_old_customers").await, 1);
    drop(service);

    // The second: the statements of the error.
    let (db, admin) = unadopted().await;
    admin.run("select from public.delete_agent(1)").await;
    let _service = db.service_with(&settings).await;
    admin.settled().await;
    let dead: String = admin.one(DEAD).await;
    let (_, fix) = dead.split_once("run alter ").unwrap();
    let (fix, _) = fix.split_once(". Then").unwrap();
    admin.run(&format!("alter {fix}; {AGAIN}")).await;
    admin.settled().await;
    assert_eq!(admin.rows(done).await, ["row_deleted"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_old_customers").await, 1);
    assert_eq!(admin.rows("select id from public.agents").await, ["2"]);
}

#[tokio::test]
async fn a_strangers_table_keeps_no_agent_from_being_deleted_and_nothing_is_claimed() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run("create table public.agt_a_orders as select 'precious' as what").await;
    admin.create("agt_a").await;
    // Its prefix heads another's names, and those have a key.
    let (other, stranger) = unadopted().await;
    stranger.run("insert into public.agents (agent_prefix) values ('agt')").await;
    stranger.run("select from public.delete_agent(3)").await;
    let _services =
        (db.service_with(&[KEYED, KEPT]).await, other.service_with(&[KEYED, KEPT]).await);
    stranger.settled().await;
    assert_eq!(stranger.one::<i64>("select count(*) from public.agents").await, 2);
    admin.settled().await;
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|row_deleted"]);
    assert_eq!(admin.rows("select what from public.agt_a_orders").await, ["precious"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 0);
}

#[tokio::test]
async fn after_a_delete_the_old_tables_that_nobody_adopted_are_left_alone() {
    let (db, admin) = unadopted().await;
    admin.run("delete from public.agents where id = 1").await;
    let _service = db.service_with(&[KEYED, KEPT, ("WORKER__RECONCILE_INTERVAL", "1h")]).await;
    admin
        .holds("select outcome = 'row_deleted' from provisioning.jobs where kind = 'deprovision'")
        .await;
    assert_eq!(admin.tables("agt_old").await.len(), 8);
}

const EVENTS: &str = "
    -- provisioner: public {prefix}_events
    -- provisioner: public {prefix}_events_2024
    -- provisioner: public {prefix}_notes
    create table public.{prefix}_events (ts timestamptz not null, body text)
    partition by range (ts);
    create table public.{prefix}_events_2024 partition of public.{prefix}_events
        for values from ('2024-01-01') to ('2025-01-01');
    create table public.{prefix}_notes (body text);";

#[tokio::test]
async fn a_partition_or_a_child_that_nobody_registered_stops_the_deletion() {
    let files = Files::new(&[("0001_events.sql", EVENTS)]);
    for retention in [AT_ONCE, KEPT] {
        let db = Database::new().await;
        let admin = db.admin().await;
        let service = files.service(&db, &[CHECKED, retention]).await;
        admin.create("ab").await;
        admin.settled().await;
        let root = Admin(db.connect(SUPERUSER).await);
        root.run(
            "create table public.ab_events_2025 partition of public.ab_events
                 for values from ('2025-01-01') to ('2026-01-01');
             create table public.more_notes () inherits (public.ab_notes);
             insert into public.ab_events values ('2024-02-02', 'mine'), ('2025-03-03', 'kept');
             insert into public.more_notes values ('kept')",
        )
        .await;
        admin.run("select from public.delete_agent(1)").await;
        admin.settled().await;
        let dead: String = admin.one(DEAD).await;
        assert!(dead.contains("public.ab_events_2025 "), "{dead}");
        assert_eq!(root.one::<i64>("select count(*) from public.ab_events").await, 2);
        assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 1);
        let (_, fix) = dead.split_once("Run ").unwrap();
        let (fix, _) = fix.split_once("; then").unwrap();
        root.run(fix).await;
        admin.run(AGAIN).await;
        admin.settled().await;
        assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 0);
        for table in ["ab_events_2025", "more_notes"] {
            let kept = format!("select body from public.{table}");
            assert_eq!(root.rows(&kept).await, ["kept"], "{table}");
        }
        assert_eq!(admin.tables("ab").await, ["ab_events_2025"]);
        drop(service);
    }
}

#[tokio::test]
async fn a_parent_that_would_show_the_trashed_rows_keeps_them_from_the_trash() {
    let (db, admin, _service) = crm(CHECKED).await;
    admin
        .run(
            "create table public.everybody (like public.agt_ada_customers);
             alter table public.agt_ada_customers inherit public.everybody;
             select from public.delete_agent(1)",
        )
        .await;
    admin.settled().await;
    let dead: String = admin.one(DEAD).await;
    assert!(dead.contains("public.everybody"), "{dead}");
    let job = json(&ask(&db.url(ADMIN), &["jobs", "list", "--state", "dead", "--json"]).await);
    assert_eq!(job[0]["relations"], serde_json::json!(["public.everybody"]));
    let job =
        json(&ask(&db.url(ADMIN), &["jobs", "show", &job[0]["id"].to_string(), "--json"]).await);
    let next = job["next"].as_str().unwrap();
    let fix = "alter table public.agt_ada_customers no inherit public.everybody;";
    assert!(next.contains(fix), "{next}");
    admin.run(&format!("{fix} {AGAIN}")).await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.everybody").await, 0);
}

#[tokio::test]
async fn no_view_that_was_made_while_the_worker_waited_shows_the_rows() {
    let (db, admin, service) = crm(CHECKED).await;
    drop(service);
    let (holder, viewer) = (db.admin().await, db.admin().await);
    holder.run("begin; select from public.agt_ada_customers").await;
    let _service = db.service_with(&[CHECKED, KEPT, ("DATABASE__LOCK_TIMEOUT", "50s")]).await;
    admin.run("select from public.delete_agent(1)").await;
    admin.held_up("agt_ada").await;
    let pid: i32 = viewer.one("select pg_backend_pid()").await;
    let view = tokio::spawn(async move {
        viewer.answer("create view public.peek as select * from public.agt_ada_customers").await
    });
    let queued = format!("select exists (select from pg_locks where pid = {pid} and not granted)");
    until("the view to wait", || async { admin.one::<bool>(&queued).await.then_some(()) }).await;
    holder.run("commit").await;
    let made = view.await.unwrap();
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
    assert_eq!(made.unwrap_err().code().code(), "42P01");
}

#[tokio::test]
async fn a_renamed_table_holds_up_the_deletion_until_it_has_its_name_again() {
    for (table, alive) in [("customers", true), ("orders", true), ("orders_items", false)] {
        let (db, admin, _service) = crm(KEYED).await;
        let moved = table == "customers";
        let mut rename = format!("alter table public.agt_ada_{table} rename to people");
        if moved {
            rename += "; create schema archive; grant usage on schema archive to agent_provisioner;
                       alter table public.people set schema archive";
        }
        let schema = if moved { "archive" } else { "public" };
        let delete = if alive {
            "select from public.delete_agent(1)"
        } else {
            "delete from public.agents where id = 1"
        };
        admin.run(&format!("{rename}; {delete}")).await;
        admin.settled().await;
        // The record of the error does not count.
        admin.run("update provisioning.jobs set last_error = 'x' where state = 'dead'").await;
        let dead = json(&ask(&db.url(ADMIN), &["jobs", "list", "--state", "dead", "--json"]).await);
        assert_eq!(dead[0]["error_code"], "tables_renamed", "{table}: {dead}");
        assert_eq!(dead[0]["relations"], serde_json::json!([format!("{schema}.people")]));
        assert_eq!(admin.tables("agt_ada").await.len(), 3, "{table}");
        let registered = "select count(*) from provisioning.agent_tables where agent_id = 1";
        assert_eq!(admin.one::<i64>(registered).await, 4);
        let id = dead[0]["id"].to_string();
        let shown = json(&ask(&db.url(ADMIN), &["jobs", "show", &id, "--json"]).await);
        let mut back = format!("alter table public.people rename to agt_ada_{table};");
        if moved {
            back = format!("alter table archive.people set schema public; {back}");
        }
        assert!(shown["next"].as_str().unwrap().contains(&back), "{shown}");
        admin.run(&format!("{back} {AGAIN}")).await;
        admin.settled().await;
        assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"], "{table}");
        expect(&agents(&db, &["restore", "agt_ada"]).await, 0, &["with 4 tables"]);
    }
}

#[tokio::test]
async fn what_has_taken_a_renamed_tables_name_makes_way_before_the_deletion_and_stays() {
    let moved = "set schema auth; alter table auth.agt_ada_orders rename to people";
    for (owner, away) in [(ADMIN, moved), (WORKER, "rename to agt_ada_orders_old")] {
        let (db, admin, _service) = crm(KEYED).await;
        let twin = format!(
            "alter table public.agt_ada_orders {away}; create table public.agt_ada_orders (note text);
             insert into public.agt_ada_orders values ('precious');
             alter table public.agt_ada_orders owner to {owner};"
        );
        let root = Admin(db.connect(SUPERUSER).await);
        root.run(&twin).await;
        ask(&db.url(ADMIN), &["agents", "repair", "--wait", "agt_ada"]).await;
        admin.run("select from public.delete_agent(1)").await;
        admin.settled().await;
        let dead = json(&ask(&db.url(ADMIN), &["jobs", "list", "--state", "dead", "--json"]).await);
        assert_eq!(dead[0]["error_code"], "tables_renamed", "{owner}: {dead}");
        let error: String =
            admin.one("select last_error from provisioning.jobs where state = 'dead'").await;
        let named = format!("in whose place now stands public.agt_ada_orders of role {owner}");
        assert!(error.contains(&named), "{error}");
        let id = dead[0]["id"].to_string();
        let shown = json(&ask(&db.url(ADMIN), &["jobs", "show", &id, "--json"]).await);
        let next = shown["next"].as_str().unwrap();
        let statements = next.get(next.find("alter table").unwrap()..).unwrap();
        let (statements, _) = statements.rsplit_once(';').unwrap();
        assert!(statements.starts_with("alter table public.agt_ada_orders rename to "), "{next}");
        root.run(&format!("{statements}; {AGAIN}")).await;
        admin.settled().await;
        assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"], "{owner}: {next}");
        let left = "select note from public.agt_ada_orders_old";
        let left = if owner == ADMIN { left.to_owned() } else { format!("{left}2") };
        assert_eq!(root.rows(&left).await, ["precious"]);
    }
}

#[tokio::test]
async fn an_owner_that_lost_its_rights_on_one_agents_table_holds_up_no_other_deletion() {
    let (_db, admin, _service) = crm(KEYED).await;
    admin.run("insert into public.agents (agent_prefix) values ('agt_b')").await;
    admin.settled().await;
    admin
        .run(&format!(
            "revoke all on public.agt_b_customers from {WORKER}; select from public.delete_agent(1)"
        ))
        .await;
    admin.settled().await;
    assert_eq!(admin.rows(LAST).await, ["deprovision|succeeded|trashed"]);
    let counts = "select has_table_privilege(relowner, oid, 'select') from pg_class where relname = 'agt_b_customers'";
    assert!(admin.one::<bool>(counts).await, "its owner has its rights again");
}
