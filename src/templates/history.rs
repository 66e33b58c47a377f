//! The templates run statement by statement, and what each of them made.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::apply::{apply, lock_referenced};
use super::error::{Error, query};
use super::scratch::{made, scratch_id, scratch_prefix};
use super::template_set::Templates;
use super::worker_role::act_as_worker;
use crate::agent::{Agent, AgentId, Prefix};
use crate::schema::{self, Fact, Home, Key, Kind, Recorded};
use crate::sql_text::Reader;

/// The catalog is read after each statement that does more than to write rows. A set that has more of them is not worth the wait:
/// then what is missing is put together from the catalog.
const STATEMENTS: usize = 2000;

/// What each statement of a template set made for a scratch prefix.
#[derive(Debug)]
pub(crate) struct History {
    scratch: Prefix,
    id: AgentId,
    statements: Vec<Step>,
    stages: Vec<Stage>,
}

/// What there is after a file.
#[derive(Debug)]
struct Stage {
    version: i32,
    /// The tables and types, by oid.
    names: Arc<HashMap<u32, String>>,
}

#[derive(Debug)]
struct Step {
    version: i32,
    sql: String,
    public_path: bool,
    /// What tables and types were called before it, by oid; of those that it made, what it called them.
    names: Arc<HashMap<u32, String>>,
    homes: Vec<u32>,
    made: Vec<Fact>,
    gone: Vec<Fact>,
    defines: bool,
}

/// What stands under the scratch prefix at a moment.
#[derive(Debug, Default)]
struct Snapshot {
    names: Arc<HashMap<u32, String>>,
    /// In the order of their making.
    facts: Vec<(u32, Fact)>,
}

impl History {
    /// Needs an open transaction, and leaves it as it was.
    pub(crate) async fn record(client: &Client, templates: &Templates) -> Result<Self, Error> {
        let failed = query("run the templates statement by statement");
        client.batch_execute("savepoint history").await.map_err(failed)?;
        act_as_worker(client, None).await?;
        let (scratch, id) = (scratch_prefix()?, scratch_id(false));
        let mut history = Self { scratch, id, statements: Vec::new(), stages: Vec::new() };
        let mut before = Snapshot::default();
        for file in templates.files() {
            let script = file.render(&history.scratch, id);
            lock_referenced(client, &script, &history.scratch).await?;
            for (_, statement) in script.singles() {
                apply(client, &statement).await?;
                let sql: String = statement.places().into_iter().map(|place| place.text).collect();
                if history.statements.len() >= STATEMENTS || is_about_rows(&sql) {
                    continue;
                }
                let after = Snapshot::read(client, &history.scratch).await?;
                let step = Step::between(&before, &after, &sql);
                let (version, public_path) = (file.version, file.public_path);
                history.statements.push(Step { version, public_path, ..step });
                before = after;
            }
            let names = Arc::clone(&before.names);
            history.stages.push(Stage { version: file.version, names });
        }
        if history.statements.len() >= STATEMENTS {
            history.statements.clear();
        }
        let back = "rollback to savepoint history; release savepoint history";
        client.batch_execute(back).await.map_err(query("take the statements back"))?;
        Ok(history)
    }

    /// The statements that an agent of a template version was built by.
    pub(crate) fn of(&self, agent: &Agent, version: i32) -> Vec<Recorded> {
        let fill = self.fill(agent);
        let Some(Stage { names, .. }) =
            self.stages.iter().rev().find(|stage| stage.version <= version)
        else {
            return Vec::new();
        };
        let facts = |facts: &[Fact]| facts.iter().map(|fact| fact.map(&fill, &fill)).collect();
        let home = |oid: &u32| match names.get(oid) {
            Some(name) => Home::Lasting(fill(name)),
            None => Home::Dropped(*oid),
        };
        let called = |(oid, then): (&u32, &String)| {
            let now = names.get(oid).filter(|now| *now != then)?;
            Some((fill(then), fill(now)))
        };
        let statement = |step: &Step| Recorded {
            sql: fill(&step.sql),
            public_path: step.public_path,
            called: step.names.iter().filter_map(called).collect(),
            homes: step.homes.iter().map(home).collect(),
            made: facts(&step.made),
            gone: facts(&step.gone),
            defines: step.defines,
            passed_over: false,
        };
        let own = self.statements.iter().filter(|step| step.version <= version);
        let mut history: Vec<Recorded> = own.map(statement).collect();
        schema::pass_over_changed_by_code(&mut history);
        history
    }

