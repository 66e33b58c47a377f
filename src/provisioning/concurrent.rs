//! Statements that no transaction may contain, on a connection of their own.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, query};
use crate::agent::Agent;
use crate::sql_text::IndexStatement;
use crate::templates::{self, Template};

/// Each look finds what somebody's attempt has left meanwhile.
const TRIES: u32 = 3;

/// Runs a file's statements one after the other, each by itself.
///
/// May be called again after it was broken off anywhere: an index that is there is not built again,
/// one that was left invalid is dropped first, and one that is gone is not dropped again. To wait for
/// other sessions is the nature of such statements, and holds up nobody who reads or writes.
pub(crate) async fn run_concurrently(
    client: &Client,
    agent: &Agent,
    file: &Template,
) -> Result<(), Error> {
    let path = if file.public_path { "public" } else { "pg_catalog" };
    run(client, &format!("set lock_timeout = 0; set search_path = {path}, pg_temp")).await?;
    for statement in &file.statements(&agent.prefix, agent.id) {
        match IndexStatement::read(statement).filter(|index| index.creates) {
            Some(index) => build(client, agent, &index.name, statement).await?,
            None => run(client, statement).await?,
        }
    }
    Ok(())
}

async fn build(client: &Client, agent: &Agent, name: &str, statement: &str) -> Result<(), Error> {
    for _ in 0..TRIES {
        match find(client, agent, name).await? {
            Some((_, true)) => return Ok(()),
            Some((index, false)) => {
                run(client, &format!("drop index concurrently if exists {index}")).await?;
            }
            None => {}
        }
        run(client, statement).await?;
        // It may have been skipped: `if not exists` looks at the name alone.
        if find(client, agent, name).await?.is_none() {
            return Err(Error::InTheWay(vec![format!("public.{name}")]));
        }
    }
    match find(client, agent, name).await? {
        Some((_, true)) => Ok(()),
        _ => Err(Error::Invalid(format!("public.{name}"))),
    }
}

/// The index of that name on one of the agent's registered tables, quoted, and whether it is valid.
async fn find(client: &Client, agent: &Agent, name: &str) -> Result<Option<(String, bool)>, Error> {
    let sql = "select format('%I.%I', n.nspname, c.relname), i.indisvalid and i.indisready \
               from provisioning.agent_tables t \
               join pg_catalog.pg_index i on i.indrelid = t.relation \
               join pg_catalog.pg_class c on c.oid = i.indexrelid and c.relname = $2 \
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace where t.agent_id = $1";
    let rows = client.query_typed(sql, &[(&agent.id.0, Type::INT8), (&name, Type::TEXT)]).await;
    let rows = rows.map_err(query("look for the index"))?;
    Ok(rows.first().map(|row| (row.get(0), row.get(1))))
}

async fn run(client: &Client, statement: &str) -> Result<(), Error> {
    client.batch_execute(statement).await.map_err(|source| {
        let head = statement.lines().next().unwrap_or_default().trim_end().to_owned();
        templates::Error::Statement { at: None, head, source }.into()
    })
}
