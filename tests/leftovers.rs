//! Deletions that met something unexpected: nothing that somebody wanted is dropped.

use crate::support::Database;

#[tokio::test]
async fn a_table_that_was_dropped_by_hand_does_not_keep_the_others() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    admin.run("drop table public.agt_6f78_orders_items; delete from public.agents").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_6f78").await, [""; 0]);
    let last = "select outcome from provisioning.jobs order by id desc limit 1";
    assert_eq!(admin.rows(last).await, ["deprovisioned"]);
}

/// Without the cascade, which would empty the tables with the row.
const CHECKED: (&str, &str) = ("REFERENCE", "check");

#[tokio::test]
async fn a_row_that_is_put_back_under_its_id_is_an_agent_again() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.create("agt_6f78").await;
    let service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    drop(service);
    admin.run("insert into public.agt_6f78_customers (name, phone) values ('x', 'y')").await;
    let put_back = "delete from public.agents; insert into public.agents (id, agent_prefix) values (1, 'agt_6f78')";
    admin.run(put_back).await;
    let _service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    assert_eq!(admin.rows("select id from public.agents").await, ["1"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_6f78_customers").await, 0);
}

#[tokio::test]
async fn tables_whose_deletion_was_cancelled_are_kept_from_a_successor_too() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.create("agt_6f78").await;
    let service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    drop(service);
    admin.run("insert into public.agt_6f78_customers (name, phone) values ('x', 'y')").await;
    admin.run("delete from public.agents").await;
    let cancel = "update provisioning.jobs set state = 'cancelled', finished_at = now() where state = 'pending'";
    admin.run(cancel).await;
    admin.create("agt_6f78").await;
    let _service = db.service_with(&[CHECKED]).await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_6f78_customers").await, 1);
    let dead = "select last_sqlstate from provisioning.jobs where state = 'dead'";
    assert_eq!(admin.rows(dead).await, ["42P07"]);
}
