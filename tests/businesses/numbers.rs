//! Numbers: who adds one, and where a message goes.

use super::{FIRST, MIA, NED, OLE, SERVICE, SUE, code, crm, done, succeeds};
use crate::support::{ADA, BOSS, CALLERS};

const APP: &str = "00000000-0000-0000-0000-000000000c0a";
const PLATFORM: &str = "00000000-0000-0000-0000-000000000f00";
const OTHER: &str = "00000000-0000-0000-0000-000000000c0b";

fn add(app: &str, phone_number_id: &str, agent: &str) -> String {
    format!(
        "add_whatsapp_number('{FIRST}', '{app}', '{phone_number_id}', '20000', '+49 (151) 123-456', {agent})"
    )
}

#[tokio::test]
async fn a_number_is_added_by_whoever_has_the_secret_of_its_app() {
    let (_db, admin) = crm().await;
    admin.run(&format!("insert into public.meta_apps (id, app_id, name) values ('{PLATFORM}', '99999', 'platform')")).await;
    for (who, call, expected) in [
        (MIA, add(APP, "30001", "1"), true),
        (NED, add(APP, "30001", "null"), true),
        (BOSS, add(PLATFORM, "30001", "1"), true),
        (SERVICE, add(PLATFORM, "30001", "1"), true),
        (SUE, add(APP, "30001", "1"), false),
        (OLE, add(APP, "30001", "1"), false),
        (ADA, add(APP, "30001", "1"), false),
        // It would send the messages of somebody else's number to this business.
        (MIA, add(PLATFORM, "30001", "1"), false),
        (MIA, add(OTHER, "30001", "1"), false),
        (BOSS, add(OTHER, "30001", "1"), false),
        (MIA, add(APP, "30001", "2"), false),
        (BOSS, add(APP, "30001", "2"), false),
        // Taken, whoever has it.
        (MIA, add(APP, "10001", "1"), false),
        (MIA, add(APP, "10002", "1"), false),
        (MIA, add(APP, "x", "1"), false),
        (MIA, add(APP, "30001", "1").replace("123-456", "ABC"), false),
    ] {
        assert_eq!(succeeds(&admin, &who, &call).await, expected, "{}: {call}", who.name);
    }
    assert!(done(&admin, &MIA, &add(APP, "30001", "1")).await);
    let written =
        "select display_number from public.whatsapp_numbers where phone_number_id = '30001'";
    assert_eq!(admin.rows(written).await, ["49151123456"]);
    // Nor by a change of one that is there.
    let own = format!(
        "update public.whatsapp_numbers set meta_app_id = '{PLATFORM}' where phone_number_id = '30001'"
    );
    assert_eq!(code(&admin, &MIA, &own).await, "42501");
    admin.run(&own).await;
    let renumber = "update public.whatsapp_numbers set phone_number_id = '30002' where phone_number_id = '30001'";
    assert_eq!(code(&admin, &MIA, renumber).await, "42501");
    let switch_off =
        "update public.whatsapp_numbers set is_active = false where phone_number_id = '30001'";
    assert_eq!(admin.ask(&NED, switch_off).await.unwrap().touched, 1);
    assert_eq!(admin.ask(&SUE, switch_off).await.unwrap().touched, 0);
    let taken = format!(
        "insert into public.meta_apps (business_id, app_id, name) values ('{FIRST}', '99999', 'x')"
    );
    assert_eq!(code(&admin, &MIA, &taken).await, "23505");
    let shared = "insert into public.meta_apps (app_id, name) values ('99998', 'x')";
    assert_eq!(code(&admin, &MIA, shared).await, "42501");
}

#[tokio::test]
async fn a_message_goes_to_the_agent_of_its_number_by_indexes_alone() {
    let (_db, admin) = crm().await;
    let route = "select business_id, agent_id, agent_prefix, app_id, is_active from public.route_message('10001')";
    let answer = admin.ask(&SERVICE, route).await.unwrap();
    assert_eq!(answer.rows, [format!("{FIRST}|1|agt_ada|970001|t")]);
    for who in CALLERS
        .iter()
        .chain(&[MIA, NED, SUE])
        .filter(|who| who.role == "authenticated" || who.role == "anon")
    {
        assert_eq!(code(&admin, who, route).await, "42501", "{}", who.name);
    }
    // Of 10,000 numbers.
    admin
        .run(&format!(
            "insert into public.whatsapp_numbers (business_id, meta_app_id, phone_number_id, business_account_id, display_number)
             select '{FIRST}', '{APP}', 500000 + n, '20000', '4915100' from generate_series(1, 10000) n;
             analyze public.whatsapp_numbers"
        ))
        .await;
    let read = "select seq_scan from pg_stat_xact_user_tables where relid = 'public.whatsapp_numbers'::regclass";
    admin.run("begin").await;
    let before = admin.rows(read).await;
    admin.run("select * from public.route_message('505000')").await;
    assert_eq!(admin.rows(read).await, before);
    admin.run("rollback").await;
}

#[tokio::test]
async fn unknown_numbers_are_counted_in_a_table_that_stays_small() {
    let (_db, admin) = crm().await;
    let ask = |numbers: &str| {
        format!(
            "select from generate_series({numbers}) n, public.route_message((700000 + n)::text)"
        )
    };
    for numbers in ["1, 1000", "1, 10", "1001, 1200"] {
        admin.run("begin; set local role service_role").await;
        assert_eq!(admin.rows(&ask(numbers)).await, [""; 0]);
        admin.run("commit").await;
    }
    let counts = "select count(*) filter (where phone_number_id <> '*'), sum(messages),
        max(messages) filter (where phone_number_id = '700005'), max(messages) filter (where phone_number_id = '*')
        from provisioning.unknown_numbers";
    assert_eq!(admin.rows(counts).await, ["1000|1210|2|200"]);
    // Whatever comes for a number.
    for number in ["null", "''", "repeat('x', 100000)", "'*'"] {
        let route = format!("select from public.route_message({number})");
        assert_eq!(admin.ask(&SERVICE, &route).await.unwrap().rows.len(), 0, "{number}");
    }
}
