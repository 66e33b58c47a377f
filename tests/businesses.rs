//! Businesses: their members and what these may do, their numbers, and how agents belong to them.

mod agents;
mod codes;
mod growth;
mod matrix;
mod members;
mod migration;
mod numbers;
mod settings;
mod templates;
mod tokens;

use crate::support::{ADA, Admin, BEN, BOSS, Caller, Database, user};

/// Owns the business of `agt_ada`.
pub const MIA: Caller = user("mia", "00000000-0000-0000-0000-0000000000a1");
/// An admin of it.
const NED: Caller = user("ned", "00000000-0000-0000-0000-0000000000a2");
/// Staff of it.
const SUE: Caller = user("sue", "00000000-0000-0000-0000-0000000000a3");
/// Was an owner of it.
const FAY: Caller = user("fay", "00000000-0000-0000-0000-0000000000a4");
/// Owns the business of `agt_ben`.
const OLE: Caller = user("ole", "00000000-0000-0000-0000-0000000000b1");

/// Staff of that one.
const PAT: Caller = user("pat", "00000000-0000-0000-0000-0000000000b2");

/// Of `agt_ada`.
pub const FIRST: &str = "00000000-0000-0000-0000-000000000b0a";
/// Of `agt_ben`.
const SECOND: &str = "00000000-0000-0000-0000-000000000b0b";
/// Without agents, with the members of the first.
const EMPTY: &str = "00000000-0000-0000-0000-000000000e0a";
const DEFAULT: &str = "00000000-0000-0000-0000-000000000001";

/// Two businesses with members, apps, a number each, an invitation, and an agent that is not built yet.
async fn populate(admin: &Admin) {
    admin.populate().await;
    let people = [MIA, NED, SUE, FAY, OLE, PAT].map(|Caller { name, id, .. }| {
        format!("insert into auth.users (id, email, email_confirmed_at) values ('{id}', '{name}@example.com', now())")
    });
    admin.run(&people.join(";")).await;
    for (own, owner) in [("a", MIA.id), ("b", OLE.id)] {
        let ids = "00000000-0000-0000-0000-000000000";
        admin
            .run(&format!(
                "insert into public.businesses (id, name) values ('{ids}b0{own}', 'x'), ('{ids}e0{own}', 'empty');
                 insert into public.user_businesses (business_id, user_id, role)
                     values ('{ids}b0{own}', '{owner}', 'owner'), ('{ids}e0{own}', '{owner}', 'owner');
                 insert into public.meta_apps (id, business_id, app_id, name)
                     values ('{ids}c0{own}', '{ids}b0{own}', ascii('{own}') || '0001', 'used'),
                            ('{ids}d0{own}', '{ids}b0{own}', ascii('{own}') || '0002', 'spare');
                 insert into public.business_invitations (business_id, role, email)
                     values ('{ids}b0{own}', 'staff', '{own}@example.org')"
            ))
            .await;
    }
    admin
        .run(&format!(
            "update public.agents set business_id = '{FIRST}' where user_id = '{}';
             update public.agents set business_id = '{SECOND}' where user_id = '{}';
             insert into public.whatsapp_numbers (
                 business_id, meta_app_id, agent_id, phone_number_id, business_account_id, display_number)
             select a.business_id, m.id, a.id, '1000' || a.id, '20000', '4915100000' || a.id
             from public.agents a join public.meta_apps m on m.business_id = a.business_id and m.name = 'used'",
            ADA.id, BEN.id
        ))
        .await;
    for (who, role) in [(NED, "admin"), (SUE, "staff"), (FAY, "owner")] {
        for business in [FIRST, EMPTY] {
            add(admin, &who, business, role).await;
        }
    }
    add(admin, &PAT, SECOND, "staff").await;
    for business in [FIRST, EMPTY] {
        let gone = format!("select success from public.remove_member('{business}', '{}')", FAY.id);
        assert_eq!(admin.rows(&gone).await, ["t"]);
    }
}

async fn add(admin: &Admin, who: &Caller, business: &str, role: &str) {
    let sql = "insert into public.user_businesses (user_id, business_id, role)";
    admin.run(&format!("{sql} values ('{}', '{business}', '{role}')", who.id)).await;
}

/// Whether a function of the API says that it succeeded; what it does is taken back.
async fn succeeds(admin: &Admin, who: &Caller, call: &str) -> bool {
    let answer = admin.ask(who, &format!("select success from public.{call}")).await.unwrap();
    answer.rows == ["t"]
}

/// The same, and what it does stays.
async fn done(admin: &Admin, who: &Caller, call: &str) -> bool {
    admin.run(&who.begin()).await;
    let rows = admin.rows(&format!("select success from public.{call}")).await;
    admin.run("commit").await;
    rows == ["t"]
}

/// The SQLSTATE of a statement; empty where it succeeds. What it does is taken back.
async fn code(admin: &Admin, who: &Caller, sql: &str) -> String {
    admin.ask(who, sql).await.map_or_else(|e| e.code().code().to_owned(), |_| String::new())
}

/// A database with the people above.
pub async fn crm() -> (Database, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    populate(&admin).await;
    (db, admin)
}

/// As the backend comes.
const SERVICE: Caller = Caller { name: "service_role", role: "service_role", id: "" };

/// All who may come by.
const MEMBERS: [Caller; 7] = [MIA, NED, SUE, FAY, OLE, ADA, BOSS];
