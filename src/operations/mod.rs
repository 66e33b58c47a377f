//! What a person can ask for. An operation prints nothing, knows no HTTP, and returns data.
//!
//! Each takes the [`Instance`](crate::service::Instance) to work on. One that changes agents or jobs takes the [`Actor`], too.

pub(crate) mod activity;
mod actor;
pub(crate) mod adopt;
mod adopt_one;
pub(crate) mod adopt_plan;
pub(crate) mod agents;
pub(crate) mod apps;
pub(crate) mod audit;
pub(crate) mod businesses;
mod compare_agents;
pub(crate) mod convert;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod drift;
mod error;
pub(crate) mod id_range;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod limits;
mod meta_id;
pub(crate) mod migrate;
pub(crate) mod moves;
pub(crate) mod numbers;
pub(crate) mod purge;
mod queued;
pub(crate) mod recent;
pub(crate) mod render;
pub(crate) mod repair;
mod requested_job;
pub(crate) mod restore;
mod restored_keys;
pub(crate) mod rollouts;
pub(crate) mod secrets;
pub(crate) mod shown_jobs;
pub(crate) mod status;
pub(crate) mod trash;
pub(crate) mod types;
pub(crate) mod upgrade;
pub(crate) mod verify;
mod wait;

use crate::worker::Pace;

pub(crate) use actor::Actor;
pub(crate) use error::Error;
pub(crate) use meta_id::MetaId;
pub(crate) use queued::{HeldBack, Queued};
pub(crate) use restored_keys::Left;
pub(crate) use rollouts::{RolloutLimits, RolloutSummary};
pub(crate) use wait::Progress;

/// Of a command at a time: to compare agents, and for what goes on beside it.
pub(crate) const MOST_CONNECTIONS: usize = Pace::MOST_CONNECTIONS + 1;
