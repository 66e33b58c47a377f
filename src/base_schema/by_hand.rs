//! What a person has to run where `migrate repair` changes nothing.

use super::facts::Owner;
use crate::schema::{
    Change, Difference, Fact, Kind, alter_sequence, enable_constraint_triggers, sequence_options,
};
use crate::sql_text::pasteable;

const ROLES: &str = "-- then run deploy/roles.sql";

/// Statements for a person. They are what the object needs; what to do with rows is that person's to decide.
pub(super) fn by_hand(drift: &Difference, all: &[Difference], owner: &Owner) -> String {
    let Fact { kind, relation, .. } = &drift.object;
    let Owner { name: owner, is_superuser } = owner;
    if *kind == Kind::Owner {
        // Another role's code would run with a superuser's rights.
        if *is_superuser && relation.starts_with("function ") {
            return format!(
                "see who made it; as a superuser drop it, then as {owner} run `agent-provisioner migrate repair`"
            );
        }
        let statement = format!("alter {relation} owner to {owner};");
        return format!("as a superuser run: {}", pasteable(&statement));
    }
    let statements = match &drift.change {
        Change::Missing => missing(&drift.object, all),
        Change::Differs { found } => differing(&drift.object, found),
        Change::Removed { .. } => None,
        Change::Extra => return extra(&drift.object),
    };
    match (statements, &drift.change) {
        (Some(statements), _) => format!("as {owner} run: {}", pasteable(&statements)),
        (None, Change::Missing) => "restore it from a backup".to_owned(),
        (None, _) => "see who changed it; docs/schema.md says how it was".to_owned(),
    }
}

fn missing(object: &Fact, all: &[Difference]) -> Option<String> {
    let Fact { kind, relation, part, definition, .. } = object;
    // Each takes a short lock only, and rows that were there before are checked under a weak one.
    let later = ["CHECK", "FOREIGN KEY"].iter().any(|is| definition.starts_with(is));
    if [Kind::Table, Kind::Type].contains(kind) {
        None
    } else if *kind == Kind::Index {
        Some(format!("{};", concurrently(object)))
    } else if *kind == Kind::Sequence {
        Some(sequence(object))
    } else if *kind == Kind::Column {
        Some(column(object, all))
    } else if *kind == Kind::Constraint && later {
        let create = object.create();
        Some(format!("{create} not valid;\nalter table {relation} validate constraint {part};"))
    } else {
        Some(format!("{};", object.create()))
    }
}

fn differing(object: &Fact, found: &str) -> Option<String> {
    let Fact { kind, relation, part, definition, .. } = object;
    if *kind == Kind::Default {
        Some(format!("{};", object.create()))
    } else if *kind == Kind::Index {
        // Neither runs in a transaction, as two statements in one string do.
        let create = concurrently(object);
        Some(format!("-- each by itself\ndrop index concurrently {part};\n{create};"))
    } else if *kind == Kind::Constraint && found.strip_suffix(" NOT VALID") == Some(definition) {
        Some(format!("alter table {relation} validate constraint {part};"))
    } else if *kind == Kind::Sequence {
        Some(format!("{};", alter_sequence(object, found)))
    } else {
        None
    }
}

fn extra(object: &Fact) -> String {
    let Fact { kind, relation, part, .. } = object;
    if *kind == Kind::ConstraintTriggers {
        let statement = enable_constraint_triggers(object) + ";";
        return format!("as a superuser run: {}", pasteable(&statement));
    }
    let drop = if *kind == Kind::Function {
        Some(format!("drop routine {relation}"))
    } else if *kind == Kind::View {
        Some(format!("drop view {relation}"))
    } else if *kind == Kind::Child {
        Some(format!("alter table {part} no inherit {relation}"))
    } else {
        let droppable = [Kind::Default, Kind::Trigger, Kind::Index, Kind::Rule, Kind::Parent];
        object.drop().filter(|_| droppable.contains(kind))
    };
    let Some(drop) = drop else {
        return "see what needs it; it belongs into another schema".to_owned();
    };
    format!("see what needs it; if nothing does: {}", pasteable(&(drop + ";")))
}

fn concurrently(index: &Fact) -> String {
    index.create().replacen("INDEX ", "INDEX CONCURRENTLY ", 1)
}

/// A number that was given once is given to nobody else: an agent's tables, trash and jobs bear it.
fn sequence(object: &Fact) -> String {
    let Fact { relation, part, definition, .. } = object;
    let Some((table, column)) = part.rsplit_once('.') else {
        return format!("{}; {ROLES}", object.create());
    };
    let highest = if part == "public.agents.id" {
        "provisioning.highest_agent_id()".to_owned()
    } else {
        format!("(select max({column}) from {table})")
    };
    let behind = format!(
        "select setval('{relation}', greatest({highest}, (select last_value from {relation} where is_called), 0) + 1, \
         false);"
    );
    if table.starts_with("provisioning.") {
        return format!(
            "alter table {table} alter column {column} add generated always as identity (sequence name {relation});\n\
             {behind} {ROLES}"
        );
    }
    format!(
        "create sequence if not exists {relation};\n\
         alter sequence {relation} {} owned by {part};\n\
         {behind}\n\
         alter table {table} alter column {column} set default nextval('{relation}'::regclass);\n\
         revoke all on sequence {relation} from public, anon, authenticated, service_role;\n\
         grant usage on sequence {relation} to authenticated, service_role; {ROLES}",
        sequence_options(definition)
    )
}

/// Another name that a column has by now. A constraint or an index proves it: it goes with a column, and would be gone had
/// that been dropped.
fn renamed<'a>(object: &Fact, all: &'a [Difference]) -> Option<&'a str> {
    let added = |drift: &&Difference| {
        let Fact { kind, relation, definition, .. } = &drift.object;
        drift.change == Change::Extra
            && (kind, relation, definition) == (&Kind::Column, &object.relation, &object.definition)
    };
    let names = all.iter().filter(added).map(|drift| drift.object.part.as_str());
    let names: Vec<&str> = names
        .filter(|name| {
            all.iter().any(|drift| {
                let Change::Differs { found } = &drift.change else { return false };
                let Fact { kind, relation, definition, .. } = &drift.object;
                [Kind::Constraint, Kind::Index].contains(kind)
                    && *relation == object.relation
                    && definition.replace(&object.part, name) == *found
            })
        })
        .collect();
    let [name] = names.as_slice() else { return None };
    Some(name)
}

/// Rows that are there need a value.
fn column(object: &Fact, all: &[Difference]) -> String {
    let Fact { relation, part, definition, .. } = object;
    if let Some(name) = renamed(object, all) {
        return format!("alter table {relation} rename column {name} to {part};");
    }
    let is_default = |drift: &&Difference| {
        let Fact { kind, relation: table, part: column, .. } = &drift.object;
        *kind == Kind::Default && (table, column) == (relation, part)
    };
    if let Some(default) = all.iter().find(is_default) {
        return format!("{} default {}; {ROLES}", object.create(), default.object.definition);
    }
    match definition.strip_suffix(" not null").filter(|kind| !kind.contains("generated ")) {
        Some(nullable) => format!(
            "alter table {relation} add column {part} {nullable};\n\
             -- fill it, where there are rows, before what follows, and run deploy/roles.sql at the end\n\
             alter table {relation} alter column {part} set not null;"
        ),
        None => format!("{}; {ROLES}", object.create()),
    }
}
