//! What is registered to an agent that goes.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, Renamed, query};
use crate::agent::AgentId;

/// What is registered to an agent, and still is what was registered.
#[derive(Debug, Default)]
pub(crate) struct RegisteredObjects {
    /// Whether the agent is.
    pub(crate) registered: bool,
    pub(crate) tables: Vec<RegisteredObject>,
    types: Vec<RegisteredObject>,
    /// Tables that have other names by now.
    renamed: Vec<Renamed>,
}

#[derive(Debug)]
pub(crate) struct RegisteredObject {
    oid: u32,
    /// Qualified and quoted.
    name: String,
}

impl RegisteredObjects {
    pub(crate) async fn read(client: &Client, id: AgentId) -> Result<Self, Error> {
        let sql = include_str!("../../sql/provisioning/registered_objects.sql");
        let rows = client.query_typed(sql, &[(&id.0, Type::INT8)]).await;
        let rows = rows.map_err(query("read the agent's tables"))?;
        let mut holdings = Self { registered: !rows.is_empty(), ..Self::default() };
        for row in &rows {
            let Some(registered) = row.get::<_, Option<&str>>("registered_name") else { continue };
            match row.get("name") {
                Some(name) if row.get("ours") => {
                    let holding = RegisteredObject { oid: row.get("oid"), name };
                    match row.get("kind") {
                        "table" => holdings.tables.push(holding),
                        _ => holdings.types.push(holding),
                    }
                }
                found => {
                    let name = registered;
                    let renamed: Option<(String, String)> = found.zip(row.get("rename_back"));
                    if let Some((name, fix)) = renamed {
                        let (once, twin) = (registered.to_owned(), row.get("twin"));
                        holdings.renamed.push(Renamed { name, once, twin, fix });
                        continue;
                    }
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

    /// Refuses where a table has another name by now: the rest would go, and the registration with it, and nothing
    /// would ever delete the rows in that table.
    pub(crate) fn require_names(&self) -> Result<(), Error> {
        if self.renamed.is_empty() {
            return Ok(());
        }
        Err(Error::Renamed(self.renamed.clone()))
    }

    /// The statements that give renamed tables their names again.
    pub(crate) fn names_back(self) -> Vec<String> {
        self.renamed.into_iter().map(|renamed| renamed.fix).collect()
    }

    /// Of the tables, qualified and quoted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tables.iter().map(|table| table.name.clone()).collect()
    }

    pub(crate) fn oids(&self) -> Vec<u32> {
        self.tables.iter().map(|table| table.oid).collect()
    }

    /// Keeps everybody off the tables until the transaction ends, so that what is checked stays true.
    /// Partitions and inheritance children are left alone: they may be somebody else's.
    pub(crate) async fn lock(&self, client: &Client) -> Result<(), Error> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            self.tables.iter().map(|table| format!("only {}", table.name)).collect();
        let lock = format!("lock table {} in access exclusive mode", names.join(", "));
        client.batch_execute(&lock).await.map_err(query("lock the agent's tables"))
    }

    /// The statements that drop all of it, and nothing that somebody hung on it.
    pub(crate) fn drop(&self) -> Vec<String> {
        let all = [("table", &self.tables), ("type", &self.types)];
        let there = all.into_iter().filter(|(_, objects)| !objects.is_empty());
        let drop = |(kind, objects): (&str, &Vec<RegisteredObject>)| {
            let names: Vec<&str> = objects.iter().map(|object| object.name.as_str()).collect();
            format!("drop {kind} {}", names.join(", "))
        };
        there.map(drop).collect()
    }
}
