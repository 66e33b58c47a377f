//! All agents at once: how they compare with what the templates make.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::agent::{AgentId, Prefix};
use crate::postgres::{self, Db};
use crate::provisioning::{self, RegisteredAgent};
use crate::queue::{RetryPolicy, retry_policy};
use crate::schema::Difference;
use crate::templates::ExpectedSchema;

/// Agents per query and connection: a server process keeps a cache of every table it has looked at, and what is
/// left to the last one is looked at by it alone.
const CHUNK: usize = 250;

/// Tries for a query that met a table being built or dropped.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);
/// Where others use the tables that all agents share.
const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// Why agents could not be compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Db(#[from] postgres::Error),
    #[error(transparent)]
    Provisioning(#[from] provisioning::Error),
    /// The server cannot read this agent's rows of the catalog. It can read those of others.
    #[error("cannot compare agent {prefix} with its templates")]
    Agent { prefix: Prefix, source: provisioning::Error },
}

/// How much of the server a comparison may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Somebody waits for the answer.
    Fast,
    /// Nobody waits: one connection, which rests for as long as it has worked.
    Gentle,
}

/// An agent that is not as it should be.
#[derive(Debug)]
pub(crate) struct Drifted {
    pub(crate) built: RegisteredAgent,
    /// In what; never empty.
    pub(crate) drift: Vec<Difference>,
}

impl Pace {
    /// Connections at a time: the work is the server's.
    pub(crate) const MOST_CONNECTIONS: usize = 4;

    pub(super) fn connections(self) -> usize {
        match self {
            Self::Fast => Self::MOST_CONNECTIONS,
            Self::Gentle => 1,
        }
    }

    /// After so much work.
    pub(super) fn rest(self, worked: Duration) -> Duration {
        match self {
            Self::Fast => Duration::ZERO,
            Self::Gentle => worked,
        }
    }
}

/// What agents came to that were compared.
#[derive(Debug, Default)]
pub(crate) struct Differing {
    /// By prefix.
    pub(crate) drifted: Vec<Drifted>,
    /// They differed at first, and did not when they were looked at again.
    pub(crate) wavering: HashSet<AgentId>,
}

/// Compares agents with their template versions.
///
/// An agent that differs is compared twice, so that one that is being changed or dropped meanwhile does not count.
pub(crate) async fn differing(
    db: &Db,
    expected_schema: &ExpectedSchema,
    agents: Vec<RegisteredAgent>,
    pace: Pace,
) -> Result<Differing, Error> {
    let suspects = look(db, expected_schema, agents, pace).await?;
    if suspects.is_empty() {
        return Ok(Differing::default());
    }
    let prefixes: Vec<&str> = suspects.iter().map(|d| d.built.agent.prefix.as_str()).collect();
    let mut again = RegisteredAgent::read(&*db.get().await?, Some(&prefixes)).await?;
    // Whoever has the prefix by now was not looked at before.
    let mut wavering: HashSet<_> = suspects.iter().map(|it| it.built.agent.id).collect();
    again.retain(|built| wavering.contains(&built.agent.id));
    let mut drifted = look(db, expected_schema, again, pace).await?;
    drifted.sort_by(|a, b| a.built.agent.prefix.as_str().cmp(b.built.agent.prefix.as_str()));
    for it in &drifted {
        wavering.remove(&it.built.agent.id);
    }
    Ok(Differing { drifted, wavering })
}

/// The same for agents that are not registered yet, each looked at once; in no order.
pub(crate) async fn compare(
    db: &Db,
    expected_schema: &ExpectedSchema,
    agents: Vec<RegisteredAgent>,
) -> Result<Vec<Drifted>, Error> {
    look(db, expected_schema, agents, Pace::Fast).await
}

async fn look(
    db: &Db,
    expected_schema: &ExpectedSchema,
    agents: Vec<RegisteredAgent>,
    pace: Pace,
) -> Result<Vec<Drifted>, Error> {
    let chunks: Vec<Vec<RegisteredAgent>> =
        agents.chunks(CHUNK).map(<[RegisteredAgent]>::to_vec).collect();
    let looked = stream::iter(chunks).map(|chunk| async move {
        let begun = Instant::now();
        let mut client = db.get().await?;
        let drift = match patiently(&mut client, expected_schema, &chunk).await {
            Ok(drift) => drift,
            Err(error) => return Err(of_one(&mut client, expected_schema, &chunk, error).await),
        };
        Db::close(client);
        tokio::time::sleep(pace.rest(begun.elapsed())).await;
        let differing = chunk.into_iter().zip(drift).filter(|(_, drift)| !drift.is_empty());
        Ok::<_, Error>(differing.map(|(built, drift)| Drifted { built, drift }).collect())
    });
    let drifted: Vec<Vec<Drifted>> =
        looked.buffer_unordered(pace.connections()).try_collect().await?;
    Ok(drifted.into_iter().flatten().collect())
}

/// A table that is dropped between two steps of one query makes the query fail, not the fleet.
async fn patiently(
    client: &mut Client,
    expected_schema: &ExpectedSchema,
    chunk: &[RegisteredAgent],
) -> Result<Vec<Vec<Difference>>, provisioning::Error> {
    let failed = |source| provisioning::Error::from(postgres::query("compare the agents")(source));
    let mut tries = 1;
    loop {
        let tx = postgres::begin(client).await.map_err(failed)?;
        let compared = provisioning::drift(tx.client(), expected_schema, chunk).await;
        tx.rollback().await.map_err(failed)?;
        let pause = match compared {
            Err(error) if tries < TRIES && error.refusal().is_some() => LOCK_PAUSE,
            Err(error) if tries < TRIES && passes(&error) => PAUSE,
            done => return done,
        };
        tries += 1;
        tokio::time::sleep(pause).await;
    }
}

/// The error with the first agent that it is about, if not all of them are read in vain.
async fn of_one(
    client: &mut Client,
    expected_schema: &ExpectedSchema,
    mut agents: &[RegisteredAgent],
    mut error: provisioning::Error,
) -> Error {
    let is_lasting = |error: &provisioning::Error| {
        let policy = |code: &SqlState| retry_policy(Some(code)) == RetryPolicy::Fail;
        let is_internal = |code: &SqlState| *code == SqlState::INTERNAL_ERROR;
        error.refusal().is_none()
            && error.code().is_some_and(|code| policy(code) || is_internal(code))
    };
    let mut others_can = false;
    while is_lasting(&error) {
        if let ([built], true) = (agents, others_can) {
            return Error::Agent { prefix: built.agent.prefix.clone(), source: error };
        }
        let (first, rest) = agents.split_at(agents.len() / 2);
        let mut failed = None;
        for half in [first, rest].into_iter().filter(|half| (1..agents.len()).contains(&half.len()))
        {
            match patiently(client, expected_schema, half).await {
                Ok(_) => others_can = true,
                Err(error) => failed = failed.or(Some((half, error))),
            }
        }
        let Some(found) = failed else { break };
        (agents, error) = found;
    }
    error.into()
}

fn passes(error: &provisioning::Error) -> bool {
    if error.is_vanished() {
        return true;
    }
    error.code().is_some_and(|code| {
        // 42P01, 42704: the name is gone. (XX000, "cache lookup failed", is retried anyway.)
        matches!(code.code(), "42P01" | "42704") || retry_policy(Some(code)) != RetryPolicy::Fail
    })
}
