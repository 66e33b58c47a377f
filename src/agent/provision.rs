//! Building and dropping one agent's tables, in a transaction that the caller opened.

use futures_util::TryStreamExt;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Agent, AgentId, InvalidPrefix, Manifest, Reference, Templates, statement};
use crate::error::{Disposition, disposition};

/// What every new agent gets.
#[derive(Clone, Debug)]
pub struct Blueprint {
    templates: Templates,
    pub(super) manifest: Manifest,
    reference: Reference,
}

impl Blueprint {
    /// Tries the templates on the server, so that a bad one is known before the first agent.
    pub async fn prepare(
        client: &mut Client,
        templates: Templates,
        reference: Reference,
    ) -> Result<Self, Error> {
        let manifest = Manifest::rehearse(client, &templates).await?;
        Ok(Self { templates, manifest, reference })
    }
}

/// Whose tables a prefix stands for, according to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// Nobody's.
    Nobody,
    /// This agent's.
    This,
    /// Those of a former agent, whose deletion nobody reported.
    Former(AgentId),
}

/// What the work came to. All of it took effect, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tables are there, and registered.
    Provisioned,
    /// They were there already.
    Unchanged,
    /// The agent is gone or going: nothing was built.
    Superseded,
    /// What was missing is there again.
    Repaired,
    /// Tables, registration and row are gone.
    Deprovisioned,
}

impl Outcome {
    /// As `provisioning.jobs.outcome` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::Unchanged => "unchanged",
            Self::Superseded => "superseded",
            Self::Repaired => "repaired",
            Self::Deprovisioned => "deprovisioned",
        }
    }
}

/// Why an agent could not be built or dropped. The caller rolls back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement of a template failed.
    #[error("cannot run the template's statement \"{head}\"")]
    Statement {
        /// Its first line.
        head: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Another statement failed.
    #[error("cannot {doing}")]
    Query {
        /// What was tried.
        doing: &'static str,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Somebody else's relations bear the names.
    #[error(
        "{} already exists and is not managed by agent-provisioner: rename or drop it, \
         then replay this job", .0.join(", ")
    )]
    InTheWay(Vec<String>),
    /// The templates make no table named after the prefix.
    #[error("the templates create no table public.{{prefix}}_…")]
    NoTables,
    /// A prefix read from the database is none.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
}

impl Error {
    /// The server's code for it, where the server refused.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Statement { source, .. } | Self::Query { source, .. } => source.code(),
            Self::InTheWay(_) => Some(&SqlState::DUPLICATE_TABLE),
            Self::NoTables => None,
            Self::Prefix(_) => Some(&SqlState::CHECK_VIOLATION),
        }
    }

    /// What the job does next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::NoTables => Disposition::Dead,
            Self::Statement { .. } | Self::Query { .. } | Self::InTheWay(_) | Self::Prefix(_) => {
                disposition(self.code())
            }
        }
    }
}

/// Gives an agent its tables and registers them: all, or (after the caller's rollback) none.
///
/// Everything goes out in one round trip. The agent is looked at last: a row that is gone, or that
/// is being deleted, makes this `Superseded`, and the caller must roll back.
pub async fn provision(
    client: &Client,
    blueprint: &Blueprint,
    agent: &Agent,
    registered: Registered,
) -> Result<Outcome, Error> {
    match registered {
        Registered::This => return Ok(Outcome::Unchanged),
        Registered::Former(former) => drop_tables(client, former).await?,
        Registered::Nobody => {}
    }
    let names = blueprint.manifest.tables(&agent.prefix);
    let rendered = blueprint.templates.render(&agent.prefix, agent.id, blueprint.reference);
    // Sent in this order without waiting for each other's answer.
    let (in_the_way, applied, registered) = tokio::join!(
        biased;
        taken(client, &names),
        apply(client, &rendered),
        register(client, blueprint, agent.id, &names),
    );
    let in_the_way = in_the_way?;
    if !in_the_way.is_empty() {
        return Err(Error::InTheWay(in_the_way));
    }
    applied?;
    Ok(if registered? == 0 { Outcome::Superseded } else { Outcome::Provisioned })
}

