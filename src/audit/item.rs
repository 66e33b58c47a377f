//! What a person calls one object: several facts may be about it.

use crate::schema::{Fact, Kind};

/// What sort of object it is, in the order of the status table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Component {
    Schema,
    Extension,
    Type,
    Sequence,
    Table,
    Column,
    Constraint,
    Index,
    View,
    Function,
    RowSecurity,
    Policy,
    Trigger,
    Rule,
    Grant,
    Publication,
    Comment,
    Owner,
}

/// An object as a person sees it, such as one policy or one column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Item {
    pub(super) component: Component,
    /// Its name, qualified and quoted; of a policy or trigger with its table.
    pub(super) object: String,
}

impl Component {
    pub(super) fn as_str(self) -> &'static str {
        self.kinds().0
    }

    pub(super) fn missing(self) -> &'static str {
        self.kinds().1
    }

    pub(super) fn extra(self) -> &'static str {
        self.kinds().2
    }

    pub(super) fn different(self) -> &'static str {
        self.kinds().3
    }

    /// Its name, and the kinds of findings about it.
    fn kinds(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Schema => ("schema", "missing_schema", "extra_schema", "different_schema"),
            Self::Extension => {
                ("extension", "missing_extension", "extra_extension", "different_extension")
            }
            Self::Type => ("type", "missing_type", "extra_type", "different_type"),
            Self::Sequence => {
                ("sequence", "missing_sequence", "extra_sequence", "different_sequence")
            }
            Self::Table => ("table", "missing_table", "extra_table", "different_table"),
            Self::Column => ("column", "missing_column", "extra_column", "different_column"),
            Self::Constraint => {
                ("constraint", "missing_constraint", "extra_constraint", "different_constraint")
            }
            Self::Index => ("index", "missing_index", "extra_index", "different_index"),
            Self::View => ("view", "missing_view", "extra_view", "different_view"),
            Self::Function => {
                ("function", "missing_function", "extra_function", "different_function")
            }
            Self::RowSecurity => (
                "row security",
                "missing_row_security",
                "extra_row_security",
                "different_row_security",
            ),
            Self::Policy => ("policy", "missing_policy", "extra_policy", "different_policy"),
            Self::Trigger => ("trigger", "missing_trigger", "extra_trigger", "different_trigger"),
            Self::Rule => ("rule", "missing_rule", "extra_rule", "different_rule"),
            Self::Grant => ("grant", "missing_grant", "extra_grant", "different_grant"),
            Self::Publication => {
                ("publication", "missing_publication", "extra_publication", "different_publication")
            }
            Self::Comment => ("comment", "missing_comment", "extra_comment", "different_comment"),
            Self::Owner => ("owner", "missing_owner", "extra_owner", "different_owner"),
        }
    }
}

impl Item {
    /// The object that a fact is about.
    pub(super) fn of(fact: &Fact) -> Self {
        let Fact { kind, relation, part, .. } = fact;
        let on = |relation: &str| format!("{part} on {relation}");
        let (component, object) = match kind {
            Kind::Schema => (Component::Schema, relation.clone()),
            Kind::Extension => (Component::Extension, relation.clone()),
            Kind::Type => (Component::Type, relation.clone()),
            Kind::Sequence if part.is_empty() => (Component::Sequence, relation.clone()),
            Kind::SequenceName => (Component::Sequence, relation.clone()),
            // Of a column.
            Kind::Sequence | Kind::Identity => (Component::Column, part.clone()),
            Kind::Table
            | Kind::ReplicaIdentity
            | Kind::Parent
            | Kind::Child
            | Kind::Name
            | Kind::Cluster => (Component::Table, relation.clone()),
            Kind::Column
            | Kind::InheritedColumn
            | Kind::Default
            | Kind::ColumnStorage
            | Kind::ColumnCompression
            | Kind::ColumnStatistics
            | Kind::ColumnOptions
            | Kind::Position => (Component::Column, format!("{relation}.{part}")),
            Kind::Constraint | Kind::OwnConstraint => (Component::Constraint, on(relation)),
            Kind::ConstraintTriggers => (Component::Constraint, part.clone()),
            Kind::Index => (Component::Index, part.clone()),
            Kind::IndexParameter | Kind::IndexStatistics => (Component::Index, relation.clone()),
            Kind::Function => (Component::Function, relation.clone()),
            Kind::View => (Component::View, relation.clone()),
            Kind::RowSecurity => (Component::RowSecurity, relation.clone()),
            Kind::Policy => (Component::Policy, on(relation)),
            Kind::Grant | Kind::ColumnGrant | Kind::OwnerRights => {
                (Component::Grant, format!("{relation} to {part}"))
            }
            Kind::Trigger | Kind::PartitionTrigger => (Component::Trigger, on(relation)),
            Kind::Rule => (Component::Rule, on(relation)),
            Kind::PublicationOptions => (Component::Publication, relation.clone()),
            Kind::Publication => (Component::Publication, format!("{relation} in {part}")),
            Kind::Comment => (Component::Comment, part.clone()),
            Kind::Owner => (Component::Owner, relation.clone()),
        };
        Self { component, object }
    }
}

impl Component {
    /// Whether other objects can belong to it.
    pub(super) fn is_head(self) -> bool {
        matches!(
            self,
            Self::Schema | Self::Type | Self::Sequence | Self::Table | Self::View | Self::Function
        )
    }
}
