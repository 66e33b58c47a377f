//! The templates for businesses: what staff may do with an agent's tables, and conversations.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{FIRST, MEMBERS, MIA, SUE, code, crm};
use crate::policies::{TABLES, table};
use crate::support::{ADMIN, Admin, Database, Service, WORKER, ask, expect, finish, provisioner};

pub const SET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/templates/business");

const OURS: &str = "
public.{agent}_conversations  | status     | id = 1           | (customer_id) values (2)";

/// As in `policies`: to Ada's rows and, second letter, to Ben's.
const EXPECTED: &str = "
                                         mia    ned    sue    fay    ole    ada   boss
public.{agent}_customers      select      y-     y-     y-     --     -y     y-     yy
                              insert      yx     yx     yx     xx     xy     yx     yy
                              update      y-     y-     y-     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.{agent}_messages       select      y-     y-     y-     --     -y     y-     yy
                              insert      yx     yx     yx     xx     xy     yx     yy
                              update      y-     y-     y-     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.{agent}_orders         select      y-     y-     y-     --     -y     y-     yy
                              insert      yx     yx     yx     xx     xy     yx     yy
                              update      y-     y-     y-     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.{agent}_orders_items   select      y-     y-     y-     --     -y     y-     yy
                              insert      yx     yx     yx     xx     xy     yx     yy
                              update      y-     y-     y-     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.{agent}_conversations  select      y-     y-     y-     --     -y     y-     yy
                              insert      yx     yx     yx     xx     xy     yx     yy
                              update      y-     y-     y-     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx";

/// A command with these templates.
pub async fn with_set(db: &Database, role: &str, args: &[&str]) -> std::process::Output {
    finish(provisioner(&db.url(role)).env("PROVISIONER_TEMPLATES", SET).args(args)).await
}

/// The people, and two agents that are built from these templates.
async fn built() -> (Database, Admin, Service) {
    let (db, admin) = crm().await;
    let service = db.service_with(&[("TEMPLATES", SET)]).await;
    admin.settled().await;
    (db, admin, service)
}

#[tokio::test]
async fn staff_reads_and_writes_and_deletes_nothing() {
    let (_db, admin, service) = built().await;
    drop(service);
    admin.fill(&["agt_ada", "agt_ben"]).await;
    for agent in ["agt_ada", "agt_ben"] {
        admin
            .run(&format!(
                "insert into public.{agent}_customers (name, phone) values ('Joan', '+2');
                 insert into public.{agent}_conversations (customer_id) values (1)"
            ))
            .await;
    }
    let tables: String = TABLES
        .lines()
        .filter(|line| line.contains("{agent}_"))
        .fold(String::new(), |all, line| all + "\n" + line);
    let found = table(&admin, &format!("{tables}{OURS}"), &MEMBERS).await;
    assert_eq!(found.trim(), EXPECTED.trim(), "\n{found}");
}

#[tokio::test]
async fn a_conversation_is_of_one_customer_and_of_a_number_of_the_business() {
    let (_db, admin, service) = built().await;
    drop(service);
    let numbers =
        admin.rows("select id from public.whatsapp_numbers order by phone_number_id").await;
    let [own, other] = <[String; 2]>::try_from(numbers).unwrap();
    admin
        .run(&format!(
            "insert into public.agt_ada_customers (name, phone, wa_user_id) values
                 ('Grace', '+1', null), ('Joan', null, 'US.13491208655302741918');
             insert into public.agt_ada_conversations (customer_id, whatsapp_number_id) values (1, '{own}'), (2, '{own}');
             insert into public.agt_ada_messages (customer_id, message, direction, conversation_id, \"timestamp\")
                 values (1, 'x', 'inbound', 1, '2026-02-03'), (1, 'x', 'inbound', 1, '2026-02-01')"
        ))
        .await;
    for (sql, expected) in [
        (format!("insert into public.agt_ada_conversations (customer_id, whatsapp_number_id) values (1, '{other}')"), "23503"),
        (format!("update public.agt_ada_conversations set whatsapp_number_id = '{other}'"), "23503"),
        (format!("insert into public.agt_ada_conversations (customer_id, whatsapp_number_id) values (1, '{own}')"), "23505"),
        ("insert into public.agt_ada_messages (customer_id, message, direction, conversation_id) values (1, 'x', 'inbound', 2)".to_owned(), "23503"),
        ("insert into public.agt_ada_customers (name) values ('x')".to_owned(), "23514"),
        ("insert into public.agt_ada_customers (name, wa_user_id) values ('x', 'x')".to_owned(), "23514"),
        ("insert into public.agt_ada_customers (name, wa_user_id) values ('x', 'US.13491208655302741918')".to_owned(), "23505"),
        ("insert into public.agt_ada_customers (name, wa_user_id) values ('x', 'DE.1')".to_owned(), ""),
    ] {
        for who in [MIA, SUE] {
            assert_eq!(code(&admin, &who, &sql).await, expected, "{}: {sql}", who.name);
        }
    }
    let last = "select last_message_at from public.agt_ada_conversations where id = 1";
    assert_eq!(admin.rows(last).await, ["2026-02-03 00:00:00"]);
    // A customer takes his conversations and messages along.
    admin.run("delete from public.agt_ada_customers where id = 1").await;
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_ada_messages").await, 0);
}

/// Writes messages until it is told to stop; how many.
async fn write(admin: &Admin, stop: &AtomicBool) -> i64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let sql = "insert into public.agt_ada_messages (customer_id, message, direction) values (1 + {n} % 50, 'x', 'inbound')";
        admin.run(&sql.replace("{n}", &count.to_string())).await;
    }
    count
}