/// Drops an agent's registered tables, its row if it is still there, and switches its user's
/// WhatsApp configuration off, unless the user has another agent by now.
///
/// Nothing unregistered is dropped, whatever its name; a view of somebody's that depends on a table
/// makes this fail with the server's detail.
pub async fn deprovision(
    client: &Client,
    id: AgentId,
    user: Option<&str>,
) -> Result<Outcome, Error> {
    drop_tables(client, id).await?;
    let whatsapp = "update public.whatsapp_configuration set is_active = false, updated_at = now() \
                    where user_id = $1::text::uuid and is_active and not exists \
                    (select from public.agents a where a.user_id = $1::text::uuid and a.id <> $2)";
    let row = "delete from public.agents where id = $1";
    let (configuration, row) = tokio::join!(
        biased;
        async { client.execute_typed(whatsapp, &[(&user, Type::TEXT), (&id.0, Type::INT8)]).await },
        async { client.execute_typed(row, &[(&id.0, Type::INT8)]).await },
    );
    configuration.map_err(query("deactivate the WhatsApp configuration"))?;
    row.map_err(query("delete the agent's row"))?;
    Ok(Outcome::Deprovisioned)
}

/// Drops what is registered to an agent, and the registration.
///
/// With the foreign key, `agents` is locked first: a lock taken in the middle of the drop would
/// deadlock with everyone who reads `agents` and then writes to an agent's table.
async fn drop_tables(client: &Client, id: AgentId) -> Result<(), Error> {
    let sql = include_str!("../../sql/queries/registered_tables.sql");
    let rows = client.query_typed(sql, &[(&id.0, Type::INT8)]).await;
    let rows = rows.map_err(query("read the agent's tables"))?;
    let mut batch = String::new();
    if rows.first().is_some_and(|row| row.get("keyed")) {
        batch.push_str("lock table public.agents in access exclusive mode;\n");
    }
    let (ours, others): (Vec<_>, Vec<_>) = rows
        .iter()
        .filter(|row| row.get::<_, Option<&str>>("table_name").is_some())
        .partition(|row| row.get("ours"));
    for other in others {
        let table = other.get::<_, Option<&str>>("table_name");
        tracing::warn!(
            agent.id = id.0,
            table,
            "no longer the table that was registered: left alone"
        );
    }
    let names: Vec<&str> = ours.iter().filter_map(|row| row.get("name")).collect();
    if !names.is_empty() {
        batch.extend(["drop table ", &names.join(", ")]);
    }
    let forget = "delete from provisioning.agents where agent_id = $1";
    let (dropped, forgotten) = tokio::join!(
        biased;
        client.batch_execute(&batch),
        async { client.execute_typed(forget, &[(&id.0, Type::INT8)]).await },
    );
    dropped.map_err(query("drop the agent's tables"))?;
    forgotten.map_err(query("drop the agent's registration"))?;
    Ok(())
}

/// Relations that bear one of the names already.
async fn taken(client: &Client, names: &[String]) -> Result<Vec<String>, Error> {
    let sql = "select format('%I.%I', 'public', relname) from pg_catalog.pg_class \
               where relnamespace = 'public'::regnamespace and relname = any ($1) order by relname";
    let rows = client.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await;
    Ok(rows.map_err(query("look for tables in the way"))?.iter().map(|row| row.get(0)).collect())
}

async fn register(
    client: &Client,
    blueprint: &Blueprint,
    id: AgentId,
    names: &[String],
) -> Result<usize, Error> {
    let (version, reference) = (blueprint.templates.version(), blueprint.reference.as_str());
    let rows = client
        .query_typed(
            include_str!("../../sql/queries/register.sql"),
            &[
                (&id.0, Type::INT8),
                (&version, Type::INT4),
                (&reference, Type::TEXT),
                (&names, Type::TEXT_ARRAY),
            ],
        )
        .await;
    Ok(rows.map_err(query("register the agent's tables"))?.len())
}

/// A template's unqualified names mean schema `public`, whatever the role's own settings say.
const SEARCH_PATH: &str = "set local search_path = public, pg_temp;";

/// Sends rendered templates as one message; an error names the statement that failed.
pub(super) async fn apply(client: &Client, sql: &str) -> Result<(), Error> {
    let sql = format!("{SEARCH_PATH}\n{sql}");
    let mut done = 0;
    let ran = async {
        let messages = client.simple_query_raw(&sql).await?;
        messages
            .try_for_each(|message| {
                done += usize::from(matches!(message, SimpleQueryMessage::CommandComplete(_)));
                std::future::ready(Ok(()))
            })
            .await
    };
    let ran: Result<(), tokio_postgres::Error> = ran.await;
    ran.map_err(|source| {
        let head = statement::split(&sql).get(done).map(|statement| statement.head().to_owned());
        Error::Statement { head: head.unwrap_or_default(), source }
    })
}

pub(super) fn query(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| Error::Query { doing, source }
}
