//! What a comparison of agents with their templates has to say.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::compare_agents::{self, Orphans};
use super::error::Error;
use crate::agent::Prefix;
use crate::postgres::{self, query};
use crate::schema::{Change, Difference, Fact, Kind, headlines};
use crate::service::Instance;
use crate::templates::{self, ExpectedSchema};
use crate::worker::{self, Drifted, Pace, Verified};

pub(crate) use crate::templates::{Changed, Public as PublicTable};

/// Everything that `verify` has to say.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Report {
    /// Agents that are looked after: those that were compared, and those of which nothing has changed.
    pub checked: usize,
    /// Agents that were compared.
    pub compared: usize,
    /// Agents of which nothing has changed since they were found to be as they should be.
    pub unchanged: usize,
    /// When the first of these was compared.
    pub unchanged_since: Option<String>,
    /// The templates' own.
    pub template_version: i32,
    /// How many agents are at which.
    pub versions: BTreeMap<i32, usize>,
    /// Files that agents were built from, and that are others now.
    pub changed_templates: Vec<Changed>,
    /// What everybody may see, because the templates say so.
    pub public_tables: Vec<PublicTable>,
    /// Agents that are not as they should be.
    pub drifted: Vec<Agent>,
    /// Agents without tables, and without a job that will build them.
    pub without_tables: Vec<Orphan>,
    /// Registered tables without an agent, and without a job that will drop them.
    pub without_agent: Vec<Orphan>,
    /// Tables and types that look like an agent's and are nobody's.
    pub unmanaged: Vec<String>,
    /// Agents with tables or types that `agents adopt` may take over.
    pub adoptable: Vec<Adoptable>,
    /// Views that show agents' rows past row security.
    pub views: Vec<View>,
    /// In what instances that run make something else of an agent. Then nothing was recorded.
    pub differing_instances: Vec<postgres::Difference>,
    /// What was not looked at.
    pub not_compared: Vec<&'static str>,
}

/// What no comparison looks at.
const NOT_COMPARED: [&str; 12] = [
    "rows",
    "sequences with the rows themselves: their number is an estimate",
    "functions that triggers and policies call",
    "publications of all tables, or of all tables in a schema",
    "extended statistics",
    "security labels",
    "indexes of partitions that belong to an index of the parent, and their names",
    "whether a child's rows were checked where the templates leave a check NOT VALID",
    "whether a table is of a type (OF)",
    "the names of NOT NULL constraints, which they have since PostgreSQL 18",
    "the order of columns: no statement changes it",
    "tablespaces and access methods",
];

/// A view that shows agents' rows past row security.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct View {
    /// Qualified and quoted.
    pub name: String,
    /// Whose rights it reads with.
    pub owner: String,
    /// Whose rows it shows, by prefix.
    pub agents: Vec<String>,
    /// Who may read it, of those that do not pass row security.
    pub readers: Vec<String>,
}

/// An agent that is not as it should be.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Agent {
    pub prefix: String,
    pub id: i64,
    /// Of the last template file that was run for it.
    pub template_version: i32,
    /// What ties it to `agents`.
    pub reference: &'static str,
    /// Without what a missing table or column takes with it.
    pub differences: Vec<DifferenceReport>,
}

#[derive(Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub(crate) struct DifferenceReport {
    /// `missing`, `differs` or `extra`; of a plan to adopt also `renamed`.
    pub change: &'static str,
    pub kind: &'static str,
    /// Its name, as a person would give it.
    pub object: String,
    /// As the templates make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// As the database has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Why no repair makes it good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// The statements that do, run by `postgres`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

/// An agent without tables, or tables without an agent.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Orphan {
    pub prefix: String,
    pub id: i64,
}

/// An agent with tables or types that bear the names of its own, and that nobody manages.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Adoptable {
    pub prefix: String,
    pub id: i64,
    /// Without their schema.
    pub tables: Vec<String>,
}

/// Compares the agents of these prefixes with what the templates make, or all, and then looks for what has no
/// counterpart, too. A prefix that nobody has is an error.
///
/// Of all agents those are left out of which nothing has changed since they were found right, unless `full`.
pub(crate) async fn verify(
    instance: &Instance,
    prefixes: &[Prefix],
    full: bool,
) -> Result<Report, Error> {
    let expected_schema = instance.expected_schema().await?;
    let (found, beside) = tokio::try_join!(
        compare_agents::verify(&instance.db, &expected_schema, prefixes, full),
        look_beside(instance, &expected_schema, prefixes),
    )?;
    Ok(Report::new(found, &expected_schema, beside))
}

/// All agents that differ, in full. Nothing is recorded.
pub(crate) async fn drifted(instance: &Instance) -> Result<Vec<Agent>, Error> {
    let expected_schema = instance.expected_schema().await?;
    let agents = compare_agents::select(&instance.db, &[]).await?;
    let compared = worker::differing(&instance.db, &expected_schema, agents, Pace::Fast).await?;
    Ok(compared.drifted.iter().map(Agent::of).collect())
}

/// What there is to say beside differences of agents.
struct Beside {
    orphans: Orphans,
    adoptable: Vec<Adoptable>,
    changed_templates: Vec<Changed>,
    views: Vec<View>,
}

