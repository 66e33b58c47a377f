//! Who asks: the people of a small CRM, and how the API gateway presents them to the database.

use tokio_postgres::error::DbError;

use super::Admin;

/// Somebody with a role, and the claims that the gateway took from the token.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub name: &'static str,
    pub role: &'static str,
    /// The user's id, if the token names one.
    pub id: &'static str,
}

pub const fn user(name: &'static str, id: &'static str) -> Caller {
    Caller { name, role: "authenticated", id }
}

const fn role(name: &'static str) -> Caller {
    Caller { name, role: name, id: "" }
}

/// Owns the agent `agt_ada`.
pub const ADA: Caller = user("ada", "00000000-0000-0000-0000-00000000000a");
/// Owns the agent `agt_ben`.
pub const BEN: Caller = user("ben", "00000000-0000-0000-0000-00000000000b");
/// Created `agt_ada`, and has no agent.
pub const CAT: Caller = user("cat", "00000000-0000-0000-0000-00000000000c");
/// Has nothing.
pub const DAN: Caller = user("dan", "00000000-0000-0000-0000-00000000000d");
/// An admin.
pub const BOSS: Caller = user("boss", "00000000-0000-0000-0000-0000000000ff");

/// Everybody who may come by: the owner, another owner, the creator, an admin, a token that names
/// no user, and the roles without one.
pub const CALLERS: [Caller; 8] =
    [role("anon"), ADA, BEN, CAT, BOSS, user("nobody", ""), role("service_role"), role("postgres")];

/// What a statement came to: its rows, cells joined by `|`, and how many it touched.
#[derive(Debug)]
pub struct Answer {
    pub rows: Vec<String>,
    pub touched: u64,
}

impl Caller {
    /// What the gateway sends first in a transaction.
    pub fn begin(&self) -> String {
        let Self { role, id, .. } = self;
        let claims = match (*role, *id) {
            ("postgres", _) => String::new(),
            (_, "") => format!(r#"{{"role":"{role}"}}"#),
            _ => format!(r#"{{"role":"{role}","sub":"{id}"}}"#),
        };
        begin(role, &claims)
    }
}

/// A transaction with a role and with claims of any kind.
pub fn begin(role: &str, claims: &str) -> String {
    let claims = claims.replace('\'', "''");
    let role = if role == "postgres" { "none" } else { role };
    format!("begin; set local role {role}; set local request.jwt.claims = '{claims}'")
}

impl Admin {
    /// The people above, and two agents that are not built yet.
    pub async fn populate(&self) {
        let people = [ADA, BEN, CAT, DAN, BOSS].map(|Caller { name, id, .. }| {
            format!("insert into auth.users (id, email) values ('{id}', '{name}@example.com')")
        });
        self.run(&people.join(";")).await;
        self.run(&format!(
            "update public.users set role = 'admin' where name = 'boss';
             insert into public.agents (agent_prefix, user_id, created_by) values
                 ('agt_ada', '{0}', '{2}'), ('agt_ben', '{1}', null);
             insert into public.whatsapp_configuration (user_id, whatsapp_number, webhook_url, api_key)
                 values ('{0}', '+1', 'https://example.com', 'secret of ada'),
                        ('{1}', '+2', 'https://example.com', 'secret of ben')",
            ADA.id, BEN.id, CAT.id
        ))
        .await;
    }

    /// A row in each of the tables of these agents.
    pub async fn fill(&self, prefixes: &[&str]) {
        for prefix in prefixes {
            self.run(&format!(
                "insert into public.{prefix}_customers (name, phone) values ('Grace', '+1');
                 insert into public.{prefix}_messages (customer_id, message, direction)
                     values (1, 'hello', 'inbound');
                 insert into public.{prefix}_orders (customer_id) values (1);
                 insert into public.{prefix}_orders_items (order_id, name) values (1, 'tea')"
            ))
            .await;
        }
    }

    /// What statements come to for somebody; taken back afterwards.
    pub async fn ask(&self, who: &Caller, sql: &str) -> Result<Answer, DbError> {
        self.attempt(&who.begin(), sql).await
    }

    /// What statements come to in a transaction that begins like this; taken back afterwards.
    pub async fn attempt(&self, begin: &str, sql: &str) -> Result<Answer, DbError> {
        self.run(begin).await;
        let answer = self.answer(sql).await;
        self.run("rollback").await;
        answer
    }
}
