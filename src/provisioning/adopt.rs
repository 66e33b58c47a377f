//! Taking over agents' tables that somebody else built, in a transaction that the caller opened.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::agent_row::hold;
use super::error::{Error, query};
use super::registry::RegisteredAgent;
use crate::agent::{Agent, AgentId, Prefix, Reference};
use crate::postgres::run_each;
use crate::schema;
use crate::templates::{ExpectedSchema, worker_role};

/// An agent with tables or types named like the templates', which nobody has registered.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// As it would be registered.
    pub built: RegisteredAgent,
    /// The template version at which it is registered already.
    pub registered: Option<i32>,
    /// What would be taken over, tables first, in the order of the templates.
    pub taken: Vec<Relation>,
}

/// A table or a type that would be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    /// `table` or `type`, as ALTER calls it.
    pub kind: &'static str,
    /// Unquoted, without its schema.
    pub bare_name: String,
    /// Who owns it now.
    pub owner: String,
    /// Qualified and quoted.
    name: String,
    oid: u32,
}

/// An agent that cannot be taken over.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// As its row has it; it may be against the rule.
    pub prefix: String,
    pub id: i64,
    pub reason: String,
}

/// What another session did while this one waited.
const REPLACED: &str = "its tables were replaced meanwhile: look again";

/// What there is to take over. Agents without a table are in neither list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// By prefix.
    pub candidates: Vec<Candidate>,
    /// By prefix.
    pub refused: Vec<Refused>,
}

/// What came of taking an agent over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is registered.
    Adopted,
    /// It is gone, or has nothing to take over any more.
    Nothing,
    /// It cannot be taken over; why.
    Refused(String),
}

/// Looks for agents to take over: those of these prefixes, or all. Needs an open transaction.
pub(crate) async fn candidates(
    client: &Client,
    expected_schema: &ExpectedSchema,
    prefixes: Option<&[&str]>,
) -> Result<Found, Error> {
    let (tables, types) = suffixes(expected_schema);
    let rows = client
        .query_typed(
            include_str!("../../sql/provisioning/adopt_candidates.sql"),
            &[
                (&prefixes, Type::TEXT_ARRAY),
                (&tables, Type::TEXT_ARRAY),
                (&types, Type::TEXT_ARRAY),
            ],
        )
        .await
        .map_err(query("look for agents to adopt"))?;
    let mut registered = registered(client, &rows).await?;
    let foreign_code = foreign_code(client, &rows).await?;
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
        let built = registered.remove(&id);
        let names = names(expected_schema, &prefix, built.as_ref().map(|built| built.version));
        let is_named = |row: &&Row| {
            row.get::<_, Option<&str>>("bare_name").is_some_and(|name| names.contains(name))
        };
        let related: Vec<&Row> = rows.iter().filter(is_named).collect();
        let enough = |row: &&Row| built.is_some() || kind(row) == Some("table");
        if !related.iter().any(enough) {
            continue;
        }
        if let Some(reason) = obstacle(&related, built.as_ref(), expected_schema) {
            found.refused.push(refuse(reason));
            continue;
        }
        if let Some(reason) = calls(&related, &foreign_code) {
            found.refused.push(refuse(reason));
            continue;
        }
        let agent = Agent { id: AgentId(id), prefix };
        let candidate = match built {
            Some(built) => Candidate::again(built, &related, expected_schema),
            None => Candidate::new(agent, &related, expected_schema),
        };
        found.candidates.extend(Some(candidate).filter(|found| !found.taken.is_empty()));
    }
    Ok(found)
}

