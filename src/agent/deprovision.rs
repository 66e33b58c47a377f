//! Taking one agent's tables away, in a transaction that the caller opened.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::error::{Error, proof, query};
use super::shared_lock::LET_PASS;
use super::{AgentId, Blueprint, Outcome, keys, trash, unmanaged};

/// What nobody asked to delete can be restored for so long, also where deletions are final.
const UNREPORTED_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// An agent that goes.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// Whose row is deleted, or was.
    pub id: AgentId,
    /// As the row had it; it may be against the rule.
    pub prefix: &'a str,
    /// Nobody asked for it: the tables were found without their agent.
    pub unreported: bool,
}

/// Drops an agent's registered tables or moves them into the trash, deletes its row if it is still
/// there, and switches off the WhatsApp configuration of the user who owns the agent at that moment, unless
/// the user has another agent. Where the owner is not known it switches off nothing.
///
/// Nothing unregistered is dropped, whatever its name; a view of somebody's that depends on a table
/// makes this fail with the server's detail. An agent that exists after all, although nobody asked for its
/// deletion, is `Superseded`, and the caller must roll back. Where row security may hide it, this fails.
///
/// A foreign key to a table that stays would lock that table against readers until the commit. So such keys
/// go by themselves, and this is `Unfinished`: from then on tables and row go without such a lock.
pub async fn deprovision(
    client: &Client,
    blueprint: &Blueprint,
    leaving: Leaving<'_>,
) -> Result<Outcome, Error> {
    let Leaving { id, prefix, unreported } = leaving;
    let (alive, holdings, keys) = tokio::join!(
        biased;
        is_alive(client, id),
        Holdings::read(client, id),
        keys::read(client, id),
    );
    let (alive, holdings) = (alive?, holdings?);
    if alive && unreported {
        return Ok(Outcome::Superseded);
    }
    if alive {
        holdings.require_untied()?;
    }
    let left = unmanaged::has_old_tables(client, &blueprint.manifest, prefix, alive).await?
        && !holdings.registered;
    if keys::take_off(client, id, &keys?).await? {
        return Ok(Outcome::Unfinished);
    }
    let retention = retention(blueprint, unreported);
    let keep = !retention.is_zero() && !holdings.tables.is_empty();
    let oids = holdings.oids();
    let (locked, detached) = tokio::join!(
        biased;
        holdings.lock(client),
        unmanaged::require_detached(client, &oids, keep),
    );
    locked?;
    detached?;
    let (batch, item) = if keep {
        let (item, moves) = trash::note(client, retention, id, &holdings).await?;
        (moves, Some(item))
    } else {
        (holdings.drop(), None)
    };
    // One round trip.
    let batch = batch + LET_PASS;
    let (taken, removed) =
        tokio::join!(biased; client.batch_execute(&batch), Removed::of(client, leaving, item));
    taken.map_err(query("take the agent's tables away"))?;
    let removed = removed?;
    if removed.superseded {
        return Ok(Outcome::Superseded);
    }
    if !removed.owner_known {
        tracing::warn!(
            agent.id = id.0,
            agent.prefix = prefix,
            "the agent's owner is not known: no WhatsApp configuration was switched off"
        );
    }
    Ok(match item {
        Some(_) => Outcome::Trashed,
        None if left => Outcome::RowDeleted,
        None => Outcome::Deprovisioned,
    })
}

/// How long the tables are kept; zero: not at all.
fn retention(blueprint: &Blueprint, unreported: bool) -> Duration {
    if unreported && blueprint.retention.is_zero() { UNREPORTED_KEPT } else { blueprint.retention }
}

/// Whether the agent's row exists. Row security cannot hide it: it makes this fail.
///
/// Leaves no lock on `agents` behind: two transactions that have one and ask for an exclusive one would wait
/// for each other.
pub(super) async fn is_alive(client: &Client, id: AgentId) -> Result<bool, Error> {
    let sql = "select from provisioning.living_agents(array[$1])";
    let (begun, rows, ended) = tokio::join!(
        biased;
        client.batch_execute("savepoint look"),
        async { client.query_typed(sql, &[(&id.0, Type::INT8)]).await },
        client.batch_execute("rollback to savepoint look; release savepoint look"),
    );
    begun.map_err(query("open a savepoint"))?;
    let alive = !rows.map_err(proof("look for the agent's row"))?.is_empty();
    ended.map_err(query("give the lock on agents back"))?;
    Ok(alive)
}

