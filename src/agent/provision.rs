//! Building one agent's tables, in a transaction that the caller opened.

use std::time::Duration;

use futures_util::TryStreamExt;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::agents_key::AgentsKey;
use super::error::{Error, query};
use super::script::{Place, Script};
use super::shared_lock::{self, AGENTS, LockMode, lock, outside};
use super::{Agent, AgentId, Manifest, Prefix, Reference, Templates, built, search_path, trial};

/// What every new agent gets.
#[derive(Debug)]
pub struct Blueprint {
    pub(super) manifest: Manifest,
    reference: Reference,
    /// How long the tables of a deleted one are kept.
    pub(super) retention: Duration,
}

impl Blueprint {
    /// Tries the templates on the server, so that a bad one is known before the first agent.
    pub async fn prepare(
        client: &mut Client,
        templates: Templates,
        reference: Reference,
        retention: Duration,
    ) -> Result<Self, Error> {
        let templates = search_path::settle(client, templates).await?;
        trial::run(client, &templates, reference).await?;
        Ok(Self { manifest: Manifest::prepare(client, templates).await?, reference, retention })
    }

    /// The files.
    pub fn templates(&self) -> &Templates {
        self.manifest.templates()
    }

    /// Whether a new agent's foreign key takes a lock on `agents`.
    pub fn locks_agents(&self) -> bool {
        self.reference == Reference::ForeignKey && self.templates().has_foreign_key()
    }
}

/// Whose tables a prefix stands for, according to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// Nobody's.
    Nobody,
    /// This agent's.
    This,
    /// Those of a former agent, whose deletion is not done yet.
    Former(AgentId),
    /// Those of a former agent, whose deletion an operator cancelled.
    Kept {
        /// The former.
        agent: AgentId,
        /// The cancelled deletion.
        job: i64,
    },
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
    /// Tables of a former agent bear the names: a job that deletes them goes first, and a new one builds.
    Requeued,
    /// It is as the templates make it again.
    Repaired,
    /// Differences are left that no repair takes away.
    Drifted {
        /// Others were taken away.
        mended: bool,
    },
    /// The template files that it lacked have run.
    Upgraded,
    /// Some of them have, or of a deletion its first part; the job stays in the queue for the rest.
    Unfinished,
    /// It is tied to `agents` as was asked.
    Converted,
    /// Tables, registration and row are gone.
    Deprovisioned,
    /// The same, and for a while an operator can bring them back.
    Trashed,
    /// The agent had no tables of ours, and its row is gone. Tables of the same names are somebody else's,
    /// and are left alone.
    RowDeleted,
}

impl Outcome {
    /// As `provisioning.jobs.outcome` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::Unchanged => "unchanged",
            Self::Superseded => "superseded",
            Self::Requeued => "requeued",
            Self::Repaired => "repaired",
            Self::Drifted { .. } => "drifted",
            Self::Upgraded => "upgraded",
            Self::Unfinished => "unfinished",
            Self::Converted => "converted",
            Self::Deprovisioned => "deprovisioned",
            Self::Trashed => "trashed",
            Self::RowDeleted => "row_deleted",
        }
    }
}

/// Gives an agent its tables and registers them: all, or (after the caller's rollback) none.
///
/// Everything goes out in one round trip. The foreign key locks `agents` until the commit, so as little
/// as possible comes after it, and nothing that waits. The agent is looked at last: a row that is gone,
/// or that is being deleted, makes this `Superseded`, and the caller must roll back. Row security hides
/// no row here. The tables of a former agent are left alone, and make this `Requeued`.
pub async fn provision(
    client: &Client,
    blueprint: &Blueprint,
    agent: &Agent,
    registered: Registered,
) -> Result<Outcome, Error> {
    match registered {
        Registered::This => return Ok(Outcome::Unchanged),
        Registered::Former(_) => return Ok(Outcome::Requeued),
        Registered::Kept { agent, job } => return Err(Error::Kept { agent, job }),
        Registered::Nobody => {}
    }
    let Blueprint { manifest, reference, .. } = blueprint;
    let templates = manifest.templates();
    let (prefix, version) = (&agent.prefix, templates.version());
    let names = manifest.tables(prefix, version);
    let (tables, published) = (templates.numbered(prefix, agent.id), templates.published(prefix));
    let key = templates.key(prefix, agent.id, *reference);
    let locked = outside(&key.to_string(), prefix).iter().any(|table| table == AGENTS);
    // Sent in this order without waiting for each other's answer.
    let (in_the_way, reached, applied, entered, registered, published, keyed, held) = tokio::join!(
        biased;
        taken(client, &names),
        reach(client, &tables, prefix),
        apply(client, &tables),
        enter(client, blueprint, agent.id),
        built::register(client, manifest, agent, version),
        apply(client, &published),
        tie(client, &key, prefix),
        hold(client, agent, locked),
    );
    let in_the_way = in_the_way?;
    if !in_the_way.is_empty() {
        return Err(Error::InTheWay(in_the_way));
    }
    reached?;
    applied?;
    let entered = entered?;
    registered?;
    published?;
    keyed?;
    match (entered, held?) {
        (true, true) => Ok(Outcome::Provisioned),
        (false, true) => Err(Error::Swallowed("provisioning.agents")),
        (_, false) => Ok(Outcome::Superseded),
    }
}