/// What follows the prefix in the names of tables, and of types, at the last template version; then at the earlier ones.
fn suffixes(expected_schema: &ExpectedSchema) -> (Vec<String>, Vec<String>) {
    let (mut tables, mut types) = (Vec::new(), Vec::new());
    for file in expected_schema.templates().files().iter().rev() {
        let (of_tables, of_types) = (
            expected_schema.table_suffixes(file.version),
            expected_schema.type_suffixes(file.version),
        );
        for (all, more) in [(&mut tables, of_tables), (&mut types, of_types)] {
            let new: Vec<_> = more.into_iter().filter(|name| !all.contains(name)).collect();
            all.extend(new);
        }
    }
    (tables, types)
}

/// The names that the templates give an agent's tables and types at their last version; of an agent that is registered
/// at a version also at that one, and at those in between.
fn names(
    expected_schema: &ExpectedSchema,
    prefix: &Prefix,
    registered: Option<i32>,
) -> HashSet<String> {
    let last = expected_schema.templates().version();
    let from = registered.unwrap_or(last).min(last);
    let versions = expected_schema.templates().files().iter().map(|file| file.version);
    versions
        .filter(|version| *version >= from)
        .flat_map(|version| made(expected_schema, prefix, version))
        .collect()
}

/// The names of an agent's tables and types at a template version.
fn made(expected_schema: &ExpectedSchema, prefix: &Prefix, version: i32) -> Vec<String> {
    let mut made = expected_schema.tables(prefix, version);
    made.extend(expected_schema.types(prefix, version));
    made
}

/// What is registered already of the agents in these rows, by id.
async fn registered(client: &Client, rows: &[Row]) -> Result<HashMap<i64, RegisteredAgent>, Error> {
    let known = rows.iter().filter(|row| row.get("registered"));
    let prefixes: Vec<&str> = known.map(|row| row.get("prefix")).collect();
    if prefixes.is_empty() {
        return Ok(HashMap::new());
    }
    let agents = RegisteredAgent::read(client, Some(&prefixes)).await?;
    Ok(agents.into_iter().map(|built| (built.agent.id.0, built)).collect())
}

/// What is on tables of these rows and calls code of a role that has less to say than the tables' new owner, by table.
async fn foreign_code(
    client: &Client,
    rows: &[Row],
) -> Result<HashMap<u32, Vec<ForeignCode>>, Error> {
    let tables: Vec<u32> =
        rows.iter().filter(|row| kind(row) == Some("table")).map(|row| row.get("oid")).collect();
    let mut found: HashMap<u32, Vec<ForeignCode>> = HashMap::new();
    if tables.is_empty() {
        return Ok(found);
    }
    let sql = include_str!("../../sql/provisioning/adopt_foreign_code.sql");
    for row in schema::by_index(client, sql, &[(&tables, Type::OID_ARRAY)]).await? {
        let (object, culprit) = (row.get("object"), row.get("culprit"));
        let (owner, remedy) = (row.get("owner"), row.get("remedy"));
        let code = ForeignCode { object, culprit, owner, remedy };
        found.entry(row.get("table_id")).or_default().push(code);
    }
    Ok(found)
}

/// Refuses what would run with the rights of the worker's role, or of whoever writes a row, although neither has made it.
fn calls(related: &[&Row], foreign_code: &HashMap<u32, Vec<ForeignCode>>) -> Option<String> {
    let oids = related.iter().filter_map(|row| row.get::<_, Option<u32>>("oid"));
    let code: Vec<&ForeignCode> = oids.filter_map(|oid| foreign_code.get(&oid)).flatten().collect();
    let told = |ForeignCode { object, culprit, owner, .. }: &&ForeignCode| {
        format!("{object} rests on {culprit} of role {owner}")
    };
    let told: Vec<String> = code.iter().map(told).collect();
    let remedies: Vec<&str> = code.iter().map(|code| code.remedy.as_str()).collect();
    (!code.is_empty()).then(|| {
        let (told, remedies) = (told.join(", "), remedies.join("; "));
        format!("{told}, whose code would run with the rights of others. Run: {remedies};")
    })
}

/// Something on a table that calls a lesser role's code.
struct ForeignCode {
    /// Its kind and name.
    object: String,
    /// What it calls, or rests on.
    culprit: String,
    owner: String,
    /// The statement that takes it away.
    remedy: String,
}

