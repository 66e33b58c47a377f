//! Taking one agent's tables away, in a transaction that the caller opened.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, query};
use super::{AgentId, Outcome};

/// Drops an agent's registered tables, its row if it is still there, and switches its user's
/// WhatsApp configuration off, unless the user has another agent by now.
///
/// Nothing unregistered is dropped, whatever its name; a view of somebody's that depends on a table
/// makes this fail with the server's detail.
pub async fn deprovision(
    client: &Client,
    id: AgentId,
    user: Option<&str>,
) -> Result<Outcome, Error> {
    let batch = drops(client, id).await?;
    let whatsapp = "update public.whatsapp_configuration set is_active = false, updated_at = now() \
                    where user_id = $1::text::uuid and is_active and not exists \
                    (select from public.agents a where a.user_id = $1::text::uuid and a.id <> $2)";
    // A row that was inserted again since, with the same id, waits for its own provision.
    let row = "delete from public.agents a where a.id = $1 and not exists \
               (select from provisioning.jobs j where j.agent_id = a.id and j.kind = 'provision' \
               and j.state = 'pending')";
    // One round trip, in which agents may be locked.
    let (dropped, configuration, row) = tokio::join!(
        biased;
        forget(client, id, &batch),
        async { client.execute_typed(whatsapp, &[(&user, Type::TEXT), (&id.0, Type::INT8)]).await },
        async { client.execute_typed(row, &[(&id.0, Type::INT8)]).await },
    );
    dropped?;
    configuration.map_err(query("deactivate the WhatsApp configuration"))?;
    row.map_err(query("delete the agent's row"))?;
    Ok(Outcome::Deprovisioned)
}

/// Drops what is registered to an agent, and the registration.
pub(super) async fn drop_tables(client: &Client, id: AgentId) -> Result<(), Error> {
    let batch = drops(client, id).await?;
    forget(client, id, &batch).await
}

/// The SQL that drops what is registered to an agent.
///
/// With the foreign key, `agents` is locked first: a lock taken in the middle of the drop would
/// deadlock with everyone who reads `agents` and then writes to an agent's table.
async fn drops(client: &Client, id: AgentId) -> Result<String, Error> {
    let sql = include_str!("../../sql/queries/registered.sql");
    let rows = client.query_typed(sql, &[(&id.0, Type::INT8)]).await;
    let rows = rows.map_err(query("read the agent's tables"))?;
    let mut batch = String::new();
    if rows.first().is_some_and(|row| row.get("keyed")) {
        batch.push_str("lock table public.agents in access exclusive mode;\n");
    }
    let (ours, others): (Vec<_>, Vec<_>) = rows
        .iter()
        .filter(|row| row.get::<_, Option<&str>>("registered_name").is_some())
        .partition(|row| row.get("ours"));
    for other in others {
        let name = other.get::<_, Option<&str>>("registered_name");
        tracing::warn!(agent.id = id.0, name, "no longer what was registered: left alone");
    }
    for kind in ["table", "type"] {
        let of_kind = ours.iter().filter(|row| row.get::<_, &str>("kind") == kind);
        let names: Vec<&str> = of_kind.filter_map(|row| row.get("name")).collect();
        if !names.is_empty() {
            batch.extend(["drop ", kind, " ", &names.join(", "), ";\n"]);
        }
    }
    Ok(batch)
}

async fn forget(client: &Client, id: AgentId, batch: &str) -> Result<(), Error> {
    let forget = "delete from provisioning.agents where agent_id = $1";
    let (dropped, forgotten) = tokio::join!(
        biased;
        client.batch_execute(batch),
        async { client.execute_typed(forget, &[(&id.0, Type::INT8)]).await },
    );
    dropped.map_err(query("drop the agent's tables"))?;
    forgotten.map_err(query("drop the agent's registration"))?;
    Ok(())
}
