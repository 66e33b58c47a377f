//! What `agents adopt` would do, and what would stay different afterwards.

use std::collections::{BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::Serialize;

use super::error::Error;
use super::verify::DifferenceReport;
use crate::agent::{Agent, Prefix};
use crate::postgres::{self, query};
use crate::provisioning::{Candidate, OtherRelation, Others, Relation, candidates, others};
use crate::queue::admin;
use crate::schema::{Change, Difference, Fact, Kind, headlines, plan_repair, stand_in};
use crate::service::Instance;
use crate::templates::ExpectedSchema;
use crate::worker::{self, Drifted};

/// What `agents adopt` would do.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Plan {
    /// Agents that can be adopted, by prefix.
    pub agents: Vec<Planned>,
    /// Agents that cannot.
    pub not_adoptable: Vec<Refused>,
    /// Asked for by prefix, and without any table that is not registered.
    pub nothing_to_adopt: Vec<String>,
    /// What nobody manages, and hangs on `agents` itself under a name that is no agent's.
    pub hanging: Vec<Hanging>,
}

/// One agent's part.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Planned {
    #[serde(skip)]
    pub agent: Agent,
    pub prefix: String,
    pub id: i64,
    /// As it would be registered.
    pub template_version: i32,
    /// As it is registered already.
    pub registered_version: Option<i32>,
    /// What ties it to `agents`.
    pub reference: &'static str,
    /// The tables and types that change hands.
    pub taken: Vec<String>,
    #[serde(skip)]
    pub relations: Vec<Relation>,
    /// Who owns these now.
    pub owners: Vec<String>,
    /// The tables that the templates make.
    pub tables: Vec<Table>,
    /// From what the templates make, but for the owner.
    pub differences: Vec<DifferenceReport>,
    /// Those that the repair does not end.
    pub left: Vec<DifferenceReport>,
    /// Tables and views under its prefix that no template makes.
    pub other_tables: Vec<String>,
    /// What nobody manages, and holds up the agent's deletion, or loses rows by it: some of these, and others.
    pub hanging: Vec<Hanging>,
}

/// A table or view that nobody manages, and that hangs on a table that is to be adopted, or on `agents`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Hanging {
    /// With its schema where that is not `public`.
    pub name: String,
    /// How it hangs there.
    pub because: String,
}

/// A table that the templates make.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Table {
    /// Without its schema.
    pub name: String,
    /// `matches`, `differs` or `missing`.
    pub state: &'static str,
}

/// An agent that cannot be adopted.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Refused {
    /// As its row has it.
    pub prefix: String,
    pub id: i64,
    pub reason: String,
}

/// What there is to adopt: agents of these prefixes, or all. A prefix that nobody has is an error.
pub(crate) async fn plan(instance: &Instance, prefixes: &[Prefix]) -> Result<Plan, Error> {
    make(instance, &instance.expected_schema().await?, prefixes).await
}

pub(super) async fn make(
    instance: &Instance,
    expected_schema: &ExpectedSchema,
    prefixes: &[Prefix],
) -> Result<Plan, Error> {
    let names: Vec<&str> = prefixes.iter().map(Prefix::as_str).collect();
    let only = (!names.is_empty()).then_some(names.as_slice());
    let mut client = instance.db.get().await?;
    let tx = postgres::begin(&mut client).await.map_err(query("begin a transaction"))?;
    let found = candidates(tx.client(), expected_schema, only).await?;
    tx.rollback().await.map_err(query("roll back"))?;
    let is_found = |name: &&&str| {
        found.candidates.iter().any(|c| c.built.agent.prefix.as_str() == **name)
            || found.refused.iter().any(|refused| refused.prefix == **name)
    };
    let mut nothing_to_adopt = Vec::new();
    for name in names.iter().filter(|name| !is_found(name)) {
        let known = admin::agents(&client, Some(name)).await;
        if known.map_err(query("look for the agent"))?.is_empty() {
            return Err(Error::NoAgent((*name).to_owned()));
        }
        nothing_to_adopt.push((*name).to_owned());
    }
    let others = others(&client, &found.candidates).await?;
    drop(client);
    let agents = found.candidates.iter().map(|candidate| candidate.built.clone()).collect();
    let drifted = worker::compare(&instance.db, expected_schema, agents).await?;
    let refused = found.refused.into_iter().map(|refused| Refused {
        prefix: refused.prefix,
        id: refused.id,
        reason: refused.reason,
    });
    let Others { of_agents, of_all } = others;
    Ok(Plan {
        agents: planned(found.candidates, drifted, of_agents, expected_schema),
        not_adoptable: refused.collect(),
        nothing_to_adopt,
        hanging: of_all.iter().filter_map(hanging).collect(),
    })
}