    /// Puts an agent in the place of the scratch one.
    fn fill(&self, agent: &Agent) -> impl Fn(&str) -> String {
        let (scratch_id, id) = (self.id.to_string(), agent.id.to_string());
        let (scratch, prefix) = (self.scratch.as_str(), agent.prefix.as_str());
        move |text: &str| text.replace(scratch, prefix).replace(&scratch_id, &id)
    }
}

impl Step {
    /// A rename is about what it renames, and not about what names that elsewhere.
    fn between(before: &Snapshot, after: &Snapshot, sql: &str) -> Self {
        let (old, new) = (before.by_key(), after.by_key());
        let made = after
            .facts
            .iter()
            .filter(|(oid, fact)| old.get(&(*oid, fact.key())).is_none_or(|old| *old != fact));
        let gone = before.facts.iter().filter(|(oid, fact)| !new.contains_key(&(*oid, fact.key())));
        let is_rename = is_rename(sql);
        let is_about = |(oid, fact): &&(u32, Fact)| {
            let is_new =
                |names: &HashMap<(u32, Key), &Fact>| !names.contains_key(&(*oid, fact.key()));
            let is_named = || fact.kind != Kind::Parent && (is_new(&old) || is_new(&new));
            !is_rename || fact.kind == Kind::Type || is_named()
        };
        let homes: HashSet<u32> =
            made.clone().chain(gone.clone()).filter(is_about).map(|(oid, _)| *oid).collect();
        let mut made: Vec<Fact> = made.map(|(_, fact)| fact.clone()).collect();
        made.sort_by_key(Fact::rank);
        Self {
            version: 0,
            sql: sql.to_owned(),
            public_path: false,
            names: before.names_with_new(after),
            homes: homes.into_iter().collect(),
            made,
            gone: gone.map(|(_, fact)| fact.clone()).collect(),
            defines: schema::is_definition(sql),
        }
    }
}

impl Snapshot {
    fn by_key(&self) -> HashMap<(u32, Key), &Fact> {
        self.facts.iter().map(|(oid, fact)| ((*oid, fact.key()), fact)).collect()
    }

    /// What is called how, and what the next statement has made.
    fn names_with_new(&self, after: &Self) -> Arc<HashMap<u32, String>> {
        if after.names.keys().all(|oid| self.names.contains_key(oid)) {
            return Arc::clone(&self.names);
        }
        let mut names = HashMap::clone(&after.names);
        names.extend(self.names.iter().map(|(oid, name)| (*oid, name.clone())));
        Arc::new(names)
    }

    async fn read(client: &Client, scratch: &Prefix) -> Result<Self, Error> {
        // The statements before and after run with the settings of their file, and not with those that the catalog is read with.
        let failed = || query("read what a statement made");
        client.batch_execute("savepoint snapshot").await.map_err(failed())?;
        let (tables, types) = made(client, scratch).await?;
        let facts = schema::read(client, &tables.oids, &types.oids).await?;
        let back = "rollback to savepoint snapshot; release savepoint snapshot";
        client.batch_execute(back).await.map_err(failed())?;
        Ok(Self { facts, names: Arc::new(tables.by_oid().chain(types.by_oid()).collect()) })
    }
}

/// Whether a statement does no more than to write rows.
fn is_about_rows(sql: &str) -> bool {
    const VERBS: [&str; 5] = ["insert", "update", "delete", "truncate", "merge"];
    VERBS.iter().any(|verb| Reader::new(sql).words(verb))
}

/// Whether a statement gives something another name.
fn is_rename(sql: &str) -> bool {
    let mut rest = Reader::new(sql);
    let is_alter = rest.words("alter") && rest.next().is_some();
    rest.words("if exists");
    rest.words("only");
    let is_named = is_alter && rest.qualified().is_some();
    rest.mark('*');
    let is_part = rest.words("on");
    is_named && (!is_part || rest.qualified().is_some()) && rest.words("rename")
}

/// What of these tables and types a statement could change: to be the same before and after.
pub(crate) async fn state(
    client: &Client,
    tables: &[u32],
    types: &[u32],
) -> Result<HashSet<String>, Error> {
    let sql = include_str!("../../sql/templates/rows_state.sql");
    let rows = client.query_typed(sql, &[(&tables, Type::OID_ARRAY)]).await;
    let rows = rows.map_err(query("look at the tables that stand"))?;
    let facts = schema::read(client, tables, types).await?;
    // A new partition is no change of the table that it is a part of.
    let facts = facts.iter().filter(|(_, fact)| fact.kind != Kind::Child);
    let facts = facts.map(|(oid, fact)| format!("{oid} {fact:?}"));
    let row = |row: &tokio_postgres::Row| {
        format!("{} {}", row.get::<_, u32>("oid"), row.get::<_, &str>("state"))
    };
    Ok(facts.chain(rows.iter().map(row)).collect())
}
