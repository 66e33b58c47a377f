//! Making good what went missing from an agent's tables, in a transaction that the caller opened.

use std::collections::HashSet;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::build_spec::BuildSpec;
use super::error::Error;
use super::fingerprint::record_drift;
use super::registry::{self, RegisteredAgent};
use super::remake::{Known, refusal, remake, remake_all};
use super::{compare, outside_keys};
use crate::agent::{Agent, Prefix};
use crate::postgres::{lock, query, require_turn};
use crate::queue::{Outcome, PrefixOwner};
use crate::schema::{
    Change, Difference, Fact, Keys, Kind, RepairPlan, Step, headlines, is_unchecked, missing_homes,
    plan_repair, refers_to, take_from_new,
};
use crate::telemetry::RedactedErrorReport;
use crate::templates::{ExpectedSchema, Script, act_as_oneself, act_as_worker, existing_relations};

/// Brings an agent back to what its template version makes, see [`plan_repair`], and gives it back the foreign keys that a
/// deletion has taken off. No row is lost. What the server refuses fails alone: all else is mended. What is left is logged,
/// and makes this `Drifted`. An agent without tables is left to its provision.
///
/// A foreign key to a table that all agents share is made without a check of the rows, for the table is locked until
/// the commit. That is `MoreToDo`, and the next call checks them. So is a table that has its name back, or
/// was made again and still differs, and one whose policies waited for a constraint that is right by now.
///
/// `confirmed`: the checksum of the only statements that may run.
pub(crate) async fn repair(
    client: &Client,
    build_spec: &BuildSpec,
    agent: &Agent,
    registered: PrefixOwner,
    force: bool,
    confirmed: Option<&str>,
) -> Result<Outcome, Error> {
    if registered != PrefixOwner::This {
        return Ok(Outcome::Superseded);
    }
    let (built, drift) = look(client, build_spec, agent).await?;
    if drift.is_empty() {
        outside_keys::forget(client, agent.id).await?;
        record_drift(client, agent, &[]).await?;
        return Ok(Outcome::Unchanged);
    }
    let known = unchecked(&agent.prefix, &drift);
    let new: HashSet<String> = missing_homes(&drift).into_iter().map(ToOwned::to_owned).collect();
    let tables = missing_tables(&drift);
    let names = build_spec.expected_schema.relations(&agent.prefix, built.version, Some(&tables));
    let in_the_way = existing_relations(client, &names, &tables).await?;
    if !in_the_way.is_empty() {
        return Err(Error::InTheWay(in_the_way));
    }
    let expected_schema = &build_spec.expected_schema;
    let (ran, keys) = mend(client, expected_schema, &built, &drift, force, confirmed).await?;
    let mut mended = ran.any;
    registry::register(client, expected_schema, agent, built.version).await?;
    if let Some(keys) = &keys {
        lock(client, keys.mode, &keys.shared, &keys.own).await?;
        for statement in &keys.statements {
            mended |= run_one(client, statement).await?;
        }
    }
    act_as_oneself(client).await?;
    outside_keys::forget(client, agent.id).await?;
    let (_, left) = look(client, build_spec, agent).await?;
    let missing = missing_homes(&left);
    let made = new.iter().filter(|home| !missing.contains(home.as_str()));
    let made: HashSet<String> = made.cloned().collect();
    let is_new =
        |entry: &&Difference| made.contains(&entry.object.home) || is_by_parent(entry, &drift);
    let surplus: Vec<Difference> = left.iter().filter(is_new).cloned().collect();
    let (trimmed, left) = if surplus.is_empty() {
        (false, left)
    } else {
        trim(client, build_spec, agent, &made, &surplus).await?
    };
    let unfinished = unchecked(&agent.prefix, &left).iter().any(|key| !known.contains(key));
    let away = drift.iter().map(|drift| &drift.object).filter(|it| it.kind == Kind::Name);
    let away = away.map(|it| it.home.as_str());
    let back = is_back(away.chain(new.iter().map(String::as_str)), &left);
    // What refers to a table that was not whole yet has its turn then.
    let back = back || trimmed && !left.is_empty();
    if unfinished || back || ran.may_go_on(&left) || rests_on_replaced(&drift, &left) {
        return Ok(Outcome::MoreToDo);
    }
    tell(agent, &left);
    record_drift(client, agent, &left).await?;
    let mended = mended || trimmed;
    Ok(if left.is_empty() { Outcome::Repaired } else { Outcome::Drifted { mended } })
}

