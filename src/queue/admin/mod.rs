//! Every statement on `provisioning.jobs` that an operator's command sends.
//!
//! Nothing here waits for a worker. A job that one is on is skipped and named, so a command never
//! hangs, and the rules of the queue (one order per prefix, one open job per agent and kind) hold
//! whatever an operator asks for.

mod agent_list;
mod agent_view;
mod attempts;
mod enqueue;
mod job_view;
mod progress;
mod prune;
mod replay;
mod rollouts;
mod troubleshooting;

pub(crate) use agent_list::{
    AgentDetail, ListedAgent, agent_details, agent_list, agent_sizes, displaced, last_jobs,
};
pub(crate) use agent_view::{Agent, Displaced, Table, agents, tables};
pub(crate) use attempts::{Attempt, attempts};
pub(crate) use enqueue::{enqueue, repair_as_shown};
pub(crate) use job_view::{
    Blocked, Cause, Filter, JobView, Running, Sort, State, blocked, count, dead, find, ids, list,
};
pub(crate) use progress::{End, Followed, follow, untaken};
pub(crate) use prune::prune;
pub(crate) use replay::{By, JobResult, ReplayError, ResultKind, Target, Was, cancel, replay};
pub(crate) use rollouts::{
    NewRollout, RolloutChange, RolloutState, RolloutView, StartResult, change as change_rollout,
    failures as rollout_failures, has as rollout_has, rollouts, start as start_rollout,
};
pub(crate) use troubleshooting::{WayOut, is_plain, next, own_names};
