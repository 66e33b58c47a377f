//! An order's total is the sum of its items, after every statement and whoever else is writing.

use crate::support::{ADA, Admin, Database};

/// Orders whose total is not what their items come to.
const WRONG: &str = "select o.id, o.total_amount, s.total from public.agt_ada_orders o, lateral (
    select coalesce(sum(total), 0) as total from public.agt_ada_orders_items where order_id = o.id) s
    where o.total_amount is distinct from s.total";

const TOTALS: &str =
    "select string_agg(total_amount::text, ' ' order by id) from public.agt_ada_orders";

/// A statement on the items, and the totals of orders 1 to 3 after it.
const CHANGES: [(&str, &str); 16] = [
    (
        "insert into {i} (order_id, name, quantity, price) values (1, 'tea', 2, 4.50)",
        "9.00 0.00 0.00",
    ),
    (
        "insert into {i} (order_id, name, price) select n % 3 + 1, 'x', n from generate_series(1, 300) n",
        "15159.00 14950.00 15050.00",
    ),
    ("insert into {i} (order_id, name) values (2, 'free')", "15159.00 14950.00 15050.00"),
    ("update {i} set price = 1, quantity = 1 where name = 'x'", "109.00 100.00 100.00"),
    ("update {i} set order_id = 3 where name = 'x' and order_id = 2", "109.00 0.00 200.00"),
    ("update {i} set order_id = 4 - order_id", "200.00 0.00 109.00"),
    ("update {i} set name = 'y' where name = 'x'", "200.00 0.00 109.00"),
    ("update {i} set price = 0 where false", "200.00 0.00 109.00"),
    ("delete from {i} where order_id = 1 and id % 2 = 0", "100.00 0.00 109.00"),
    ("delete from {i} where order_id = 1", "0.00 0.00 109.00"),
    (
        "merge into {i} i using (values (1, 'm'), (3, 'tea')) v (o, n) on i.name = v.n
          when matched then update set quantity = 10
          when not matched then insert (order_id, name, price) values (o, n, 7)",
        "7.00 0.00 145.00",
    ),
    (
        "insert into {i} (id, order_id, name, price) values (1, 2, 'again', 5)
          on conflict (id) do update set order_id = excluded.order_id",
        "7.00 45.00 100.00",
    ),
    (
        "with gone as (delete from {i} where name = 'm' returning *)
          insert into {i} (order_id, name, price) select 3, name, price from gone",
        "0.00 45.00 107.00",
    ),
    (
        "delete from {o} where id = 2; insert into {o} (id, customer_id) values (2, 1)",
        "0.00 0.00 107.00",
    ),
    ("truncate {i}", "0.00 0.00 0.00"),
    ("update {o} set status = 'sent'", "0.00 0.00 0.00"),
];

/// One customer of Ada's with three orders.
async fn crm() -> (Database, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    admin.run("insert into public.agt_ada_customers (name, phone) values ('Grace', '+1')").await;
    admin.run("insert into public.agt_ada_orders (customer_id) values (1), (1), (1)").await;
    (db, admin)
}

fn sql(text: &str) -> String {
    text.replace("{i}", "public.agt_ada_orders_items").replace("{o}", "public.agt_ada_orders")
}

#[tokio::test]
async fn a_total_is_right_after_every_statement() {
    let (_db, admin) = crm().await;
    for (change, expected) in CHANGES {
        admin.run(&sql(change)).await;
        assert_eq!(admin.one::<String>(TOTALS).await, expected, "{change}");
        assert_eq!(admin.rows(WRONG).await, [""; 0], "{change}");
    }
    // The same for those whom row security binds.
    let insert = sql("insert into {i} (order_id, name, price) values (1, 'tea', 3)");
    admin.run(&format!("{}; {insert}; commit", ADA.begin())).await;
    assert_eq!(admin.one::<String>(TOTALS).await, "3.00 0.00 0.00");
}

#[tokio::test]
async fn a_total_too_high_to_be_stored_is_refused_in_words() {
    let (_db, admin) = crm().await;
    admin
        .run(&sql("insert into {i} (order_id, name, price) values (2, 'gold', 99999999.99)"))
        .await;
    let error =
        admin.answer(&sql("insert into {i} (order_id, name, price) values (2, 'x', 0.01)")).await;
    let error = error.unwrap_err();
    assert_eq!(error.code().code(), "22003");
    assert_eq!(
        error.message(),
        "order 2 would come to 100000000.00, but total_amount holds at most 99999999.99"
    );
    assert_eq!(admin.rows(WRONG).await, [""; 0]);
}

