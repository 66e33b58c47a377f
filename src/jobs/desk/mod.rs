//! The operators' desk: every statement on `provisioning.jobs` that a command sends.
//!
//! Nothing here waits for a worker. A job that one is on is skipped and named, so a command never
//! hangs, and the rules of the queue (one order per prefix, one open job per agent and kind) hold
//! whatever an operator asks for.

mod adopt;
mod advice;
mod ask;
mod entry;
mod follow;
mod prune;
mod request;
mod roster;

pub(crate) use adopt::{Adopted, adopt};
pub(crate) use advice::{Cause, next};
pub(crate) use ask::{BEHIND_NEW_AGENTS, Work, ask};
pub(crate) use entry::{Blocked, Entry, Filter, Running, State, blocked, dead, find, list};
pub(crate) use follow::{End, Followed, follow};
pub(crate) use prune::prune;
pub(crate) use request::{Answer, By, ReplayError, Target, Verdict, cancel, replay};
pub(crate) use roster::{Agent, Table, agents, tables};