#[tokio::test]
async fn a_fleet_with_rows_gets_conversations_while_people_write() {
    let (db, admin) = crm().await;
    let service = db.service().await;
    admin.settled().await;
    drop(service);
    admin
        .run(
            "insert into public.agt_ada_customers (name, phone) select 'c' || n, '+' || n from generate_series(1, 50) n;
             insert into public.agt_ada_messages (customer_id, message, direction)
                 select 1 + n % 50, 'old', 'inbound' from generate_series(1, 5000) n",
        )
        .await;
    let (writer, stop) = (db.admin().await, AtomicBool::new(false));
    let fill = "select provisioning.fill_conversations('agt_ada', 700)";
    let filled = async {
        let _service = db.service_with(&[("TEMPLATES", SET)]).await;
        let upgraded = with_set(&db, WORKER, &["agents", "upgrade", "--wait"]).await;
        expect(&upgraded, 0, &[]);
        // Broken off after two batches and in the third.
        assert_eq!(admin.rows(fill).await, ["700"]);
        assert_eq!(admin.rows(fill).await, ["700"]);
        assert_eq!(admin.attempt("begin", fill).await.unwrap().rows, ["700"]);
        let left = "select count(*) from public.agt_ada_messages where conversation_id is null";
        assert!(admin.one::<i64>(left).await >= 3600);
        admin.holds("select count(*) > 5050 from public.agt_ada_messages").await;
        stop.store(true, Ordering::Relaxed);
    };
    let (written, ()) = tokio::join!(write(&writer, &stop), filled);
    while admin.rows(fill).await != ["0"] {}
    let counts = "select count(*), count(conversation_id), count(distinct conversation_id) from public.agt_ada_messages";
    let all = 5000 + written;
    assert_eq!(admin.rows(counts).await, [format!("{all}|{all}|50")]);
    let right = format!(
        "select count(*) from public.agt_ada_conversations c join public.whatsapp_numbers n on n.id = c.whatsapp_number_id
         where n.business_id = '{FIRST}' and c.last_message_at
             = (select max(m.\"timestamp\") from public.agt_ada_messages m where m.conversation_id = c.id)"
    );
    assert_eq!(admin.one::<i64>(&right).await, 50);
    expect(&with_set(&db, ADMIN, &["agents", "verify"]).await, 0, &[]);
    // Who sees no message fills none, and is told so.
    let worker = Admin(db.connect(WORKER).await);
    assert_eq!(worker.answer(fill).await.unwrap_err().code().code(), "42501");
    assert_eq!(code(&admin, &MIA, fill).await, "42501");
    let none = "select provisioning.fill_conversations('agt_none')";
    assert_eq!(admin.answer(none).await.unwrap_err().code().code(), "42P01");
    // Deleted and brought back, it is the same.
    let service = db.service_with(&[("TEMPLATES", SET)]).await;
    assert_eq!(admin.rows("select success from public.delete_agent(1)").await, ["t"]);
    admin.settled().await;
    expect(&ask(&db.url(ADMIN), &["agents", "restore", "agt_ada"]).await, 0, &[]);
    drop(service);
    expect(&with_set(&db, ADMIN, &["agents", "verify"]).await, 0, &[]);
    assert_eq!(admin.rows(counts).await, [format!("{all}|{all}|50")]);
}
