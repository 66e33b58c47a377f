//! The queue: what is to be done, by whom, when again, and what came of it.

mod queue;
mod reconcile;
mod wake;
mod worker;

pub use reconcile::Reconcile;
pub use wake::Wake;
pub use worker::{Limits, Worker};