/// Mends all but keys to tables outside, as the worker's role: what came of it, and these keys.
async fn mend(
    client: &Client,
    expected_schema: &ExpectedSchema,
    built: &RegisteredAgent,
    drift: &[Difference],
    force: bool,
    confirmed: Option<&str>,
) -> Result<(Ran, Option<Keys>), Error> {
    let agent = &built.agent;
    let known = Known::read(client, expected_schema, agent, built.version, drift).await?;
    let plan = known.plan(&agent.prefix, drift, force);
    require_confirmed(&plan, confirmed, agent)?;
    if let Some(keys) = &plan.keys {
        require_turn(client, keys.mode).await?;
    }
    act_as_worker(client, Some(agent.id)).await?;
    let mut ran = Ran::default();
    run(client, &plan.doors, &mut ran).await?;
    run(client, &plan.parts, &mut ran).await?;
    let (remade, plan) = match confirmed {
        None => remake(client, built, drift, force, known, plan).await?,
        Some(_) => (remake_all(client, built, &plan).await?, plan),
    };
    run(client, &plan.steps, &mut ran).await?;
    if remade {
        ran.any = true;
        ran.made.extend(plan.remade(drift).map(ToOwned::to_owned));
    }
    // A table of that name which somebody else has made meanwhile has rows of its own.
    for fill in
        plan.rows.iter().filter(|fill| fill.homes.iter().all(|home| ran.made.contains(home)))
    {
        ran.any |= run_one(client, &fill.statements.join(";\n")).await?;
    }
    run(client, &plan.referring, &mut ran).await?;
    Ok((ran, plan.keys))
}

fn require_confirmed(
    plan: &RepairPlan,
    confirmed: Option<&str>,
    agent: &Agent,
) -> Result<(), Error> {
    let checksum = plan.checksum();
    if confirmed.is_none_or(|confirmed| confirmed == checksum) {
        return Ok(());
    }
    Err(Error::PlanChanged(checksum, agent.prefix.clone()))
}

/// Puts right what was just made again: it has what the database grants by default, and what a table that it was made like
/// has got since. Nobody has rows there yet. `surplus`: how it differs. Whether that was anything, and what is left of all.
async fn trim(
    client: &Client,
    build_spec: &BuildSpec,
    agent: &Agent,
    made: &HashSet<String>,
    surplus: &[Difference],
) -> Result<(bool, Vec<Difference>), Error> {
    let plan = plan_repair(&agent.prefix, surplus, true, &[]);
    let mut ran = Ran::default();
    for steps in [&plan.doors, &plan.parts, &plan.steps] {
        run(client, steps, &mut ran).await?;
    }
    let mut any = ran.any;
    let parents = parents_of_standing(client, made).await?;
    // A column of a parent goes from its children, too, and from their rows.
    let is_new = |extra: &&Difference| {
        extra.change == Change::Extra
            && !(extra.object.kind == Kind::Column && parents.contains(&extra.object.relation))
    };
    // What hangs on a column goes before it.
    for extra in plan.left.iter().rev().filter(is_new) {
        if let Some(take) = take_from_new(&extra.object) {
            any |= run_one(client, &take).await?;
        }
    }
    let (_, left) = look(client, build_spec, agent).await?;
    Ok((any, left))
}

/// Whether an index has a statistics target that it did not have before the repair: one of a partition gets its parent's.
fn is_by_parent(entry: &Difference, before: &[Difference]) -> bool {
    let Difference { object, change } = entry;
    object.kind == Kind::IndexStatistics
        && *change == Change::Extra
        && !before.iter().any(|old| old.object.is_same(object))
}

/// Those of the tables just made, qualified and quoted, that have a child or a partition which was there before.
async fn parents_of_standing(
    client: &Client,
    made: &HashSet<String>,
) -> Result<HashSet<String>, Error> {
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    let sql = include_str!("../../sql/provisioning/standing_children.sql");
    let rows = client.query_typed(sql, &[(&made, Type::TEXT_ARRAY)]).await;
    let rows = rows.map_err(query("look for children that stand"))?;
    Ok(rows.iter().map(|row| row.get("name")).collect())
}

/// What [`repair`] does. Needs an open transaction, in which the templates run once more, statement by statement, where
/// something is missing that their own statements make.
pub(crate) async fn plan(
    client: &Client,
    expected_schema: &ExpectedSchema,
    agent: &Agent,
    version: i32,
    drift: &[Difference],
    force: bool,
) -> Result<RepairPlan, Error> {
    let known = Known::read(client, expected_schema, agent, version, drift).await?;
    Ok(known.plan(&agent.prefix, drift, force))
}

fn tell(agent: &Agent, left: &[Difference]) {
    for Difference { object, change } in headlines(left) {
        let (kind, object) = (object.kind.as_str(), object.to_string());
        if let Change::Removed { obstacle, statement, .. } = change {
            tracing::warn!(
                agent.prefix = %agent.prefix, kind, object, obstacle, by_hand = statement,
                "left as it is"
            );
            continue;
        }
        tracing::warn!(agent.prefix = %agent.prefix, kind, object, ?change, "left as it is");
    }
}

