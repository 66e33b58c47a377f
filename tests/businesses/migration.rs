//! A database without businesses gets them, and gives them up again.

use std::sync::atomic::{AtomicBool, Ordering};

use super::DEFAULT;
use crate::support::{ADA, ADMIN, Admin, BOSS, Database, ROLES, WORKER, ask, expect, said};

/// Businesses, agents in them, and members.
const STATE: &str = "select 'business', id::text, name, settings::text from public.businesses
    union all select 'agent', agent_prefix, business_id::text, user_id::text from public.agents
    union all select 'member', u.name, m.business_id::text, m.role
        from public.user_businesses m join public.users u on u.id = m.user_id
    order by 1, 2";

#[tokio::test]
async fn up_down_and_up_again_give_the_same_and_admins_own_the_default_business() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let mut states = Vec::new();
    for _ in 0..2 {
        expect(
            &ask(&db.url(ADMIN), &["migrate", "down", "--to", "7"]).await,
            0,
            &["took back 0008"],
        );
        let up = ask(&db.url(ADMIN), &["migrate"]).await;
        // Counts are told.
        expect(&up, 0, &["applied 0008", "2 agents", "1 admins"]);
        states.push(admin.rows(STATE).await);
    }
    let expected = [
        format!("agent|agt_ada|{DEFAULT}|{}", ADA.id),
        format!("agent|agt_ben|{DEFAULT}|00000000-0000-0000-0000-00000000000b"),
        format!("business|{DEFAULT}|Default business|{{}}"),
        format!("member|boss|{DEFAULT}|owner"),
    ];
    assert_eq!(states, [expected.clone(), expected]);
    admin.run(ROLES).await;
    expect(&ask(&db.url(WORKER), &["migrate", "verify"]).await, 0, &[]);
}

#[tokio::test]
async fn who_is_an_admin_no_more_owns_nothing_that_he_got_as_one() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    drop(service);
    admin.fill(&["agt_ada"]).await;
    expect(&ask(&db.url(ADMIN), &["migrate", "down", "--to", "7"]).await, 0, &["took back 0008"]);
    expect(&ask(&db.url(ADMIN), &["migrate"]).await, 0, &["applied 0008"]);
    let read = "select count(*) from public.agt_ada_customers";
    assert_eq!(admin.ask(&BOSS, read).await.unwrap().rows, ["1"]);
    admin.run("update public.users set role = 'agent' where name = 'boss'").await;
    assert_eq!(admin.ask(&BOSS, read).await.unwrap().rows, ["0"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.user_businesses").await, 0);
}

/// What `down` would lose.
const MORE: [&str; 6] = [
    "insert into public.businesses (name) values ('x')",
    "update public.businesses set settings = '{\"hours\": {}}'",
    "insert into public.user_businesses select id, '{default}', 'staff' from public.users where name = 'dan'",
    "insert into public.user_businesses select id, '{default}', 'owner' from public.users where name = 'dan'",
    "insert into public.business_invitations (business_id, role, email) values ('{default}', 'staff', 'x@y.z')",
    "insert into public.meta_apps (app_id, name) values ('12345', 'x');
     insert into public.whatsapp_numbers (business_id, meta_app_id, phone_number_id, business_account_id, display_number)
     select '{default}', id, '12345', '12345', '491511' from public.meta_apps",
];

#[tokio::test]
async fn down_refuses_to_lose_businesses_unless_it_is_told() {
    for more in MORE {
        let db = Database::new().await;
        let admin = db.admin().await;
        admin.populate().await;
        admin.run(&more.replace("{default}", DEFAULT)).await;
        let refused = ask(&db.url(ADMIN), &["migrate", "down", "--to", "7"]).await;
        assert_eq!(refused.status.code(), Some(1), "{more}: {}", said(&refused));
        expect(&ask(&db.url(ADMIN), &["migrate", "status"]).await, 0, &[]);
        expect(
            &ask(&db.url(ADMIN), &["migrate", "down", "--to", "7", "--yes"]).await,
            0,
            &["took back 0008"],
        );
        assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 2);
    }
}

/// As a database of version 7 has it: else the new schema needs locks that an upgrade does not.
pub const CLOSED: &str = "do $$ declare t text; begin
    for t in select oid::regclass from pg_class where relkind = 'r' and relnamespace = 'provisioning'::regnamespace
        and relname not in ('migrations', 'repeatables') loop
        execute format('create policy no_api_access on %s for all to authenticated using (false)', t);
    end loop;
end $$";

/// Writes until it is told to stop: whether each statement went through, and how many there were.
async fn write(admin: &Admin, stop: &AtomicBool) -> i64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        admin
            .run(&format!(
                "insert into public.agt_ada_customers (name, phone) values ('{count}', '+{count}');
                 insert into public.agt_ada_messages (customer_id, message, direction) values ({count}, 'x', 'inbound');
                 update public.whatsapp_configuration set webhook_url = '{count}'"
            ))
            .await;
    }
    count
}

/// Reads as the agent's user and inserts agents, as far as a schema without triggers goes.
async fn administer(admin: &Admin, stop: &AtomicBool) -> i64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        admin
            .run(&format!("insert into public.agents (agent_prefix) values ('new_{count}')"))
            .await;
        admin.ask(&ADA, "select count(*) from public.agt_ada_customers").await.unwrap();
    }
    count
}

#[tokio::test]
async fn migrate_under_load_loses_no_row_and_fails_no_statement() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    drop(service);
    expect(&ask(&db.url(ADMIN), &["migrate", "down", "--to", "7"]).await, 0, &["took back 0008"]);
    admin.run(CLOSED).await;
    admin.run("insert into public.agents (agent_prefix) select 'old_' || n from generate_series(1, 2000) n").await;
    let (writer, inserter, stop) = (db.admin().await, db.admin().await, AtomicBool::new(false));
    let migrated = async {
        let began = "select count(*) > 20 from public.agt_ada_customers";
        admin.holds(began).await;
        let migrated = ask(&db.url(ADMIN), &["migrate"]).await;
        // And some more with the new schema.
        let more = "select count(*) > {n} + 20 from public.agt_ada_messages";
        let count: i64 = admin.one("select count(*) from public.agt_ada_messages").await;
        admin.holds(&more.replace("{n}", &count.to_string())).await;
        let agents: i64 = admin.one("select count(*) from public.agents").await;
        let more = format!("select count(*) > {agents} from public.agents");
        admin.holds(&more).await;
        stop.store(true, Ordering::Relaxed);
        expect(&migrated, 0, &["applied 0008"]);
    };
    let (rows, agents, ()) =
        tokio::join!(write(&writer, &stop), administer(&inserter, &stop), migrated);
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_ada_messages").await, rows);
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 2002 + agents);
    let elsewhere = format!("select count(*) from public.agents where business_id <> '{DEFAULT}'");
    assert_eq!(admin.one::<i64>(&elsewhere).await, 0);
    // Its user and the admin see what they saw.
    for who in [ADA, BOSS] {
        let seen = admin.ask(&who, "select count(*) from public.agt_ada_customers").await.unwrap();
        assert_eq!(seen.rows, [rows.to_string()]);
    }
}
