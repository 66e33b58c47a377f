//! One thing that makes up an agent, as the catalog has it, and the SQL that makes or replaces it.

use std::fmt;

/// What an object is, in the order in which objects come into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An enum.
    Type,
    /// Of a serial column.
    Sequence,
    /// Its persistence and storage parameters; all else is an object of its own.
    Table,
    /// Type, collation, generation, nullability.
    Column,
    /// A column's.
    Default,
    /// Primary key, unique, exclusion, check or foreign key.
    Constraint,
    /// One that stands by itself, not one behind a constraint.
    Index,
    /// Whether it is enabled, or even forced.
    RowSecurity,
    /// Roles, command and both expressions.
    Policy,
    /// What one role may do.
    Grant,
    /// And whether it fires.
    Trigger,
    /// Membership in one.
    Publication,
    /// A table's.
    Owner,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// What it is or belongs to, qualified and quoted.
    pub relation: String,
    /// Its name there, quoted: of a column, a policy, a grantee…
    pub part: String,
    /// In the server's own words.
    pub definition: String,
    /// In its words after it was made anew from the definition, where those are others.
    pub(super) echo: Option<String>,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Type,
        Self::Sequence,
        Self::Table,
        Self::Column,
        Self::Default,
        Self::Constraint,
        Self::Index,
        Self::RowSecurity,
        Self::Policy,
        Self::Grant,
        Self::Trigger,
        Self::Publication,
        Self::Owner,
    ];

    /// As `sql/queries/catalog.sql` calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::Column => "column",
            Self::Default => "default",
            Self::Constraint => "constraint",
            Self::Index => "index",
            Self::RowSecurity => "row security",
            Self::Policy => "policy",
            Self::Grant => "grant",
            Self::Trigger => "trigger",
            Self::Publication => "publication",
            Self::Owner => "owner",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Object {
    /// The same with every text changed in the same way.
    pub(super) fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self {
            kind: self.kind,
            relation: change(&self.relation),
            part: change(&self.part),
            definition: change(&self.definition),
            echo: self.echo.as_deref().map(change),
        }
    }

    /// Whether a definition found in the catalog is this one.
    pub(super) fn is(&self, found: &str) -> bool {
        self.definition == found || self.echo.as_deref() == Some(found)
    }

    /// What orders the making: kinds in turn, and foreign keys after the keys they refer to.
    pub(super) fn rank(&self) -> (Kind, bool) {
        (self.kind, self.definition.starts_with("FOREIGN KEY"))
    }

    /// Whether it cannot be there where that one is not.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        let Self { kind, relation, part, .. } = self;
        if other.kind == Kind::Table {
            let own_sequence = || part.starts_with(&format!("{}.", other.relation));
            (*kind != Kind::Table && *relation == other.relation)
                || (*kind == Kind::Sequence && own_sequence())
        } else if other.kind == Kind::Sequence {
            self.needs(other)
        } else {
            other.kind == Kind::Column
                && *kind == Kind::Default
                && *relation == other.relation
                && *part == other.part
        }
    }

    /// Whether it uses a sequence, or is a grant on it.
    pub(super) fn needs(&self, sequence: &Self) -> bool {
        match self.kind {
            Kind::Default => self.definition.contains(&format!("'{}'", sequence.relation)),
            Kind::Grant => self.relation == format!("sequence {}", sequence.relation),
            Kind::Type
            | Kind::Sequence
            | Kind::Table
            | Kind::Column
            | Kind::Constraint
            | Kind::Index
            | Kind::RowSecurity
            | Kind::Policy
            | Kind::Trigger
            | Kind::Publication
            | Kind::Owner => false,
        }
    }

    /// Whether it is the column that a sequence belongs to.
    pub(super) fn is_filled_by(&self, sequence: &Self) -> bool {
        self.kind == Kind::Column && format!("{}.{}", self.relation, self.part) == sequence.part
    }

    /// Brings it into being.
    pub(super) fn create(&self) -> String {
        let Self { kind, relation, part, definition, .. } = self;
        match kind {
            Kind::Type => format!("create type {relation} as {definition}"),
            Kind::Sequence => format!("create sequence {relation} {definition}"),
            Kind::Table => {
                let rest = definition.strip_prefix("logged").map_or_else(
                    || format!("unlogged table {relation} ()"),
                    |storage| format!("table {relation} (){storage}"),
                );
                format!("create {rest}")
            }
            Kind::Column => format!("alter table {relation} add column {part} {definition}"),
            Kind::Default => {
                format!("alter table {relation} alter column {part} set default {definition}")
            }
            Kind::Constraint => {
                format!("alter table {relation} add constraint {part} {definition}")
            }
            Kind::Index | Kind::Trigger => definition.clone(),
            Kind::RowSecurity => {
                let force = if definition == "forced" { "force" } else { "no force" };
                format!(
                    "alter table {relation} enable row level security, {force} row level security"
                )
            }
            Kind::Policy => format!("create policy {part} on {relation} {definition}"),
            Kind::Grant => {
                const OPTION: &str = " with grant option";
                let (with, without): (Vec<_>, Vec<_>) =
                    definition.split(", ").partition(|privilege| privilege.ends_with(OPTION));
                let grant = |privileges: Vec<&str>, option: &str| {
                    let list = privileges.join(", ").replace(OPTION, "");
                    format!("grant {list} on {relation} to {part}{option}")
                };
                match (without.is_empty(), with.is_empty()) {
                    (_, true) => grant(without, ""),
                    (true, _) => grant(with, OPTION),
                    _ => grant(without, "") + ";\n" + &grant(with, OPTION),
                }
            }
            Kind::Publication => {
                let literal = |text: &str| text.replace('\'', "''");
                let (relation, part) = (literal(relation), literal(part));
                format!("select provisioning.publish('{relation}', '{part}')")
            }
            Kind::Owner => format!("alter table {relation} owner to {definition}"),
        }
    }

    /// Takes it away, where that loses no row and can be made good from the templates.
    pub(super) fn drop(&self) -> Option<String> {
        let Self { kind, relation, part, .. } = self;
        match kind {
            Kind::Index => Some(format!("drop index {part}")),
            Kind::Policy => Some(format!("drop policy {part} on {relation}")),
            Kind::Trigger => Some(format!("drop trigger {part} on {relation}")),
            Kind::Grant => Some(format!("revoke all on {relation} from {part}")),
            Kind::Type
            | Kind::Sequence
            | Kind::Table
            | Kind::Column
            | Kind::Default
            | Kind::Constraint
            | Kind::RowSecurity
            | Kind::Publication
            | Kind::Owner => None,
        }
    }
}

/// As a person would name it.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, relation, part, .. } = self;
        match kind {
            Kind::Column | Kind::Default => write!(f, "{relation}.{part}"),
            Kind::Index => f.write_str(part),
            Kind::Constraint | Kind::Policy | Kind::Trigger => write!(f, "{part} on {relation}"),
            Kind::Grant => write!(f, "{relation} to {part}"),
            Kind::Publication => write!(f, "{relation} in {part}"),
            Kind::Type | Kind::Sequence | Kind::Table | Kind::RowSecurity | Kind::Owner => {
                f.write_str(relation)
            }
        }
    }
}
