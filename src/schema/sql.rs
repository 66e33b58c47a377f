//! The SQL that makes facts of a kind, where that is more than a pattern.

use super::fact::{Fact, constant};

/// Of a function or a view: its definition, where that is the statement. In the base schema it is a digest.
pub(super) fn own_statement(fact: &Fact) -> String {
    if fact.definition.starts_with("CREATE ") {
        return fact.definition.clone();
    }
    fact.fill("-- {relation}: agent-provisioner migrate repair")
}

/// Of a partitioned table the server says it without those of the partitions, and is not content with that.
pub(super) fn index(index: &Fact) -> String {
    index.definition.replacen(" ON ONLY ", " ON ", 1)
}

/// Adds a check where the table does not have it by its parent, and then checks the rows.
pub(crate) fn constraint_of_child(check: &Fact) -> String {
    let validate = if check.holds_for_rows() { VALIDATE } else { "" };
    on_constraint(check, &format!("if not found then {ADD_CONSTRAINT}; end if; {validate}"))
}

/// Lets a child have a check of its own, where it has it by its parent alone.
pub(super) fn own_constraint(check: &Fact) -> String {
    on_constraint(check, &format!("if not own then {ADD_CONSTRAINT}; end if; "))
}

const ADD_CONSTRAINT: &str = "alter table {relation} add constraint {part} {definition}";
const VALIDATE: &str = "alter table {relation} validate constraint {part}; ";

fn on_constraint(check: &Fact, act: &str) -> String {
    let of = format!(
        "c.conrelid = {} and pg_catalog.quote_ident(c.conname) = '{}'",
        constant(&check.relation),
        check.part.replace('\'', "''")
    );
    format!(
        "do $fix$ declare own bool; begin \
         select c.conislocal into own from pg_catalog.pg_constraint c where {of}; {}end $fix$",
        check.fill(act)
    )
}

/// Forbids nulls in a child's column, unless its parent does. `None` where it may have some.
pub(super) fn not_null_of_child(column: &Fact) -> Option<String> {
    let has_none = column.definition.ends_with(" not null");
    let of = format!(
        "a.attrelid = {} and pg_catalog.quote_ident(a.attname) = '{}'",
        constant(&column.relation),
        column.part.replace('\'', "''")
    );
    let set = column.fill("alter table only {relation} alter column {part} set not null");
    has_none.then(|| {
        format!(
            "do $fix$ begin if not (select a.attnotnull from pg_catalog.pg_attribute a where {of}) \
             then {set}; end if; end $fix$"
        )
    })
}

pub(super) fn data_type(fact: &Fact) -> String {
    match fact.definition.strip_prefix("domain ") {
        Some(base) => format!("create domain {} as {base}", fact.relation),
        None => fact.fill("create type {relation} as {definition}"),
    }
}

/// Without columns.
pub(super) fn table(fact: &Fact) -> String {
    table_of(fact, "", &[])
}

/// With these columns, and as the child of these tables.
pub(super) fn table_of(fact: &Fact, columns: &str, parents: &[&str]) -> String {
    let Fact { relation, definition, .. } = fact;
    let (unlogged, rest) = match definition.strip_prefix("unlogged") {
        Some(rest) => ("unlogged ", rest),
        None => ("", definition.strip_prefix("logged").unwrap_or(definition)),
    };
    let parents = if parents.is_empty() {
        String::new()
    } else {
        format!(" inherits ({})", parents.join(", "))
    };
    format!("create {unlogged}table {relation} ({columns}){parents}{rest}")
}

pub(super) fn row_security(fact: &Fact) -> String {
    let force = if fact.definition == "forced" { "force" } else { "no force" };
    fact.fill("alter table {relation} enable row level security, ") + force + " row level security"
}

pub(super) fn attach(fact: &Fact) -> String {
    fact.fill(if fact.definition.is_empty() {
        "alter table {relation} inherit {part}"
    } else {
        "alter table {part} attach partition {relation} {definition}"
    })
}

pub(super) fn detach(fact: &Fact) -> String {
    fact.fill(if fact.definition.is_empty() {
        "alter table {relation} no inherit {part}"
    } else {
        "alter table {part} detach partition {relation}"
    })
}

pub(super) fn grant(fact: &Fact) -> String {
    let Fact { relation, part, .. } = fact;
    let (without, with) = privileges(fact);
    let grant = |privileges: Vec<&str>, option: &str| {
        let list = privileges.join(", ");
        format!("grant {list} on {relation} to {part}{option}")
    };
    match (without.is_empty(), with.is_empty()) {
        (_, true) => grant(without, ""),
        (true, _) => grant(with, GRANT_OPTION),
        _ => grant(without, "") + ";\n" + &grant(with, GRANT_OPTION),
    }
}

/// The column stands between the privilege and its table: one statement a privilege.
pub(super) fn column_grant(fact: &Fact) -> String {
    let (without, with) = privileges(fact);
    let plain = without.into_iter().map(|privilege| (privilege, ""));
    let passed_on = with.into_iter().map(|privilege| (privilege, GRANT_OPTION));
    let grant = |(privilege, option)| {
        fact.fill(&format!("grant {privilege} {{relation}} to {{part}}{option}"))
    };
    plain.chain(passed_on).map(grant).collect::<Vec<_>>().join(";\n")
}

const GRANT_OPTION: &str = " with grant option";

