//! How an agent comes to its business, and to another one.

use super::{
    BOSS, DEFAULT, FAY, FIRST, MIA, NED, OLE, SECOND, SERVICE, SUE, add, code, crm, done, populate,
    succeeds,
};
use crate::support::{ADA, ADMIN, Admin, CAT, Caller, DAN, Database, ask, expect};

const ANOTHER: &str = "insert into public.businesses (name) values ('x')";

/// The business of the agent that this inserts, or the SQLSTATE.
async fn business_of(admin: &Admin, who: &Caller, columns: &str, values: &str) -> String {
    let sql = format!(
        "insert into public.agents (agent_prefix{columns}) values ('agt_x'{values}) returning business_id"
    );
    admin.ask(who, &sql).await.map_or_else(|e| e.code().code().to_owned(), |a| a.rows.concat())
}

#[tokio::test]
async fn while_there_is_one_business_an_agent_needs_none_named() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    for who in [BOSS, SERVICE] {
        assert_eq!(business_of(&admin, &who, "", "").await, DEFAULT, "{}", who.name);
    }
    // And where there is none, as after a restore without data.
    let bare = "delete from public.agents; delete from public.businesses;
        insert into public.agents (agent_prefix) values ('agt_x') returning business_id";
    assert_eq!(admin.attempt("begin", bare).await.unwrap().rows, [DEFAULT]);
    assert_eq!(business_of(&admin, &DAN, "", "").await, "42501");
    let call = format!("create_agent('{}', 'agt_dan', '{}')", DAN.id, BOSS.id);
    assert!(succeeds(&admin, &BOSS, &call).await);
}

#[tokio::test]
async fn with_several_businesses_no_agent_comes_into_one_that_nobody_chose() {
    let db = Database::new().await;
    let admin = db.admin().await;
    populate(&admin).await;
    for who in [BOSS, SERVICE] {
        assert_eq!(business_of(&admin, &who, "", "").await, "23502", "{}", who.name);
        let named = format!(", '{SECOND}'");
        assert_eq!(business_of(&admin, &who, ", business_id", &named).await, SECOND);
        let gone = ", '00000000-0000-0000-0000-0000000000ee'";
        assert_eq!(business_of(&admin, &who, ", business_id", gone).await, "23503");
    }
    // The creator's only business; staff creates nothing.
    let created = |who: &Caller| format!(", '{}'", who.id);
    add(&admin, &DAN, FIRST, "admin").await;
    assert_eq!(business_of(&admin, &BOSS, ", created_by", &created(&DAN)).await, FIRST);
    assert_eq!(business_of(&admin, &BOSS, ", created_by", &created(&SUE)).await, "23502");
    assert_eq!(business_of(&admin, &BOSS, ", created_by", &created(&MIA)).await, "23502", "of two");
    add(&admin, &BOSS, SECOND, "admin").await;
    assert_eq!(business_of(&admin, &BOSS, "", "").await, SECOND);
    let call =
        |business: &str| format!("create_agent('{}', 'agt_dan', '{}'{business})", DAN.id, BOSS.id);
    let rows = "select business_id from public.agents where agent_prefix = 'agt_dan'";
    admin.run(&BOSS.begin()).await;
    admin.run(&format!("select * from public.{}", call(""))).await;
    assert_eq!(admin.rows(rows).await, [SECOND]);
    admin.run("rollback").await;
    admin.run(&BOSS.begin()).await;
    admin.run(&format!("select * from public.{}", call(&format!(", '{FIRST}'")))).await;
    assert_eq!(admin.rows(rows).await, [FIRST]);
    admin.run("rollback").await;
    assert!(!succeeds(&admin, &BOSS, &call(", '00000000-0000-0000-0000-0000000000ee'")).await);
    add(&admin, &BOSS, FIRST, "admin").await;
    assert!(!succeeds(&admin, &BOSS, &call("")).await);
    for (args, exit) in [(&[][..], 1), (&["--business", FIRST], 0)] {
        let create = [&["agents", "create", "agt_cat", "--user", CAT.id][..], args].concat();
        expect(&ask(&db.url(ADMIN), &create).await, exit, &[]);
    }
    let business = "select business_id from public.agents where agent_prefix = 'agt_cat'";
    assert_eq!(admin.rows(business).await, [FIRST]);
    // Neither owner nor admin of a business builds tables.
    for who in [MIA, NED, SUE] {
        let named = format!(", '{FIRST}'");
        assert_eq!(
            business_of(&admin, &who, ", business_id", &named).await,
            "42501",
            "{}",
            who.name
        );
    }
}

const PLACES: &str = "select concat_ws(' ', a.business_id, n.business_id) from public.agents a
    join public.whatsapp_numbers n on n.agent_id = a.id where a.agent_prefix = 'agt_ada'";

