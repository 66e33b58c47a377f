//! The tables that a template set makes.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::provision::{Error, apply};
use super::{AgentId, Prefix, Reference, Templates};

/// The tables of one agent, by what follows the prefix in their names.
///
/// Learnt from the server and so never written twice: the templates run for a scratch prefix in a
/// transaction that is rolled back. The foreign key is left out, so nobody waits for `agents`.
#[derive(Clone, Debug)]
pub struct Manifest {
    suffixes: Vec<String>,
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
        let sql = "select relname::text from pg_catalog.pg_class \
                   where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') \
                   and relname ^@ $1 order by oid";
        let head = format!("{scratch}_");
        let rows = tx.query_typed(sql, &[(&head, Type::TEXT)]).await.map_err(failed)?;
        tx.rollback().await.map_err(failed)?;
        let suffixes: Vec<_> = rows
            .iter()
            .filter_map(|row| row.get::<_, String>(0).strip_prefix(&head).map(str::to_owned))
            .collect();
        if suffixes.is_empty() { Err(Error::NoTables) } else { Ok(Self { suffixes }) }
    }

    /// The names of an agent's tables, in the order of their making.
    pub fn tables(&self, prefix: &Prefix) -> Vec<String> {
        self.suffixes.iter().map(|suffix| format!("{prefix}_{suffix}")).collect()
    }
}

/// As long as a prefix may be, so that the rehearsal also meets the longest names.
fn scratch_prefix() -> Result<Prefix, Error> {
    let tail: String = std::iter::repeat_with(fastrand::lowercase).take(14).collect();
    format!("zz_try{tail}").parse().map_err(Error::Prefix)
}
