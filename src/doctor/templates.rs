//! Whether the templates can be used, and are those that agents were built from.

use tokio_postgres::Client;

use super::{Finding, failure, ok, warning};
use crate::agent::{self, Blueprint, Templates};
use crate::config::Config;
use crate::error::Chain;

const WHAT: &str = "templates";

pub(super) async fn judge(client: &mut Client, config: &Config) -> Vec<Finding> {
    let templates = match Templates::from(config.templates.as_deref(), &config.realtime) {
        Ok(templates) => templates,
        Err(error) => return vec![unusable(&error)],
    };
    // Tried on the server and taken back.
    let blueprint =
        match Blueprint::prepare(client, templates, config.reference, config.deprovision.retention)
            .await
        {
            Ok(blueprint) => blueprint,
            Err(error) => return vec![unusable(&error)],
        };
    let changed = match agent::changed(client, blueprint.templates()).await {
        Ok(changed) => changed,
        Err(error) => return vec![unusable(&error)],
    };
    if changed.is_empty() {
        let version = blueprint.templates().version();
        return vec![ok(WHAT, format!("version {version}, tried on this server and taken back"))];
    }
    let finding = |changed: &agent::Changed| {
        let how = if changed.gone { "is gone" } else { "was changed" };
        let found = format!(
            "{} {how} after agents were built from it: new agents may differ from those",
            changed.file
        );
        warning(WHAT, found, &changed.fix())
    };
    changed.iter().map(finding).collect()
}

fn unusable(error: &(dyn std::error::Error + 'static)) -> Finding {
    let fix = "fix what the error names, in the configuration or in the file";
    failure(WHAT, Chain(error).to_string(), fix)
}