#[tokio::test]
async fn an_agent_moves_with_its_numbers_or_not_at_all() {
    let (_db, admin) = crm().await;
    let there = format!("{FIRST} {FIRST}");
    let call = format!("move_agent(1, '{SECOND}')");
    // Its number belongs to an app of the first business.
    for who in [BOSS, SERVICE] {
        assert!(!succeeds(&admin, &who, &call).await);
    }
    assert_eq!(admin.rows(PLACES).await, std::slice::from_ref(&there));
    // Not by hand either: neither the number without the agent, nor the agent without the number.
    for sql in [
        format!("update public.whatsapp_numbers set business_id = '{SECOND}', meta_app_id = '00000000-0000-0000-0000-000000000c0b' where agent_id = 1"),
        format!("update public.agents set business_id = '{SECOND}' where id = 1"),
        "update public.whatsapp_numbers set agent_id = 2 where agent_id = 1".to_owned(),
        "update public.whatsapp_numbers set meta_app_id = '00000000-0000-0000-0000-000000000c0b' where agent_id = 1".to_owned(),
    ] {
        for who in [BOSS, SERVICE] {
            assert_eq!(code(&admin, &who, &sql).await, "23503", "{}: {sql}", who.name);
        }
    }
    assert_eq!(
        code(&admin, &BOSS, "update public.meta_apps set business_id = null where name = 'used'")
            .await,
        "23514"
    );
    // By an app of the platform it moves.
    admin
        .run(
            "insert into public.meta_apps (id, app_id, name) values ('00000000-0000-0000-0000-000000000f00', '99999', 'platform');
             update public.whatsapp_numbers set meta_app_id = '00000000-0000-0000-0000-000000000f00' where agent_id = 1",
        )
        .await;
    for who in [MIA, NED, SUE, OLE, ADA, CAT] {
        assert!(!succeeds(&admin, &who, &call).await, "{}", who.name);
        let direct =
            format!("update public.agents set business_id = '{SECOND}' where id = 1 returning 1");
        let found = admin.ask(&who, &direct).await;
        assert!(found.is_err() || found.unwrap().rows.is_empty(), "{}", who.name);
    }
    assert_eq!(admin.rows(PLACES).await, [there]);
    add(&admin, &MIA, SECOND, "admin").await;
    assert!(!succeeds(&admin, &MIA, &call).await, "an admin of the other one");
    admin
        .run(&format!(
            "update public.user_businesses set role = 'owner' where user_id = '{}'",
            MIA.id
        ))
        .await;
    assert!(done(&admin, &MIA, &call).await);
    assert_eq!(admin.rows(PLACES).await, [format!("{SECOND} {SECOND}")]);
    assert!(!succeeds(&admin, &MIA, "move_agent(1, '00000000-0000-0000-0000-0000000000ee')").await);
    assert!(!succeeds(&admin, &BOSS, "move_agent(1, null)").await);
}

#[tokio::test]
async fn removing_a_member_acts_in_the_session_that_he_has_open() {
    let (db, admin) = crm().await;
    let service = db.service().await;
    admin.settled().await;
    admin.fill(&["agt_ada"]).await;
    drop(service);
    let session = db.admin().await;
    let read = "select count(*) from public.agt_ada_customers";
    session.run(&NED.begin()).await;
    assert_eq!(session.rows(read).await, ["1"]);
    assert!(done(&admin, &MIA, &format!("remove_member('{FIRST}', '{}')", NED.id)).await);
    assert_eq!(session.rows(read).await, ["0"]);
    assert!(
        session
            .answer("insert into public.agt_ada_customers (name, phone) values ('x', '1')")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_deleted_agent_leaves_its_number_and_comes_back_to_its_business() {
    let (db, admin) = crm().await;
    let _service = db.service().await;
    admin.settled().await;
    let status = "select * from public.agent_status(1)";
    for (who, expected) in [(MIA, ""), (NED, ""), (SUE, ""), (FAY, "42501"), (OLE, "42501")] {
        assert_eq!(code(&admin, &who, status).await, expected, "{}", who.name);
    }
    assert!(!succeeds(&admin, &SUE, "delete_agent(1)").await);
    assert!(!succeeds(&admin, &OLE, "delete_agent(1)").await);
    assert!(done(&admin, &NED, "delete_agent(1)").await);
    admin.settled().await;
    let number =
        "select business_id, agent_id from public.whatsapp_numbers where phone_number_id = '10001'";
    assert_eq!(admin.rows(number).await, [format!("{FIRST}|-")]);
    expect(&ask(&db.url(ADMIN), &["agents", "restore", "agt_ada"]).await, 0, &[]);
    let business = "select business_id from public.agents where agent_prefix = 'agt_ada'";
    assert_eq!(admin.rows(business).await, [FIRST]);
    // And so does one whose row somebody has deleted.
    admin.run("delete from public.agents where agent_prefix = 'agt_ben'").await;
    admin.settled().await;
    expect(&ask(&db.url(ADMIN), &["agents", "restore", "agt_ben"]).await, 0, &[]);
    let business = "select business_id from public.agents where agent_prefix = 'agt_ben'";
    assert_eq!(admin.rows(business).await, [SECOND]);
}

#[tokio::test]
async fn our_tables_that_refer_to_agents_are_in_the_way_of_no_prefix() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.run(ANOTHER).await;
    let _service = db.service().await;
    let ours = [
        ("whatsapp", &["whatsapp_configuration", "whatsapp_numbers"][..]),
        ("agent", &["agent_states"]),
    ];
    for (prefix, tables) in ours {
        let insert = format!(
            "insert into public.agents (agent_prefix, business_id) values ('{prefix}', '{DEFAULT}')"
        );
        admin.run(&insert).await;
        admin.settled().await;
        assert_eq!(admin.tables(prefix).await.len(), 4 + tables.len());
        admin.run("delete from public.agents").await;
        admin.settled().await;
        assert_eq!(admin.tables(prefix).await, tables);
    }
}
