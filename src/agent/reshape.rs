//! What somebody else built in almost the same way: by another name, or a little looser.

use super::agents_key::AgentsKey;
use super::drift::{Change, Drift};
use super::keys::NOT_VALID;
use super::object::{Kind, Object};

/// What stands for a missing object under another name: the same index or constraint. With `force`
/// also a foreign key between the same columns that does something else when a row goes.
pub(super) fn stand_in<'a>(
    missing: &Object,
    drift: &'a [Drift],
    force: bool,
) -> Option<&'a Object> {
    drift.iter().filter(|d| d.change == Change::Extra).map(|d| &d.object).find(|extra| {
        extra.kind == missing.kind
            && extra.relation == missing.relation
            && (is_namesake(missing, extra) || (force && is_same_key(missing, extra)))
    })
}

/// Gives a missing object's stand-in its name, or its place.
pub(super) fn replace(missing: &Object, old: &Object, outside: bool) -> String {
    let Object { kind, relation, part, .. } = missing;
    if !is_namesake(missing, old) {
        return key(missing, Some(&old.part), outside);
    }
    if *kind == Kind::Index {
        let name = part.rsplit_once('.').map_or(part.as_str(), |(_, name)| name);
        return format!("alter index {} rename to {name}", old.part);
    }
    format!("alter table {relation} rename constraint {} to {part}", old.part)
}

/// Makes a foreign key, instead of an old one if there is one.
///
/// Rows without a partner are kept, and the key then holds for new rows only; between columns that
/// cannot refer to each other there is no key. The rows behind a key to a table `outside` are checked later, see
/// [`check`].
pub(super) fn key(object: &Object, old: Option<&str>, outside: bool) -> String {
    let Object { relation, part, definition, .. } = object;
    let drop = old.map(|old| format!("drop constraint {old}"));
    let old = drop.as_ref().map(|drop| format!("{drop}, ")).unwrap_or_default();
    let make = format!("alter table {relation} {old}add constraint {part} {definition}");
    let make = if let Some(key) = AgentsKey::of(object) {
        let drop = drop.map(|drop| format!("alter table {relation} {drop}; ")).unwrap_or_default();
        format!("{drop}perform {}", key.add())
    } else if outside {
        later(&make)
    } else {
        format!("begin {make}; exception when foreign_key_violation then {make} not valid; end")
    };
    format!(
        "do $mend$ begin {make}; exception \
         when datatype_mismatch or undefined_function or invalid_foreign_key then null; \
         end $mend$"
    )
}

/// Makes a foreign key to a table outside, which is locked until the commit: its rows are checked later.
pub(super) fn unchecked(key: &Object) -> String {
    if let Some(key) = AgentsKey::of(key) {
        return format!("select {}", key.add());
    }
    if key.definition.ends_with(NOT_VALID) {
        return key.create();
    }
    format!("do $mend$ {} $mend$", later(&key.create()))
}

/// Of a partitioned table PostgreSQL before 18 makes no key without a check.
fn later(make: &str) -> String {
    format!("begin {make} not valid; exception when wrong_object_type then {make}; end")
}

/// Checks the rows behind a foreign key. It stays as it is where one has no partner.
pub(super) fn check(key: &Object) -> String {
    let literal = |text: &str| text.replace('\'', "''");
    let (relation, part) = (literal(&key.relation), literal(&key.part));
    format!("select provisioning.validate_key('{relation}', '{part}')")
}

/// Whether it is there, and its rows were not checked.
pub(super) fn is_unchecked(key: &Object, found: &str) -> bool {
    is_foreign_key(key) && found.strip_suffix(NOT_VALID).is_some_and(|found| key.is(found))
}

/// Forbids nulls in a column, unless it has some.
pub(super) fn not_null(column: &Object) -> String {
    let Object { relation, part, .. } = column;
    format!(
        "do $mend$ begin alter table {relation} alter column {part} set not null; \
         exception when not_null_violation then null; end $mend$"
    )
}

/// Whether the column differs in no more than this.
pub(super) fn lacks_not_null(column: &Object, found: &str) -> bool {
    column.kind == Kind::Column && column.definition.strip_suffix(" not null") == Some(found)
}

pub(super) fn is_foreign_key(object: &Object) -> bool {
    object.kind == Kind::Constraint && object.definition.starts_with("FOREIGN KEY")
}

/// Whether it is the same but for its name.
pub(super) fn is_namesake(object: &Object, other: &Object) -> bool {
    match object.kind {
        Kind::Constraint => object.is(&other.definition),
        Kind::Index => match (nameless(&object.definition), nameless(&other.definition)) {
            (Some(own), Some(others)) => own == others,
            (None, _) | (_, None) => false,
        },
        Kind::Type
        | Kind::Sequence
        | Kind::Table
        | Kind::Column
        | Kind::Default
        | Kind::RowSecurity
        | Kind::Policy
        | Kind::Grant
        | Kind::Trigger
        | Kind::Publication
        | Kind::Owner => false,
    }
}

/// `CREATE UNIQUE INDEX name ON …`: whether it is unique, and what follows the name.
fn nameless(index: &str) -> Option<(bool, &str)> {
    let (head, body) = index.split_once(" ON ")?;
    Some((head.starts_with("CREATE UNIQUE "), body))
}

fn is_same_key(object: &Object, other: &Object) -> bool {
    // `FOREIGN KEY (a) REFERENCES t(b) …`: up to the second bracket.
    let columns = |key: &Object| {
        let end = key.definition.match_indices(')').nth(1).map(|(at, _)| at);
        end.and_then(|end| key.definition.get(..end).map(ToOwned::to_owned))
    };
    is_foreign_key(object) && is_foreign_key(other) && columns(object) == columns(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: Kind, part: &str, definition: &str) -> Object {
        let (part, definition) = (part.to_owned(), definition.to_owned());
        Object { kind, relation: "public.a_t".to_owned(), part, definition, echo: None }
    }

    #[test]
    fn a_stand_in_is_the_same_but_for_its_name() {
        let index = |name: &str, rest: &str| {
            let definition = format!("CREATE {rest}");
            object(Kind::Index, name, &definition.replace("NAME", name))
        };
        let constraint = |name: &str, definition: &str| object(Kind::Constraint, name, definition);
        let plain = "INDEX NAME ON public.a_t USING btree (b)";
        let cascade = "FOREIGN KEY (b) REFERENCES public.c(d) ON DELETE CASCADE";
        let cases = [
            (index("public.n", plain), index("public.o", plain), true, true),
            (
                index("public.n", plain),
                index("public.o", "UNIQUE INDEX NAME ON public.a_t USING btree (b)"),
                false,
                false,
            ),
            (constraint("n", "PRIMARY KEY (b)"), constraint("o", "PRIMARY KEY (b)"), true, true),
            (constraint("n", "CHECK (b)"), constraint("o", "CHECK (c)"), false, false),
            (
                constraint("n", cascade),
                constraint("o", "FOREIGN KEY (b) REFERENCES public.c(d)"),
                false,
                true,
            ),
            (
                constraint("n", cascade),
                constraint("o", "FOREIGN KEY (c) REFERENCES public.c(d) ON DELETE CASCADE"),
                false,
                false,
            ),
        ];
        for (missing, extra, found, forced) in cases {
            let drift = [Drift { object: extra, change: Change::Extra }];
            assert_eq!(stand_in(&missing, &drift, false).is_some(), found, "{drift:?}");
            assert_eq!(stand_in(&missing, &drift, true).is_some(), forced, "{drift:?}");
        }
    }
}
