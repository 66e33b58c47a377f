//! Bringing an agent to a later template version, in a transaction that the caller opened.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::build_spec::BuildSpec;
use super::error::{Error, query};
use super::registry;
use crate::agent::{Agent, Reference};
use crate::postgres::{LockMode, require_turn};
use crate::queue::Outcome;
use crate::schema::{Fact, refers_to_agents};
use crate::templates::{
    Renamed, Script, Template, Templates, act_as_oneself, act_as_worker, add_foreign_keys, apply,
    lock_referenced,
};

/// Files that take effect together: several in a transaction, or a single one outside.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    from: i32,
    to: i32,
    files: Vec<&'a Template>,
    last: bool,
}

impl<'a> Stage<'a> {
    /// The next one on the way from one version to another; `None` at its end.
    pub(crate) fn next(templates: &'a Templates, from: i32, target: i32) -> Option<Self> {
        let mut rest = templates.between(from, target).peekable();
        let mut files = vec![rest.next()?];
        if !files.iter().any(|file| file.is_concurrent()) {
            while let Some(file) = rest.next_if(|file| !file.is_concurrent()) {
                files.push(file);
            }
        }
        let to = files.last().map_or(from, |file| file.version);
        Some(Self { from, to, files, last: rest.peek().is_none() })
    }

    /// Its one file, if that runs outside a transaction.
    pub(crate) fn concurrent(&self) -> Option<&Template> {
        self.files.iter().copied().find(|file| file.is_concurrent())
    }

    /// The version that it leads to.
    pub(crate) fn to(&self) -> i32 {
        self.to
    }

    /// As it could be run in psql.
    pub(crate) fn script(&self, agent: &Agent) -> String {
        let names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        let names = names.join(", ");
        match self.concurrent() {
            Some(file) => {
                let statements = file.statements(&agent.prefix, agent.id).join(";\n");
                format!("-- {names}, each statement by itself\n{statements};\n")
            }
            None => format!("-- {names}\nbegin;\n{}commit;\n", self.render(agent)),
        }
    }

    /// What runs in the transaction.
    fn render(&self, agent: &Agent) -> Script {
        let mut script = Script::default();
        let files = self.files.iter().filter(|file| !file.is_concurrent());
        files.for_each(|file| script.append(file.render(&agent.prefix, agent.id)));
        script
    }
}

/// Runs a stage's files and registers what they made, all in one round trip. What a concurrent
/// stage does outside has to be done by then. `agents` is locked last, however long the files take.
///
/// An agent that is not, or no longer, at the stage's first version is `Superseded`: the caller
/// rolls back.
pub(crate) async fn upgrade(
    client: &Client,
    build_spec: &BuildSpec,
    agent: &Agent,
    reference: Reference,
    stage: &Stage<'_>,
) -> Result<Outcome, Error> {
    let renamed = build_spec.expected_schema.renamed(&agent.prefix, stage.from, stage.to);
    let keys = keys(client, build_spec, agent, reference, stage, &renamed.tables).await?;
    if !keys.is_empty() {
        require_turn(client, LockMode::ShareRowExclusive).await?;
    }
    let files = stage.render(agent);
    let mut published = Script::default();
    if stage.last {
        published = build_spec.templates().published(&agent.prefix);
    }
    // Sent in this order without waiting for each other's answer.
    let (acting, own, reached, applied, published, advanced, named, registered, tied, oneself) = tokio::join!(
        biased;
        act_as_worker(client, Some(agent.id)),
        require_own(client, build_spec, agent, stage),
        lock_referenced(client, &files, &agent.prefix),
        apply(client, &files),
        apply(client, &published),
        advance(client, agent, stage),
        register_names(client, agent, &renamed),
        registry::register(client, &build_spec.expected_schema, agent, stage.to),
        add_foreign_keys(client, &keys, &agent.prefix),
        act_as_oneself(client),
    );
    acting?;
    own?;
    reached?;
    applied?;
    published?;
    if !advanced? {
        return Ok(Outcome::Superseded);
    }
    named?;
    registered?;
    tied?;
    oneself?;
    Ok(if stage.last { Outcome::Upgraded } else { Outcome::MoreToDo })
}

/// Refuses where a table that the agent has, or is to get, bears its name and is not registered: the
/// stage's files know tables by their names only.
pub(crate) async fn require_own(
    client: &Client,
    build_spec: &BuildSpec,
    agent: &Agent,
    stage: &Stage<'_>,
) -> Result<(), Error> {
    let mut names = build_spec.expected_schema.tables(&agent.prefix, stage.from);
    names.extend(build_spec.expected_schema.tables(&agent.prefix, stage.to));
    let sql = "select format('%I.%I', 'public', c.relname) from pg_catalog.pg_class c \
               where c.relnamespace = 'public'::regnamespace and c.relname = any ($1) \
               and not exists (select from provisioning.agent_tables t \
                               where t.relation = c.oid and t.agent_id = $2) order by 1";
    let rows =
        client.query_typed(sql, &[(&names, Type::TEXT_ARRAY), (&agent.id.0, Type::INT8)]).await;
    let rows = rows.map_err(query("look for tables in the way"))?;
    let strangers: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if strangers.is_empty() { Ok(()) } else { Err(Error::InTheWay(strangers)) }
}

