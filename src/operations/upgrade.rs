//! Running the template files that agents lack.

use std::collections::BTreeMap;

use super::actor::Actor;
use super::compare_agents;
use super::error::Error;
use super::queued::{HeldBack, Queued, hold_back, queue};
use super::rollouts::{self, RolloutLimits, Started};
use crate::agent::{Agent, Prefix};
use crate::provisioning::{RegisteredAgent, Stage, versions};
use crate::queue::Work;
use crate::queue::admin::NewRollout;
use crate::service::Instance;
use crate::sql_text::checksum;
use crate::templates::Templates;

#[derive(Debug)]
pub(crate) struct Plan {
    pub version: i32,
    /// That version, and the checksum of its files.
    pub templates: String,
    /// How many agents are at which older version.
    pub versions: BTreeMap<i32, usize>,
    /// Their prefixes, those with the lowest ids first.
    pub prefixes: Vec<Prefix>,
    /// The agent at the lowest version, and the SQL that its upgrade runs.
    pub sample: Option<(Agent, String)>,
    /// Agents that were left out.
    pub held_back: Vec<HeldBack>,
    agents: Vec<i64>,
}

impl Plan {
    /// Stands for the templates and the agents, for whoever confirms them.
    pub(crate) fn fingerprint(&self) -> String {
        checksum(&format!("{} {:?}", self.templates, self.agents))
    }
}

/// Which of these agents, or of all, are behind the templates. What no worker would start with is refused.
pub(crate) async fn plan(instance: &Instance, prefixes: &[Prefix]) -> Result<Plan, Error> {
    let expected_schema = instance.expected_schema().await?;
    let templates = expected_schema.templates();
    let version = templates.version();
    let mut behind = compare_agents::select(&instance.db, prefixes).await?;
    behind.retain(|built| built.version < version);
    behind.sort_by_key(|built| built.agent.id.0);
    let held_back = hold_back(&*instance.current().await?, &mut behind, None).await?;
    let sample = behind.iter().min_by_key(|built| built.version);
    Ok(Plan {
        version,
        templates: templates.named(),
        versions: versions(behind.iter().map(|built| built.version)),
        prefixes: behind.iter().map(|built| built.agent.prefix.clone()).collect(),
        sample: sample.map(|sample| (sample.agent.clone(), script(templates, sample))),
        held_back,
        agents: behind.iter().map(|built| built.agent.id.0).collect(),
    })
}

/// Queues all upgrades at once. Refused for agents that a rollout is still to come to.
pub(crate) async fn request(
    actor: &Actor,
    instance: &Instance,
    plan: &Plan,
) -> Result<Queued, Error> {
    let client = instance.current().await?;
    rollouts::require_none(&client, &plan.agents).await?;
    drop(client);
    queue(actor, instance, Work::Upgrade { to: Some(plan.version) }, &plan.agents).await
}

/// Starts a rollout within these limits, which the service goes on with. Where one that does the same is under way,
/// that one is it.
pub(crate) async fn start(
    actor: &Actor,
    instance: &Instance,
    plan: &Plan,
    limits: RolloutLimits,
    reason: Option<&str>,
) -> Result<Started, Error> {
    let client = actor.client(instance).await?;
    let new = NewRollout {
        agents: &plan.agents,
        version: plan.version,
        templates: &plan.templates,
        canaries: limits.canaries,
        max_failures: limits.max_failures,
        at_a_time: limits.at_a_time,
        reason,
        who: actor.name(),
    };
    rollouts::start(&client, &new).await
}

fn script(templates: &Templates, sample: &RegisteredAgent) -> String {
    let (mut script, mut version) = (String::new(), sample.version);
    while let Some(stage) = Stage::next(templates, version, templates.version()) {
        script.push_str(&stage.script(&sample.agent));
        version = stage.to();
    }
    script
}