/// The agent as it is registered, and how it differs from that.
async fn look(
    client: &Client,
    build_spec: &BuildSpec,
    agent: &Agent,
) -> Result<(RegisteredAgent, Vec<Difference>), Error> {
    let mut built = RegisteredAgent::read(client, Some(&[agent.prefix.as_str()])).await?;
    let drift = compare::drift(client, &build_spec.expected_schema, &built).await?;
    let built = built.pop().ok_or(Error::Swallowed("provisioning.agents"))?;
    Ok((built, drift.into_iter().flatten().collect()))
}

/// Whether one of these tables or types stands again, and still differs. Of one that stood elsewhere nothing else was
/// told; one that was made like another table has what that one had at the moment.
fn is_back<'a>(mut homes: impl Iterator<Item = &'a str>, left: &[Difference]) -> bool {
    let is_away = |drift: &Difference| {
        let Difference { object, change } = drift;
        object.kind == Kind::Name
            || *change == Change::Missing && matches!(object.kind, Kind::Table | Kind::Type)
    };
    homes.any(|home| {
        let mut own = left.iter().filter(|drift| drift.object.home == home).peekable();
        own.peek().is_some() && !own.any(is_away)
    })
}

/// Whether something went with what was made anew, such as its comment, the mark that CLUSTER sorts by an index, or rights on
/// columns with those on their table.
fn rests_on_replaced(drift: &[Difference], left: &[Difference]) -> bool {
    let is_replaced = |old: &Difference, home: &str| {
        let Difference { object, change } = old;
        object.home == home
            && match change {
                Change::Differs { .. } => matches!(
                    object.kind,
                    Kind::Constraint
                        | Kind::Index
                        | Kind::Policy
                        | Kind::Grant
                        | Kind::Trigger
                        | Kind::Rule
                ),
                Change::Extra => object.kind == Kind::Grant,
                Change::Missing | Change::Removed { .. } => false,
            }
    };
    left.iter().any(|new| {
        let object = &new.object;
        matches!(
            object.kind,
            Kind::Cluster
                | Kind::ReplicaIdentity
                | Kind::IndexStatistics
                | Kind::Comment
                | Kind::ColumnGrant
        ) && drift.iter().any(|old| is_replaced(old, &object.home))
            && !drift.iter().any(|old| old.object.is_same(object))
    })
}

/// The foreign keys to tables outside that are there and were not checked.
fn unchecked(prefix: &Prefix, drift: &[Difference]) -> Vec<Fact> {
    let is_outside = |key: &Fact| !refers_to(key, prefix).is_empty();
    let key = |Difference { object, change }: &Difference| match change {
        Change::Differs { found } if is_unchecked(object, found) && is_outside(object) => {
            Some(object.clone())
        }
        Change::Differs { .. } | Change::Missing | Change::Removed { .. } | Change::Extra => None,
    };
    drift.iter().filter_map(key).collect()
}

/// What has become of steps.
#[derive(Debug, Default)]
struct Ran {
    /// Whether any has run.
    any: bool,
    /// The tables that were made.
    made: HashSet<String>,
    /// The tables that lack a constraint, since the server refused it.
    unsure: HashSet<String>,
    /// Those of them whose policies stay as they are.
    waiting: HashSet<String>,
}

impl Ran {
    /// Whether a table's policies waited in vain: a child has its constraint by its parent.
    fn may_go_on(&self, left: &[Difference]) -> bool {
        let is_sure = |home: &String| {
            let own = |d: &Difference| d.object.kind == Kind::Constraint && d.object.home == *home;
            !left.iter().any(own)
        };
        self.waiting.iter().any(is_sure)
    }
}

/// Runs each of these by itself. Policies rest on what the constraints say of the rows: where one cannot be made, the
/// table's policies stay as they are.
async fn run(client: &Client, steps: &[Step], ran: &mut Ran) -> Result<(), Error> {
    for step in steps {
        if step.kind == Kind::Policy && ran.unsure.contains(&step.home) {
            let (table, statement) = (step.home.as_str(), step.to_sql());
            tracing::warn!(table, statement, "a constraint is missing: the table's policies stay");
            ran.waiting.insert(step.home.clone());
            continue;
        }
        let done = run_one(client, &step.to_sql()).await?;
        if !done && step.kind == Kind::Constraint {
            ran.unsure.insert(step.home.clone());
        }
        if done && step.kind == Kind::Table {
            ran.made.insert(step.home.clone());
        }
        ran.any |= done;
    }
    Ok(())
}

/// Whether the server has done it. What it refuses is taken back and logged.
async fn run_one(client: &Client, sql: &str) -> Result<bool, Error> {
    let refused = refusal(client, &Script::of(sql)).await?;
    if let Some(error) = &refused {
        tracing::warn!(error = %RedactedErrorReport(error), "a step of the repair failed");
    }
    Ok(refused.is_none())
}

/// Unqualified, as the registry has them.
fn missing_tables(drift: &[Difference]) -> Vec<String> {
    let missing =
        |drift: &&Difference| drift.object.kind == Kind::Table && drift.change == Change::Missing;
    drift.iter().filter(missing).map(|drift| drift.object.home.clone()).collect()
}
