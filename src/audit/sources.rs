//! Code and documents of a project, and the agents' tables that they name.

use std::collections::BTreeSet;

use super::agent_tables::{AgentTables, Error as AgentTablesError};
use super::causes::{self, Consequence, Faults};
use super::error::Error;
use super::relations::{Name, Relations};
use super::report::Report;
use super::shadow::Shadow;
use super::{Project, code, documents};
use crate::telemetry::ErrorReport;

/// What code and documents are compared with.
pub(super) struct Known<'a> {
    pub(super) relations: Relations,
    /// What the files make, where that may be something else.
    pub(super) of_files: Option<Relations>,
    /// Whether `relations` are the database's.
    pub(super) is_live: bool,
    /// Whether databases of the shadow have this program's base schema.
    pub(super) has_base: bool,
    /// Tables of this program's base schema, and of the platform.
    pub(super) ours: BTreeSet<String>,
    /// Differences that are told with others.
    pub(super) consequences: &'a [Consequence],
    pub(super) faults: Option<&'a Faults<'a>>,
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
    let documents = documents::audit(&project.docs, relations, &agents, &known.ours)?;
    report.unchecked.extend(documents.unchecked);
    let mut told = [code.findings, documents.findings].concat();
    if let Some(of_files) = known.of_files.as_ref().filter(|_| !told.is_empty()) {
        let code = code::audit(&project.code, of_files, &agents)?.findings;
        let documents = documents::audit(&project.docs, of_files, &agents, &known.ours)?;
        let documents = documents.findings;
        let against_files = causes::ids(&[code, documents].concat());
        if known.is_live {
            let Known { consequences, faults, .. } = known;
            causes::fold(&mut report.findings, told, &against_files, consequences, *faults);
            told = Vec::new();
        } else if let Some(faults) = known.faults {
            let doubted = faults.without_consequences(&mut told, &against_files);
            let doubted = doubted.iter().map(|(finding, file)| causes::unproven(finding, file));
            report.unchecked.extend(doubted);
        }
    }
    report.findings.extend(told);
    report.ignores.extend(documents.ignores);
    if !project.code.is_empty() && relations.buckets().is_none() {
        report.unchecked.push("storage buckets in code: none can be seen".to_owned());
    }
    Ok(())
}

/// The agents' tables, as the templates make them on the shadow.
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