/// The agent as it can be taken over now, or why it cannot.
async fn look(
    client: &Client,
    expected_schema: &ExpectedSchema,
    agent: &Agent,
) -> Result<Result<Candidate, Taken>, Error> {
    let found = candidates(client, expected_schema, Some(&[agent.prefix.as_str()])).await?;
    if let Some(Refused { reason, .. }) = found.refused.into_iter().next() {
        return Ok(Err(Taken::Refused(reason)));
    }
    let candidate = found.candidates.into_iter().find(|c| c.built.agent.id == agent.id);
    Ok(candidate.ok_or(Taken::Nothing))
}

/// Keeps everybody off the tables that bear these names, until the transaction ends.
async fn lock(client: &Client, taken: &[Relation]) -> Result<(), Error> {
    let tables = taken.iter().filter(|relation| relation.kind == "table");
    let names: Vec<String> = tables.map(|table| format!("only {}", table.name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let lock = format!("lock table {} in access exclusive mode", names.join(", "));
    client.batch_execute(&lock).await.map_err(query("lock the agent's tables"))
}

/// Gives an agent's tables to the worker's role and registers them; no row is touched.
///
/// Everything is looked at again, since the plan may be old, and once more when the tables are locked: until then a name may
/// come to mean another table. What is not `planned` is not taken.
pub(crate) async fn take(
    client: &Client,
    expected_schema: &ExpectedSchema,
    agent: &Agent,
    planned: &[Relation],
) -> Result<Taken, Error> {
    if !hold(client, agent, false).await? {
        return Ok(Taken::Nothing);
    }
    let before = match look(client, expected_schema, agent).await? {
        Ok(candidate) => candidate,
        Err(taken) => return Ok(taken),
    };
    lock(client, &before.taken).await?;
    let candidate = match look(client, expected_schema, agent).await? {
        Ok(candidate) => candidate,
        Err(taken) => return Ok(taken),
    };
    if candidate.taken != before.taken {
        return Ok(Taken::Refused(REPLACED.to_owned()));
    }
    let is_planned = |relation: &Relation| {
        planned.iter().any(|known| known.oid == relation.oid && known.name == relation.name)
    };
    let is_new = |relation: &&Relation| !is_planned(relation);
    if let Some(Relation { name, .. }) = candidate.taken.iter().find(is_new) {
        return Ok(Taken::Refused(format!(
            "{name} is not in the plan, which is older: look again"
        )));
    }
    let role = worker_role(client).await?;
    let owned = |Relation { kind, name, .. }: &_| format!("alter {kind} {name} owner to {role}");
    let alter: Vec<String> = candidate.taken.iter().map(owned).collect();
    run_each(client, &alter, "give the agent's tables to the worker's role").await?;
    register(client, &candidate).await
}

/// Enters what is locked, and the worker's by now, into the registry.
async fn register(client: &Client, candidate: &Candidate) -> Result<Taken, Error> {
    let RegisteredAgent { agent, version, reference, .. } = &candidate.built;
    let (tables, types) = (candidate.oids("table"), candidate.oids("type"));
    let named = candidate.taken.iter().filter(|relation| relation.kind == "type");
    let type_names: Vec<&str> = named.map(|relation| relation.bare_name.as_str()).collect();
    let registered = client
        .query_typed(
            include_str!("../../sql/provisioning/adopt_register.sql"),
            &[
                (&agent.id.0, Type::INT8),
                (version, Type::INT4),
                (&reference.as_str(), Type::TEXT),
                (&tables, Type::OID_ARRAY),
                (&types, Type::OID_ARRAY),
                (&candidate.registered.is_some(), Type::BOOL),
                (&type_names, Type::TEXT_ARRAY),
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
    let all = |column, oids: &[u32]| usize::try_from(count(column)) == Ok(oids.len());
    if all("tables", &tables) && all("types", &types) {
        return Ok(Taken::Adopted);
    }
    Ok(Taken::Refused(REPLACED.to_owned()))
}

impl Candidate {
    /// An agent of which nothing is registered.
    fn new(agent: Agent, related: &[&Row], expected_schema: &ExpectedSchema) -> Self {
        let version = version(expected_schema, &agent.prefix, related);
        let keyed = related.iter().any(|row| row.get("keyed"));
        let reference = if keyed { Reference::ForeignKey } else { Reference::Check };
        let built = RegisteredAgent {
            agent,
            version,
            reference,
            row_version: String::new(),
            tables: Vec::new(),
            types: Vec::new(),
            displaced: Vec::new(),
        };
        Self { built, registered: None, taken: Vec::new() }.with(related, expected_schema)
    }

    /// An agent that is registered: at the version where it is, or the next that makes all that is to be taken over.
    fn again(built: RegisteredAgent, related: &[&Row], expected_schema: &ExpectedSchema) -> Self {
        let prefix = &built.agent.prefix;
        let versions = expected_schema.templates().files().iter().map(|file| file.version);
        let makes_all = |version: &i32| {
            let made = made(expected_schema, prefix, *version);
            related.iter().all(|row| made.contains(&row.get("bare_name")))
        };
        let registered = built.version;
        let version = versions.filter(|version| *version >= registered).find(makes_all);
        let built = RegisteredAgent { version: version.unwrap_or(registered), ..built };
        Self { built, registered: Some(registered), taken: Vec::new() }
            .with(related, expected_schema)
    }

    /// With those of the rows that the templates make at its version.
    fn with(mut self, related: &[&Row], expected_schema: &ExpectedSchema) -> Self {
        let made = made(expected_schema, &self.built.agent.prefix, self.built.version);
        let relation = |row: &&Row| {
            let bare_name: String = row.get("bare_name");
            let kind = kind(row).filter(|_| made.contains(&bare_name))?;
            let (owner, name) = (row.get("owner_name"), row.get("name"));
            Some(Relation { kind, bare_name, owner, name, oid: row.get("oid") })
        };
        self.taken = related.iter().filter_map(relation).collect();
        self.built.tables.extend(self.oids("table"));
        self.built.types.extend(self.oids("type"));
        self
    }

    fn oids(&self, kind: &str) -> Vec<u32> {
        let of_kind = self.taken.iter().filter(|relation| relation.kind == kind);
        of_kind.map(|relation| relation.oid).collect()
    }
}

/// The highest whose tables are all there; the first where none is complete.
fn version(expected_schema: &ExpectedSchema, prefix: &Prefix, related: &[&Row]) -> i32 {
    let tables = related.iter().filter(|row| kind(row) == Some("table"));
    let tables: HashSet<String> = tables.map(|row| row.get("bare_name")).collect();
    let versions = || expected_schema.templates().files().iter().map(|file| file.version);
    let complete = |version: &i32| {
        expected_schema.tables(prefix, *version).iter().all(|table| tables.contains(table))
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
fn obstacle(
    related: &[&Row],
    built: Option<&RegisteredAgent>,
    expected_schema: &ExpectedSchema,
) -> Option<String> {
    let known = expected_schema.templates().version();
    if let Some(RegisteredAgent { version, .. }) = built.filter(|built| built.version > known) {
        return Some(Error::Outdated { version: *version, known }.to_string());
    }
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
        if let Some(displaced) = row.get::<_, Option<&str>>("displaced") {
            return Some(format!(
                "{name} has taken the place of its {displaced}: rename one of the two"
            ));
        }
        let (owner, asker): (&str, &str) = (row.get("owner_name"), row.get("asker"));
        let may: bool = row.get("may_alter");
        (!may).then(|| format!("{name} belongs to {owner}, for whom {asker} may not act"))
    })
}
