//! Whether the templates can be used, and are those that agents were built from.

use tokio_postgres::Client;

use super::finding::{DISK_FULL, Finding, failure, ok, warning};
use super::workers::give_templates;
use crate::config::Config;
use crate::provisioning::BuildSpec;
use crate::telemetry::{ErrorReport, is_disk_full};
use crate::templates::{self, Templates};

const WHAT: &str = "templates";

pub(crate) async fn check(client: &mut Client, config: &Config) -> Vec<Finding> {
    let templates = match Templates::from(config.templates.as_deref(), &config.realtime) {
        Ok(templates) => templates,
        Err(error) => return vec![unusable(&error)],
    };
    // Tried on the server and taken back.
    let build_spec =
        match BuildSpec::prepare(client, templates, config.reference, config.deprovision.retention)
            .await
        {
            Ok(build_spec) => build_spec,
            Err(error) => return vec![unusable(&error)],
        };
    let changed = match templates::changed(client, build_spec.templates()).await {
        Ok(changed) => changed,
        Err(error) => return vec![unusable(&error)],
    };
    let newest = match newest(client).await {
        Ok(newest) => newest,
        Err(error) => return vec![unusable(&error)],
    };
    let mut findings = passed_over(build_spec.templates().passed_over());
    let version = build_spec.templates().version();
    let older = newest.filter(|newest| *newest > version);
    if let Some(newest) = older {
        let found = format!(
            "these end with version {version}, and there are agents of version {newest}: a worker with these \
             builds new agents otherwise, and neither upgrades nor repairs those"
        );
        findings.push(warning(WHAT, found, &give_templates(newest)));
    }
    if changed.is_empty() && older.is_none() {
        findings.push(ok(WHAT, format!("version {version}, tried on this server and taken back")));
    }
    let finding = |changed: &templates::Changed| {
        let how = if changed.gone { "is gone" } else { "was changed" };
        let found = format!(
            "{} {how} after agents were built from it: new agents may differ from those",
            changed.file
        );
        warning(WHAT, found, &changed.fix())
    };
    // A file that these do not go as far as is no file that is gone.
    let here = changed.iter().filter(|changed| changed.version <= version);
    findings.extend(here.map(finding));
    findings
}

/// The newest version that an agent has.
async fn newest(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    let sql = "select max(template_version) from provisioning.agents";
    client.query_typed(sql, &[]).await?.first().map_or(Ok(None), |row| row.try_get(0))
}

/// Files that no agent is built from.
fn passed_over(names: &[String]) -> Vec<Finding> {
    let (once, others): (Vec<_>, Vec<_>) = names
        .iter()
        .map(String::as_str)
        .partition(|name| name.to_ascii_lowercase().contains(".sql"));
    let mut findings = Vec::new();
    if !once.is_empty() {
        let found =
            format!("no template, since the name does not end in .sql: {}", once.join(", "));
        findings.push(warning(WHAT, found, "rename it, or put it into another directory"));
    }
    if !others.is_empty() {
        findings.push(ok(WHAT, format!("no template: {}", others.join(", "))));
    }
    findings
}

fn unusable(error: &(dyn std::error::Error + 'static)) -> Finding {
    if is_disk_full(error) {
        let found = format!("full, so that no agent can be built: {}", ErrorReport(error));
        return failure("disk", found, DISK_FULL);
    }
    let fix = "fix what the error names, in the configuration or in the file";
    failure(WHAT, ErrorReport(error).to_string(), fix)
}