#[tokio::test]
async fn writers_on_one_order_add_up() {
    let (db, admin) = crm().await;
    let (one, two) = (db.admin().await, db.admin().await);
    let insert = sql("insert into {i} (order_id, name, price) values (1, 'x', 1)");
    one.run(&format!("begin; {insert}")).await;
    tokio::join!(two.run(&insert), async {
        blocked(&admin).await;
        one.run("commit").await;
    });
    assert_eq!(admin.one::<String>(TOTALS).await, "2.00 0.00 0.00");
    // Who asked for a snapshot of the past is refused, and not added up wrongly.
    two.run("begin isolation level repeatable read; select from public.agt_ada_orders").await;
    one.run(&insert).await;
    let error = two.answer(&insert).await.unwrap_err();
    assert_eq!(error.code().code(), "40001");
    two.run("rollback").await;
    assert_eq!(admin.one::<String>(TOTALS).await, "3.00 0.00 0.00");
}

async fn blocked(admin: &Admin) {
    let blocked = "select exists (select from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock')";
    admin.holds(blocked).await;
}

#[tokio::test]
async fn writers_on_crossing_orders_neither_deadlock_nor_lose_a_cent() {
    let (db, admin) = crm().await;
    let mut writers = tokio::task::JoinSet::new();
    for seed in 0..6 {
        let client = db.connect(crate::support::ADMIN).await;
        let mut random = fastrand::Rng::with_seed(seed);
        writers.spawn(async move {
            for _ in 0..40 {
                let mut orders = [1, 2, 3];
                random.shuffle(&mut orders);
                let [a, b, c] = orders;
                let (price, n) = (random.u32(1..500), random.u32(0..4));
                // Each on items of its own: two statements on the same rows may deadlock by
                // themselves, whatever becomes of the totals.
                let change = match n {
                    0 => format!("delete from {{i}} where name = '{seed}' and order_id = {a}"),
                    1 => format!(
                        "update {{i}} set order_id = case order_id when {a} then {b} else {a} end
                         where name = '{seed}'"
                    ),
                    2 => format!("update {{i}} set price = {price} where name = '{seed}'"),
                    _ => format!(
                        "insert into {{i}} (order_id, name, price)
                         values ({a}, '{seed}', {price}), ({b}, '{seed}', 1), ({c}, '{seed}', 2)"
                    ),
                };
                client.batch_execute(&sql(&change)).await.unwrap();
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    assert_eq!(admin.rows(WRONG).await, [""; 0]);
}

#[tokio::test]
async fn updated_at_is_kept_and_in_utc() {
    let (_db, admin) = crm().await;
    admin.run("set timezone = 'Asia/Tokyo'").await;
    let past = "'2000-01-01'";
    for change in [
        "update {o} set notes = 'x' where id = 1",
        "update {o} set updated_at = '2000-01-01' where id = 1",
        "insert into {i} (order_id, name, price) values (1, 'x', 1)",
    ] {
        let trigger =
            |verb| format!("alter table public.agt_ada_orders {verb} trigger touch_updated_at");
        admin
            .run(&format!(
                "{}; update public.agt_ada_orders set updated_at = {past}; {}",
                trigger("disable"),
                trigger("enable")
            ))
            .await;
        admin.run(&sql(change)).await;
        let fresh = "select updated_at between timezone('utc', now()) - interval '1 min' and timezone('utc', now())
                     from public.agt_ada_orders where id = ";
        assert!(admin.one::<bool>(&format!("{fresh} 1")).await, "{change}");
        assert!(!admin.one::<bool>(&format!("{fresh} 2")).await, "{change}");
    }
    let columns = "select bool_and(t between timezone('utc', now()) - interval '1 min' and timezone('utc', now()))
        from (select created_at from public.agt_ada_customers union all select created_at from public.agt_ada_orders
              union all select created_at from public.agt_ada_orders_items) c (t)";
    assert!(admin.one::<bool>(columns).await);
}
