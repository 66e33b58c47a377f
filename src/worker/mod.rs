//! The worker: claims jobs, does them, and settles them; the sweep that finds what nobody reported; and verify.

mod attempt;
mod budget;
mod claim_loop;
mod compare_agents;
mod deletion_limit;
mod dispatch;
mod hang_detection;
mod interruption;
mod limits;
mod poll;
mod purge;
mod reconcile;
mod rollouts;
mod upgrade_runner;
mod verify;
mod verify_loop;
mod wakeup;

pub(crate) use budget::Budget;
pub(crate) use claim_loop::Worker;
pub(crate) use compare_agents::{Drifted, Error as CompareError, Pace, compare, differing};
pub(crate) use dispatch::Dispatcher;
pub(crate) use limits::Limits;
pub(crate) use reconcile::Reconcile;
pub(crate) use rollouts::{RolloutLoop, RolloutSignal};
pub(crate) use upgrade_runner::UpgradeRunner;
pub(crate) use verify::{Scope, Verified, verify};
pub(crate) use verify_loop::VerifyLoop;
pub(crate) use wakeup::WakeupSignal;
