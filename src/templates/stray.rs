//! What templates have made that no agent can have.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use crate::agent::Prefix;

/// Something that must not be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    object: String,
    pub(crate) name: String,
    problem: String,
}

/// All of them. Without keys, a foreign key to `agents` is one.
pub(crate) async fn read(
    client: &Client,
    scratch: &Prefix,
    keyed: bool,
) -> Result<Vec<Stray>, Error> {
    let sql = include_str!("../../sql/templates/validation.sql");
    let head = format!("{scratch}_");
    let rows = client.query_typed(sql, &[(&head, Type::TEXT), (&keyed, Type::BOOL)]).await;
    let rows = rows.map_err(query("look at what the templates made"))?;
    let stray = |row: &Row| Stray {
        object: row.get("object"),
        name: row.get::<_, Option<_>>("name").unwrap_or_default(),
        problem: row.get("problem"),
    };
    Ok(rows.iter().map(stray).collect())
}

impl Stray {
    /// Whether the server has shortened its name, or somebody has chosen one of just that length.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.problem == "cut"
    }

    /// What is wrong with it.
    pub(crate) fn reason(&self) -> String {
        let object = &self.object;
        match self.problem.as_str() {
            "kind" => format!(
                "{object} cannot be an agent's, which has tables with what hangs on them, and enum \
                 types: one for all agents belongs into a migration"
            ),
            "elsewhere" => format!("{object} hangs on a table that is not the agent's"),
            "name" => {
                format!("{object} is not in schema public with a name that begins with {{prefix}}_")
            }
            "parent" => format!(
                "{object} is a partition or a child of a table that is not the agent's: a deletion of the agent would \
                 have to take it out of there"
            ),
            "agents" => {
                format!("{object} is a foreign key to public.agents: put it into foreign_key.sql")
            }
            _ => format!("the server has cut the name of {object} off at 63 bytes: shorten it"),
        }
    }
}
