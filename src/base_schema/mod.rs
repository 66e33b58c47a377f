//! The base schema as data: what this program makes of it, what is there, and how the two are brought together.
//!
//! `sql/base/facts.jsonl` says what a database has that was migrated by this program. A test reads such a database and
//! compares. What is read comes from catalogs only, so every role sees the same.

mod by_hand;
mod compare;
mod difference;
mod error;
mod facts;
mod names;
mod repair;

pub use compare::verify;
pub use difference::{BaseDifference, NOT_COMPARED};
pub use error::Error;
pub(crate) use facts::api_functions;
pub use facts::{FACTS, read_as_text};
pub use repair::{Baseline, Repaired, baseline, repair};
