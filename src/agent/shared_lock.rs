//! Locks on the tables that all agents share. What paces them: `sql/migrations/0010_agents_lock.sql`.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Client;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::{ToSql, Type};

use super::error::{Error, query};
use super::{Prefix, statement};

/// How long an operator waits for a lock, and between two tries.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);

const DOING: &str = "lock what all agents share";

/// The table that every agent's tables refer to.
pub(super) const AGENTS: &str = "public.agents";

/// Before a worker writes to `agents`: those that ask for a lock on it let this one pass, and wait where they hold up
/// nobody. Several may write at once.
pub(super) const LET_PASS: &str = "lock table provisioning.lock_gate in share mode";

/// What everybody is kept from while a lock lasts, and so who holds it up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockMode {
    /// Writing: a new foreign key.
    #[default]
    ShareRowExclusive,
    /// Reading, too: a foreign key that goes.
    AccessExclusive,
}

/// A lock that was not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub mode: LockMode,
    /// Whether it was waited for, in vain. Otherwise others ask for it, or have waited a moment ago.
    pub waited: bool,
}

impl LockMode {
    /// As SQL spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ShareRowExclusive => "share row exclusive",
            Self::AccessExclusive => "access exclusive",
        }
    }
}

impl Refusal {
    /// As `provisioning.lock_shared` says it.
    pub(super) fn read(error: &DbError) -> Option<Self> {
        let mode = match (error.code() == &SqlState::LOCK_NOT_AVAILABLE, error.datatype()) {
            (true, Some("share row exclusive")) => LockMode::ShareRowExclusive,
            (true, Some("access exclusive")) => LockMode::AccessExclusive,
            _ => return None,
        };
        Some(Self { mode, waited: error.constraint() == Some("waited") })
    }
}

/// For work that is going to want the lock. Fails where it would not get it, before there is work to undo.
pub async fn require_turn(client: &Client, mode: LockMode) -> Result<(), Error> {
    let sql = "select provisioning.require_lock_turn($1)";
    let asked = client.query_typed(sql, &[(&mode.as_str(), Type::TEXT)]).await;
    asked.map(drop).map_err(query(DOING))
}

/// Locks shared tables, and then an agent's own ones, until the transaction ends. It waits for
/// milliseconds only, and not at all shortly after a wait of any worker's. So call it right before the
/// statement that needs the locks, and wait for nothing afterwards.
///
/// Names are qualified and quoted. Shared tables that do not exist, and those that the caller may not
/// refer to, are left out.
pub(super) async fn lock(
    client: &Client,
    mode: LockMode,
    shared: &[String],
    own: &[String],
) -> Result<(), Error> {
    let sql = "select provisioning.lock_shared($1, $2, $3)";
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&mode.as_str(), Type::TEXT), (&shared, Type::TEXT_ARRAY), (&own, Type::TEXT_ARRAY)];
    let locked = client.query_typed(sql, &parameters).await;
    locked.map(drop).map_err(query(DOING))
}

/// The same for an operator at a terminal: tries again and again for half a minute. Comes first in its
/// transaction, so that nothing is locked meanwhile.
pub(super) async fn lock_patiently(
    client: &Client,
    mode: LockMode,
    shared: &[String],
    own: &[String],
) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        client.batch_execute("savepoint patience").await.map_err(query(DOING))?;
        match lock(client, mode, shared, own).await {
            Err(error) if error.refusal().is_some() && started.elapsed() < PATIENCE => {}
            done => return done,
        }
        let back = "rollback to savepoint patience; release savepoint patience";
        client.batch_execute(back).await.map_err(query(DOING))?;
        sleep(PAUSE).await;
    }
}

/// The tables other than the agent's own that SQL refers to by foreign keys, qualified.
pub(super) fn outside(sql: &str, prefix: &Prefix) -> Vec<String> {
    let own = format!("public.{prefix}_");
    let mut names = referred(sql);
    names.retain(|name| !name.replace('"', "").starts_with(&own));
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether SQL refers to a table by a foreign key.
pub(super) fn refers_to(sql: &str, table: &str) -> bool {
    referred(sql).iter().any(|name| name == table)
}

fn referred(sql: &str) -> Vec<String> {
    let words = statement::words(sql);
    let pairs = words.iter().zip(words.iter().skip(1));
    let referred = pairs.filter(|(word, _)| word.eq_ignore_ascii_case("references"));
    referred.filter_map(|(_, name)| qualified(name)).collect()
}

/// `None` for what cannot be a table's name.
fn qualified(name: &str) -> Option<String> {
    let mut quoted = false;
    let mut parts = vec![String::new()];
    for c in name.chars() {
        quoted ^= c == '"';
        match parts.last_mut() {
            Some(part) if c != '.' || quoted => part.push(c),
            Some(_) | None => parts.push(String::new()),
        }
    }
    let is_name = |part: &String| match part.strip_prefix('"') {
        Some(rest) => rest.len() > 1 && rest.ends_with('"'),
        None => part.starts_with(|c: char| c.is_alphabetic() || c == '_') && !part.contains('"'),
    };
    match parts.as_slice() {
        _ if !parts.iter().all(is_name) => None,
        [_] => Some(format!("public.{name}")),
        [_, _] => Some(name.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_foreign_keys_refer_to_outside_is_found() {
        let prefix = "agt_a".parse().unwrap();
        let cases: [(&str, &[&str]); 7] = [
            (
                "user_id uuid REFERENCES users, b int references public.users (id)",
                &["public.users"],
            ),
            ("a int references public.agt_a_customers (id)", &[]),
            ("a int references agt_a_customers", &[]),
            ("FOREIGN KEY (a) REFERENCES auth.users(id) ON DELETE CASCADE", &["auth.users"]),
            ("a int references \"Shop\".\"A.b\" (id)", &["\"Shop\".\"A.b\""]),
            ("a int references x.y.z, b int references 7", &[]),
            ("-- references public.users", &[]),
        ];
        for (sql, expected) in cases {
            assert_eq!(outside(sql, &prefix), expected, "{sql}");
        }
    }
}