fn planned(
    candidates: Vec<Candidate>,
    drifted: Vec<Drifted>,
    mut others: HashMap<String, Vec<OtherRelation>>,
    expected_schema: &ExpectedSchema,
) -> Vec<Planned> {
    let id = |drifted: Drifted| (drifted.built.agent.id, drifted.drift);
    let mut drift: HashMap<_, _> = drifted.into_iter().map(id).collect();
    let planned = candidates.into_iter().map(|candidate| {
        let Candidate { built, registered, taken, .. } = candidate;
        let mut drift = drift.remove(&built.agent.id).unwrap_or_default();
        // Who adopts gives it away.
        let is_taken = |home: &String| taken.iter().any(|relation| relation.bare_name == *home);
        drift.retain(|drift| drift.object.kind != Kind::Owner || !is_taken(&drift.object.home));
        let all = expected_schema.tables(&built.agent.prefix, built.version);
        let state = |name: String| Table { state: state(&name, &drift), name };
        let prefix = built.agent.prefix.to_string();
        let others = others.remove(&prefix).unwrap_or_default();
        let prefixed = others.iter().filter(|other| other.prefixed);
        Planned {
            hanging: others.iter().filter_map(hanging).collect(),
            other_tables: prefixed.map(|other| other.name.clone()).collect(),
            prefix,
            id: built.agent.id.0,
            template_version: built.version,
            registered_version: registered,
            reference: built.reference.as_str(),
            owners: owners(&taken),
            taken: taken.iter().map(|relation| relation.bare_name.clone()).collect(),
            relations: taken,
            tables: all.into_iter().map(state).collect(),
            differences: report(&drift),
            left: report(&plan_repair(&built.agent.prefix, &drift, true, &[]).left),
            agent: built.agent,
        }
    });
    planned.collect()
}

fn hanging(OtherRelation { name, hangs_on, .. }: &OtherRelation) -> Option<Hanging> {
    Some(Hanging { name: name.clone(), because: hangs_on.clone()? })
}

fn owners(taken: &[Relation]) -> Vec<String> {
    let owners: BTreeSet<&str> = taken.iter().map(|relation| relation.owner.as_str()).collect();
    owners.into_iter().map(ToOwned::to_owned).collect()
}

/// One entry for what differs in its name only.
fn report(drift: &[Difference]) -> Vec<DifferenceReport> {
    let stand_in_of = |difference: &Difference| match difference.change {
        Change::Missing => stand_in(&difference.object, drift, false),
        Change::Differs { .. } | Change::Extra | Change::Removed { .. } => None,
    };
    let stand_ins: Vec<&Fact> = drift.iter().filter_map(stand_in_of).collect();
    let is_stand_in = |difference: &Difference| {
        difference.change == Change::Extra && stand_ins.contains(&&difference.object)
    };
    let told = headlines(drift).into_iter().filter(|difference| !is_stand_in(difference));
    let report = |difference: &Difference| match stand_in_of(difference) {
        Some(stand_in) => DifferenceReport::of_name(&difference.object, stand_in),
        None => DifferenceReport::of(difference),
    };
    told.map(report).collect()
}

fn state(name: &str, drift: &[Difference]) -> &'static str {
    let mut own = drift.iter().filter(|drift| drift.object.home == name).peekable();
    if own.peek().is_none() {
        return "matches";
    }
    let is_gone =
        |drift: &Difference| drift.object.kind == Kind::Table && drift.change == Change::Missing;
    if own.any(is_gone) { "missing" } else { "differs" }
}
