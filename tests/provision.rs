//! A row in `agents` becomes four tables, and goes again with them.

use crate::support::{ADMIN, Database, ask, expect};

#[tokio::test]
async fn an_agent_gets_exactly_the_documented_tables() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.run("alter sequence public.agents_id_seq restart 424242").await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    insta::assert_snapshot!(admin.catalog("agt_6f78", 424_242).await);
}

#[tokio::test]
async fn a_thousand_rows_in_one_statement_become_a_thousand_agents() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin
        .run("insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 1000) n")
        .await;
    admin.all_done().await;
    let outcomes = "select outcome, count(*), max(attempts) from provisioning.jobs group by 1";
    assert_eq!(admin.rows(outcomes).await, ["provisioned|1000|0"]);
    let whole = "select count(*) from (select agent_id from provisioning.agent_tables t \
                 join pg_class c on c.oid = t.relation and c.relrowsecurity group by 1 \
                 having count(*) = 4) agents";
    assert_eq!(admin.one::<i64>(whole).await, 1000);
}

#[tokio::test]
async fn the_tables_and_the_record_of_them_are_one_commit() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    let commits = "select count(distinct pg_xact_commit_timestamp(xmin)) from (
        select xmin from pg_class where relname ^@ 'agt_6f78_'
        union all select xmin from provisioning.agents
        union all select xmin from provisioning.jobs where kind = 'provision') made";
    admin.create("agt_6f78").await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>(commits).await, 1);
}

#[tokio::test]
async fn sixteen_clients_insert_at_once_and_none_fails() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..16 {
        let session = db.connect(ADMIN).await;
        clients.spawn(async move {
            for n in 0..5 {
                let insert =
                    format!("insert into public.agents (agent_prefix) values ('c{client}_{n}')");
                session.batch_execute(&insert).await.unwrap();
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 80);
}

#[tokio::test]
async fn a_deleted_agent_takes_its_own_tables_and_configuration_and_no_others() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin
        .run(
            "insert into auth.users (id, email) select ('00000000-0000-0000-0000-00000000000' || n)::uuid,
                 n || '@example.com' from generate_series(1, 2) n;
             insert into public.whatsapp_configuration (user_id, whatsapp_number, webhook_url)
                 select id, '+1', 'https://example.com' from public.users;
             insert into public.agents (agent_prefix, user_id)
                 select 'agt_' || left(email, 1), id from public.users order by email",
        )
        .await;
    admin.settled().await;
    // Bears the prefix and is nobody's: not ours to drop.
    admin.run("create table public.agt_1_notes ()").await;
    admin.run("delete from public.agents where agent_prefix = 'agt_1'").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_1").await, ["agt_1_notes"]);
    assert_eq!(admin.tables("agt_2").await.len(), 4);
    let active = "select left(u.email, 1), w.is_active from public.whatsapp_configuration w \
                  join public.users u on u.id = w.user_id order by 1";
    assert_eq!(admin.rows(active).await, ["1|f", "2|t"]);
    assert_eq!(admin.rows("select agent_prefix from provisioning.agents").await, ["agt_2"]);
}

#[tokio::test]
async fn delete_agent_drops_the_tables_and_then_the_row() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let id = admin.create("agt_6f78").await;
    let _service = db.service_with(&[("DEPROVISION__RETENTION", "0s")]).await;
    admin.settled().await;
    admin.run("insert into public.agt_6f78_customers (name, phone) values ('Grace', '1')").await;
    assert!(admin.one::<bool>(&format!("select success from public.delete_agent({id})")).await);
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 0);
    // The worker's own DELETE is not taken for a second request.
    let jobs = "select kind, state, outcome from provisioning.jobs order by id";
    assert_eq!(
        admin.rows(jobs).await,
        ["provision|succeeded|provisioned", "deprovision|succeeded|deprovisioned"]
    );
}

#[tokio::test]
async fn a_prefix_that_is_deleted_and_created_again_ends_with_the_new_agents_empty_tables() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _one = db.service().await;
    let _two = db.service().await;
    for round in 0..20 {
        admin.create("agt_6f78").await;
        if round % 2 == 0 {
            admin.settled().await; // else the deletion overtakes the building
            admin
                .run("insert into public.agt_6f78_customers (name, phone) values ('x', 'y')")
                .await;
        }
        admin.run("delete from public.agents").await;
    }
    let last = admin.create("agt_6f78").await;
    admin.settled().await;
    let built = "select agent_id from provisioning.agents";
    assert_eq!(admin.rows(built).await, [last.to_string()]);
    assert_eq!(admin.tables("agt_6f78").await.len(), 4);
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_6f78_customers").await, 0);
    let dead = "select count(*) from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.one::<i64>(dead).await, 0);
}