async fn look_beside(
    instance: &Instance,
    expected_schema: &ExpectedSchema,
    prefixes: &[Prefix],
) -> Result<Beside, Error> {
    let client = instance.db.get().await?;
    let orphans = if prefixes.is_empty() {
        compare_agents::orphans(&client, expected_schema).await?
    } else {
        Orphans::default()
    };
    let mut adoptable = Vec::new();
    if !prefixes.is_empty() || !orphans.unmanaged.is_empty() {
        adoptable = find_adoptable(&client, expected_schema, prefixes).await?;
    }
    let changed_templates = templates::changed(&client, expected_schema.templates()).await?;
    let views = views(&client, prefixes).await?;
    Ok(Beside { orphans, adoptable, changed_templates, views })
}

async fn find_adoptable(
    client: &Client,
    expected_schema: &ExpectedSchema,
    prefixes: &[Prefix],
) -> Result<Vec<Adoptable>, Error> {
    let names: Vec<&str> = prefixes.iter().map(Prefix::as_str).collect();
    let only = (!names.is_empty()).then_some(names);
    let version = expected_schema.templates().version();
    let tables = expected_schema.table_suffixes(version);
    let types = expected_schema.type_suffixes(version);
    let sql = include_str!("../../sql/operations/verify_adoptable.sql");
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&only, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY), (&types, Type::TEXT_ARRAY)];
    let rows = client.query_typed(sql, &parameters).await;
    let read = |row: &Row| Adoptable {
        prefix: row.get("prefix"),
        id: row.get("id"),
        tables: row.get("tables"),
    };
    Ok(rows.map_err(query("look for tables to adopt"))?.iter().map(read).collect())
}

async fn views(client: &Client, prefixes: &[Prefix]) -> Result<Vec<View>, Error> {
    let names: Vec<&str> = prefixes.iter().map(Prefix::as_str).collect();
    let only = (!names.is_empty()).then_some(names);
    let sql = include_str!("../../sql/operations/verify_views.sql");
    let rows = client.query_typed(sql, &[(&only, Type::TEXT_ARRAY)]).await;
    let view = |row: &Row| View {
        name: row.get("view"),
        owner: row.get("owner"),
        agents: row.get("agents"),
        readers: row.get("readers"),
    };
    Ok(rows.map_err(query("look for views"))?.iter().map(view).collect())
}

impl Report {
    fn new(found: Verified, expected_schema: &ExpectedSchema, beside: Beside) -> Self {
        let Beside { orphans, adoptable, changed_templates, views } = beside;
        let orphan = |(prefix, id)| Orphan { prefix, id };
        let Verified {
            drifted,
            compared,
            unchanged,
            unchanged_since,
            new_drift: _,
            differing,
            versions,
        } = found;
        Self {
            checked: compared + unchanged,
            compared,
            unchanged,
            unchanged_since,
            template_version: expected_schema.templates().version(),
            versions,
            changed_templates,
            public_tables: expected_schema.public().to_vec(),
            drifted: drifted.iter().map(Agent::of).collect(),
            without_tables: orphans.without_tables.into_iter().map(orphan).collect(),
            without_agent: orphans.without_agent.into_iter().map(orphan).collect(),
            unmanaged: orphans.unmanaged,
            adoptable,
            views,
            differing_instances: differing,
            not_compared: NOT_COMPARED.to_vec(),
        }
    }

    /// Whether nothing has to be done. Unmanaged and public tables do not count, nor do changed files.
    pub(crate) fn is_clean(&self) -> bool {
        self.drifted.is_empty()
            && self.without_tables.is_empty()
            && self.without_agent.is_empty()
            && self.views.is_empty()
    }
}

impl Agent {
    fn of(drifted: &Drifted) -> Self {
        let Drifted { built, drift } = drifted;
        Self {
            prefix: built.agent.prefix.to_string(),
            id: built.agent.id.0,
            template_version: built.version,
            reference: built.reference.as_str(),
            differences: headlines(drift).into_iter().map(DifferenceReport::of).collect(),
        }
    }
}

impl DifferenceReport {
    /// Of an object that is there under another name.
    pub(super) fn of_name(expected: &Fact, found: &Fact) -> Self {
        Self {
            change: "renamed",
            kind: expected.kind.as_str(),
            object: expected.to_string(),
            expected: None,
            found: Some(found.to_string()),
            obstacle: None,
            by_hand: None,
        }
    }

    pub(super) fn of(difference: &Difference) -> Self {
        let Difference { object, change } = difference;
        let definition = Some(object.definition.clone()).filter(|text| !text.is_empty());
        let (mut obstacle, mut by_hand) = (None, None);
        let name = change.name();
        let (expected, found) = match change {
            Change::Missing => (definition, None),
            Change::Removed { found, obstacle: why, statement } => {
                obstacle.clone_from(why);
                by_hand = statement.clone().filter(|_| why.is_some());
                (definition, found.clone())
            }
            Change::Differs { found } => {
                let is_told = matches!(
                    object.kind,
                    Kind::Name
                        | Kind::SequenceName
                        | Kind::Sequence
                        | Kind::Table
                        | Kind::Column
                        | Kind::Parent
                        | Kind::Publication
                );
                by_hand = difference.by_hand().filter(|_| is_told);
                (definition, Some(found.clone()))
            }
            Change::Extra => (None, definition),
        };
        let (kind, object) = (object.kind.as_str(), object.to_string());
        Self { change: name, kind, object, expected, found, obstacle, by_hand }
    }
}
