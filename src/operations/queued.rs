//! Jobs for many agents, queued at once.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;

use super::actor::Actor;
use super::error::Error;
use crate::postgres::query;
use crate::provisioning::RegisteredAgent;
use crate::queue::{Kind, Work, admin};
use crate::service::Instance;

#[derive(Debug)]
pub(crate) struct Queued {
    /// The agents that jobs were asked for.
    pub agents: usize,
    /// Their ids. An agent that has such a job already gets no second one.
    pub jobs: Vec<i64>,
}

/// An agent that was left out, since a dead job holds up its prefix: a new one would only wait for it.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct HeldBack {
    pub prefix: String,
    pub job: i64,
    pub kind: Kind,
}

/// Queues a job for each of these agents, all at once.
pub(super) async fn queue(
    actor: &Actor,
    instance: &Instance,
    work: Work,
    agents: &[i64],
) -> Result<Queued, Error> {
    queue_confirmed(actor, instance, work, agents, None).await
}

/// The same for repairs, which run nothing but the plans with these checksums, one an agent.
pub(super) async fn queue_confirmed(
    actor: &Actor,
    instance: &Instance,
    work: Work,
    agents: &[i64],
    plans: Option<&[String]>,
) -> Result<Queued, Error> {
    let client = actor.client(instance).await?;
    let jobs = admin::enqueue(&client, work, agents, plans, actor.name()).await;
    Ok(Queued { agents: agents.len(), jobs: jobs.map_err(query("queue the jobs"))? })
}

/// Takes out of `agents` those that a dead job holds up. A dead job of the kind that is brought back by a new request
/// holds nothing up.
pub(super) async fn hold_back(
    client: &Client,
    agents: &mut Vec<RegisteredAgent>,
    brought_back: Option<Kind>,
) -> Result<Vec<HeldBack>, Error> {
    let dead = admin::dead(client).await.map_err(query("look for dead jobs"))?;
    let mut held_back = Vec::new();
    agents.retain(|built| {
        let prefix = built.agent.prefix.as_str();
        match dead.get(prefix) {
            Some((job, kind)) if brought_back != Some(*kind) => {
                let prefix = prefix.to_owned();
                held_back.push(HeldBack { prefix, job: *job, kind: *kind });
                false
            }
            Some(_) | None => true,
        }
    });
    Ok(held_back)
}
