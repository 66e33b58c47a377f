//! The queue: what is to be done, by whom, when again, and what came of it.

mod aside;
mod attempt;
mod brake;
pub(crate) mod desk;
mod job;
mod limits;
pub(crate) mod lock_holder;
mod look;
mod purge;
mod queue;
mod reconcile;
mod silence;
mod trouble;
mod wake;
mod work;
mod worker;

/// From here on the foreign key to `agents` makes itself felt; beyond 2,000 agents it fails for good.
pub const MANY_AGENTS: i64 = 500;

pub use aside::Aside;
pub use limits::Limits;
pub use reconcile::Reconcile;
pub use wake::Wake;
pub use worker::Worker;
