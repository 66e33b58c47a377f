//! How facts of each kind are told, made and taken away.

use std::fmt;

use super::fact::Fact;
use super::kind::Kind;
use super::sql;

/// What has to be asked for, before a repair does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acts {
    /// Nothing.
    Always,
    /// `--force`.
    Forced,
    /// It is for a person.
    Never,
}

/// How facts of a kind are told, made and taken away.
pub(super) struct Rule {
    kind: Kind,
    /// As the queries call it.
    name: &'static str,
    /// As a person would name one: a pattern.
    pub(super) title: &'static str,
    pub(super) make: fn(&Fact) -> String,
    /// `None`: to take it away could lose rows, or cannot be made good from the templates.
    pub(super) drop: Option<fn(&Fact) -> String>,
    /// Who may replace one that differs.
    pub(super) replaced: Acts,
    /// Who may take away one that the templates do not make.
    pub(super) removed: Acts,
    /// Whether one that is missing as a whole is made by the template's own statements.
    pub(super) whole: bool,
}

/// A rule that only tells.
const TOLD: Rule = Rule {
    kind: Kind::Schema,
    name: "schema",
    title: "{relation}",
    make: by_hand,
    drop: None,
    replaced: Acts::Never,
    removed: Acts::Never,
    whole: false,
};

/// In the order of [`Kind`]. What a child or a partition has of its own is a fact of its own: so `only`.
const RULES: [Rule; 40] = [
    Rule { make: |f| f.fill("create schema {relation}"), ..TOLD },
    Rule {
        kind: Kind::Extension,
        name: "extension",
        make: |f| f.fill("create extension if not exists {relation}"),
        ..TOLD
    },
    Rule { kind: Kind::Type, name: "type", make: sql::data_type, whole: true, ..TOLD },
    Rule { kind: Kind::Sequence, name: "sequence", make: sql::sequence, ..TOLD },
    Rule { kind: Kind::Table, name: "table", make: sql::table, whole: true, ..TOLD },
    Rule {
        kind: Kind::Column,
        name: "column",
        title: "{relation}.{part}",
        make: |f| f.fill("alter table {relation} add column {part} {definition}"),
        ..TOLD
    },
    // Only a new table can get one: no statement parts a column that is there from its table.
    Rule {
        kind: Kind::InheritedColumn,
        name: "inherited column",
        title: "{relation}.{part}",
        ..TOLD
    },
    Rule {
        kind: Kind::Default,
        name: "default",
        title: "{relation}.{part}",
        make: |f| {
            f.fill("alter table only {relation} alter column {part} set default {definition}")
        },
        drop: Some(|f| f.fill("alter table only {relation} alter column {part} drop default")),
        replaced: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::Identity,
        name: "identity",
        make: |f| f.fill("alter sequence {relation} {definition}"),
        replaced: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::ColumnStorage,
        name: "column storage",
        title: "{relation}.{part}",
        make: |f| {
            f.fill("alter table only {relation} alter column {part} set storage {definition}")
        },
        replaced: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::ColumnCompression,
        name: "column compression",
        title: "{relation}.{part}",
        make: |f| {
            f.fill("alter table only {relation} alter column {part} set compression {definition}")
        },
        drop: Some(|f| {
            f.fill("alter table only {relation} alter column {part} set compression default")
        }),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::ColumnStatistics,
        name: "column statistics",
        title: "{relation}.{part}",
        make: |f| {
            f.fill("alter table only {relation} alter column {part} set statistics {definition}")
        },
        drop: Some(|f| f.fill("alter table only {relation} alter column {part} set statistics -1")),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::ColumnOptions,
        name: "column options",
        title: "{relation}.{part}",
        make: sql::column_options,
        drop: Some(|f| f.fill(sql::RESET_COLUMN)),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::Constraint,
        name: "constraint",
        title: "{part} on {relation}",
        make: |f| f.fill("alter table {relation} add constraint {part} {definition}"),
        drop: Some(|f| f.fill("alter table {relation} drop constraint {part}")),
        ..TOLD
    },
    Rule {
        kind: Kind::OwnConstraint,
        name: "own constraint",
        title: "{part} on {relation}",
        make: sql::own_constraint,
        ..TOLD
    },
    Rule {
        kind: Kind::IndexParameter,
        name: "index parameter",
        title: "{part} of {relation}",
        make: |f| f.fill("alter index {relation} set ({part} = {definition})"),
        drop: Some(|f| f.fill("alter index {relation} reset ({part})")),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::Index,
        name: "index",
        title: "{part}",
        make: sql::index,
        drop: Some(|f| f.fill("drop index {part}")),
        replaced: Acts::Forced,
        whole: true,
        ..TOLD
    },
    Rule {
        kind: Kind::IndexStatistics,
        name: "index statistics",
        title: "{relation}, column {part}",
        make: |f| f.fill("alter index {relation} alter column {part} set statistics {definition}"),
        drop: Some(|f| f.fill("alter index {relation} alter column {part} set statistics -1")),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::Cluster,
        name: "cluster",
        make: |f| f.fill("alter table {relation} cluster on {definition}"),
        drop: Some(|f| f.fill("alter table {relation} set without cluster")),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::ReplicaIdentity,
        name: "replica identity",
        make: |f| f.fill("alter table {relation} replica identity {definition}"),
        drop: Some(|f| f.fill("alter table {relation} replica identity default")),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::Parent,
        name: "parent",
        title: "{part} of {relation}",
        make: sql::attach,
        drop: Some(sql::detach),
        ..TOLD
    },
    Rule { kind: Kind::Child, name: "child", title: "{part} of {relation}", ..TOLD },
    Rule { kind: Kind::Function, name: "function", make: sql::own_statement, ..TOLD },
    Rule { kind: Kind::View, name: "view", make: sql::own_statement, ..TOLD },
    Rule {
        kind: Kind::RowSecurity,
        name: "row security",
        make: sql::row_security,
        replaced: Acts::Always,
        ..TOLD
    },
    Rule {
        kind: Kind::Policy,
        name: "policy",
        title: "{part} on {relation}",
        make: |f| f.fill("create policy {part} on {relation} {definition}"),
        drop: Some(|f| f.fill("drop policy {part} on {relation}")),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        whole: true,
    },
    Rule {
        kind: Kind::Grant,
        name: "grant",
        title: "{relation} to {part}",
        make: sql::grant,
        // Also what was handed on.
        drop: Some(|f| f.fill("revoke all on {relation} from {part} cascade")),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::ColumnGrant,
        name: "column grant",
        title: "{relation} to {part}",
        make: sql::column_grant,
        drop: Some(|f| f.fill("revoke all {relation} from {part} cascade")),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::OwnerRights,
        name: "owner rights",
        title: "{relation} to {part}",
        make: sql::owner_rights,
        drop: Some(|f| f.fill("grant all on {relation} to {part}")),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::Trigger,
        name: "trigger",
        title: "{part} on {relation}",
        make: |f| f.definition.clone(),
        drop: Some(|f| f.fill("drop trigger {part} on {relation}")),
        replaced: Acts::Forced,
        whole: true,
        ..TOLD
    },
    Rule {
        kind: Kind::PartitionTrigger,
        name: "partition trigger",
        title: "{part} on {relation}",
        make: |f| f.fill("alter table {relation} {definition} trigger {part}"),
        drop: Some(|f| sql::triggers_of_partition(&f.relation, Some(&f.part))),
        replaced: Acts::Forced,
        removed: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::ConstraintTriggers,
        name: "constraint triggers",
        title: "{part}, on {relation}",
        drop: Some(sql::enable_constraint_triggers),
        ..TOLD
    },
    Rule {
        kind: Kind::Rule,
        name: "rule",
        title: "{part} on {relation}",
        make: |f| f.definition.clone(),
        drop: Some(|f| f.fill("drop rule {part} on {relation}")),
        replaced: Acts::Forced,
        whole: true,
        ..TOLD
    },
    Rule {
        kind: Kind::PublicationOptions,
        name: "publication options",
        make: |f| f.fill("create publication {relation} {definition}"),
        ..TOLD
    },
    Rule {
        kind: Kind::Publication,
        name: "publication",
        title: "{relation} in {part}",
        make: sql::publication,
        drop: Some(|f| f.fill("alter publication {part} drop table {relation}")),
        ..TOLD
    },
    Rule {
        kind: Kind::Comment,
        name: "comment",
        title: "{part}",
        make: |f| f.fill("comment on {part} is {definition}"),
        drop: Some(|f| f.fill("comment on {part} is null")),
        replaced: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::Name,
        name: "table name",
        make: |f| f.part.clone(),
        replaced: Acts::Forced,
        ..TOLD
    },
    Rule {
        kind: Kind::SequenceName,
        name: "sequence name",
        make: |f| f.part.clone(),
        replaced: Acts::Always,
        ..TOLD
    },
    Rule { kind: Kind::Owner, name: "owner", make: sql::owner, replaced: Acts::Forced, ..TOLD },
    Rule {
        kind: Kind::Position,
        name: "sequence position",
        title: "{relation}.{part}",
        make: sql::position,
        ..TOLD
    },
];