#[tokio::test]
async fn a_table_that_is_not_ours_stops_its_own_agent_only_and_is_never_touched() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run("create table public.agt_a_orders as select 'precious' as what").await;
    let taken = admin.create("agt_a").await;
    admin.create("agt_b").await;
    let _service = db.service().await;
    admin.settled().await;
    let dead = format!(
        "select last_sqlstate, last_error ~ 'public.agt_a_orders' from provisioning.jobs
         where agent_id = {taken} and state = 'dead'"
    );
    assert_eq!(admin.rows(&dead).await, ["42P07|t"]);
    assert_eq!(admin.tables("agt_a").await, ["agt_a_orders"]);
    assert_eq!(admin.tables("agt_b").await.len(), 4);

    // The dead job does not keep its agent from being deleted, nor the prefix from coming back.
    admin.run("delete from public.agents where agent_prefix = 'agt_a'").await;
    admin.settled().await;
    assert_eq!(admin.one::<String>("select what from public.agt_a_orders").await, "precious");
    admin.run("drop table public.agt_a_orders").await;
    admin.create("agt_a").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await.len(), 4);
}

#[tokio::test]
async fn a_view_on_an_agents_table_is_never_dropped_with_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    admin.run("create view public.report as select name from public.agt_6f78_customers").await;
    admin.run("delete from public.agents").await;
    admin.settled().await;
    let dead = "select last_sqlstate, last_error ~ 'report' from provisioning.jobs
                where state = 'dead'";
    assert_eq!(admin.rows(dead).await, ["2BP01|t"]);
    assert_eq!(admin.tables("agt_6f78").await.len(), 4, "half a deletion");
}

#[tokio::test]
async fn a_bad_prefix_is_refused_with_the_rule() {
    let db = Database::new().await;
    let admin = db.admin().await;
    for bad in ["Agt_1", "1agt", "a", "agt-1", "agt\"; drop table x;--", "агент", "agt 1", ""]
    {
        let insert = "insert into public.agents (agent_prefix) values ($1)";
        let error = admin.execute(insert, &[&bad]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        if error.code().code() == "22001" {
            continue; // longer than the column
        }
        assert_eq!(error.code().code(), "23514", "{bad}");
        let rule = "must be 2 to 20 characters of a-z, 0-9 and _, starting with a letter";
        assert!(error.message().contains(bad) && error.message().contains(rule), "{error}");
    }
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.jobs").await, 0);
}

#[tokio::test]
async fn a_deletion_that_nobody_reported_does_not_stand_in_its_successors_way() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    let former = admin.create("agt_6f78").await;
    admin.settled().await;
    admin.run("insert into public.agt_6f78_customers (name, phone) values ('x', 'y')").await;
    admin
        .run(
            "begin; alter table public.agents disable trigger enqueue_deprovision;
             delete from public.agents; alter table public.agents enable trigger enqueue_deprovision;
             insert into public.agents (agent_prefix) values ('agt_6f78'); commit",
        )
        .await;
    admin.settled().await;
    let built: i64 = admin.one("select agent_id from provisioning.agents").await;
    assert!(built > former);
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_6f78_customers").await, 0);
}

#[tokio::test]
async fn registry_and_trash_survive_dump_and_restore() {
    let db = Database::new().await;
    let admin = db.admin().await;
    if !crate::support::pg_dump_can(&admin).await {
        return;
    }
    let service = db.service_with(&[("DEPROVISION__RETENTION", "1h")]).await;
    for prefix in ["agt_6f78", "agt_gone"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    admin.fill(&["agt_gone"]).await;
    admin.run("select from public.delete_agent(2)").await;
    admin.settled().await;
    drop(service);
    let copy = crate::support::restored(&db).await;
    let admin = copy.admin().await;
    let _service = copy.service().await;
    admin.run("delete from public.agents").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
    let restored = ask(&copy.url(ADMIN), &["agents", "restore", "agt_gone"]).await;
    expect(&restored, 0, &[]);
    assert_eq!(admin.tables("agt_gone").await.len(), 4);
    assert_eq!(admin.rows("select name from public.agt_gone_customers").await, ["Grace"]);
    expect(&ask(&copy.url(ADMIN), &["agents", "verify", "agt_gone"]).await, 0, &[]);
}

#[tokio::test]
async fn create_agent_indexes_brings_back_what_is_missing_and_nothing_else() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    let id = admin.create("agt_6f78").await;
    admin.settled().await;
    let whole = admin.catalog("agt_6f78", id).await;
    let ask = "select success from public.create_agent_indexes('agt_6f78')";
    assert!(admin.one::<bool>(ask).await);
    admin.settled().await;
    admin
        .run("drop index public.agt_6f78_orders_status_idx, public.agt_6f78_customers_phone_idx")
        .await;
    assert!(admin.one::<bool>(ask).await);
    admin.settled().await;
    assert_eq!(admin.catalog("agt_6f78", id).await, whole);
    let outcomes = "select outcome from provisioning.jobs where kind = 'repair' order by id";
    assert_eq!(admin.rows(outcomes).await, ["unchanged", "repaired"]);
}
