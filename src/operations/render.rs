//! The SQL that builds one agent.

use super::error::Error;
use crate::agent::{AgentId, Prefix};
use crate::config::Config;
use crate::service::InstanceError;
use crate::templates::Templates;

/// As one script for psql. No database is asked.
pub(crate) fn script(config: &Config, prefix: &Prefix, id: AgentId) -> Result<String, Error> {
    let templates = Templates::from(config.templates.as_deref(), &config.realtime);
    let templates = templates.map_err(InstanceError::from)?;
    let sql = templates.render(prefix, id, config.reference);
    Ok(format!("begin;\n\n{sql}\ncommit;\n"))
}
