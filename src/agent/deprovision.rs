//! Taking one agent's tables away, in a transaction that the caller opened.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::convert::untie;
use super::error::{Error, query};
use super::{AgentId, Blueprint, Outcome, trash};

/// An agent that goes.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// Whose row is deleted, or was.
    pub id: AgentId,
    /// Its user, a UUID.
    pub user: Option<&'a str>,
    /// What only the deleted row knew, as the trigger on `agents` wrote it down.
    pub row: Option<&'a str>,
}

/// Drops an agent's registered tables or moves them into the trash, deletes its row if it is still
/// there, and switches its user's WhatsApp configuration off, unless the user has another agent by now.
///
/// Nothing unregistered is dropped, whatever its name; a view of somebody's that depends on a table
/// makes this fail with the server's detail.
///
/// With the foreign key, a drop locks `agents` against readers until the commit. So the key goes by
/// itself, and this is `Unfinished`: from then on the agent is one with the check, whose tables and row
/// go without such a lock. What is kept in the trash is kept with its key, and takes one transaction.
pub async fn deprovision(
    client: &Client,
    blueprint: &Blueprint,
    leaving: Leaving<'_>,
) -> Result<Outcome, Error> {
    let Leaving { id, user, .. } = leaving;
    let holdings = Holdings::read(client, id).await?;
    if holdings.keyed && blueprint.retention.is_zero() {
        untie(client, id).await?;
        return Ok(Outcome::Unfinished);
    }
    let (batch, item) = removal(client, blueprint, leaving, &holdings).await?;
    let whatsapp = "update public.whatsapp_configuration set is_active = false, updated_at = now() \
                    where user_id = $1::text::uuid and is_active and not exists \
                    (select from public.agents a where a.user_id = $1::text::uuid and a.id <> $2)";
    // A row that was inserted again since, with the same id, waits for its own provision.
    let row = "delete from public.agents a where a.id = $1 and not exists \
               (select from provisioning.jobs j where j.agent_id = a.id and j.kind = 'provision' \
               and j.state = 'pending')";
    // One round trip, in which agents is locked where the trash keeps the key.
    let (dropped, configuration, row) = tokio::join!(
        biased;
        forget(client, id, &batch),
        async { client.execute_typed(whatsapp, &[(&user, Type::TEXT), (&id.0, Type::INT8)]).await },
        async { client.execute_typed(row, &[(&id.0, Type::INT8)]).await },
    );
    dropped?;
    let switched = configuration.map_err(query("deactivate the WhatsApp configuration"))?;
    row.map_err(query("delete the agent's row"))?;
    let Some(item) = item else { return Ok(Outcome::Deprovisioned) };
    if switched > 0 {
        let note = "update provisioning.trash set whatsapp = true where item = $1";
        let noted = client.execute_typed(note, &[(&item, Type::INT8)]).await;
        noted.map_err(query("note the WhatsApp configuration"))?;
    }
    Ok(Outcome::Trashed)
}

/// The SQL that takes away what is registered to an agent; and its number in the trash, where
/// deleted agents are kept.
async fn removal(
    client: &Client,
    blueprint: &Blueprint,
    leaving: Leaving<'_>,
    holdings: &Holdings,
) -> Result<(String, Option<i64>), Error> {
    if blueprint.retention.is_zero() || holdings.tables.is_empty() {
        return Ok((holdings.lock().to_owned() + &holdings.drop(), None));
    }
    let (item, moves) = trash::note(client, blueprint.retention, leaving, holdings).await?;
    Ok((moves, Some(item)))
}

async fn forget(client: &Client, id: AgentId, batch: &str) -> Result<(), Error> {
    let forget = "delete from provisioning.agents where agent_id = $1";
    let (taken, forgotten) = tokio::join!(
        biased;
        client.batch_execute(batch),
        async { client.execute_typed(forget, &[(&id.0, Type::INT8)]).await },
    );
    taken.map_err(query("drop the agent's tables"))?;
    forgotten.map_err(query("drop the agent's registration"))?;
    Ok(())
}

/// What is registered to an agent, and still is what was registered.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    keyed: bool,
    pub(super) tables: Vec<Holding>,
    pub(super) types: Vec<Holding>,
}

#[derive(Debug)]
pub(super) struct Holding {
    pub(super) oid: u32,
    /// Qualified and quoted.
    name: String,
}

impl Holdings {
    async fn read(client: &Client, id: AgentId) -> Result<Self, Error> {
        let sql = include_str!("../../sql/queries/registered.sql");
        let rows = client.query_typed(sql, &[(&id.0, Type::INT8)]).await;
        let rows = rows.map_err(query("read the agent's tables"))?;
        let keyed = rows.first().is_some_and(|row| row.get("keyed"));
        let mut holdings = Self { keyed, ..Self::default() };
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
                _ => {
                    let name = registered;
                    tracing::warn!(
                        agent.id = id.0,
                        name,
                        "no longer what was registered: left alone"
                    );
                }
            }
        }
        Ok(holdings)
    }

    /// With the foreign key, `agents` is locked before anything else: a lock taken in the middle
    /// would deadlock with everyone who reads `agents` and then writes to an agent's table.
    pub(super) fn lock(&self) -> &'static str {
        if self.keyed { "select provisioning.lock_shared('access exclusive');\n" } else { "" }
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
