//! Members: who makes whom one, and that a business keeps an owner.

use super::{
    DEFAULT, FAY, FIRST, MIA, NED, OLE, SECOND, SERVICE, SUE, add, code, crm, done, succeeds,
};
use crate::support::{ADA, Admin, BOSS, Caller, DAN, Database};

/// Who; what; whether it succeeds. Ids in braces.
const CALLS: &[(Caller, &str, bool)] = &[
    // Staff gives nobody a role, himself included.
    (SUE, "change_member_role('{first}', '{sue}', 'admin')", false),
    (SUE, "invite_member('{first}', 'staff', '{dan}')", false),
    (SUE, "remove_member('{first}', '{ned}')", false),
    (SUE, "remove_member('{first}', '{sue}')", true),
    (SUE, "update_business_settings('{first}', '{}')", false),
    // An admin neither makes nor unmakes an owner.
    (NED, "change_member_role('{first}', '{ned}', 'owner')", false),
    (NED, "change_member_role('{first}', '{sue}', 'owner')", false),
    (NED, "change_member_role('{first}', '{mia}', 'staff')", false),
    (NED, "invite_member('{first}', 'owner', '{dan}')", false),
    (NED, "remove_member('{first}', '{mia}')", false),
    (NED, "change_member_role('{first}', '{sue}', 'admin')", true),
    (NED, "invite_member('{first}', 'admin', '{dan}')", true),
    (NED, "remove_member('{first}', '{sue}')", true),
    (NED, "update_business_settings('{first}', '{\"hours\": {}}')", true),
    // The last owner stays one.
    (MIA, "remove_member('{first}', '{mia}')", false),
    (MIA, "change_member_role('{first}', '{mia}', 'admin')", false),
    (BOSS, "remove_member('{first}', '{mia}')", false),
    (SERVICE, "remove_member('{first}', '{mia}')", false),
    (MIA, "change_member_role('{first}', '{ned}', 'owner')", true),
    (MIA, "change_member_role('{first}', '{ned}', 'emperor')", false),
    (MIA, "change_member_role('{first}', '{ned}', null)", false),
    // Nobody but the backend and admins makes somebody a member who was not asked.
    (MIA, "change_member_role('{first}', '{dan}', 'staff')", false),
    (BOSS, "change_member_role('{first}', '{dan}', 'owner')", true),
    (SERVICE, "change_member_role('{first}', '{dan}', 'staff')", true),
    (BOSS, "change_member_role('{first}', '00000000-0000-0000-0000-0000000000ee', 'staff')", false),
    // Others have no say.
    (MIA, "invite_member('{second}', 'staff', '{dan}')", false),
    (MIA, "remove_member('{second}', '{ole}')", false),
    (MIA, "change_member_role('{second}', '{mia}', 'staff')", false),
    (OLE, "invite_member('{first}', 'staff', '{ole}')", false),
    (OLE, "update_business_settings('{first}', '{}')", false),
    (FAY, "invite_member('{first}', 'staff', '{fay}')", false),
    (FAY, "update_business_settings('{first}', '{}')", false),
    (ADA, "invite_member('{first}', 'staff', '{ada}')", false),
    (ADA, "invite_member('00000000-0000-0000-0000-0000000000ee', 'staff', '{ada}')", false),
    // Invitations.
    (MIA, "invite_member('{first}', 'owner', '{dan}')", true),
    (MIA, "invite_member('{first}', 'staff', '{sue}')", false),
    (MIA, "invite_member('{first}', 'staff')", false),
    (MIA, "invite_member('{first}', 'staff', '{dan}', 'dan@example.com')", false),
    (MIA, "invite_member('{first}', 'staff', '00000000-0000-0000-0000-0000000000ee')", false),
    (MIA, "invite_member('{first}', 'emperor', '{dan}')", false),
    (DAN, "accept_invitation('00000000-0000-0000-0000-0000000000ee')", false),
    // Who creates businesses.
    (BOSS, "create_business('x', 'shop', '{dan}')", true),
    (SERVICE, "create_business('x', null, '{dan}')", true),
    (SERVICE, "create_business('x')", false),
    (BOSS, "create_business('x')", true),
    (BOSS, "create_business(' ')", false),
    (BOSS, "create_business('x', 'shop', '00000000-0000-0000-0000-0000000000ee')", false),
    (MIA, "create_business('x', 'shop', '{mia}')", false),
];

