//! Taking over agents whose tables somebody else built, in a transaction that the caller opened.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use super::provision::hold;
use super::rehearsal::worker_role;
use super::{Agent, AgentId, Built, Manifest, Prefix, Reference};

/// An agent with tables named like the templates', which nobody has registered.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// As it would be registered.
    pub built: Built,
    /// Who owns them now.
    pub owners: Vec<String>,
    /// Unquoted, in the order of the templates.
    pub tables: Vec<String>,
    /// Tables and types: what they are, and their names, qualified and quoted.
    relations: Vec<(&'static str, String)>,
}

/// An agent that cannot be taken over.
#[derive(Clone, Debug)]
pub struct Refused {
    /// As its row has it; it may be against the rule.
    pub prefix: String,
    /// The row's key.
    pub id: i64,
    /// Why not.
    pub reason: String,
}

/// What there is to take over. Agents without a table are in neither list.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// By prefix.
    pub candidates: Vec<Candidate>,
    /// By prefix.
    pub refused: Vec<Refused>,
}

/// What came of taking an agent over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is registered.
    Adopted,
    /// It is gone, or registered already, or has no table any more.
    Nothing,
    /// It cannot be taken over; why.
    Refused(String),
}

/// Looks for agents to take over: those of these prefixes, or all.
pub async fn candidates(
    client: &Client,
    manifest: &Manifest,
    prefixes: Option<&[&str]>,
) -> Result<Found, Error> {
    let version = manifest.templates().version();
    let tables = suffixes(|prefix| manifest.tables(prefix, version))?;
    let types = suffixes(|prefix| manifest.types(prefix, version))?;
    let rows = client
        .query_typed(
            include_str!("../../sql/queries/adopt_candidates.sql"),
            &[
                (&prefixes, Type::TEXT_ARRAY),
                (&tables, Type::TEXT_ARRAY),
                (&types, Type::TEXT_ARRAY),
            ],
        )
        .await
        .map_err(query("look for agents to adopt"))?;
    let mut found = Found::default();
    for rows in rows.chunk_by(|a, b| a.get::<_, i64>("id") == b.get::<_, i64>("id")) {
        let Some(first) = rows.first() else { continue };
        let (id, text): (_, &str) = (first.get("id"), first.get("prefix"));
        let refuse = |reason| Refused { prefix: text.to_owned(), id, reason };
        let prefix = match text.parse::<Prefix>() {
            Ok(prefix) => prefix,
            Err(invalid) => {
                found.refused.push(refuse(invalid.to_string()));
                continue;
            }
        };
        let related: Vec<&Row> = rows.iter().filter(|row| kind(row).is_some()).collect();
        if !related.iter().any(|row| kind(row) == Some("table")) {
            continue;
        }
        if let Some(reason) = obstacle(&related) {
            found.refused.push(refuse(reason));
            continue;
        }
        found.candidates.push(Candidate::of(Agent { id: AgentId(id), prefix }, &related, manifest));
    }
    Ok(found)
}

/// Relations under the candidates' prefixes that no template makes, by prefix. Of several prefixes
/// that head a name, the longest counts.
pub async fn others(
    client: &Client,
    candidates: &[Candidate],
) -> Result<HashMap<String, Vec<String>>, Error> {
    let failed = || query("look for other tables");
    let unregistered = "select c.oid, c.relname::text as name from pg_catalog.pg_class c \
                        where c.relnamespace = 'public'::regnamespace \
                        and c.relkind in ('r', 'p', 'v', 'm', 'f') and not exists \
                        (select from provisioning.agent_tables t where t.relation = c.oid) order by 2";
    let agents = "select agent_prefix::text from public.agents";
    let agents = client.query_typed(agents, &[]).await.map_err(failed())?;
    let agents: HashSet<&str> = agents.iter().map(|row| row.get(0)).collect();
    let asked: HashSet<_> = candidates.iter().map(|c| c.built.agent.prefix.as_str()).collect();
    let known: HashSet<u32> = candidates.iter().flat_map(|c| &c.built.tables).copied().collect();
    let mut others: HashMap<String, Vec<String>> = HashMap::new();
    for row in client.query_typed(unregistered, &[]).await.map_err(failed())? {
        let name: &str = row.get("name");
        let mut heads = name.rmatch_indices('_').filter_map(|(at, _)| name.get(..at));
        let Some(head) = heads.find(|head| agents.contains(head)) else { continue };
        if asked.contains(head) && !known.contains(&row.get("oid")) {
            others.entry(head.to_owned()).or_default().push(name.to_owned());
        }
    }
    Ok(others)
}

