//! The worker's role does its work and reaches nothing else. (All services of these tests run as it.)

use agent_provisioner::cluster::SUPERUSER;

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
    assert_eq!(admin.one::<String>(role).await, "f t f f t f f 20");
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
