//! The worker's role does its work and reaches nothing else. (All services of these tests run as it.)

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::{ADMIN, Admin, Database, ROLES, Server, WORKER};

/// Two agents with rows, and one whose deletion is asked for while nobody works.
async fn crm() -> (Database, Admin) {
    populated(Database::new().await).await
}

async fn populated(db: Database) -> (Database, Admin) {
    let admin = db.admin().await;
    let service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    admin.fill(&["agt_ada", "agt_ben"]).await;
    drop(service);
    (db, admin)
}

/// Refused with this SQLSTATE, or allowed and touching this many rows.
const ALLOWED: [(&str, &str); 32] = [
    ("select from public.agt_ada_customers", "0"),
    ("select from public.agt_ada_messages", "0"),
    ("update public.agt_ada_orders set notes = 'x'", "0"),
    ("delete from public.agt_ada_orders_items", "0"),
    ("insert into public.agt_ada_customers (name, phone) values ('x', '1')", "42501"),
    ("set row_security = off; select from public.agt_ada_customers", "42501"),
    ("select from public.users", "42501"),
    ("update public.users set role = 'admin'", "42501"),
    ("select api_key from public.whatsapp_configuration", "42501"),
    ("select verify_token from public.whatsapp_configuration", "42501"),
    ("select user_id, is_active from public.whatsapp_configuration", "42501"),
    ("update public.whatsapp_configuration set is_active = false", "42501"),
    ("update public.whatsapp_configuration set webhook_url = 'x'", "42501"),
    ("delete from public.whatsapp_configuration", "42501"),
    ("select from public.agents", "2"),
    ("insert into public.agents (agent_prefix) values ('agt_x')", "42501"),
    ("update public.agents set user_id = null", "42501"),
    ("update public.agents set id = id", "42501"),
    ("delete from public.agents", "42501"),
    ("truncate public.agents cascade", "42501"),
    ("alter table public.agents disable trigger user", "42501"),
    ("drop table public.users", "42501"),
    ("select from auth.users", "42501"),
    ("select auth.uid()", "42501"),
    ("select * from public.delete_agent(1)", "42501"),
    ("select * from provisioning.remove_agent(1, null)", "42501"),
    ("insert into provisioning.migrations values (99, 'x', '')", "42501"),
    ("create schema mine", "42501"),
    ("create role mine", "42501"),
    ("set role postgres", "42501"),
    ("set role service_role", "42501"),
    ("set role authenticated", "42501"),
];

#[tokio::test]
async fn the_worker_reads_no_customer_and_deletes_no_agent_unasked() {
    let (db, admin) = crm().await;
    let worker = Admin(db.connect(WORKER).await);
    for (sql, expected) in ALLOWED {
        let found = outcome(&worker, sql).await;
        assert_eq!(found, expected, "{sql}");
    }
    // What is asked for, in the way in which a worker does it, and no more than that.
    admin.run("select from public.delete_agent(1)").await;
    for (sql, expected) in [
        ("update public.whatsapp_configuration set is_active = false", "42501"),
        ("delete from public.agents where id = 1", "42501"),
        ("select * from provisioning.remove_agent(1, null)", "55000"), // its tables are there
        ("select * from provisioning.remove_agent(2, null)", "42501"),
    ] {
        assert_eq!(outcome(&worker, sql).await, expected, "{sql}");
    }
}

/// What is given back to a deleted agent an operator's session gives back.
const BOOKS: [(&str, &str); 20] = [
    ("update provisioning.trash set restore_actions = '[]'", "42501"),
    ("update provisioning.trash set purge_at = now()", "42501"),
    ("delete from provisioning.trash", "42501"),
    (
        "insert into provisioning.trash (agent_id, agent_prefix, template_version, reference, provisioned_at, \
         restore_actions, purge_at) values (9, 'agt_x', 1, 'check', now(), '[]', now())",
        "42501",
    ),
    ("update provisioning.trash_relations set original_schema = 'x'", "42501"),
    ("delete from provisioning.trash_relations", "42501"),
    (
        "insert into provisioning.trash_relations values ('x', 1, 'table', 'public', 'users')",
        "42501",
    ),
    ("update provisioning.purge_holds set released_at = now()", "42501"),
    ("insert into provisioning.purge_holds (clock_moved) values ('1h')", "42501"),
    ("update provisioning.agents set removed_keys = '[]'", "42501"),
    (
        "insert into provisioning.agents (agent_id, agent_prefix, template_version, reference, removed_keys) \
         values (9, 'agt_x', 1, 'check', '[]')",
        "42501",
    ),
    ("truncate provisioning.trash cascade", "42501"),
    ("truncate provisioning.agents cascade", "42501"),
    ("select from provisioning.trash", "1"),
    ("select from provisioning.trash_agent(2, 0, 0)", "42501"),
    ("select provisioning.note_keys(2, '{}')", "42501"),
    ("select from provisioning.purge_item(1, false)", "42501"),
    ("select from provisioning.purge_item(1, true)", "0"), // it is not due
    ("select provisioning.unpublish('public.agt_ben_orders')", "42501"),
    ("select provisioning.key_entry(1)", "42501"),
];