/// There is no statement for it.
fn by_hand(fact: &Fact) -> String {
    format!("-- {} {fact}: by hand", fact.kind.as_str())
}

impl Kind {
    pub(super) fn rule(self) -> &'static Rule {
        RULES.iter().find(|rule| rule.kind == self).unwrap_or(&TOLD)
    }

    /// As `sql/schema/catalog.sql` and `sql/base_schema/facts.sql` call it.
    pub(crate) fn as_str(self) -> &'static str {
        self.rule().name
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        RULES.iter().find(|rule| rule.name == text).map(|rule| rule.kind)
    }
}

impl Fact {
    /// Brings it into being.
    pub(crate) fn create(&self) -> String {
        (self.kind.rule().make)(self)
    }

    /// Takes it away.
    pub(crate) fn drop(&self) -> Option<String> {
        self.kind.rule().drop.map(|drop| drop(self))
    }
}

/// As a person would name it.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fill(self.kind.rule().title))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_rule_in_the_order_of_making() {
        assert!(RULES.is_sorted_by_key(|rule| rule.kind));
        for rule in &RULES {
            assert_eq!(Kind::parse(rule.name), Some(rule.kind));
            assert_eq!(rule.kind.as_str(), rule.name);
        }
        assert_eq!(Kind::Position as usize + 1, RULES.len());
    }
}