/// Gives an agent's tables to the worker's role and registers them; no row is touched.
///
/// Everything is looked at again, since the plan may be old.
pub async fn take(client: &Client, manifest: &Manifest, agent: &Agent) -> Result<Taken, Error> {
    if !hold(client, agent, false).await? {
        return Ok(Taken::Nothing);
    }
    let found = candidates(client, manifest, Some(&[agent.prefix.as_str()])).await?;
    if let Some(Refused { reason, .. }) = found.refused.into_iter().next() {
        return Ok(Taken::Refused(reason));
    }
    let Some(candidate) = found.candidates.into_iter().find(|c| c.built.agent.id == agent.id)
    else {
        return Ok(Taken::Nothing);
    };
    let role = worker_role(client).await?;
    let owned = |(kind, name): &(_, _)| format!("alter {kind} {name} owner to {role};\n");
    let alter: String = candidate.relations.iter().map(owned).collect();
    let altered = client.batch_execute(&alter).await;
    altered.map_err(query("give the agent's tables to the worker's role"))?;
    let Built { agent, version, reference, tables, types } = &candidate.built;
    let registered = client
        .query_typed(
            include_str!("../../sql/queries/adopt_register.sql"),
            &[
                (&agent.id.0, Type::INT8),
                (version, Type::INT4),
                (&reference.as_str(), Type::TEXT),
                (tables, Type::OID_ARRAY),
                (types, Type::OID_ARRAY),
            ],
        )
        .await;
    let registered = registered.map_err(query("register the agent's tables"))?;
    let count = |column| registered.first().map_or(0_i64, |row| row.get(column));
    for (table, due, written) in [
        ("provisioning.agents", "agents", "registered"),
        ("provisioning.agent_tables", "tables_there", "tables"),
        ("provisioning.agent_types", "types_there", "types"),
    ] {
        if count(written) != count(due) {
            return Err(Error::Swallowed(table));
        }
    }
    if usize::try_from(count("tables")) == Ok(tables.len()) {
        return Ok(Taken::Adopted);
    }
    Ok(Taken::Refused("its tables were replaced meanwhile".to_owned()))
}

impl Candidate {
    fn of(agent: Agent, related: &[&Row], manifest: &Manifest) -> Self {
        let version = version(manifest, &agent.prefix, &names(related, "table"));
        let mut made = manifest.tables(&agent.prefix, version);
        made.extend(manifest.types(&agent.prefix, version));
        let related: Vec<&Row> =
            related.iter().filter(|row| made.contains(&row.get("bare_name"))).copied().collect();
        let oids = |wanted| {
            let of_kind = related.iter().filter(|row| kind(row) == Some(wanted));
            of_kind.map(|row| row.get("oid")).collect()
        };
        let keyed = related.iter().any(|row| row.get("keyed"));
        let reference = if keyed { Reference::ForeignKey } else { Reference::Check };
        let (tables, types) = (oids("table"), oids("type"));
        let mut owners: Vec<String> = related.iter().map(|row| row.get("owner_name")).collect();
        owners.sort();
        owners.dedup();
        Self {
            tables: names(&related, "table"),
            relations: related
                .iter()
                .filter_map(|row| Some((kind(row)?, row.get("name"))))
                .collect(),
            built: Built { agent, version, reference, tables, types },
            owners,
        }
    }
}

/// Of the tables, or of the types.
fn names(related: &[&Row], wanted: &str) -> Vec<String> {
    let of_kind = related.iter().filter(|row| kind(row) == Some(wanted));
    of_kind.map(|row| row.get("bare_name")).collect()
}

/// The highest whose tables are all there; the first where none is complete.
fn version(manifest: &Manifest, prefix: &Prefix, tables: &[String]) -> i32 {
    let versions = || manifest.templates().files().iter().map(|file| file.version);
    let complete = |version: &i32| {
        manifest.tables(prefix, *version).iter().all(|table| tables.contains(table))
    };
    versions().rev().find(complete).or_else(|| versions().next()).unwrap_or_default()
}

fn kind(row: &Row) -> Option<&'static str> {
    match row.get("kind") {
        Some("table") => Some("table"),
        other => other.map(|_: &str| "type"),
    }
}

/// What keeps an agent's relations from being taken over.
fn obstacle(related: &[&Row]) -> Option<String> {
    related.iter().find_map(|row| {
        let name: &str = row.get("name");
        let (former, leaving): (Option<i64>, Option<i64>) = (row.get("former"), row.get("leaving"));
        if let Some(job) = leaving {
            return Some(format!("its deletion was asked for, by job {job}"));
        }
        if let Some(former) = former {
            return Some(format!("tables of agent {former} are still registered for its prefix"));
        }
        if !row.get::<_, bool>("fits") {
            return Some(format!("{name} is no table"));
        }
        if let Some(twin) = row.get::<_, Option<&str>>("twin") {
            return Some(format!("{name} may as well be agent {twin:?}'s"));
        }
        let (owner, asker): (&str, &str) = (row.get("owner_name"), row.get("asker"));
        let may: bool = row.get("may_alter");
        (!may).then(|| format!("{name} belongs to {owner}, for whom {asker} may not act"))
    })
}

/// The ends of names that begin with a prefix.
pub(super) fn suffixes(names: impl Fn(&Prefix) -> Vec<String>) -> Result<Vec<String>, Error> {
    let prefix: Prefix = "zz".parse()?;
    let end = |name: String| name.strip_prefix(prefix.as_str()).map(ToOwned::to_owned);
    Ok(names(&prefix).into_iter().filter_map(end).collect())
}
