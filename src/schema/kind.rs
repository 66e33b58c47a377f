//! What is compared: one list of the kinds of facts.
//!
//! What a new PostgreSQL release adds is a kind here, its rule in [`super::rules`], and a query for it in
//! `sql/schema/catalog.sql`.

/// What a fact is about, in the order in which facts come into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Of the base schema and of an audit only.
    Schema,
    /// Of an audit only.
    Extension,
    /// An enum; in an audit also a composite type or a domain.
    Type,
    /// Of a serial column.
    Sequence,
    /// Its persistence and storage parameters; all else is a fact of its own.
    Table,
    /// Type, collation, generation, nullability.
    Column,
    /// A column that a partition or an inheritance child has by its parents alone, and loses with theirs.
    InheritedColumn,
    /// A column's.
    Default,
    /// The sequence of an identity column.
    Identity,
    /// How a column is stored, where that is not its type's way.
    ColumnStorage,
    ColumnCompression,
    /// How much of a column ANALYZE keeps.
    ColumnStatistics,
    /// Such as `n_distinct`.
    ColumnOptions,
    /// Primary key, unique, exclusion, check or foreign key.
    Constraint,
    /// A check that a child has of its own as well as by its parent.
    OwnConstraint,
    /// A storage parameter of the index behind a constraint.
    IndexParameter,
    /// One that stands by itself, not one behind a constraint.
    Index,
    /// How much of an expression in an index ANALYZE keeps.
    IndexStatistics,
    /// The index by which CLUSTER sorts.
    Cluster,
    /// What a subscriber sees of old rows.
    ReplicaIdentity,
    /// What a table is a partition of, with its bounds, or inherits from.
    Parent,
    /// A partition or inheritance child that is not the agent's.
    Child,
    /// Of the base schema: arguments, result, properties, and the digest of its body. Of an audit: its statement.
    Function,
    /// Of the base schema: the digest of its query. Of an audit: its statement.
    View,
    /// Whether it is enabled, or even forced.
    RowSecurity,
    /// Roles, command and both expressions.
    Policy,
    /// What one role may do.
    Grant,
    /// What it may do with one column, beside that.
    ColumnGrant,
    /// What the owner may do, where that is not everything.
    OwnerRights,
    /// And whether it fires.
    Trigger,
    /// Whether a partition's trigger fires, where its parent's does otherwise.
    PartitionTrigger,
    /// Those of the server's own that check a constraint, where they do not fire.
    ConstraintTriggers,
    Rule,
    /// Of an audit only: what a publication tells of its tables.
    PublicationOptions,
    /// Membership in one, with its columns and filter.
    Publication,
    Comment,
    /// A registered table's that stands elsewhere. Its part is the statement that gives the name back.
    Name,
    /// Of a column's sequence that has another one. Its definition is the right one, its part the statements that give it back.
    SequenceName,
    /// A table's or type's.
    Owner,
    /// The sequence of a column, where it is behind the numbers that rows have.
    Position,
}

impl Kind {
    /// Whether it hangs on something else, and says only how that is.
    pub(crate) fn is_detail(self) -> bool {
        matches!(
            self,
            Self::Comment
                | Self::ColumnStorage
                | Self::ColumnCompression
                | Self::ColumnStatistics
                | Self::ColumnOptions
                | Self::IndexParameter
                | Self::IndexStatistics
                | Self::Cluster
                | Self::ReplicaIdentity
                | Self::Identity
                | Self::OwnConstraint
                | Self::InheritedColumn
                | Self::PartitionTrigger
        )
    }
}