/// What became of the row.
struct Removed {
    superseded: bool,
    owner_known: bool,
}

impl Removed {
    async fn of(client: &Client, leaving: Leaving<'_>, item: Option<i64>) -> Result<Self, Error> {
        let sql = "select * from provisioning.remove_agent($1, $2)";
        let asked: [(&(dyn ToSql + Sync), Type); 2] =
            [(&leaving.id.0, Type::INT8), (&item, Type::INT8)];
        let rows = client.query_typed(sql, &asked).await;
        let rows = rows.map_err(query("delete the agent's row and registration"))?;
        let Some(row) = rows.first() else { return Err(Error::Swallowed("public.agents")) };
        Ok(Self { superseded: row.get("superseded"), owner_known: row.get("owner_known") })
    }
}

/// What is registered to an agent, and still is what was registered.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// Whether the agent is.
    registered: bool,
    pub(super) tables: Vec<Holding>,
    types: Vec<Holding>,
    /// Left alone, and yet the end of the agent's row reaches into them; and what prevents it.
    tied: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct Holding {
    oid: u32,
    /// Qualified and quoted.
    name: String,
}

impl Holdings {
    async fn read(client: &Client, id: AgentId) -> Result<Self, Error> {
        let sql = include_str!("../../sql/queries/registered.sql");
        let rows = client.query_typed(sql, &[(&id.0, Type::INT8)]).await;
        let rows = rows.map_err(query("read the agent's tables"))?;
        let mut holdings = Self { registered: !rows.is_empty(), ..Self::default() };
        for row in &rows {
            let Some(registered) = row.get::<_, Option<&str>>("registered_name") else { continue };
            match row.get("name") {
                Some(name) if row.get("ours") => {
                    let holding = Holding { oid: row.get("oid"), name };
                    match row.get("kind") {
                        "table" => holdings.tables.push(holding),
                        _ => holdings.types.push(holding),
                    }
                }
                renamed => {
                    let name = registered;
                    tracing::warn!(
                        agent.id = id.0,
                        name,
                        "no longer what was registered: left alone"
                    );
                    let untie = renamed.zip(row.get::<_, Option<String>>("untie"));
                    if let Some((renamed, untie)) = untie {
                        let renamed: String = renamed;
                        holdings.tied.push((format!("{renamed}, once {name}"), untie));
                    }
                }
            }
        }
        Ok(holdings)
    }

    fn require_untied(&self) -> Result<(), Error> {
        if self.tied.is_empty() {
            return Ok(());
        }
        let (found, mend) = self.tied.iter().cloned().unzip();
        Err(Error::Renamed { found, mend })
    }

    pub(super) fn oids(&self) -> Vec<u32> {
        self.tables.iter().map(|table| table.oid).collect()
    }

    /// Keeps everybody off the tables until the transaction ends, so that what is checked stays true.
    /// Partitions and inheritance children are left alone: they may be somebody else's.
    async fn lock(&self, client: &Client) -> Result<(), Error> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            self.tables.iter().map(|table| format!("only {}", table.name)).collect();
        let lock = format!("lock table {} in access exclusive mode", names.join(", "));
        client.batch_execute(&lock).await.map_err(query("lock the agent's tables"))
    }

    /// Drops all of it, and nothing that somebody hung on it.
    pub(super) fn drop(&self) -> String {
        let mut batch = String::new();
        for (kind, holdings) in [("table", &self.tables), ("type", &self.types)] {
            if !holdings.is_empty() {
                let names: Vec<&str> = holdings.iter().map(|h| h.name.as_str()).collect();
                batch.extend(["drop ", kind, " ", &names.join(", "), ";\n"]);
            }
        }
        batch
    }
}
