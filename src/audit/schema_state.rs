//! All that a database has of a project: facts, and which of them need which others.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::Client;

use super::error::Error;
use super::platform::{PLATFORM, ask};
use crate::schema::{self, Fact, Key, Kind, bare};

const READ: &str = "read the catalog";

/// What is told of views, whose columns come with their query.
const OF_VIEWS: [Kind; 9] = [
    Kind::Default,
    Kind::Index,
    Kind::Grant,
    Kind::ColumnGrant,
    Kind::OwnerRights,
    Kind::Owner,
    Kind::Trigger,
    Kind::Rule,
    Kind::Comment,
];
/// The rule that is a view's query.
const QUERY: &str = "\"_RETURN\"";
/// What a project may have on tables of the platform.
const OF_PLATFORM: [Kind; 2] = [Kind::Policy, Kind::Trigger];

/// All that a database has of a project.
#[derive(Debug, Default)]
pub(super) struct SchemaState {
    pub(super) facts: BTreeMap<Key, Fact>,
    /// In which order they were read: columns in that of their table.
    pub(super) places: HashMap<Key, usize>,
    /// For each fact those without which it cannot be there.
    pub(super) needs: HashMap<Key, Vec<Key>>,
    /// Names and types of the columns of each view.
    pub(super) view_columns: BTreeMap<String, Vec<String>>,
    /// To whom most of it belongs.
    pub(super) owner: String,
    /// Objects of kinds that nobody compares, by name.
    pub(super) unmodelled: Vec<String>,
}

impl SchemaState {
    /// Needs an open transaction with this program's settings. Tables and types of these oids are left out.
    pub(super) async fn read(client: &Client, without: &[u32]) -> Result<Self, Error> {
        let mut facts = facts(client, without).await?;
        let owner = owner(client).await?;
        for fact in &mut facts {
            if fact.kind == Kind::Owner && fact.definition == owner {
                fact.definition.clear();
            }
        }
        // Most things belong to one role, which may be another elsewhere.
        facts.retain(|fact| fact.kind != Kind::Owner || !fact.definition.is_empty());
        let places = facts.iter().enumerate().map(|(place, it)| (it.key(), place)).collect();
        let facts: BTreeMap<Key, Fact> = facts.into_iter().map(|fact| (fact.key(), fact)).collect();
        let needs = needs(client, &facts).await?;
        let rows = ask(client, include_str!("../../sql/audit/unmodelled.sql"), READ).await?;
        let unmodelled = rows.iter().map(|row| row.get(0)).collect();
        let rows = ask(client, include_str!("../../sql/audit/view_columns.sql"), READ).await?;
        let view_columns = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(Self { facts, places, needs, view_columns, owner, unmodelled })
    }

    /// Reads the facts alone, which takes less time.
    pub(super) async fn read_facts(client: &Client) -> Result<BTreeMap<Key, Fact>, Error> {
        Ok(facts(client, &[]).await?.into_iter().map(|fact| (fact.key(), fact)).collect())
    }

    /// In the order of making, columns in that of their table.
    pub(super) fn in_order(&self) -> Vec<Fact> {
        let mut facts: Vec<Fact> = self.facts.values().cloned().collect();
        facts.sort_by_key(|fact| (fact.rank(), self.places.get(&fact.key()).copied()));
        facts
    }

    /// Leaves out rights that a server of this version does not know, such as 150004.
    pub(super) fn as_of(&mut self, version: i32) {
        const MAINTAIN: i32 = 170_000;
        for fact in self.facts.values_mut().filter(|fact| fact.kind == Kind::Grant) {
            if version < MAINTAIN {
                let known =
                    fact.definition.split(", ").filter(|right| !right.starts_with("maintain"));
                fact.definition = known.collect::<Vec<_>>().join(", ");
            }
        }
    }

    /// Leaves out what was there before the project.
    pub(super) fn without(&mut self, before: &Self) {
        self.facts.retain(|key, fact| before.facts.get(key) != Some(fact));
    }

    /// Leaves out what these keys name.
    pub(super) fn without_keys(&mut self, keys: &HashSet<Key>) {
        self.facts.retain(|key, _| !keys.contains(key));
    }

    /// Adds publications of the platform that the project's tables are in, and that a database lacks.
    pub(super) fn miss_publications(&mut self, base: &Self, live: &Self) {
        let used = |fact: &Fact| {
            let members = self.facts.values().filter(|it| it.kind == Kind::Publication);
            members.into_iter().any(|member| member.part == fact.relation)
        };
        let lost = base.lost_publications(live).filter(|fact| used(fact));
        let lost: Vec<Fact> = lost.cloned().collect();
        self.facts.extend(lost.into_iter().map(|fact| (fact.key(), fact)));
    }

    /// The publications of the platform that a database lacks.
    pub(super) fn lost_publications<'a>(
        &'a self,
        live: &'a Self,
    ) -> impl Iterator<Item = &'a Fact> {
        let own = self.facts.values().filter(|fact| fact.kind == Kind::PublicationOptions);
        own.filter(|fact| !live.facts.contains_key(&fact.key()))
    }

    pub(super) fn has(&self, kind: Kind, relation: &str) -> bool {
        self.facts.contains_key(&(kind, relation.to_owned(), String::new()))
    }
}

