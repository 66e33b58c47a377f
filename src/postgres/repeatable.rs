//! The files that may run again: functions, grants, triggers, row security and policies.

use std::fmt;

use crate::sql_text::checksum;

/// One file of `sql/base`. Applied at the newest schema version only, and again whenever it has changed.
#[derive(Debug)]
pub struct Repeatable {
    /// The file's name without its ending. Files run in the order of their names.
    pub name: &'static str,
    pub(crate) sql: &'static str,
    /// Whether it locks tables. Such files come last, and a repair leaves them out where nothing needs them.
    pub(crate) locks: bool,
}

macro_rules! repeatable {
    ($name:literal, $locks:literal) => {
        Repeatable {
            name: $name,
            sql: include_str!(concat!("../../sql/base/", $name, ".sql")),
            locks: $locks,
        }
    };
}

pub(crate) static REPEATABLES: [Repeatable; 22] = [
    repeatable!("10_users_and_admins", false),
    repeatable!("15_memberships", false),
    repeatable!("20_queue_triggers", false),
    repeatable!("25_agent_tables", false),
    repeatable!("27_displaced_tables", false),
    repeatable!("30_publications", false),
    repeatable!("35_instances", false),
    repeatable!("38_agent_states", false),
    repeatable!("40_api", false),
    repeatable!("45_businesses", false),
    repeatable!("46_conversations", false),
    repeatable!("47_secrets", false),
    repeatable!("48_moves", false),
    repeatable!("50_trash_and_keys", false),
    repeatable!("60_claim", false),
    repeatable!("65_living_agents", false),
    repeatable!("70_agents_lock", false),
    repeatable!("78_queue_writes", false),
    repeatable!("79_rollouts", false),
    repeatable!("80_grants", false),
    repeatable!("90_triggers", true),
    repeatable!("95_row_security", true),
];

/// The way back from all of them.
pub(crate) const DOWN: &str = include_str!("../../sql/base/down.sql");

impl Repeatable {
    /// Whether it says who may call what: it follows whatever makes functions.
    pub(super) fn is_grants(&self) -> bool {
        self.name == "80_grants"
    }

    /// The sha256 of the file, in hex.
    pub(crate) fn checksum(&self) -> String {
        checksum(self.sql)
    }

    /// Its line in the ledger. All of its text is this program's own.
    pub(crate) fn entry(&self) -> String {
        let (name, checksum, program) = (self.name, self.checksum(), env!("CARGO_PKG_VERSION"));
        format!(
            "insert into provisioning.repeatables (name, checksum, program)\n\
             values ('{name}', '{checksum}', '{program}')\n\
             on conflict (name) do update set checksum = excluded.checksum, program = excluded.program,\n\
             \u{20}   applied_at = now(), applied_by = current_user;"
        )
    }
}

impl fmt::Display for Repeatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
