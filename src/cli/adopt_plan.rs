//! What `agents adopt` would do, and what would stay different afterwards.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde::Serialize;

use super::Error;
use super::table::clean;
use super::verify::Difference;
use crate::agent::{Agent, Candidate, Drift, Kind, Manifest, Prefix};
use crate::agent::{candidates, headlines, mend, others};
use crate::db::Db;
use crate::fleet::{self, Drifted};
use crate::jobs::desk;

/// Names that a line holds; more are counted.
const NAMED: usize = 8;

#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) agents: Vec<Planned>,
    pub(super) not_adoptable: Vec<Refused>,
    /// Asked for by prefix, and already registered or without any table.
    pub(super) nothing_to_adopt: Vec<String>,
}

/// One agent's part.
#[derive(Debug, Serialize)]
pub(super) struct Planned {
    #[serde(skip)]
    pub(super) agent: Agent,
    prefix: String,
    id: i64,
    template_version: i32,
    reference: &'static str,
    owners: Vec<String>,
    tables: Vec<Table>,
    /// From what the templates make, but for the owner.
    differences: Vec<Difference>,
    /// Those that the repair does not end.
    left: Vec<Difference>,
    other_tables: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Table {
    name: String,
    /// matches, differs or missing
    state: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Refused {
    pub(super) prefix: String,
    id: i64,
    pub(super) reason: String,
}

impl Plan {
    pub(super) async fn make(
        db: &Db,
        manifest: &Manifest,
        prefixes: &[Prefix],
    ) -> Result<Self, Error> {
        let names: Vec<&str> = prefixes.iter().map(Prefix::as_str).collect();
        let only = (!names.is_empty()).then_some(names.as_slice());
        let client = db.get().await?;
        let found = candidates(&client, manifest, only).await.map_err(fleet::Error::from)?;
        let is_found = |name: &&&str| {
            found.candidates.iter().any(|c| c.built.agent.prefix.as_str() == **name)
                || found.refused.iter().any(|refused| refused.prefix == **name)
        };
        let mut nothing_to_adopt = Vec::new();
        for name in names.iter().filter(|name| !is_found(name)) {
            let known = desk::agents(&client, Some(name)).await;
            if known.map_err(super::failed("looking for the agent"))?.is_empty() {
                return Err(Error::NoAgent((*name).to_owned()));
            }
            nothing_to_adopt.push((*name).to_owned());
        }
        let others = others(&client, &found.candidates).await.map_err(fleet::Error::from)?;
        drop(client);
        let agents = found.candidates.iter().map(|candidate| candidate.built.clone()).collect();
        let drifted = fleet::compare(db, manifest, agents).await?;
        let refused = found.refused.into_iter().map(|refused| Refused {
            prefix: refused.prefix,
            id: refused.id,
            reason: refused.reason,
        });
        Ok(Self {
            agents: plan(found.candidates, drifted, others, manifest),
            not_adoptable: refused.collect(),
            nothing_to_adopt,
        })
    }

    /// Agents of one shape together, unless each is asked for.
    pub(super) fn print(&self, out: &mut impl Write, each: bool) -> io::Result<()> {
        let mut shapes: BTreeMap<String, Vec<&Planned>> = BTreeMap::new();
        for planned in &self.agents {
            shapes.entry(planned.shape(each)?).or_default().push(planned);
        }
        let mut shapes: Vec<_> = shapes.into_iter().collect();
        shapes.sort_by_key(|(_, agents)| std::cmp::Reverse(agents.len()));
        for (shape, agents) in shapes {
            let names = agents.iter().map(|planned| planned.prefix.as_str());
            writeln!(out, "{}: {}", count(agents.len()), list(names))?;
            writeln!(out, "{shape}")?;
        }
        let other: Vec<&str> =
            self.agents.iter().flat_map(|a| &a.other_tables).map(String::as_str).collect();
        if !each && !other.is_empty() {
            let names = list(other.iter().copied());
            writeln!(out, "{} tables and views of no template, left alone: {names}", other.len())?;
        }
        for Refused { prefix, id, reason } in &self.not_adoptable {
            writeln!(out, "{} ({id}) cannot be adopted: {}", clean(prefix), clean(reason))?;
        }
        for prefix in &self.nothing_to_adopt {
            writeln!(out, "{prefix}: nothing to adopt; see: agents show {prefix}")?;
        }
        let (agents, refused) = (self.agents.len(), self.not_adoptable.len());
        writeln!(out, "{} to adopt, {refused} not adoptable", count(agents))
    }
}

fn plan(
    candidates: Vec<Candidate>,
    drifted: Vec<Drifted>,
    mut others: HashMap<String, Vec<String>>,
    manifest: &Manifest,
) -> Vec<Planned> {
    let id = |drifted: Drifted| (drifted.built.agent.id, drifted.drift);
    let mut drift: HashMap<_, _> = drifted.into_iter().map(id).collect();
    let planned = candidates.into_iter().map(|candidate| {
        let Candidate { built, owners, tables, .. } = candidate;
        let mut drift = drift.remove(&built.agent.id).unwrap_or_default();
        drift.retain(|drift| drift.object.kind != Kind::Owner); // who adopts gives it away
        let all = manifest.tables(&built.agent.prefix, built.version);
        let state = |name: String| Table { state: state(&name, &tables, &drift), name };
        let told = |drift: &[Drift]| headlines(drift).into_iter().map(Difference::of).collect();
        let prefix = built.agent.prefix.to_string();
        Planned {
            other_tables: others.remove(&prefix).unwrap_or_default(),
            prefix,
            id: built.agent.id.0,
            template_version: built.version,
            reference: built.reference.as_str(),
            owners,
            tables: all.into_iter().map(state).collect(),
            differences: told(&drift),
            left: told(&mend(&built.agent.prefix, &drift, true).left),
            agent: built.agent,
        }
    });
    planned.collect()
}

fn state(name: &str, found: &[String], drift: &[Drift]) -> &'static str {
    if !found.iter().any(|table| table == name) {
        return "missing";
    }
    let relation = format!("public.{name}");
    let concerns = |drift: &Drift| {
        let bare = drift.object.relation.replace('"', "");
        bare == relation || bare.starts_with(&format!("sequence {relation}_"))
    };
    if drift.iter().any(concerns) { "differs" } else { "matches" }
}

impl Planned {
    /// All but names and ids; with these too where each agent is asked for.
    fn shape(&self, each: bool) -> io::Result<String> {
        let Self { template_version, reference, owners, differences, left, .. } = self;
        let mut shape = Vec::new();
        let owners = clean(&owners.join(" and "));
        writeln!(shape, "  template {template_version}, {reference}, owned by {owners}")?;
        let mended = differences.iter().filter(|difference| !left.contains(difference));
        for (title, differences) in
            [("is repaired", mended.collect::<Vec<_>>()), ("stays as it is", left.iter().collect())]
        {
            if !differences.is_empty() {
                writeln!(shape, "  {title}:")?;
            }
            differences.iter().try_for_each(|difference| difference.print(&mut shape))?;
        }
        if each && !self.other_tables.is_empty() {
            writeln!(shape, "  left alone: {}", clean(&self.other_tables.join(", ")))?;
        }
        let shape = String::from_utf8_lossy(&shape).into_owned();
        if each {
            return Ok(shape);
        }
        let shape = shape.replace(&format!("{}_", self.prefix), "{prefix}_");
        // As the server shows a small one and a large one.
        let id = [format!("({})::bigint", self.id), format!("'{}'::bigint", self.id)];
        Ok(id.iter().fold(shape, |shape, id| shape.replace(id, "({agent_id})::bigint")))
    }
}

fn count(agents: usize) -> String {
    format!("{agents} {}", if agents == 1 { "agent" } else { "agents" })
}

/// The first names, and how many more there are.
fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut text = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text = format!("{text} and {more} more");
    }
    clean(&text)
}