fn fill(sql: &str) -> String {
    let names = [
        ("{first}", FIRST),
        ("{second}", SECOND),
        ("{default}", DEFAULT),
        ("{mia}", MIA.id),
        ("{ned}", NED.id),
        ("{sue}", SUE.id),
        ("{fay}", FAY.id),
        ("{ole}", OLE.id),
        ("{ada}", ADA.id),
        ("{dan}", DAN.id),
        ("{boss}", BOSS.id),
    ];
    names.iter().fold(sql.to_owned(), |sql, (name, id)| sql.replace(name, id))
}

#[tokio::test]
async fn nobody_gives_or_takes_a_role_above_his_own() {
    let (_db, admin) = crm().await;
    for (who, call, expected) in CALLS {
        let found = succeeds(&admin, who, &fill(call)).await;
        assert_eq!(found, *expected, "{}: {call}", who.name);
    }
}

/// Who; what; the refusal. Not even a policy that somebody opens lets these through.
const DIRECT: &[(Caller, &str, &str)] = &[
    (SUE, "update public.user_businesses set role = 'owner' where user_id = '{sue}'", "42501"),
    (NED, "insert into public.user_businesses values ('{dan}', '{first}', 'owner')", "42501"),
    (FAY, "insert into public.user_businesses values ('{fay}', '{first}', 'staff')", "42501"),
    (MIA, "delete from public.user_businesses where user_id = '{ned}'", "42501"),
    (NED, "update public.business_invitations set role = 'owner'", "42501"),
    (
        NED,
        "insert into public.business_invitations (business_id, role, user_id) values ('{first}', 'owner', '{dan}')",
        "42501",
    ),
    (MIA, "insert into public.businesses (name) values ('x')", "42501"),
    (MIA, "update public.businesses set id = gen_random_uuid() where id = '{first}'", "42501"),
    (MIA, "update public.businesses set created_at = now() where id = '{first}'", "42501"),
    (MIA, "truncate public.user_businesses", "42501"),
    (SERVICE, "truncate public.businesses cascade", "42501"),
    (MIA, "delete from public.businesses where id = '{first}'", "23503"),
    (SERVICE, "delete from public.user_businesses where business_id = '{first}'", "23001"),
    (SERVICE, "update public.user_businesses set role = 'staff' where role = 'owner'", "23001"),
    (
        SERVICE,
        "update public.user_businesses set business_id = '{default}' where user_id = '{mia}' and business_id = '{first}'",
        "23001",
    ),
    (MIA, "select * from provisioning.invite_member('{first}', 'staff', '{dan}', null)", "42501"),
    (MIA, "select provisioning.my_businesses('owner')", "42501"),
];

#[tokio::test]
async fn no_statement_goes_around_the_functions() {
    let (_db, admin) = crm().await;
    for (who, sql, expected) in DIRECT {
        let found = code(&admin, who, &fill(sql)).await;
        assert_eq!(found, *expected, "{}: {sql}", who.name);
    }
    // A business without agents and numbers goes with its members.
    let empty = "delete from public.businesses where name = 'empty'";
    assert_eq!(admin.ask(&MIA, empty).await.unwrap().touched, 1);
}

/// The id of the invitation that this call made.
async fn invite(admin: &Admin, who: &Caller, call: &str) -> String {
    admin.run(&who.begin()).await;
    let sql = fill(&format!("select invitation ->> 'id' from public.{call}"));
    let mut rows = admin.rows(&sql).await;
    admin.run("commit").await;
    rows.remove(0)
}

