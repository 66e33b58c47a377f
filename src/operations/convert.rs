//! Changing what ties agents' customers to `agents`.

use super::actor::Actor;
use super::compare_agents;
use super::error::Error;
use super::queued::{HeldBack, Queued, hold_back, queue};
use super::rollouts::RolloutSummary;
use super::wait::{self, Progress};
use crate::agent::{Prefix, Reference};
use crate::queue::Work;
use crate::service::Instance;

#[derive(Debug)]
pub(crate) struct Plan {
    /// What is to tie them.
    pub to: Reference,
    pub prefixes: Vec<Prefix>,
    /// Agents that were left out.
    pub held_back: Vec<HeldBack>,
    agents: Vec<i64>,
}

/// Which of these agents, or of all, are tied in another way.
pub(crate) async fn plan(
    instance: &Instance,
    prefixes: &[Prefix],
    to: Reference,
) -> Result<Plan, Error> {
    if to == Reference::ForeignKey && !instance.templates()?.has_foreign_key() {
        return Err(Error::NoForeignKey);
    }
    let client = instance.current().await?;
    let mut agents = compare_agents::select(&instance.db, prefixes).await?;
    agents.retain(|built| built.reference != to);
    let held_back = hold_back(&client, &mut agents, None).await?;
    Ok(Plan {
        to,
        prefixes: agents.iter().map(|built| built.agent.prefix.clone()).collect(),
        held_back,
        agents: agents.iter().map(|built| built.agent.id.0).collect(),
    })
}

/// Queues all conversions at once.
pub(crate) async fn request(
    actor: &Actor,
    instance: &Instance,
    plan: &Plan,
) -> Result<Queued, Error> {
    queue(actor, instance, Work::Convert { to: plan.to }, &plan.agents).await
}

/// Queues all conversions, and follows them to their ends.
pub(crate) async fn follow(
    actor: &Actor,
    instance: &Instance,
    plan: &Plan,
    tell: impl FnMut(Progress),
) -> Result<RolloutSummary, Error> {
    let queued = request(actor, instance, plan).await?;
    Ok(RolloutSummary::of(wait::until_ended(instance, &queued.jobs, tell).await?))
}
