//! The steps of the schema, in order.

use std::fmt;

use crate::sql_text::checksum;

/// One step of the schema: `sql/migrations/NNNN_name.sql`, and the way back.
#[derive(Debug)]
pub struct Migration {
    /// From 1, without gaps.
    pub version: i32,
    /// The file's name without number and ending.
    pub description: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
    /// The tables whose rows the way back would lose.
    pub(crate) holds: &'static [&'static str],
}

macro_rules! migration {
    ($version:literal, $name:literal, $description:literal, $holds:expr) => {
        Migration {
            version: $version,
            description: $description,
            up: include_str!(concat!("../../sql/migrations/", $name, ".sql")),
            down: include_str!(concat!("../../sql/migrations/", $name, ".down.sql")),
            holds: $holds,
        }
    };
}

pub(crate) static MIGRATIONS: [Migration; 11] = [
    migration!(
        1,
        "0001_crm_tables",
        "crm tables",
        &["public.users", "public.agents", "public.whatsapp_configuration"]
    ),
    migration!(2, "0002_queue", "queue", &["provisioning.jobs"]),
    // 0003_registry.down.sql refuses by itself, with --yes too.
    migration!(3, "0003_registry", "registry", &[]),
    migration!(4, "0004_templates", "templates", &[]),
    migration!(5, "0005_trash", "trash", &["provisioning.trash"]),
    migration!(6, "0006_lock_pace", "lock pace", &[]),
    migration!(7, "0007_instances", "instances", &[]),
    // The next two .down.sql refuse by themselves, unless they are told.
    migration!(8, "0008_businesses", "businesses", &[]),
    migration!(9, "0009_secrets", "secrets", &[]),
    migration!(10, "0010_rollouts", "rollouts", &["provisioning.rollouts"]),
    migration!(11, "0011_agent_states", "agent states", &[]),
];

impl Migration {
    /// The sha256 of the file, in hex.
    pub(crate) fn checksum(&self) -> String {
        checksum(self.up)
    }

    /// Its line in the ledger. All of its text is this program's own.
    pub(crate) fn entry(&self) -> String {
        let Self { version, description, .. } = self;
        let checksum = self.checksum();
        format!(
            "insert into provisioning.migrations (version, description, checksum)\n\
             values ({version}, '{description}', '{checksum}');"
        )
    }
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04} {}", self.version, self.description)
    }
}