#[tokio::test]
async fn an_invitation_is_accepted_by_whom_it_is_for_and_by_nobody_else() {
    let (_db, admin) = crm().await;
    let role = fill(
        "select role from public.user_businesses where business_id = '{first}' and user_id = '{dan}'",
    );
    for call in [
        "invite_member('{first}', 'admin', '{dan}')",
        "invite_member('{first}', 'admin', email => ' Dan@Example.com ')",
    ] {
        let accept = format!("accept_invitation('{}')", invite(&admin, &NED, call).await);
        admin
            .run(
                "update auth.users set email_confirmed_at = now() where email <> 'dan@example.com'",
            )
            .await;
        for other in [OLE, ADA, FAY, NED, SUE, BOSS, SERVICE] {
            assert!(!succeeds(&admin, &other, &accept).await, "{}: {call}", other.name);
        }
        // An address that is not confirmed may be anybody's.
        if call.contains("email") {
            assert!(!succeeds(&admin, &DAN, &accept).await);
            admin.run("update auth.users set email_confirmed_at = now()").await;
        }
        let seen = admin.ask(&DAN, "select from public.business_invitations").await.unwrap();
        assert_eq!(seen.rows.len(), 1, "{call}");
        admin.run("begin; update public.business_invitations set expires_at = now()").await;
        let claims = format!("set local request.jwt.claims = '{{\"sub\":\"{}\"}}'", DAN.id);
        let late = format!("{claims}; select success from public.{accept}");
        assert_eq!(admin.rows(&late).await, ["f"]);
        admin.run("rollback").await;
        assert!(done(&admin, &DAN, &accept).await, "{call}");
        assert_eq!(admin.rows(&role).await, ["admin"], "{call}");
        assert!(!succeeds(&admin, &DAN, &accept).await, "twice: {call}");
        assert!(done(&admin, &MIA, &fill("remove_member('{first}', '{dan}')")).await);
        admin
            .run("update auth.users set email_confirmed_at = null where email = 'dan@example.com'")
            .await;
    }
}

#[tokio::test]
async fn what_somebody_invited_to_ends_with_his_own_role() {
    let (_db, admin) = crm().await;
    let waiting = fill("select count(*) from public.business_invitations where user_id = '{dan}'");
    for end in
        ["remove_member('{first}', '{ned}')", "change_member_role('{first}', '{ned}', 'staff')"]
    {
        invite(&admin, &NED, "invite_member('{first}', 'admin', '{dan}')").await;
        assert_eq!(admin.one::<i64>(&waiting).await, 1);
        assert!(done(&admin, &MIA, &fill(end)).await, "{end}");
        assert_eq!(admin.one::<i64>(&waiting).await, 0, "{end}");
        admin.run(&fill("delete from public.user_businesses where user_id = '{ned}'")).await;
        add(&admin, &NED, FIRST, "admin").await;
    }
}

/// In a transaction that stays open; the session waits where it has to.
async fn begin_removal(admin: &Admin, whom: &Caller, isolation: &str) {
    admin
        .run(&format!(
            "begin isolation level {isolation}; select count(*) from public.user_businesses"
        ))
        .await;
    let sql = format!("delete from public.user_businesses where user_id = '{}'", whom.id);
    admin.run(&sql).await;
}

#[tokio::test]
async fn of_two_who_remove_the_last_two_owners_at_once_one_fails() {
    for (isolation, expected) in [("read committed", "23001"), ("repeatable read", "40001")] {
        let db = Database::new().await;
        let admin = db.admin().await;
        admin.populate().await;
        let business = format!("insert into public.businesses (id, name) values ('{FIRST}', 'x')");
        admin.run(&business).await;
        add(&admin, &ADA, FIRST, "owner").await;
        add(&admin, &DAN, FIRST, "owner").await;
        let (first, second) = (db.admin().await, db.admin().await);
        begin_removal(&first, &ADA, isolation).await;
        second
            .run(&format!(
                "begin isolation level {isolation}; select count(*) from public.user_businesses"
            ))
            .await;
        let other = format!("delete from public.user_businesses where user_id = '{}'", DAN.id);
        let waits = async {
            admin.holds("select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')").await;
            first.run("commit").await;
        };
        let (answer, ()) = tokio::join!(second.answer(&other), waits);
        assert_eq!(answer.unwrap_err().code().code(), expected, "{isolation}");
        second.run("rollback").await;
        let owners = "select count(*) from public.user_businesses where role = 'owner'";
        assert_eq!(admin.one::<i64>(owners).await, 1, "{isolation}");
    }
}

#[tokio::test]
async fn an_account_that_is_deleted_takes_its_membership_along_and_an_admin_names_the_next_owner() {
    let (_db, admin) = crm().await;
    admin.run(&fill("delete from auth.users where id = '{mia}'")).await;
    let owners = fill(
        "select count(*) from public.user_businesses where business_id = '{first}' and role = 'owner'",
    );
    assert_eq!(admin.one::<i64>(&owners).await, 0);
    assert!(!done(&admin, &NED, &fill("change_member_role('{first}', '{ned}', 'owner')")).await);
    assert!(done(&admin, &BOSS, &fill("change_member_role('{first}', '{ned}', 'owner')")).await);
    assert_eq!(admin.one::<i64>(&owners).await, 1);
}
