//! What is done to one agent: its tables are built, changed, compared, deleted and restored.
//!
//! Everything works inside a transaction that the caller opened; what is recorded of comparisons needs none.

mod adopt;
mod adopt_others;
mod agent_row;
mod build;
mod build_spec;
mod compare;
mod concurrent;
mod delete;
mod error;
mod fingerprint;
pub(crate) mod moving;
mod outside_keys;
mod reference_mode;
mod registered_objects;
mod registry;
mod remake;
mod repair;
mod restore;
mod trash;
mod unmanaged;
mod upgrade;
mod way_out;

pub(crate) use adopt::{Candidate, Relation, Taken, candidates, take};
pub(crate) use adopt_others::{OtherRelation, Others, others};
pub(crate) use build::build;
pub(crate) use build_spec::BuildSpec;
pub(crate) use compare::drift;
pub(crate) use concurrent::run_concurrently;
pub(crate) use delete::{Deletion, delete};
pub(crate) use error::Error;
pub(crate) use fingerprint::{Fingerprints, FoundDrift, NewDrift, Subject, behind, filled, seed};
pub(crate) use outside_keys::{KeyOff, keys_off};
pub(crate) use reference_mode::{check_keys, convert};
pub(crate) use registry::{RegisteredAgent, versions};
pub(crate) use repair::{plan as plan_repair, repair};
pub(crate) use restore::{Restored, Trashed, restore, restore_job};
pub(crate) use trash::{purge, service_clock};
pub(crate) use upgrade::{Stage, require_own, upgrade};
pub(crate) use way_out::way_out;
