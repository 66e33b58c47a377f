//! What somebody else built in almost the same way: by another name, or a little looser.

use super::agents_key::AgentsKey;
use super::difference::{Change, Difference};
use super::fact::{Fact, NOT_VALID};
use super::kind::Kind;
use super::sql::bare;

/// What stands for a missing object under another name: the same index, constraint, policy or trigger. With `force`
/// also a foreign key between the same columns that does something else when a row goes. Each stands for one.
pub(crate) fn stand_in<'a>(
    missing: &Fact,
    drift: &'a [Difference],
    force: bool,
) -> Option<&'a Fact> {
    let is_alike = |object: &Fact| {
        object.kind == missing.kind
            && object.relation == missing.relation
            && (is_namesake(missing, object) || (force && is_same_key(missing, object)))
    };
    let before = drift.iter().take_while(|d| !d.object.is_same(missing));
    let before = before.filter(|d| d.change == Change::Missing && is_alike(&d.object)).count();
    let extra = drift.iter().filter(|d| d.change == Change::Extra).map(|d| &d.object);
    extra.filter(|extra| is_alike(extra)).nth(before)
}

/// Gives a missing object's stand-in its name, or its place.
pub(crate) fn replace(missing: &Fact, old: &Fact) -> String {
    let Fact { kind, relation, part, .. } = missing;
    if !is_namesake(missing, old) {
        return key(missing, Some(&old.part));
    }
    let old = &old.part;
    if *kind == Kind::Index {
        let name = bare(part);
        return format!("alter index {old} rename to {name}");
    }
    if matches!(kind, Kind::Policy | Kind::Trigger) {
        return format!("alter {} {old} on {relation} rename to {part}", kind.as_str());
    }
    format!("alter table {relation} rename constraint {old} to {part}")
}

/// Makes a foreign key, instead of an old one if there is one.
///
/// Rows without a partner are kept, and the key then holds for new rows only; between columns that
/// cannot refer to each other there is no key. The rows are checked by a statement of its own, see [`check`].
pub(crate) fn key(object: &Fact, old: Option<&str>) -> String {
    let Fact { relation, part, definition, .. } = object;
    let drop = old.map(|old| format!("drop constraint {old}"));
    let old = drop.as_ref().map(|drop| format!("{drop}, ")).unwrap_or_default();
    let make = format!("alter table {relation} {old}add constraint {part} {definition}");
    let make = if let Some(key) = AgentsKey::of(object) {
        let drop = drop.map(|drop| format!("alter table {relation} {drop}; ")).unwrap_or_default();
        format!("{drop}perform {}", key.add())
    } else if !object.holds_for_rows() {
        make
    } else {
        later(&make)
    };
    format!(
        "do $fix$ begin {make}; exception \
         when datatype_mismatch or undefined_function or invalid_foreign_key then null; \
         end $fix$"
    )
}

/// Makes a foreign key to a table outside, which is locked until the commit: its rows are checked later.
pub(crate) fn unchecked(key: &Fact) -> String {
    if let Some(key) = AgentsKey::of(key) {
        return format!("select {}", key.add());
    }
    if key.definition.ends_with(NOT_VALID) {
        return key.create();
    }
    format!("do $fix$ {} $fix$", later(&key.create()))
}

/// Of a partitioned table PostgreSQL before 18 makes no key without a check.
fn later(make: &str) -> String {
    format!("begin {make} not valid; exception when wrong_object_type then {make}; end")
}

const CHECK: &str = "select provisioning.validate_key(";

/// Checks the rows behind a foreign key, by a function, since row security that is forced on the owner would hide them from the
/// server's own check. The key stays as it is where one has no partner, and there may be no key.
pub(crate) fn check(key: &Fact) -> String {
    let literal = |text: &str| text.replace('\'', "''");
    format!("{CHECK}'{}', '{}')", literal(&key.relation), literal(&key.part))
}

/// Whether a statement does that. Only the owner's own session may: the check runs code of the owner's.
pub(crate) fn checks(statement: &str) -> bool {
    statement.starts_with(CHECK)
}

/// Makes a foreign key to another table of the agent's, and checks its rows.
pub(crate) fn checked_key(object: &Fact, old: Option<&str>) -> Vec<String> {
    let check = Some(check(object)).filter(|_| object.holds_for_rows());
    [key(object, old)].into_iter().chain(check).collect()
}

/// Whether it is there, and its rows were not checked.
pub(crate) fn is_unchecked(key: &Fact, found: &str) -> bool {
    is_foreign_key(key) && found.strip_suffix(NOT_VALID).is_some_and(|found| key.is(found))
}

/// Forbids nulls in a column, unless it has some.
pub(super) fn not_null(column: &Fact) -> String {
    let Fact { relation, part, .. } = column;
    format!(
        "do $fix$ begin alter table {relation} alter column {part} set not null; \
         exception when not_null_violation then null; end $fix$"
    )
}

/// Takes away what a table that was just made has too much: it was made like another one, which by now has more.
pub(crate) fn take_from_new(extra: &Fact) -> Option<String> {
    if extra.kind == Kind::Column {
        return Some(extra.fill("alter table {relation} drop column {part}"));
    }
    extra.drop()
}

/// Whether the column differs in no more than this.
pub(crate) fn lacks_not_null(column: &Fact, found: &str) -> bool {
    column.kind == Kind::Column && column.definition.strip_suffix(" not null") == Some(found)
}

