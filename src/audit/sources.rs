//! Code and documents of a project, and the agents' tables that they name.

use super::agent_tables::{AgentTables, Error as AgentTablesError};
use super::claims::Claims;
use super::error::Error;
use super::files::SqlFile;
use super::finding::Finding;
use super::relations::{Name, Relations};
use super::report::Report;
use super::shadow::Shadow;
use super::{Project, code, documents};
use crate::telemetry::ErrorReport;

/// What code and documents are compared with.
pub(super) struct Known<'a> {
    pub(super) relations: Relations,
    /// Whether databases of the shadow have this program's base schema.
    pub(super) has_base: bool,
    /// Files that did not run, so that `relations` lacks what they make.
    pub(super) never_ran: Vec<&'a SqlFile>,
}

/// Adds to the report what code and documents say that is not so.
pub(super) async fn audit(
    project: &Project,
    known: &Known<'_>,
    shadow: &mut Shadow,
    report: &mut Report,
) -> Result<(), Error> {
    let (relations, has_base) = (&known.relations, known.has_base);
    let registry = Name::new("provisioning", "agents");
    let has_agents = has_base || project.has_own_templates || relations.table(&registry).is_some();
    let agents = if has_agents {
        match agents(project, has_base, shadow).await? {
            Ok(agents) => agents,
            Err(error) => {
                let error = ErrorReport(&error);
                report.unchecked.push(format!("agents' tables in code and documents: {error}"));
                AgentTables::default()
            }
        }
    } else {
        AgentTables::default()
    };
    let code = code::audit(&project.code, relations, &agents)?;
    report.unchecked.extend(code.unchecked);
    report.ignores.extend(code.ignores);
    let documents = documents::audit(&project.docs, relations, &agents)?;
    report.unchecked.extend(documents.unchecked);
    let claims: Vec<(&SqlFile, Claims)> =
        known.never_ran.iter().map(|file| (*file, Claims::of(&file.text))).collect();
    for finding in code.findings.into_iter().chain(documents.findings) {
        let mut files = claims.iter();
        match files.find(|(_, claims)| claims.may_make(finding.kind, &finding.object)) {
            Some((file, _)) => report.unchecked.push(unproven(&finding, file)),
            None => report.findings.push(finding),
        }
    }
    report.ignores.extend(documents.ignores);
    if !project.code.is_empty() && relations.buckets().is_none() {
        report.unchecked.push("storage buckets in code: none can be seen".to_owned());
    }
    Ok(())
}

fn unproven(finding: &Finding, file: &SqlFile) -> String {
    let place = finding.place.as_ref().map(|at| format!("{}:{}: ", at.file, at.line));
    let (place, object) = (place.unwrap_or_default(), &finding.object);
    format!("{place}whether {object} is there: {} may make it, and did not run", file.name)
}

/// Rendered on the shadow.
async fn agents(
    project: &Project,
    has_base: bool,
    shadow: &mut Shadow,
) -> Result<Result<AgentTables, AgentTablesError>, Error> {
    let database = shadow.database().await?;
    if !has_base {
        shadow.migrate(&database).await?;
    }
    let mut session = shadow.role_in(&database).await?;
    let rendered = AgentTables::render(&mut session.client, &project.templates).await;
    session.close().await;
    Ok(rendered)
}