#[tokio::test]
async fn the_worker_writes_down_what_the_catalog_says_and_nothing_else() {
    let (db, admin) = crm().await;
    let service = db.service_with(&[("DEPROVISION__RETENTION", "1h")]).await;
    admin.run("select from public.delete_agent(1)").await;
    admin.settled().await;
    drop(service);
    // An older script granted more.
    admin
        .run(
            "grant all on provisioning.trash, provisioning.trash_relations, provisioning.purge_holds,
                 provisioning.agents to agent_provisioner;
             grant execute on function provisioning.unpublish(regclass) to agent_provisioner;
             drop policy worker on provisioning.trash;
             create policy worker on provisioning.trash for all to agent_provisioner using (true)",
        )
        .await;
    admin.run(ROLES).await;
    let worker = Admin(db.connect(WORKER).await);
    for (sql, expected) in BOOKS {
        assert_eq!(outcome(&worker, sql).await, expected, "{sql}");
    }
    // A deletion that is pending is no way to the tables of others, or to their keys.
    admin.run("select from public.delete_agent(2)").await;
    let take = "insert into provisioning.agent_tables values ('public.users', 2, 'users');";
    let key = "(select array_agg(oid) from pg_constraint where contype = 'f' and conrelid = 'public.users'::regclass)";
    for call in ["trash_agent(2, 0, 0)".to_owned(), format!("note_keys(2, {key})")] {
        let sql = format!("{take} select provisioning.{call}");
        assert_eq!(outcome(&worker, &sql).await, "42501", "{sql}");
    }
    let sql = format!(
        "select provisioning.note_keys(2, {key}); select from provisioning.agents where removed_keys <> '[]'"
    );
    assert_eq!(outcome(&worker, &sql).await, "0");
    // Nor is it a way to another item.
    let other = "select superseded from provisioning.remove_agent(2, 1)";
    let before = admin.rows("select t from provisioning.trash t").await;
    assert!(["42501", "55000"].contains(&&*outcome(&worker, other).await));
    worker
        .run(
            "begin; drop table public.agt_ben_customers, public.agt_ben_messages, public.agt_ben_orders,
                 public.agt_ben_orders_items",
        )
        .await;
    assert_eq!(worker.answer(other).await.unwrap_err().code().code(), "55000");
    worker.run("rollback").await;
    assert_eq!(admin.rows("select t from provisioning.trash t").await, before);
}

async fn outcome(worker: &Admin, sql: &str) -> String {
    let found = worker.attempt("begin", sql).await;
    found.map_or_else(|e| e.code().code().to_owned(), |answer| answer.touched.to_string())
}

#[tokio::test]
async fn postgres_may_alter_the_tables_that_the_worker_built() {
    let (_db, admin) = crm().await;
    let owner = "select distinct tableowner from pg_tables where tablename ^@ 'agt_'";
    assert_eq!(admin.rows(owner).await, [WORKER]);
    for sql in [
        "alter table public.agt_ada_customers add column city text",
        "create index on public.agt_ada_customers (city)",
        "alter table public.agt_ada_orders rename column notes to remarks",
        "create policy more on public.agt_ada_orders for select to service_role using (true)",
        "alter publication supabase_realtime add table public.agt_ada_messages",
        "comment on table public.agt_ada_orders is 'x'",
        "truncate public.agt_ada_orders cascade",
        "drop table public.agt_ada_orders_items",
    ] {
        admin.run(sql).await;
    }
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_ada_customers").await, 1);
}

#[tokio::test]
async fn the_script_that_makes_the_role_may_run_again() {
    // Of its own, because the shared one lets in more workers.
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let (db, admin) = populated(server.database().await).await;
    let granted =
        "select string_agg(concat(oid::regclass, relacl), ' ' order by oid::regclass::text)
        || (select string_agg(p::text, ' ' order by p::text) from pg_policies p) from pg_class
        where relnamespace in ('public'::regnamespace, 'provisioning'::regnamespace)";
    let before: String = admin.one(granted).await;
    admin.run(ROLES).await;
    admin.run(ROLES).await;
    assert_eq!(admin.one::<String>(granted).await, before);
    let role = "select concat_ws(' ', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
        rolreplication, rolbypassrls, rolconnlimit) from pg_roles where rolname = 'agent_provisioner'";
    assert_eq!(admin.one::<String>(role).await, "f t f f t f f 50");
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_x").await.len(), 4);
}

#[tokio::test]
async fn nobody_becomes_the_worker_who_was_not_made_it() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    let members = "select m.member::regrole::text from pg_auth_members m
                   where m.roleid = 'agent_provisioner'::regrole and m.member <> 10";
    for member in root.rows(members).await {
        assert_eq!(member, ADMIN);
    }
    for role in ["anon", "authenticated", "service_role", "authenticator"] {
        let sql = format!("set session authorization {role}; set role agent_provisioner");
        let refused = root.attempt("begin", &sql).await.unwrap_err();
        assert_eq!(refused.code().code(), "42501", "{role}");
    }
}
