//! Which text of each file agents were built from.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::error::{Error, query};
use super::template::Template;
use super::template_set::Templates;

/// A file that agents were built from, and that is another now.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Changed {
    /// Its number; 0 for the foreign key's.
    pub version: i32,
    /// Its name when it was recorded.
    pub file: String,
    /// Whether it is not there at all.
    pub gone: bool,
}

impl Changed {
    /// What a person does about it.
    pub fn fix(&self) -> String {
        format!(
            "put {} back as it was, and the change into a file with the next number; or, once \
             `agents verify` finds every agent as the new text makes it, accept that: delete from \
             provisioning.templates where version = {}",
            self.file, self.version
        )
    }
}

/// Records every file, unless some agent was built from what is recorded.
pub async fn record(client: &Client, templates: &Templates) -> Result<(), Error> {
    let set = Set::of(templates);
    let sql = include_str!("../../sql/templates/checksums_record.sql");
    let recorded = client.execute_typed(sql, &set.parameters()).await;
    recorded.map(drop).map_err(query("record the templates"))
}

/// Files that agents were built from, and that have another text now or are gone.
pub async fn changed(client: &Client, templates: &Templates) -> Result<Vec<Changed>, Error> {
    let set = Set::of(templates);
    let sql = include_str!("../../sql/templates/checksums_changed.sql");
    let rows = client.query_typed(sql, &set.parameters()).await;
    let changed = |row: &tokio_postgres::Row| {
        Ok(Changed {
            version: row.try_get("version")?,
            file: row.try_get("name")?,
            gone: row.try_get("gone")?,
        })
    };
    let rows = rows.map_err(query("compare the templates"))?;
    rows.iter().map(changed).collect::<Result<_, _>>().map_err(query("compare the templates"))
}

struct Set<'a> {
    versions: Vec<i32>,
    names: Vec<&'a str>,
    checksums: Vec<String>,
}

impl<'a> Set<'a> {
    fn of(templates: &'a Templates) -> Self {
        let files = || templates.files().iter().chain(templates.foreign_key());
        Self {
            versions: files().map(|file| file.version).collect(),
            names: files().map(|file| file.name.as_str()).collect(),
            checksums: files().map(Template::checksum).collect(),
        }
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 3] {
        [
            (&self.versions, Type::INT4_ARRAY),
            (&self.names, Type::TEXT_ARRAY),
            (&self.checksums, Type::TEXT_ARRAY),
        ]
    }
}
