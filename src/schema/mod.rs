//! A database schema as data: facts read from the catalog, differences between two sets of them, and the SQL that ends
//! the differences.

mod agents_key;
mod by_hand;
mod catalog;
mod difference;
mod equivalents;
mod error;
mod fact;
mod first_rows;
mod heirs;
mod history;
mod kind;
mod renamed_columns;
mod renamed_sequences;
mod repair_plan;
mod rules;
mod sql;

pub(crate) use agents_key::{AgentsKey, rewrite};
pub(crate) use catalog::{by_index, read, read_fact, read_of};
pub(crate) use difference::{Change, Difference, headlines};
pub(crate) use difference::{add_removed, compare};
pub(crate) use equivalents::{
    is_foreign_key, is_unchecked, lacks_not_null, leave_out_checked_children, stand_in,
    take_from_new, unchecked,
};
pub(crate) use error::Error;
pub(crate) use fact::{Fact, Key, NOT_VALID};
pub(crate) use first_rows::FirstRows;
pub(crate) use heirs::{comes_by_parents, inherited_column, is_check_of_child, is_own_for_good};
pub(crate) use history::{
    Home, Recorded, Remake, is_definition, missing_homes, pass_over_changed_by_code,
};
pub(crate) use kind::Kind;
pub(crate) use renamed_columns::tell_renamed_columns;
pub(crate) use renamed_sequences::take_back as take_sequence_names_back;
pub(crate) use repair_plan::{Keys, RepairPlan, Step, plan_repair};
pub(crate) use repair_plan::{column as make_column, table as make_table};
pub(crate) use repair_plan::{refers_to, refers_to_agents};
pub(crate) use sql::constraint_of_child as check_of_child;
pub(crate) use sql::{alter_sequence, bare, enable_constraint_triggers, sequence_options};