/// Locks the tables outside that the files refer to by foreign keys of their own.
pub(super) async fn reach(client: &Client, files: &Script, prefix: &Prefix) -> Result<(), Error> {
    let outside = outside(&files.to_string(), prefix);
    if outside.is_empty() {
        return Ok(());
    }
    lock(client, LockMode::ShareRowExclusive, &outside, &[]).await
}

/// Locks what foreign keys refer to, and makes them.
pub(super) async fn tie(client: &Client, key: &Script, prefix: &Prefix) -> Result<(), Error> {
    let (reached, tied) = tokio::join!(biased; reach(client, key, prefix), apply(client, key));
    reached.and(tied)
}

/// Relations that bear one of the names already.
pub(super) async fn taken(client: &Client, names: &[String]) -> Result<Vec<String>, Error> {
    let sql = "select format('%I.%I', 'public', relname) from pg_catalog.pg_class \
               where relnamespace = 'public'::regnamespace and relname = any ($1) order by relname";
    let rows = client.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await;
    Ok(rows.map_err(query("look for tables in the way"))?.iter().map(|row| row.get(0)).collect())
}

/// Enters the agent into the registry; whether there is one.
async fn enter(client: &Client, blueprint: &Blueprint, id: AgentId) -> Result<bool, Error> {
    let sql = "select provisioning.enter_agent($1, $2, $3)";
    let version = blueprint.manifest.templates().version();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&id.0, Type::INT8), (&version, Type::INT4), (&blueprint.reference.as_str(), Type::TEXT)];
    let entered =
        client.query_typed(sql, &parameters).await.map_err(query("register the agent"))?;
    Ok(entered.iter().any(|row| row.get(0)))
}

/// Keeps an agent from being deleted before the commit; whether it is still there. Where `agents` is
/// locked nobody can delete it, and a wait for its row would be everybody's.
pub(super) async fn hold(client: &Client, agent: &Agent, locked: bool) -> Result<bool, Error> {
    let sql = if locked {
        "select exists (select from provisioning.living_agents(array[$1]) a where a.agent_prefix = $2)"
    } else {
        "select provisioning.hold_agent($1, $2)"
    };
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&agent.id.0, Type::INT8), (&agent.prefix.as_str(), Type::TEXT)];
    let rows = client.query_typed(sql, &parameters).await;
    let rows = rows.map_err(query("hold the agent's row"))?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Sends rendered templates as one message; an error names the statement that failed. What adds foreign keys to
/// `agents` is sent as a call.
///
/// Schema public is in the path only while templates run that may have names without a schema.
pub(super) async fn apply(client: &Client, script: &Script) -> Result<(), Error> {
    if script.is_empty() {
        return Ok(());
    }
    let all = script.with_paths();
    let sent = all.with_agents_keys();
    let mut done = 0;
    let ran = async {
        let messages = client.simple_query_raw(&sent.to_string()).await?;
        messages
            .try_for_each(|message| {
                done += usize::from(matches!(message, SimpleQueryMessage::CommandComplete(_)));
                std::future::ready(Ok(()))
            })
            .await
    };
    let ran: Result<(), tokio_postgres::Error> = ran.await;
    ran.map_err(|source| {
        let character = match source.as_db_error().and_then(DbError::position) {
            Some(ErrorPosition::Original(character)) => usize::try_from(*character).ok(),
            Some(ErrorPosition::Internal { .. }) | None => None,
        };
        let place =
            character.map_or_else(|| all.culprit(done, None), |_| sent.culprit(done, character));
        blame(place.unwrap_or_default(), source)
    })
}

fn blame(Place { at, text }: Place, source: tokio_postgres::Error) -> Error {
    let head = text.lines().next().unwrap_or_default().trim_end().to_owned();
    let refers = source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
        && shared_lock::refers_to(&text, AGENTS)
        && AgentsKey::parse(&text).is_none();
    if refers { Error::Refers { at, head, source } } else { Error::Statement { at, head, source } }
}
