//! Who asks for an operation.

use deadpool_postgres::Object;
use tokio_postgres::types::Type;

use super::error::Error;
use crate::postgres::query;
use crate::service::Instance;

/// A server cuts `application_name` off at 63 bytes.
const LONGEST: usize = 40;

/// The person who asks for an operation, besides the database role.
///
/// The queue records the name with what it changes. The server shows it in `pg_stat_activity` and in its log, as part
/// of `application_name`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actor {
    name: Option<String>,
}

impl Actor {
    /// A blank name is none.
    pub(crate) fn new(name: Option<String>) -> Self {
        Self { name: name.filter(|name| !name.trim().is_empty()) }
    }

    /// The name, if there is one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// A connection for changes, to a database at this program's schema version.
    pub(super) async fn client(&self, instance: &Instance) -> Result<Object, Error> {
        let client = instance.current().await?;
        // Behind a transaction-mode pooler the name would become other clients'.
        if let Some(name) = &self.name
            && !instance.config.database.source()?.is_pooled()
        {
            let short: String = name.chars().filter(char::is_ascii_graphic).take(LONGEST).collect();
            let named = format!("agent-provisioner by {short}");
            let sql = "select set_config('application_name', $1, false)";
            let set = client.query_typed(sql, &[(&named, Type::TEXT)]).await;
            set.map_err(query("name the session"))?;
        }
        Ok(client)
    }
}