async fn register_names(
    client: &Client,
    agent: &Agent,
    Renamed { tables, types }: &Renamed,
) -> Result<(), Error> {
    if tables.is_empty() && types.is_empty() {
        return Ok(());
    }
    let (old_tables, tables): (Vec<&str>, Vec<&str>) = names(tables);
    let (old_types, types): (Vec<&str>, Vec<&str>) = names(types);
    let sql = include_str!("../../sql/provisioning/upgrade_names.sql");
    let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
        (&agent.id.0, Type::INT8),
        (&old_tables, Type::TEXT_ARRAY),
        (&tables, Type::TEXT_ARRAY),
        (&old_types, Type::TEXT_ARRAY),
        (&types, Type::TEXT_ARRAY),
    ];
    let named = client.execute_typed(sql, &parameters).await;
    named.map(drop).map_err(query("register the names of the agent's tables"))
}

fn names(renamed: &[(String, String)]) -> (Vec<&str>, Vec<&str>) {
    renamed.iter().map(|(old, new)| (old.as_str(), new.as_str())).unzip()
}

async fn advance(client: &Client, agent: &Agent, stage: &Stage<'_>) -> Result<bool, Error> {
    let sql = "update provisioning.agents set template_version = $2 \
               where agent_id = $1 and template_version = $3";
    let (id, Stage { from, to, .. }) = (agent.id.0, stage);
    let changed =
        client.execute_typed(sql, &[(&id, Type::INT8), (to, Type::INT4), (from, Type::INT4)]).await;
    Ok(changed.map_err(query("record the template version"))? == 1)
}

/// What goes after the files where they make tables that refer to `agents`: the foreign keys. A table that they rename has its
/// key, which is renamed with it.
async fn keys(
    client: &Client,
    build_spec: &BuildSpec,
    agent: &Agent,
    reference: Reference,
    stage: &Stage<'_>,
    renamed: &[(String, String)],
) -> Result<Script, Error> {
    let BuildSpec { expected_schema, .. } = build_spec;
    let is_new_name = |table: &String| renamed.iter().any(|(_, new)| new == table);
    let had = expected_schema.tables(&agent.prefix, stage.from);
    let had = |table: &String| {
        is_new_name(table) || had.contains(table) && !renamed.iter().any(|(old, _)| old == table)
    };
    let mut new = expected_schema.tables(&agent.prefix, stage.to);
    new.retain(|table| !had(table));
    if reference == Reference::Check || new.is_empty() && renamed.is_empty() {
        return Ok(Script::default());
    }
    let objects = expected_schema.objects(client, agent, stage.to, reference).await?;
    let keys = objects.iter().filter(|o| refers_to_agents(o) && new.contains(&o.home));
    let mut script: String = keys.map(|key| key.create() + ";\n").collect();
    for (table, key, definition) in keys_of(client, agent, renamed).await? {
        let wanted = objects
            .iter()
            .find(|o| refers_to_agents(o) && o.home == table && o.is(&definition) && o.part != key);
        if let Some(Fact { relation, part, .. }) = wanted {
            script.extend([
                "alter table ",
                relation,
                " rename constraint ",
                &key,
                " to ",
                part,
                ";\n",
            ]);
        }
    }
    Ok(Script::of(script))
}

/// The foreign keys to `agents` of tables that are going to be renamed: the table's new name, the key's, quoted, and its
/// definition.
async fn keys_of(
    client: &Client,
    agent: &Agent,
    renamed: &[(String, String)],
) -> Result<Vec<(String, String, String)>, Error> {
    if renamed.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = renamed.iter().map(|(old, _)| old.as_str()).collect();
    let sql = include_str!("../../sql/provisioning/upgrade_keys.sql");
    let rows =
        client.query_typed(sql, &[(&agent.id.0, Type::INT8), (&names, Type::TEXT_ARRAY)]).await;
    let rows = rows.map_err(query("look for the agent's foreign keys"))?;
    let key = |row: &Row| {
        let old: &str = row.get("table_name");
        let (_, new) = renamed.iter().find(|(name, _)| name == old)?;
        Some((new.clone(), row.get("key"), row.get("definition")))
    };
    Ok(rows.iter().filter_map(key).collect())
}
