//! The queue: `provisioning.jobs`, how jobs get into it, are claimed, and are settled.

pub(crate) mod admin;
mod claim;
mod error_code;
mod failure;
mod job;
mod kind;
mod lock_holder;
mod outcome;
mod retry_policy;
mod rollouts;
mod settle;

pub(crate) use claim::{ClaimFilter, claim, next_due};
pub(crate) use error_code::{ErrorCode, ErrorParts};
pub(crate) use failure::Failure;
pub(crate) use job::{Job, PrefixOwner};
pub(crate) use kind::{Kind, Work};
pub(crate) use lock_holder::{LockHolder, distinct, lock_holders, visible_lock_holders};
pub(crate) use outcome::Outcome;
pub(crate) use retry_policy::{RetryPolicy, Wait, policy_of, retry_policy};
pub(crate) use rollouts::{Advance, advance as advance_rollouts};
pub(crate) use settle::{cancel_earlier, fail, succeed};
