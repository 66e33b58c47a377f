//! What a template set makes.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::error::Error;
use super::provision::apply;
use super::{AgentId, Prefix, Reference, Templates};

/// The tables and indexes of one agent, with the prefix left open.
///
/// Learnt from the server and so never written twice: the templates run for a scratch prefix in a
/// transaction that is rolled back. The foreign key is left out, so nobody waits for `agents`.
#[derive(Clone, Debug)]
pub struct Manifest {
    scratch: Prefix,
    tables: Vec<String>,
    indexes: Vec<Index>,
}

/// An index that stands by itself, not one behind a constraint.
#[derive(Clone, Debug)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// The statement that creates it.
    pub definition: String,
}

/// No agent has it: ids are drawn upwards from 1.
const SCRATCH_ID: AgentId = AgentId(i64::MAX);

impl Manifest {
    /// Runs the templates and takes the result back.
    pub async fn rehearse(client: &mut Client, templates: &Templates) -> Result<Self, Error> {
        let scratch = scratch_prefix()?;
        let rendered = templates.render(&scratch, SCRATCH_ID, Reference::Check);
        let failed = |source| Error::Query { doing: "rehearse the templates", source };
        let tx = client.transaction().await.map_err(failed)?;
        apply(tx.client(), &rendered).await?;
        let manifest = Self::read(&tx, scratch).await.map_err(failed)?;
        tx.rollback().await.map_err(failed)?;
        if manifest.tables.is_empty() { Err(Error::NoTables) } else { Ok(manifest) }
    }

    async fn read(tx: &Transaction<'_>, scratch: Prefix) -> Result<Self, tokio_postgres::Error> {
        let head = format!("{scratch}_");
        let sql = "select relname::text from pg_catalog.pg_class \
                   where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') \
                   and relname ^@ $1 order by oid";
        let tables = tx.query_typed(sql, &[(&head, Type::TEXT)]).await?;
        let sql = "select c.relname::text, pg_get_indexdef(i.indexrelid) from pg_catalog.pg_index i \
                   join pg_catalog.pg_class c on c.oid = i.indexrelid \
                   where c.relnamespace = 'public'::regnamespace and c.relname ^@ $1 and not exists \
                   (select from pg_catalog.pg_constraint k where k.conindid = c.oid) order by c.oid";
        let indexes = tx.query_typed(sql, &[(&head, Type::TEXT)]).await?;
        let index = |row: &tokio_postgres::Row| Index { name: row.get(0), definition: row.get(1) };
        Ok(Self {
            scratch,
            tables: tables.iter().map(|row| row.get(0)).collect(),
            indexes: indexes.iter().map(index).collect(),
        })
    }

    /// The names of an agent's tables, in the order of their making.
    pub fn tables(&self, prefix: &Prefix) -> Vec<String> {
        self.tables.iter().map(|table| self.fill(table, prefix)).collect()
    }

    /// An agent's indexes.
    pub fn indexes(&self, prefix: &Prefix) -> Vec<Index> {
        let filled = |index: &Index| Index {
            name: self.fill(&index.name, prefix),
            definition: self.fill(&index.definition, prefix),
        };
        self.indexes.iter().map(filled).collect()
    }

    /// The scratch prefix is random: nothing else in a definition looks like it.
    fn fill(&self, text: &str, prefix: &Prefix) -> String {
        text.replace(self.scratch.as_str(), prefix.as_str())
    }
}

/// As long as a prefix may be, so that the rehearsal also meets the longest names.
fn scratch_prefix() -> Result<Prefix, Error> {
    let tail: String = std::iter::repeat_with(fastrand::lowercase).take(14).collect();
    format!("zz_try{tail}").parse().map_err(Error::Prefix)
}
