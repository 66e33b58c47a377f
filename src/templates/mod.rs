//! Template files: loaded, checked, rendered and run, and what they make.

mod apply;
mod checksums;
mod directives;
mod enum_values;
mod error;
mod expected_schema;
mod exposure;
mod file_text;
mod first_rows;
mod history;
mod lint;
mod load_error;
mod placeholders;
mod refusal;
mod rehearsal;
mod round_trip;
mod scratch;
mod scratch_tables;
mod script;
mod search_path;
mod settings;
mod stray;
mod template;
mod template_set;
mod trial;
mod undeletable;
mod validation;
mod worker_role;

pub(crate) use apply::{
    add_foreign_keys, apply, apply_or_take_back, existing_relations, lock_referenced,
};
pub use checksums::{Changed, changed, record};
pub use error::Error;
pub use expected_schema::ExpectedSchema;
pub use exposure::Public;
pub(crate) use history::state;
pub use load_error::LoadError;
pub(crate) use rehearsal::Renamed;
pub(crate) use scratch::{scratch_id, scratch_prefix};
pub(crate) use scratch_tables::build_scratch_tables;
pub use script::FileLine;
pub(crate) use script::Script;
pub(crate) use search_path::choose_search_paths;
pub use template::Template;
pub use template_set::Templates;
pub(crate) use validation::run as validate;
pub use worker_role::worker_role;
pub(crate) use worker_role::{act_as_oneself, act_as_worker};
