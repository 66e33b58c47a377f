//! Bringing agents back to what the templates make.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::actor::Actor;
use super::compare_agents;
use super::error::Error;
use super::queued::{HeldBack, Queued, hold_back, queue_confirmed};
use super::verify::DifferenceReport;
use super::wait::{self, Progress};
use crate::agent::Prefix;
use crate::postgres::{self, query};
use crate::provisioning::{self, RegisteredAgent};
use crate::queue::admin::{self, Followed};
use crate::queue::{Kind, Work};
use crate::schema::{Difference, headlines, is_foreign_key, missing_homes};
use crate::service::Instance;
use crate::templates::worker_role;
use crate::worker::Drifted;

/// What a repair of one agent would run.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Plan {
    pub prefix: String,
    pub id: i64,
    /// Of the statements, for whoever confirms them.
    pub checksum: String,
    /// The role that owns its tables, quoted.
    pub role: String,
    /// In this order, each without its semicolon.
    pub statements: Vec<String>,
    /// Whether the repair then looks again: it checks keys that are made `NOT VALID`, and takes from tables that are made again
    /// what the templates do not give them. These statements depend on what it finds.
    pub looks_again: bool,
    /// What no repair takes away.
    pub left: Vec<DifferenceReport>,
}

/// What came of a request to repair.
#[derive(Debug)]
pub(crate) struct Requested {
    /// The jobs; `None`: nothing differs.
    pub queued: Option<Queued>,
    /// Agents that were left out.
    pub held_back: Vec<HeldBack>,
    /// The agents that differ.
    pub prefixes: Vec<Prefix>,
}

/// What repairs of these agents, or of all, would run. Nothing is changed.
pub(crate) async fn plan(
    instance: &Instance,
    prefixes: &[Prefix],
    force: bool,
) -> Result<Vec<Plan>, Error> {
    let drifted = differing(instance, prefixes).await?;
    let expected_schema = instance.expected_schema().await?;
    let mut client = instance.db.get().await?;
    let role = worker_role(&client).await?;
    let failed = |source| query("look at what a repair would run")(source);
    let tx = postgres::begin(&mut client).await.map_err(failed)?;
    let mut plans = Vec::with_capacity(drifted.len());
    for Drifted { built, drift } in drifted {
        let RegisteredAgent { agent, version, .. } = built;
        let (client, role) = (tx.client(), role.clone());
        let repair =
            provisioning::plan_repair(client, &expected_schema, &agent, version, &drift, force);
        let repair = repair.await?;
        let left = repair.left.iter().map(with_way_out).collect();
        let (prefix, id) = (agent.prefix.to_string(), agent.id.0);
        let (statements, checksum) = (repair.script(), repair.checksum());
        let is_key = |drift: &Difference| is_foreign_key(&drift.object);
        let looks_again = drift.iter().any(is_key) || !missing_homes(&drift).is_empty();
        plans.push(Plan { prefix, id, checksum, role, statements, looks_again, left });
    }
    tx.rollback().await.map_err(failed)?;
    Ok(plans)
}

/// Queues a repair for each of these agents, or of all, that differs. Where plans are confirmed by their checksums, it is
/// refused unless what each would run now is one of them, and the repairs run nothing else.
pub(crate) async fn request(
    actor: &Actor,
    instance: &Instance,
    prefixes: &[Prefix],
    force: bool,
    confirmed: &[String],
) -> Result<Requested, Error> {
    let plans = match confirmed {
        [] => None,
        confirmed => Some(require_confirmed(instance, prefixes, force, confirmed).await?),
    };
    let drifted = differing(instance, prefixes).await?;
    let mut agents: Vec<_> = drifted.into_iter().map(|drifted| drifted.built).collect();
    if let Some(plans) = &plans
        && let Some(other) = agents.iter().find(|built| !plans.contains_key(&built.agent.id.0))
    {
        return Err(Error::PlanChanged(other.agent.prefix.to_string()));
    }
    if agents.is_empty() {
        return Ok(Requested { queued: None, held_back: Vec::new(), prefixes: Vec::new() });
    }
    let prefixes = agents.iter().map(|built| built.agent.prefix.clone()).collect();
    let client = instance.current().await?;
    let held_back = hold_back(&client, &mut agents, Some(Kind::Repair)).await?;
    let ids: Vec<i64> = agents.iter().map(|built| built.agent.id.0).collect();
    let plans: Option<Vec<String>> =
        plans.map(|plans| ids.iter().filter_map(|id| plans.get(id).cloned()).collect());
    let work = Work::Repair { force };
    let queued = queue_confirmed(actor, instance, work, &ids, plans.as_deref()).await?;
    Ok(Requested { queued: Some(queued), held_back, prefixes })
}

