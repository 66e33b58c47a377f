//! The files of a project against its database, and its agents against their templates.

use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::verify;
use crate::audit::{self, Finding, Project, Report, Severity};
use crate::config::Config;
use crate::postgres;
use crate::service::{self, Instance};
use crate::templates::Templates;

/// The template set of the configuration.
pub(crate) fn templates(config: &Config) -> Result<Templates, Error> {
    let templates = Templates::from(config.templates.as_deref(), &config.realtime);
    Ok(templates.map_err(service::InstanceError::from)?)
}

/// Without an instance the files are only run on the shadow. With one its database is read, and never changed. `stop` ends it
/// early, and leaves nothing on the shadow.
pub(crate) async fn audit(
    project: &Project,
    instance: Option<&Instance>,
    stop: &CancellationToken,
) -> Result<Report, Error> {
    let Some(instance) = instance else {
        let mut report = audit::audit(project, None, stop).await?;
        report.finish();
        return Ok(report);
    };
    let database = &instance.config.database;
    let database = Some((database.source()?, database.timeouts()));
    let mut report = audit::audit(project, database, stop).await?;
    let compared = stop.run_until_cancelled(Box::pin(agents(instance))).await;
    match compared.unwrap_or(Err(audit::Error::Stopped.into())) {
        Ok(findings) => report.findings.extend(findings),
        Err(error) => {
            let error = crate::telemetry::ErrorReport(&error);
            report.unchecked.push(format!("agents' tables against their templates: {error}"));
        }
    }
    report.finish();
    Ok(report)
}

/// Nothing where this program's base schema is not there.
async fn agents(instance: &Instance) -> Result<Vec<Finding>, Error> {
    let mut client = instance.connect().await?;
    let steps = postgres::status(&mut client).await?;
    drop(client);
    if steps.iter().all(|step| step.applied.is_none()) {
        return Ok(Vec::new());
    }
    let drifted = verify::drifted(instance).await?;
    let mut findings = Vec::new();
    for agent in &drifted {
        for difference in &agent.differences {
            let verify::DifferenceReport { change, kind, object, expected, found, by_hand, .. } =
                difference;
            let object = format!("{} {kind} {object}", agent.prefix);
            let message = format!(
                "agent {}: {kind} {} is not as the templates make it ({change})",
                agent.prefix, difference.object
            );
            let lines = [("in the templates", expected), ("in the database", found)];
            let lines = lines
                .iter()
                .filter_map(|(where_, text)| Some(format!("{where_}: {}", text.as_ref()?)));
            findings.push(Finding {
                evidence: lines.collect::<Vec<_>>().join("\n"),
                impact: "This agent's tables behave otherwise than those of the other agents.",
                fix: by_hand
                    .clone()
                    .unwrap_or_else(|| format!("agent-provisioner agents repair {}", agent.prefix)),
                ..Finding::new("agent_differs_from_templates", Severity::Error, &object, message)
            });
        }
    }
    Ok(findings)
}
