//! A bot with one business becomes one with three, step by step as docs/businesses.md has it, while people use it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::migration::CLOSED;
use super::templates::{SET, with_set};
use super::{DEFAULT, MIA, OLE, SERVICE, SUE, done};
use crate::support::{ADA, ADMIN, Admin, BEN, BOSS, Caller, Database, ROLES, WORKER, ask, expect};

/// The bot and a user, until they are told to stop: how many messages each agent got.
async fn talk(bot: &Admin, stop: &AtomicBool) -> i64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        for (agent, user) in [("agt_ada", ADA), ("agt_ben", BEN)] {
            let write = format!(
                "insert into public.{agent}_customers (name, phone) values ('c', '{count}');
                 insert into public.{agent}_messages (customer_id, message, direction)
                     select max(id), 'x', 'inbound' from public.{agent}_customers"
            );
            bot.run(&format!("{}; {write}; commit", SERVICE.begin())).await;
            let read = format!("select count(*) from public.{agent}_messages");
            let seen = bot.ask(&user, &read).await.unwrap().rows;
            assert_eq!(seen, [count.to_string()], "{agent}");
        }
    }
    count
}

/// The id of what a function of the API has made; it stays.
async fn made(admin: &Admin, who: &Caller, what: &str, call: &str) -> String {
    admin.run(&who.begin()).await;
    let rows = admin.rows(&format!("select {what} ->> 'id' from public.{call}")).await;
    admin.run("commit").await;
    rows.concat()
}

/// An admin's plain INSERT, as before there were businesses.
async fn insert_agent(admin: &Admin, prefix: &str) {
    let insert = format!("insert into public.agents (agent_prefix) values ('{prefix}')");
    admin.run(&format!("{}; {insert}; commit", BOSS.begin())).await;
}

/// Everything that an operator and the people do; the two new businesses.
async fn grow(db: &Database, admin: &Admin) -> [String; 2] {
    admin.holds("select count(*) > 10 from public.agt_ben_messages").await;
    expect(&ask(&db.url(ADMIN), &["migrate"]).await, 0, &["applied 0008"]);
    admin.run(ROLES).await;
    let _service = db.service_with(&[("TEMPLATES", SET)]).await;
    expect(&with_set(db, WORKER, &["agents", "upgrade", "--wait"]).await, 0, &[]);
    insert_agent(admin, "agt_more").await;
    let second =
        made(admin, &BOSS, "business", &format!("create_business('Second', 'shop', '{}')", MIA.id))
            .await;
    let third =
        made(admin, &BOSS, "business", &format!("create_business('Third', null, '{}')", OLE.id))
            .await;
    // He owns the default business only, so that is where his agents go on to come.
    insert_agent(admin, "agt_still").await;
    let create = format!("create_agent('{}', 'agt_ole', null, '{third}')", OLE.id);
    assert!(done(admin, &BOSS, &create).await);
    admin.run("insert into public.meta_apps (app_id, name) values ('99999', 'platform')").await;
    admin.settled().await;
    let number = |business: &str, id: &str, prefix: &str| {
        format!(
            "add_whatsapp_number('{business}', (select id from public.meta_apps), '{id}', '20000', '+49 1511',
                 (select id from public.agents where agent_prefix = '{prefix}'))"
        )
    };
    for (business, id, prefix) in [
        (DEFAULT, "10001", "agt_ada"),
        (DEFAULT, "10002", "agt_ben"),
        (&*third, "10003", "agt_ole"),
    ] {
        let call = number(business, id, prefix).replace("'+49 1511'", &format!("'+49 1511 {id}'"));
        assert!(done(admin, &BOSS, &call).await, "{prefix}");
    }
    assert!(done(admin, &BOSS, &format!("move_agent(2, '{second}')")).await);
    let invited = made(
        admin,
        &MIA,
        "invitation",
        &format!("invite_member('{second}', 'staff', email => 'sue@example.com')"),
    )
    .await;
    assert!(done(admin, &SUE, &format!("accept_invitation('{invited}')")).await);
    for agent in ["agt_ada", "agt_ben"] {
        let fill = format!("select provisioning.fill_conversations('{agent}', 100)");
        let before: i64 = admin.one(&format!("select count(*) from public.{agent}_messages")).await;
        let left = format!(
            "select count(*) from public.{agent}_messages where id <= {before} and conversation_id is null"
        );
        while admin.one::<i64>(&left).await > 0 {
            admin.run(&fill).await;
        }
    }
    [second, third]
}

#[tokio::test]
async fn a_bot_with_one_business_becomes_one_with_three_while_people_use_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.populate().await;
    let people = [MIA, OLE, SUE].map(|Caller { name, id, .. }| {
        format!("insert into auth.users (id, email, email_confirmed_at) values ('{id}', '{name}@example.com', now())")
    });
    admin.run(&people.join(";")).await;
    admin.settled().await;
    drop(service);
    expect(&ask(&db.url(ADMIN), &["migrate", "down", "--to", "7"]).await, 0, &["took back 0008"]);
    admin.run(CLOSED).await;
    let (bot, stop) = (db.admin().await, AtomicBool::new(false));
    let grown = async {
        let grown = grow(&db, &admin).await;
        stop.store(true, Ordering::Relaxed);
        grown
    };
    let (written, [second, third]) = tokio::join!(talk(&bot, &stop), grown);
    for agent in ["agt_ada", "agt_ben"] {
        let counts = format!(
            "select count(*), (select count(*) from public.{agent}_customers) from public.{agent}_messages"
        );
        assert_eq!(admin.rows(&counts).await, [format!("{written}|{written}")], "{agent}");
    }
    let places = "select a.agent_prefix, a.business_id from public.agents a order by 1";
    let expected = [
        ("ada", DEFAULT),
        ("ben", &second),
        ("more", DEFAULT),
        ("ole", &third),
        ("still", DEFAULT),
    ];
    let expected = expected.map(|(agent, business)| format!("agt_{agent}|{business}"));
    assert_eq!(admin.rows(places).await, expected);
    for (id, agent, business) in
        [("10001", "ada", DEFAULT), ("10002", "ben", &second), ("10003", "ole", &third)]
    {
        let route = format!("select agent_prefix, business_id from public.route_message('{id}')");
        let expected = format!("agt_{agent}|{business}");
        assert_eq!(admin.ask(&SERVICE, &route).await.unwrap().rows, [expected]);
    }
    // Who sees messages of ada, ben and ole: the users as before, and the members of the second.
    let seen = "select concat_ws(' ', (select count(*) from public.agt_ada_messages) > 0,
        (select count(*) from public.agt_ben_messages) > 0)";
    for (who, expected) in
        [(ADA, "t f"), (BEN, "f t"), (MIA, "f t"), (SUE, "f t"), (OLE, "f f"), (BOSS, "t t")]
    {
        assert_eq!(admin.ask(&who, seen).await.unwrap().rows, [expected], "{}", who.name);
    }
    expect(&with_set(&db, ADMIN, &["agents", "verify"]).await, 0, &[]);
    expect(&ask(&db.url(ADMIN), &["migrate", "verify"]).await, 0, &[]);
}