/// Queues repairs of these agents as they were shown: nothing else runs, and none is queued unless `planner` would run the
/// same now. `instance` asks for them, which may have other rights. The jobs, and the agents that were left out.
pub(crate) async fn request_shown(
    actor: &Actor,
    (planner, instance): (&Instance, &Instance),
    prefixes: &[Prefix],
    shown: &[String],
    reason: &str,
) -> Result<(Vec<i64>, Vec<HeldBack>), Error> {
    let plans = require_confirmed(planner, prefixes, false, shown).await?;
    let mut agents = compare_agents::select(&planner.db, prefixes).await?;
    agents.retain(|built| plans.contains_key(&built.agent.id.0));
    let client = actor.client(instance).await?;
    let held_back = hold_back(&client, &mut agents, Some(Kind::Repair)).await?;
    let ids: Vec<i64> = agents.iter().map(|built| built.agent.id.0).collect();
    let plans: Vec<&str> = ids.iter().filter_map(|id| plans.get(id).map(String::as_str)).collect();
    let jobs = admin::repair_as_shown(&client, &ids, &plans, reason, actor.name()).await;
    Ok((jobs.map_err(query("queue the repairs"))?, held_back))
}

/// The checksums of what repairs would run now, by agent, where each of them is confirmed.
async fn require_confirmed(
    instance: &Instance,
    prefixes: &[Prefix],
    force: bool,
    confirmed: &[String],
) -> Result<HashMap<i64, String>, Error> {
    let plans = plan(instance, prefixes, force).await?;
    match plans.iter().find(|plan| !confirmed.contains(&plan.checksum)) {
        Some(changed) => Err(Error::PlanChanged(changed.prefix.clone())),
        None => Ok(plans.into_iter().map(|plan| (plan.id, plan.checksum)).collect()),
    }
}

/// An agent that differs after a repair.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Left {
    pub prefix: String,
    /// In what, and what a person can do about it.
    pub differences: Vec<DifferenceReport>,
}

/// Follows repairs to their ends; and the agents that still differ then.
pub(crate) async fn follow(
    instance: &Instance,
    jobs: &[i64],
    prefixes: &[Prefix],
    tell: impl FnMut(Progress),
) -> Result<(Vec<Followed>, Vec<Left>), Error> {
    let ended = wait::until_ended(instance, jobs, tell).await?;
    let left = differing(instance, prefixes).await?;
    let left = left.into_iter().map(|Drifted { built, drift }| Left {
        prefix: built.agent.prefix.to_string(),
        differences: headlines(&drift).into_iter().map(with_way_out).collect(),
    });
    Ok((ended, left.collect()))
}

/// With what a person can do about it.
fn with_way_out(difference: &Difference) -> DifferenceReport {
    DifferenceReport { by_hand: difference.by_hand(), ..DifferenceReport::of(difference) }
}

async fn differing(instance: &Instance, prefixes: &[Prefix]) -> Result<Vec<Drifted>, Error> {
    let expected_schema = instance.expected_schema().await?;
    let found = compare_agents::verify(&instance.db, &expected_schema, prefixes, false).await?;
    Ok(found.drifted)
}
