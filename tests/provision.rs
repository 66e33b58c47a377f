//! A row in `agents` becomes four tables, and goes again with them.

use crate::support::{ADMIN, Database, WORKER, until};

/// What the catalog says of an agent's tables, with prefix and id replaced back.
const CATALOG: &str = include_str!("support/catalog.sql");

#[tokio::test]
async fn an_agent_gets_exactly_the_documented_tables() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    let id = admin.create("agt_6f78").await;
    admin.settled().await;
    let catalog = admin.rows(&CATALOG.replace("$1", "'agt_6f78'")).await.join("\n");
    let catalog = catalog.replace("agt_6f78", "{prefix}").replace(&format!("({id})"), "({agent_id})");
    let catalog = catalog.replace(&format!("= {id}"), "= {agent_id}").replace(&format!("'{id}'::bigint"), "{agent_id}");
    insta::assert_snapshot!(catalog);
}

#[tokio::test]
async fn a_thousand_rows_in_one_statement_become_a_thousand_agents() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin
        .run("insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 1000) n")
        .await;
    admin.settled().await;
    let outcomes = "select outcome, count(*), max(attempts) from provisioning.jobs group by 1";
    assert_eq!(admin.rows(outcomes).await, ["provisioned|1000|0"]);
    let whole = "select count(*) from (select agent_id from provisioning.agent_tables t \
                 join pg_class c on c.oid = t.relation and c.relrowsecurity group by 1 \
                 having count(*) = 4) agents";
    assert_eq!(admin.one::<i64>(whole).await, 1000);
}