async fn owner(client: &Client) -> Result<String, Error> {
    let rows = ask(client, include_str!("../../sql/audit/owner.sql"), READ).await?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

async fn facts(client: &Client, without: &[u32]) -> Result<Vec<Fact>, Error> {
    let objects = ask(client, include_str!("../../sql/audit/objects.sql"), READ).await?;
    let mut named: HashMap<u32, (&str, String)> = HashMap::new();
    for row in &objects {
        named.insert(row.get("oid"), (row.get("what"), row.get("name")));
    }
    named.retain(|oid, _| !without.contains(oid));
    let oids = |is_type: bool| -> Vec<u32> {
        named.iter().filter(|(_, it)| (it.0 == "type") == is_type).map(|(oid, _)| *oid).collect()
    };
    let mut facts = Vec::new();
    for (oid, mut fact) in schema::read(client, &oids(false), &oids(true)).await? {
        let Some((what, name)) = named.get(&oid) else { continue };
        let kept = match *what {
            "view" | "materialized view" => OF_VIEWS.contains(&fact.kind) && fact.part != QUERY,
            "platform" => OF_PLATFORM.contains(&fact.kind) && !is_platforms(&fact),
            _ => true,
        };
        if kept {
            // All relations are read as tables.
            let target = fact.part.strip_prefix("table ").filter(|_| fact.kind == Kind::Comment);
            if let Some(target) = target.filter(|_| what.ends_with("view")) {
                fact.part = format!("{what} {target}");
            }
            fact.home.clone_from(name);
            facts.push(fact);
        }
    }
    let sql = include_str!("../../sql/audit/facts.sql");
    for row in &ask(client, sql, READ).await? {
        facts.push(schema::read_fact(row, row.get("home"))?);
    }
    Ok(facts)
}

/// Whether it is a trigger of the platform's own.
fn is_platforms(fact: &Fact) -> bool {
    let Some((_, function)) = fact.definition.split_once(" EXECUTE FUNCTION ") else {
        return false;
    };
    let schema = function.split_once('.').map(|(schema, _)| schema);
    schema.is_some_and(|schema| PLATFORM.contains(&schema))
}

async fn needs(
    client: &Client,
    facts: &BTreeMap<Key, Fact>,
) -> Result<HashMap<Key, Vec<Key>>, Error> {
    let rows = ask(client, include_str!("../../sql/audit/dependencies.sql"), READ).await?;
    let mut needs: HashMap<Key, Vec<Key>> = HashMap::new();
    for row in &rows {
        let key = |[kind, relation, part]: [&str; 3]| -> Option<Key> {
            let mut key = (Kind::parse(row.get(kind))?, row.get(relation), row.get(part));
            if key.0 == Kind::Default && !facts.contains_key(&key) {
                key.0 = Kind::Column; // a generated one
            }
            facts.contains_key(&key).then_some(key)
        };
        let own = key(["kind", "relation", "part"]);
        let other = key(["needed_kind", "needed_relation", "needed_part"]);
        if let (Some(own), Some(other)) = (own, other) {
            needs.entry(own).or_default().push(other);
        }
    }
    add_needs(facts, &mut needs);
    Ok(needs)
}

/// What the catalog does not say as a dependency: of a sequence, and of an index.
fn add_needs(facts: &BTreeMap<Key, Fact>, needs: &mut HashMap<Key, Vec<Key>>) {
    let is_sequence = |key: &&Key| matches!(key.0, Kind::Sequence | Kind::Identity);
    let sequences: HashMap<&str, &Key> =
        facts.keys().filter(is_sequence).map(|key| (key.1.as_str(), key)).collect();
    let mut indexes: HashMap<(&str, &str), &Key> = HashMap::new();
    for (key, fact) in facts {
        if key.0 == Kind::Index {
            indexes.insert((&fact.relation, bare(&fact.part)), key);
        } else if key.0 == Kind::Constraint {
            indexes.insert((&fact.relation, &fact.part), key);
        }
    }
    for (key, fact) in facts {
        let sequence = |named: &str| sequences.get(named.strip_prefix("sequence ")?).copied();
        let index = |table: &str, index: &str| indexes.get(&(table, index)).copied();
        let needed = if [Kind::Grant, Kind::OwnerRights, Kind::Owner].contains(&key.0) {
            sequence(&fact.relation)
        } else if key.0 == Kind::Comment {
            sequence(&fact.part)
        } else if key.0 == Kind::Cluster {
            index(&fact.relation, &fact.definition)
        } else if key.0 == Kind::ReplicaIdentity {
            index(&fact.relation, fact.definition.trim_start_matches("using index "))
        } else if key.0 == Kind::IndexParameter {
            index(&fact.home, bare(&fact.relation))
        } else {
            None
        };
        if let Some(needed) = needed {
            needs.entry(key.clone()).or_default().push(needed.clone());
        }
    }
}