/// Whether two tables have the same check under one name: a child has its parent's.
pub(crate) fn is_check_of_two(check: &Fact, other: &Fact) -> bool {
    let bare = |fact: &Fact| fact.definition.trim_end_matches(NOT_VALID).to_owned();
    is_check(check)
        && is_check(other)
        && check.part == other.part
        && check.relation != other.relation
        && bare(check) == bare(other)
}

/// Whether it is there, and rows that were there before it were not checked.
pub(crate) fn lacks_check_of_rows(check: &Fact, found: &str) -> bool {
    is_check(check) && found.strip_suffix(NOT_VALID).is_some_and(|found| check.is(found))
}

/// Whether somebody has checked the rows behind a check that the templates leave `NOT VALID`.
fn is_checked(check: &Fact, found: &str) -> bool {
    is_check(check) && check.definition.strip_suffix(NOT_VALID) == Some(found)
}

/// Leaves out that a check of a child was made for its rows, too: one that comes by the parent holds for all rows of a child that
/// is made again, and no statement takes that back.
pub(crate) fn leave_out_checked_children(drift: &mut Vec<Difference>, found: &[Fact]) {
    let is_child = |home: &str| {
        let is_parent = |fact: &Fact| fact.kind == Kind::Parent && fact.home == home;
        found.iter().any(is_parent)
    };
    drift.retain(|Difference { object, change }| match change {
        Change::Differs { found } => !(is_checked(object, found) && is_child(&object.home)),
        Change::Missing | Change::Removed { .. } | Change::Extra => true,
    });
}

pub(crate) fn is_check(object: &Fact) -> bool {
    object.kind == Kind::Constraint && object.definition.starts_with("CHECK ")
}

pub(crate) fn is_foreign_key(object: &Fact) -> bool {
    object.kind == Kind::Constraint && object.definition.starts_with("FOREIGN KEY")
}

/// Whether it is the same but for its name.
pub(crate) fn is_namesake(object: &Fact, other: &Fact) -> bool {
    let same = |own: Option<_>, others| own.is_some() && own == others;
    matches!(object.kind, Kind::Constraint | Kind::Policy) && object.is(&other.definition)
        || object.kind == Kind::Index
            && same(nameless_index(&object.definition), nameless_index(&other.definition))
        || object.kind == Kind::Trigger && same(nameless_trigger(object), nameless_trigger(other))
}

/// `CREATE UNIQUE INDEX name ON …`: whether it is unique, and what follows the name.
fn nameless_index(index: &str) -> Option<(bool, &str)> {
    let (head, body) = index.split_once(" ON ")?;
    Some((head.starts_with("CREATE UNIQUE "), body))
}

/// `CREATE CONSTRAINT TRIGGER name AFTER …; ALTER TABLE … ENABLE ALWAYS TRIGGER name`: whether it is a constraint trigger,
/// and what follows the first name, without the last.
fn nameless_trigger(Fact { part, definition, .. }: &Fact) -> Option<(bool, &str)> {
    let (head, body) = definition.split_once(&format!(" TRIGGER {part} "))?;
    let body = body.strip_suffix(&format!(" TRIGGER {part}")).unwrap_or(body);
    Some((head == "CREATE CONSTRAINT", body))
}

fn is_same_key(object: &Fact, other: &Fact) -> bool {
    // `FOREIGN KEY (a) REFERENCES t(b) …`: up to the second bracket.
    let columns = |key: &Fact| {
        let end = key.definition.match_indices(')').nth(1).map(|(at, _)| at);
        end.and_then(|end| key.definition.get(..end).map(ToOwned::to_owned))
    };
    is_foreign_key(object) && is_foreign_key(other) && columns(object) == columns(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: Kind, part: &str, definition: &str) -> Fact {
        let (part, definition) = (part.to_owned(), definition.to_owned());
        let (home, relation) = ("a_t".to_owned(), "public.a_t".to_owned());
        Fact { kind, home, relation, part, definition, echo: None }
    }

    #[test]
    fn a_stand_in_is_the_same_but_for_its_name() {
        let index = |name: &str, rest: &str| {
            let definition = format!("CREATE {rest}");
            object(Kind::Index, name, &definition.replace("NAME", name))
        };
        let constraint = |name: &str, definition: &str| object(Kind::Constraint, name, definition);
        let plain = "INDEX NAME ON public.a_t USING btree (b)";
        let policy = |name: &str, definition: &str| object(Kind::Policy, name, definition);
        let trigger = |name: &str, definition: &str| {
            object(Kind::Trigger, name, &definition.replace("NAME", name))
        };
        let fires =
            "CREATE TRIGGER NAME BEFORE UPDATE ON public.a_t FOR EACH ROW EXECUTE FUNCTION f()";
        let always = format!("{fires}; ALTER TABLE public.a_t ENABLE ALWAYS TRIGGER NAME");
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
            (policy("n", "for all"), policy("o", "for all"), true, true),
            (policy("n", "for all"), policy("o", "for select"), false, false),
            (trigger("n", fires), trigger("o", fires), true, true),
            (trigger("n", &always), trigger("o", &always), true, true),
            (trigger("n", &always), trigger("o", fires), false, false),
            (trigger("n", fires), trigger("o", &fires.replace("BEFORE", "AFTER")), false, false),
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
            let drift = [Difference { object: extra, change: Change::Extra }];
            assert_eq!(stand_in(&missing, &drift, false).is_some(), found, "{drift:?}");
            assert_eq!(stand_in(&missing, &drift, true).is_some(), forced, "{drift:?}");
        }
    }
}