/// Without the right to grant them, and with it. They are single words.
fn privileges(fact: &Fact) -> (Vec<&str>, Vec<&str>) {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for privilege in fact.definition.split(", ") {
        match privilege.strip_suffix(GRANT_OPTION) {
            Some(privilege) => with.push(privilege),
            None => without.push(privilege),
        }
    }
    (without, with)
}

/// There are no other options of a column.
pub(super) const RESET_COLUMN: &str =
    "alter table only {relation} alter column {part} reset (n_distinct, n_distinct_inherited)";

/// Those that it has, and no more.
pub(super) fn column_options(fact: &Fact) -> String {
    fact.fill(RESET_COLUMN) + &fact.fill(", alter column {part} set ({definition})")
}

pub(super) fn owner_rights(fact: &Fact) -> String {
    let none = fact.fill("revoke all on {relation} from {part}");
    if fact.definition == "nothing" {
        return none;
    }
    format!("{none};\n{}", owner_grant(fact))
}

/// Grants an owner what it should have, and takes nothing away.
pub(super) fn owner_grant(fact: &Fact) -> String {
    fact.fill("grant {definition} on {relation} to {part}")
}

/// Switches the triggers on that check constraints, and none that somebody has made. For a superuser.
pub(crate) fn enable_constraint_triggers(fact: &Fact) -> String {
    format!(
        "do $fix$ declare own record; begin \
         for own in select g.tgrelid::regclass as relation, g.tgname from pg_catalog.pg_trigger g \
         where g.tgrelid = {} and g.tgisinternal and g.tgenabled <> 'O' loop \
         execute pg_catalog.format('alter table %s enable trigger %I', own.relation, own.tgname); \
         end loop; end $fix$",
        constant(&fact.relation)
    )
}

/// Lets triggers that a partition has by its parent, or one of them, fire as the parent's do.
pub(super) fn triggers_of_partition(relation: &str, only: Option<&str>) -> String {
    let only = only.map(|name| name.replace('\'', "''"));
    let only = only.map(|name| format!(" and pg_catalog.quote_ident(g.tgname) = '{name}'"));
    format!(
        "do $fix$ declare own record; begin \
         for own in select g.tgrelid::regclass as relation, g.tgname, p.tgenabled from pg_catalog.pg_trigger g \
         join pg_catalog.pg_trigger p on p.oid = g.tgparentid \
         where g.tgrelid = {} and not g.tgisinternal and g.tgenabled <> p.tgenabled{} loop \
         execute pg_catalog.format('alter table %s %s trigger %I', own.relation, case own.tgenabled \
         when 'D' then 'disable' when 'A' then 'enable always' when 'R' then 'enable replica' else 'enable' end, own.tgname); \
         end loop; end $fix$",
        constant(relation),
        only.unwrap_or_default()
    )
}

pub(super) fn publication(fact: &Fact) -> String {
    if !fact.definition.is_empty() {
        return fact.fill("alter publication {part} add table {relation} {definition}");
    }
    let literal = |text: &str| text.replace('\'', "''");
    let (relation, part) = (literal(&fact.relation), literal(&fact.part));
    format!("select provisioning.publish('{relation}', '{part}')")
}

pub(super) fn owner(fact: &Fact) -> String {
    // All but tables say what they are.
    let named = ["type ", "function ", "procedure ", "schema ", "sequence "];
    let named = named.iter().any(|kind| fact.relation.starts_with(kind));
    let table = if named { "" } else { "table " };
    format!("alter {table}{} owner to {}", fact.relation, fact.definition)
}

/// What follows the schema in a qualified name. A name in quotes may have a dot.
pub(crate) fn bare(qualified: &str) -> &str {
    let mut quoted = false;
    let dot = qualified.find(|c| {
        quoted ^= c == '"';
        c == '.' && !quoted
    });
    dot.and_then(|dot| qualified.get(dot + 1..)).unwrap_or(qualified)
}

pub(super) fn sequence(fact: &Fact) -> String {
    let Fact { relation, definition, .. } = fact;
    match definition.strip_prefix(UNLOGGED) {
        Some(options) => format!("create unlogged sequence {relation} {options}"),
        None => format!("create sequence {relation} {definition}"),
    }
}

/// How the definition of a sequence begins, where a crash may lose its numbers.
const UNLOGGED: &str = "unlogged ";

/// Makes a sequence that is there as it should be.
pub(crate) fn alter_sequence(fact: &Fact, found: &str) -> String {
    let Fact { relation, definition, .. } = fact;
    let alter = format!("alter sequence {relation} {}", sequence_options(definition));
    match (definition.starts_with(UNLOGGED), found.starts_with(UNLOGGED)) {
        (true, false) => format!("alter sequence {relation} set unlogged; {alter}"),
        (false, true) => format!("alter sequence {relation} set logged; {alter}"),
        (true, true) | (false, false) => alter,
    }
}

/// What `alter sequence` takes: all options of a definition, and that it does not cycle where it says nothing of that.
pub(crate) fn sequence_options(definition: &str) -> String {
    let options = definition.strip_prefix(UNLOGGED).unwrap_or(definition);
    let cycle = if options.ends_with(" cycle") { "" } else { " no cycle" };
    format!("{options}{cycle}")
}

/// Past the numbers that rows have. For a person: nobody else sees the rows.
pub(super) fn position(fact: &Fact) -> String {
    let sequence = fact.definition.replace('\'', "''");
    fact.fill(&format!("select setval('{sequence}', (select max({{part}}) from {{relation}}))"))
}
