//! The kinds of jobs: one list.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use tokio_postgres::types::{FromSql, Type};

use crate::agent::Reference;

/// A kind of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gives an agent its tables.
    Provision,
    /// Takes them away.
    Deprovision,
    /// Runs the template files that the agent lacks.
    Upgrade,
    /// Brings the agent back to what the templates make.
    Repair,
    /// Ties the agent to `agents` in another way.
    Convert,
    /// Brings a deleted agent back from the trash.
    Restore,
}

/// What holds for a kind wherever it is dealt with.
struct Traits {
    /// In `provisioning.jobs.kind`, on the command line, and as a label of metrics.
    name: &'static str,
    /// Parts of the work may need a connection beside the one of the job's transaction. Without a free slot for it the
    /// job is not claimed.
    beside_transaction: bool,
    /// The work compares the agent with the templates: all files that the agent was built from must be there.
    compares: bool,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 6] = [
        Self::Provision,
        Self::Deprovision,
        Self::Upgrade,
        Self::Repair,
        Self::Convert,
        Self::Restore,
    ];

    /// The table.
    const fn traits(self) -> Traits {
        let (name, beside_transaction, compares) = match self {
            Self::Provision => ("provision", false, false),
            Self::Deprovision => ("deprovision", false, false),
            Self::Upgrade => ("upgrade", true, false),
            Self::Repair => ("repair", false, true),
            Self::Convert => ("convert", false, true),
            Self::Restore => ("restore", false, false),
        };
        Traits { name, beside_transaction, compares }
    }

    /// The name in `provisioning.jobs`, on the command line and in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        self.traits().name
    }

    /// Whether a job is claimed only where a connection beside its transaction can be had.
    pub(crate) const fn works_beside_transaction(self) -> bool {
        self.traits().beside_transaction
    }

    /// Whether the work needs all template files that the agent was built from.
    pub(crate) const fn compares(self) -> bool {
        self.traits().compares
    }

    /// The names of all kinds.
    pub(crate) fn names() -> [&'static str; 6] {
        Self::ALL.map(Self::as_str)
    }

    /// `None`: no kind bears the name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::names() })
    }
}

impl<'a> FromSql<'a> for Kind {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let name = <&str>::from_sql(kind, raw)?;
        Self::parse(name).ok_or_else(|| format!("no kind of job is called {name:?}").into())
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TEXT
    }
}

/// What a job is to do: its kind, and what the kind alone does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Provision,
    Deprovision {
        /// The first part is done: the deletion has passed the limits and has taken foreign keys off.
        keys_removed: bool,
    },
    Upgrade {
        /// Up to this version; `None`: up to the worker's newest.
        to: Option<i32>,
    },
    Repair {
        /// Also what differs, not only what is missing.
        force: bool,
    },
    Convert {
        to: Reference,
    },
    /// The job knows which item of the trash.
    Restore,
}

impl Work {
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Provision => Kind::Provision,
            Self::Deprovision { .. } => Kind::Deprovision,
            Self::Upgrade { .. } => Kind::Upgrade,
            Self::Repair { .. } => Kind::Repair,
            Self::Convert { .. } => Kind::Convert,
            Self::Restore => Kind::Restore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("of_a_newer_program"), None);
    }
}
