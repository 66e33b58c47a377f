//! What templates open to everybody: refused, unless a file says that it is meant.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, query};
use super::script::Script;
use super::template_set::Templates;
use super::trial::{self, Sought};
use crate::agent::Prefix;

/// A table that a file declares public, and how far it is.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Public {
    /// Its name, with `{prefix}`.
    pub table: String,
    /// `file:line` of the declaration.
    pub declared: String,
    /// Whether row security is on all the same.
    pub row_security: bool,
    /// What anon and everybody may do, a role each.
    pub rights: Vec<String>,
}

/// Looks at all tables of a scratch prefix; those that a file declares public.
///
/// One that is open and not declared is an error with the place of the statement that makes it. To find that, the
/// script runs again from the savepoint.
pub(crate) async fn check(
    client: &Client,
    scratch: &Prefix,
    templates: &Templates,
    script: &Script,
    savepoint: &str,
) -> Result<Vec<Public>, Error> {
    let sql = include_str!("../../sql/templates/exposure.sql");
    let rows = client.query_typed(sql, &[(&format!("{scratch}_"), Type::TEXT)]).await;
    let rows = rows.map_err(query("look at what the templates open"))?;
    let mut public = Vec::new();
    for row in rows {
        let (name, row_security, rights) =
            (row.get::<_, String>("name"), row.get("row_security"), row.get("rights"));
        let table = name.replace(scratch.as_str(), "{prefix}");
        if let Some(declared) = templates.declares_public(&table) {
            public.push(Public { table, declared, row_security, rights });
        } else if !row_security || !rights.is_empty() {
            let at = trial::first(
                client,
                scratch,
                [&Script::default(), script],
                savepoint,
                &Sought::Table(&name),
            )
            .await?;
            let relation = row.get::<_, &str>("relation").replace(scratch.as_str(), "{prefix}");
            return Err(Error::Stray {
                at,
                reason: reason(&relation, &table, row_security, &rights),
            });
        }
    }
    Ok(public)
}

fn reason(relation: &str, table: &str, row_security: bool, rights: &[String]) -> String {
    let mut found = Vec::new();
    let mut fixes = Vec::new();
    if !row_security {
        found.push("has no row security".to_owned());
        fixes.push(format!("alter table {relation} enable row level security"));
    }
    if !rights.is_empty() {
        let rights = rights.join("; ");
        found.push(format!("is open to everybody ({rights}), by a GRANT or by default privileges"));
        fixes.push(format!("revoke all on {relation} from public, anon"));
    }
    format!(
        "table {relation} {}. Add `{}`; or, if everybody may see it, the line `-- provisioner: public {table}`",
        found.join(", and "),
        fixes.join("; ")
    )
}
