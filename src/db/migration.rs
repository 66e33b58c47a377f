//! The steps of the schema, in order.

use std::fmt;

use crate::checksum::checksum;

/// One step of the schema: `sql/migrations/NNNN_name.sql`, and the way back.
#[derive(Debug)]
pub struct Migration {
    /// From 1, without gaps.
    pub version: i32,
    /// The file's name without number and ending.
    pub description: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
    /// The tables whose rows the way back would lose.
    pub(super) holds: &'static [&'static str],
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

pub(super) static MIGRATIONS: [Migration; 12] = [
    migration!(
        1,
        "0001_base",
        "base",
        &["public.users", "public.agents", "public.whatsapp_configuration"]
    ),
    migration!(2, "0002_jobs", "jobs", &["provisioning.jobs", "provisioning.agents"]),
    migration!(3, "0003_agent_support", "agent support", &[]),
    migration!(4, "0004_api", "api", &[]),
    migration!(5, "0005_fleet", "fleet", &[]),
    migration!(6, "0006_templates", "templates", &[]),
    migration!(7, "0007_trash", "trash", &["provisioning.trash"]),
    migration!(8, "0008_queue", "queue", &[]),
    migration!(9, "0009_living_agents", "living agents", &[]),
    migration!(10, "0010_agents_lock", "agents lock", &[]),
    migration!(11, "0011_instances", "instances", &[]),
    migration!(12, "0012_queue_writes", "queue writes", &[]),
];

impl Migration {
    /// The sha256 of the file, in hex.
    pub(super) fn checksum(&self) -> String {
        checksum(self.up)
    }

    /// Its line in the ledger. All of its text is this program's own.
    pub(super) fn entry(&self) -> String {
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
