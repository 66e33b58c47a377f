//! Everything that would keep `run` from working, each with the way to fix it.

mod absence;
mod accept;
mod accepted;
mod base_schema;
mod citus;
mod connection;
mod console;
mod examine;
mod facts;
mod finding;
mod ids;
mod instances;
mod keys;
mod locks;
mod moves;
mod ownership;
mod public_schema;
mod room;
mod sequences;
mod snapshots;
mod templates;
mod trash;
mod workers;

pub(crate) use accept::{Withdrawn, accept, accept_found, is_open_day, withdraw, withdraw_for};
pub(crate) use accepted::list as accepted;
pub(crate) use examine::examine;
pub(crate) use finding::{Acceptance, Finding, Severity};
