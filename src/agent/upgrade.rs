//! Bringing an agent to a later template version, in a transaction that the caller opened.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, query};
use super::mend::refers_to_agents;
use super::provision::{apply, reach, tie};
use super::script::Script;
use super::shared_lock::{LockMode, require_turn};
use super::{Agent, Blueprint, Outcome, Reference, Template, Templates, built};

/// Files that take effect together: several in a transaction, or a single one outside.
#[derive(Debug)]
pub struct Stage<'a> {
    from: i32,
    to: i32,
    files: Vec<&'a Template>,
    last: bool,
}

impl<'a> Stage<'a> {
    /// The next one on the way from one version to another; `None` at its end.
    pub fn next(templates: &'a Templates, from: i32, target: i32) -> Option<Self> {
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
    pub fn concurrent(&self) -> Option<&Template> {
        self.files.iter().copied().find(|file| file.is_concurrent())
    }

    /// The version that it leads to.
    pub fn to(&self) -> i32 {
        self.to
    }

    /// As it could be run in psql.
    pub fn script(&self, agent: &Agent) -> String {
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
pub async fn upgrade(
    client: &Client,
    blueprint: &Blueprint,
    agent: &Agent,
    reference: Reference,
    stage: &Stage<'_>,
) -> Result<Outcome, Error> {
    let keys = keys(client, blueprint, agent, reference, stage).await?;
    if !keys.is_empty() {
        require_turn(client, LockMode::ShareRowExclusive).await?;
    }
    let files = stage.render(agent);
    let mut published = Script::default();
    if stage.last {
        published = blueprint.templates().published(&agent.prefix);
    }
    // Sent in this order without waiting for each other's answer.
    let (own, reached, applied, published, advanced, registered, tied) = tokio::join!(
        biased;
        require_own(client, blueprint, agent, stage),
        reach(client, &files, &agent.prefix),
        apply(client, &files),
        apply(client, &published),
        advance(client, agent, stage),
        built::register(client, &blueprint.manifest, agent, stage.to),
        tie(client, &keys, &agent.prefix),
    );
    own?;
    reached?;
    applied?;
    published?;
    if !advanced? {
        return Ok(Outcome::Superseded);
    }
    registered?;
    tied?;
    Ok(if stage.last { Outcome::Upgraded } else { Outcome::Unfinished })
}

/// Refuses where a table that the agent has, or is to get, bears its name and is not registered: the
/// stage's files know tables by their names only.
pub async fn require_own(
    client: &Client,
    blueprint: &Blueprint,
    agent: &Agent,
    stage: &Stage<'_>,
) -> Result<(), Error> {
    let mut names = blueprint.manifest.tables(&agent.prefix, stage.from);
    names.extend(blueprint.manifest.tables(&agent.prefix, stage.to));
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

async fn advance(client: &Client, agent: &Agent, stage: &Stage<'_>) -> Result<bool, Error> {
    let sql = "update provisioning.agents set template_version = $2 \
               where agent_id = $1 and template_version = $3";
    let (id, Stage { from, to, .. }) = (agent.id.0, stage);
    let changed =
        client.execute_typed(sql, &[(&id, Type::INT8), (to, Type::INT4), (from, Type::INT4)]).await;
    Ok(changed.map_err(query("record the template version"))? == 1)
}

/// What goes after the files where they make tables that refer to `agents`: the foreign keys.
async fn keys(
    client: &Client,
    blueprint: &Blueprint,
    agent: &Agent,
    reference: Reference,
    stage: &Stage<'_>,
) -> Result<Script, Error> {
    let Blueprint { manifest, .. } = blueprint;
    let (had, mut new) =
        (manifest.tables(&agent.prefix, stage.from), manifest.tables(&agent.prefix, stage.to));
    new.retain(|table| !had.contains(table));
    if reference == Reference::Check || new.is_empty() {
        return Ok(Script::default());
    }
    let objects = manifest.objects(client, agent, stage.to, reference).await?;
    let is_new = |relation: &str| {
        let name = relation.rsplit('.').next().unwrap_or_default().trim_matches('"');
        new.iter().any(|table| table == name)
    };
    let keys = objects.iter().filter(|o| refers_to_agents(o) && is_new(&o.relation));
    Ok(Script::of(keys.map(|key| key.create() + ";\n").collect::<String>()))
}
