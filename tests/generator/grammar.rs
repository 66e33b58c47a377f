//! A grammar of templates: each production adds statements to a set, as far as the set has what they are about.

#![expect(
    clippy::unnecessary_wraps,
    reason = "all productions have one type: most have nothing to add at times"
)]

use proptest::collection::vec;
use proptest::prelude::*;

/// A production and what it draws.
#[derive(Clone, Debug)]
pub struct Step {
    production: usize,
    draws: [u8; DRAWS],
}

const DRAWS: usize = 10;

/// The statements of files; names begin with `{prefix}_` and the set's own name.
#[derive(Clone, Debug)]
pub struct Set {
    name: String,
    tables: Vec<Table>,
    enums: Vec<String>,
    names: usize,
    /// Of tables with partitions and of partitions.
    index_keys: Vec<String>,
    /// One after the other in upgrades.
    pub files: Vec<Vec<String>>,
    /// What `foreign_key.sql` says when these are the files, but for the last.
    keys: Vec<String>,
}

#[derive(Clone, Debug)]
struct Table {
    /// Qualified and quoted.
    name: String,
    /// Quoted, without the key, and each with its type.
    columns: Vec<(String, String)>,
    /// Of its rows: a column list and values, `$` for a number.
    row: Option<&'static str>,
    /// By what it has partitions.
    parted: Option<&'static str>,
    /// Whether it has a column `agent_id`.
    keyed: bool,
    /// Whether it is a partition.
    part: bool,
}

/// Draws of one step, in turn.
pub struct Draw<'a>(std::slice::Iter<'a, u8>);

/// Adds to a set; `None` where it has nothing for it.
type Production = fn(&mut Set, &mut Draw<'_>) -> Option<String>;

/// The commoner ones more than once.
const PRODUCTIONS: [Production; 34] = [
    column,
    table,
    column,
    column,
    rows,
    rows,
    index,
    index,
    unique,
    check,
    foreign_key,
    foreign_key,
    policy,
    policy,
    trigger,
    grant,
    grant,
    comment,
    comment,
    storage,
    table_options,
    identity,
    cluster,
    enumeration,
    partition,
    partitioned,
    inherited,
    liked,
    exclusion,
    alteration,
    alteration,
    publication,
    forced,
    next_file,
];

/// Sets of this many steps.
pub fn steps(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..PRODUCTIONS.len(), any::<[u8; DRAWS]>());
    vec(step.prop_map(|(production, draws)| Step { production, draws }), count)
}

impl Draw<'_> {
    fn number(&mut self, below: usize) -> usize {
        self.0.next().map_or(0, |drawn| usize::from(*drawn) % below)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.get(self.number(of.len())).unwrap()
    }

    fn among<'b, T>(&mut self, of: &'b [T]) -> Option<&'b T> {
        if of.is_empty() { None } else { of.get(self.number(of.len())) }
    }
}

impl Set {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tables: Vec::new(),
            enums: Vec::new(),
            names: 0,
            index_keys: Vec::new(),
            files: vec![Vec::new()],
            keys: Vec::new(),
        }
    }

    /// The statements that a step adds. They are in no file yet.
    pub fn take(&mut self, step: &Step) -> Option<String> {
        let drawn = PRODUCTIONS.get(step.production).filter(|_| !self.tables.is_empty());
        let production = drawn.copied().unwrap_or(table);
        production(self, &mut Draw(step.draws.iter()))
    }

    /// Into its last file.
    pub fn add(&mut self, sql: String) {
        self.files.last_mut().unwrap().push(sql);
    }

    /// What `foreign_key.sql` says after so many files.
    pub fn keys(&self, files: usize) -> String {
        self.keys.get(files - 1).cloned().unwrap_or_else(|| self.last_keys())
    }

    fn last_keys(&self) -> String {
        let keyed = self.tables.iter().filter(|table| table.keyed);
        let key = |table: &Table| {
            format!(
                "alter table {} add foreign key (agent_id) references public.agents (id) on delete cascade;\n",
                table.name
            )
        };
        keyed.map(key).collect()
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}{}", self.names)
    }

    /// A name in schema public, without the schema; some have to be quoted.
    fn fresh_name(&mut self, kind: &str, draw: &mut Draw<'_>) -> String {
        let fresh = self.fresh(kind);
        let name = format!("{{prefix}}_{}_{fresh}", self.name);
        if draw.number(8) == 7 { format!("\"{name} X.é\"") } else { name }
    }

    fn table(&self, draw: &mut Draw<'_>) -> Option<&Table> {
        draw.among(&self.tables)
    }

    fn column(&self, draw: &mut Draw<'_>) -> Option<(&Table, &str, &str)> {
        let table = self.table(draw)?;
        let (column, kind) = draw.among(&table.columns)?;
        Some((table, column, kind))
    }
}

/// Types, with a default and a check of a column `$` each.
const TYPES: [(&str, &str, &str); 18] = [
    ("int", "7", "$ > 0"),
    ("text", "'it''s'", "$ <> ''"),
    ("bigint", "{agent_id}", "$ = {agent_id}"),
    // Of an IN with these the server says other words when it is made of its own: that is no difference.
    ("varchar(20)", "'a'", "$ <> 'z'"),
    ("boolean", "false", "$ is not null"),
    ("numeric(10, 2)", "-0.5", "$ between -1 and 100"),
    ("timestamptz", "'2026-01-01 00:00:00+00'", "$ > 'epoch'"),
    ("date", "date '2026-01-02'", "extract(year from $) > 2000"),
    ("jsonb", "'{\"a\": {agent_id}}'", "jsonb_typeof($) = 'object'"),
    ("text[]", "'{a,b}'", "array_length($, 1) < 5"),
    ("uuid", "'00000000-0000-0000-0000-000000000001'", "$ is not null"),
    ("interval", "'1 day'", "$ > '1 s'"),
    ("int4range", "'[1,5)'", "not isempty($)"),
    ("char(3)", "'ab'", "$ like 'a%'"),
    ("bytea", "'\\x00ff'", "length($) < 9"),
    ("real", "1.5", "$ >= 0"),
    ("text collate \"C\"", "lower('X')", "$ ~ '^[a-z]*$'"),
    ("double precision", "pi()", "$ > 3"),
];

/// A column's name, type and definition.
fn new_column(set: &mut Set, draw: &mut Draw<'_>) -> (String, String, String) {
    let name = set.fresh("c");
    let name = match draw.number(10) {
        8 => format!("\"C {name}\""),
        9 => format!("\"{name}\"\"ö\""),
        _ => name,
    };
    let (mut kind, mut default, mut check) = draw.one(&TYPES);
    let chosen;
    if draw.number(6) == 5
        && let Some(own) = draw.among(&set.enums)
    {
        chosen = own.clone();
        (kind, default, check) = (&chosen, "'a'", "$ is not null");
    }
    let rest = match draw.number(12) {
        0 => format!(" default {default}"),
        1 => format!(" default {default} not null"),
        2 => format!(" check ({})", check.replace('$', &name)),
        3 => format!(" default {default} check ({})", check.replace('$', &name)),
        4 => " unique".to_owned(),
        5 => " generated always as (id is not null) stored".to_owned(),
        6 => format!(" not null default {default} unique"),
        _ => String::new(),
    };
    let kind = if rest.contains(" generated ") { "boolean" } else { kind };
    let definition = format!("{name} {kind}{rest}");
    (name, kind.to_owned(), definition)
}

const CLOSE: &str = "revoke all on $ from public, anon, authenticated, service_role;\n\
                     alter table $ enable row level security";

fn close(name: &str) -> String {
    CLOSE.replace('$', name)
}

fn table(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let name = format!("public.{}", set.fresh_name("t", draw));
    let (key, row) = draw.one(&[
        ("id int primary key", "(id) values ($)"),
        ("id bigserial primary key", "default values"),
        ("id bigint generated always as identity primary key", "default values"),
        // A session draws three numbers and leaves two: the next one depends on who has built what.
        (
            "id bigint generated by default as identity (start 1000 increment by 5 cache 3) primary key",
            "",
        ),
        ("id int not null", "(id) values ($)"),
        ("id int, unique (id) deferrable initially deferred", "(id) values ($)"),
        (
            "id int, agent_id bigint not null default {agent_id} check (agent_id = {agent_id})",
            "",
        ),
    ]);
    let kind = draw.one(&["table", "table", "table", "unlogged table"]);
    let options = draw.one(&[
        "",
        "",
        "",
        " with (fillfactor = 70)",
        " with (autovacuum_enabled = false, toast.autovacuum_enabled = false)",
    ]);
    let columns: Vec<_> = (0..draw.number(3)).map(|_| new_column(set, draw)).collect();
    let definitions: Vec<_> = columns.iter().map(|(.., text)| format!(", {text}")).collect();
    let definitions = definitions.concat();
    let sql = format!("create {kind} {name} ({key}{definitions}){options};\n{}", close(&name));
    let columns = columns.into_iter().map(|(name, kind, _)| (name, kind)).collect();
    let keyed = key.contains("agent_id");
    set.tables.push(Table {
        name,
        columns,
        row: Some(row).filter(|row| !row.is_empty()),
        parted: None,
        keyed,
        part: false,
    });
    Some(sql)
}

fn column(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let at = draw.number(set.tables.len());
    let (name, kind, definition) = new_column(set, draw);
    let table = set.tables.get_mut(at)?;
    table.columns.push((name, kind));
    Some(format!("alter table {} add column {definition}", table.name))
}

/// One statement for each row: it is of this table only.
fn rows(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let number = set.names;
    set.names += 1;
    let table = set.table(draw)?;
    let row = table.row?.replace('$', &number.to_string());
    Some(format!("insert into {} {row}", table.name))
}

/// Whether it may have an index with that key. A partition has none of its own like one of its parent: when the parent's is
/// lost and comes back, the server takes the partition's own for it. That no statement mends; `verify` names it.
fn takes_index(set: &mut Set, table: &Table, key: &str) -> bool {
    let is_whole = table.parted.is_none() && !table.part;
    let is_new = is_whole || !set.index_keys.iter().any(|known| known == key);
    set.index_keys.extend((!is_whole && is_new).then(|| key.to_owned()));
    is_new
}

fn index(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let index = set.fresh_name("i", draw);
    let (table, column, kind) = set.column(draw)?;
    let text = kind.starts_with("text") && kind != "text[]";
    let key = match draw.number(7) {
        0 if text => format!("using btree (lower({column}), id desc)"),
        1 if text => format!("({column} text_pattern_ops, {column} collate \"POSIX\" desc)"),
        2 => format!("using hash ({column})"),
        3 if kind == "jsonb" => {
            format!("using gin ({column} jsonb_path_ops) with (fastupdate = off)")
        }
        3 if kind == "text[]" => format!("using gin ({column})"),
        3 => format!("using brin ({column}) with (pages_per_range = 4)"),
        4 => format!("({column} desc nulls last, id) with (fillfactor = 60)"),
        5 => format!("(id) include ({column})"),
        6 => format!("({column}, (id + 1)) where {column} is not null"),
        _ => format!("({column})"),
    };
    let unique = draw.one(&["", "", "", "unique "]);
    let name = draw.one(&["", &index]).to_owned();
    let more = if !name.is_empty() && key.contains("(id + 1)") && draw.number(2) == 1 {
        format!(";\nalter index public.{name} alter column 2 set statistics 300")
    } else {
        String::new()
    };
    let (table, name) = (table.clone(), name.clone());
    takes_index(set, &table, &key)
        .then(|| format!("create {unique}index {name} on {} {key}{more}", table.name))
}

fn unique(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let (constraint, index) = (set.fresh_name("u", draw), set.fresh_name("i", draw));
    let (table, column, _) = set.column(draw)?;
    let (table, column) = (table.clone(), column.to_owned());
    let name = &table.name;
    if !takes_index(set, &table, &column) {
        return None;
    }
    Some(match draw.number(5) {
        0 => format!("alter table {name} add unique ({column})"),
        1 => format!(
            "alter table {name} add constraint {constraint} unique ({column}, id) deferrable"
        ),
        2 => format!(
            "create unique index {index} on {name} (id, {column}) with (fillfactor = 75);\n\
             alter table {name} add constraint {constraint} unique using index {index}"
        ),
        3 => format!(
            "alter table {name} add constraint {constraint} unique nulls not distinct ({column}, id) include (id)"
        ),
        _ => format!(
            "alter table {name} add constraint {constraint} unique ({column}) with (fillfactor = 80)"
        ),
    })
}

fn check(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let constraint = set.fresh_name("k", draw);
    let (table, column, kind) = set.column(draw)?;
    let (.., check) = TYPES.iter().find(|(known, ..)| *known == kind)?;
    let check = check.replace('$', column);
    let name = draw.one(&["", "constraint "]).to_owned();
    let name = if name.is_empty() { name } else { name + &constraint + " " };
    let end = draw.one(&["", "", " not valid", " no inherit"]);
    Some(format!("alter table {} add {name}check ({check} or id is null){end}", table.name))
}

fn foreign_key(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let (column, constraint) = (set.fresh("f"), set.fresh_name("f", draw));
    let at = draw.number(set.tables.len());
    let target = set.table(draw)?.name.clone();
    let kind = draw.one(&["int", "bigint"]);
    let delete = draw.one(&[
        "",
        " on delete cascade",
        " on delete set null",
        " on delete set default",
        " on delete restrict on update cascade",
        " match full on update set null",
    ]);
    let end =
        draw.one(&["", "", "", " deferrable", " deferrable initially deferred", " not valid"]);
    let table = set.tables.get_mut(at)?;
    table.columns.push((column.clone(), kind.to_owned()));
    let name = &table.name;
    Some(match draw.number(3) {
        0 if end != " not valid" => {
            format!(
                "alter table {name} add column {column} {kind} references {target} (id){delete}{end}"
            )
        }
        1 => format!(
            "alter table {name} add column {column} {kind};\n\
             alter table {name} add foreign key ({column}) references {target} (id){delete}{end}"
        ),
        _ => format!(
            "alter table {name} add column {column} {kind}, \
             add constraint {constraint} foreign key ({column}) references {target} (id){delete}{end}"
        ),
    })
}

fn policy(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let policy = set.fresh("p");
    let policy = if draw.number(6) == 5 { format!("\"{policy} É\"") } else { policy };
    let (table, column, _) = set.column(draw)?;
    let kind = draw.one(&["", "", " as restrictive"]);
    let command = draw.one(&["", "all", "select", "insert", "update", "delete"]);
    let whom = draw.one(&["", " to authenticated", " to service_role, authenticated"]);
    let test = draw
        .one(
            &[
                "true".to_owned(),
                "(select provisioning.owned_agent({agent_id})) is not null".to_owned(),
                format!("{column} is not null"),
                format!("id in (select t.id from {} t where t.{column} is null)", table.name),
                format!("{column}::text in ('{{agent_id}}', 'x')"),
            ]
            .each_ref(),
        )
        .clone();
    let expressions = match (command, draw.number(3)) {
        ("insert", _) => format!(" with check ({test})"),
        ("select" | "delete", _) | (_, 0) => format!(" using ({test})"),
        (_, 1) => format!(" using ({test}) with check ({column} is null)"),
        _ => format!(" with check ({test})"),
    };
    let command = if command.is_empty() { String::new() } else { format!(" for {command}") };
    Some(format!("create policy {policy} on {}{kind}{command}{whom}{expressions}", table.name))
}

fn trigger(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let trigger = set.fresh("g");
    let (table, column, _) = set.column(draw)?;
    let name = &table.name;
    let (kind, event) = draw.one(&[
        ("", "before update"),
        ("", "before insert or update"),
        ("", "after insert or delete"),
        ("", "before update of $"),
        ("constraint ", "after update"),
    ]);
    // The function sets a column that tables lack. Where rows come by way of a parent, its trigger would turn them away.
    if table.parted.is_some() && event.contains("insert") {
        return None;
    }
    let event = event.replace('$', column);
    let defer = if kind.is_empty() { "" } else { " deferrable initially deferred" };
    let when = if event == "before update" && draw.number(2) == 1 {
        format!(" when (new.{column} is distinct from old.{column})")
    } else {
        String::new()
    };
    let state = draw.one(&["", "", "enable always", "enable replica", "disable"]);
    let more = if state.is_empty() {
        String::new()
    } else {
        format!(";\nalter table {name} {state} trigger {trigger}")
    };
    Some(format!(
        "create {kind}trigger {trigger} {event} on {name}{defer} for each row{when} \
         execute function provisioning.touch_updated_at(){more}"
    ))
}

fn grant(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let (table, column, _) = set.column(draw)?;
    let name = &table.name;
    let whom = draw.one(&["authenticated", "service_role"]);
    let option = draw.one(&["", "", "", " with grant option"]);
    Some(match draw.number(5) {
        0 => format!("grant all on {name} to {whom}{option}"),
        1 => format!("grant select ({column}), update ({column}, id) on {name} to {whom}{option}"),
        2 if !set.enums.is_empty() => {
            let own = draw.among(&set.enums)?;
            format!("revoke all on type {own} from public;\ngrant usage on type {own} to {whom}")
        }
        // Whoever may not make a trigger does not make one again: a repair acts as the owner, and names what is left.
        // A keyed table whose owner may not delete is refused: no agent could be deleted.
        3 if table.keyed => format!("revoke truncate on {name} from current_user"),
        3 => format!("revoke truncate, delete on {name} from current_user"),
        _ => format!("grant select, insert on {name} to {whom}{option}"),
    })
}

fn comment(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let (table, column, _) = set.column(draw)?;
    let name = &table.name;
    let text =
        draw.one(&["'{prefix}''s of {agent_id}'", "E'two\\nlines; -- and more'", "'{{prefix}}'"]);
    Some(match draw.number(3) {
        0 => format!("comment on table {name} is {text}"),
        1 if !set.enums.is_empty() => {
            format!("comment on type {} is {text}", draw.among(&set.enums)?)
        }
        _ => format!("comment on column {name}.{column} is {text}"),
    })
}

fn storage(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let (table, column, _) = set.column(draw)?;
    let how = draw.one(&[
        "storage external",
        "storage main",
        "storage plain",
        "compression pglz",
        "statistics 300",
        "statistics 0",
        "(n_distinct = -0.5)",
        "(n_distinct = 9, n_distinct_inherited = 7)",
    ]);
    Some(format!("alter table {} alter column {column} set {how}", table.name))
}

fn table_options(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let how = draw.one(&[
        "set (fillfactor = 55)",
        // With user_catalog_table the server rewrites it for no column that comes back.
        "set (autovacuum_vacuum_threshold = 7, parallel_workers = 2)",
        "set (toast.autovacuum_enabled = false)",
        "set (parallel_workers = 2)",
        "reset (fillfactor)",
        "set unlogged",
        "set logged",
    ]);
    Some(format!("alter table {} {how}", set.table(draw)?.name))
}

fn identity(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let index = set.fresh_name("r", draw);
    let table = set.table(draw)?.clone();
    let name = &table.name;
    // One that is published and lacks it while an agent's end reaches it is refused.
    Some(match draw.number(3) {
        _ if table.keyed => format!("alter table {name} replica identity full"),
        0 => format!("alter table {name} replica identity full"),
        1 => format!("alter table {name} replica identity nothing"),
        _ if !takes_index(set, &table, "id") => return None,
        _ => format!(
            "alter table {name} alter id set not null;\ncreate unique index {index} on {name} (id);\n\
             alter table {name} replica identity using index {index}"
        ),
    })
}

fn cluster(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let index = set.fresh_name("o", draw);
    let table = set.table(draw)?.clone();
    let name = &table.name;
    if !takes_index(set, &table, "id desc") {
        return None;
    }
    Some(format!(
        "create index {index} on {name} (id desc);\nalter table {name} cluster on {index}"
    ))
}

fn enumeration(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let name = format!("public.{}", set.fresh_name("e", draw));
    let more = draw.one(&[
        "",
        "alter type $ add value 'A b' before 'a'",
        "alter type $ rename value 'b' to 'B'",
    ]);
    let more =
        if more.is_empty() { String::new() } else { format!(";\n{}", more.replace('$', &name)) };
    set.enums.push(name.clone());
    Some(format!("create type {name} as enum ('a', 'b'){more}"))
}

fn partitioned(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let name = format!("public.{}", set.fresh_name("t", draw));
    let by = draw.one(&["range", "list", "hash"]);
    let key = draw.one(&["", ", primary key (id)", ", unique (id, n)"]);
    let (column, kind, definition) = new_column(set, draw);
    let sql = format!(
        "create table {name} (id int, n int default 1 check (n > 0){key}, {definition}) partition by {by} (id);\n{}",
        close(&name)
    );
    set.tables.push(Table {
        name,
        columns: vec![("n".to_owned(), "int".to_owned()), (column, kind)],
        row: None,
        parted: Some(by),
        keyed: false,
        part: false,
    });
    Some(sql)
}

fn partition(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let part = format!("public.{}", set.fresh_name("t", draw));
    let number = set.names;
    let parents: Vec<&Table> = set.tables.iter().filter(|table| table.parted.is_some()).collect();
    let parent = (*draw.among(&parents)?).clone();
    let bounds = match parent.parted? {
        "range" => format!("for values from ({}) to ({})", number * 100, number * 100 + 99),
        "list" if draw.number(3) == 2 => "default".to_owned(),
        "list" => format!("for values in ({}, {})", number * 100, number * 100 + 1),
        _ => format!("for values with (modulus 4, remainder {})", draw.number(4)),
    };
    let name = &parent.name;
    let create = match draw.number(3) {
        0 => format!(
            "create table {part} (like {name} including defaults including constraints);\n\
             alter table {name} attach partition {part} {bounds}"
        ),
        1 => format!("create table {part} partition of {name} {bounds} with (fillfactor = 60)"),
        _ => format!("create table {part} partition of {name} {bounds}"),
    };
    // A row that this partition alone gets.
    let row = if bounds.contains(" hash ") || bounds.contains("modulus") || draw.number(2) == 1 {
        String::new()
    } else {
        format!(";\ninsert into {name} (id) values ({})", number * 100)
    };
    let sql = format!("{create};\n{}{row}", close(&part));
    set.tables.push(Table {
        name: part,
        columns: parent.columns,
        row: None,
        parted: None,
        keyed: false,
        part: true,
    });
    Some(sql)
}

fn inherited(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let name = format!("public.{}", set.fresh_name("t", draw));
    let (column, kind, definition) = new_column(set, draw);
    let mut parent = set.table(draw)?.clone();
    let sql =
        format!("create table {name} ({definition}) inherits ({});\n{}", parent.name, close(&name));
    parent.columns.push((column, kind));
    set.tables.push(Table { name, row: None, parted: None, part: false, ..parent });
    Some(sql)
}

fn liked(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let name = format!("public.{}", set.fresh_name("t", draw));
    let parent = set.table(draw)?.clone();
    let what = draw.one(&["all", "defaults including comments", "indexes including storage"]);
    let sql =
        format!("create table {name} (like {} including {what});\n{}", parent.name, close(&name));
    set.tables.push(Table { name, row: None, parted: None, part: false, ..parent });
    Some(sql)
}

fn exclusion(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let constraint = set.fresh_name("x", draw);
    let (table, column, kind) = set.column(draw)?;
    let name = &table.name;
    Some(if kind == "int4range" {
        format!(
            "alter table {name} add constraint {constraint} exclude using gist ({column} with &&) where (id > 0)"
        )
    } else {
        format!(
            "alter table {name} add constraint {constraint} exclude (id with =, {column} with =) deferrable"
        )
    })
}

fn alteration(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let (fresh, away) = (set.fresh("c"), set.fresh_name("t", draw));
    let (at, several) = (draw.number(set.tables.len()), set.tables.len() > 1);
    let table = set.tables.get_mut(at)?;
    let name = table.name.clone();
    if table.columns.is_empty() {
        return None;
    }
    let place = draw.number(table.columns.len());
    let column = table.columns.get_mut(place)?;
    let (old, kind) = column.clone();
    let default = TYPES.iter().find(|(known, ..)| *known == kind).map(|(_, default, _)| *default);
    // The server names a partition's index after the names of the moment; `verify` lists these as not compared.
    let is_whole = table.parted.is_none() && !table.part;
    Some(match draw.number(9) {
        0 if is_whole => {
            column.0.clone_from(&fresh);
            format!("alter table {name} rename column {old} to {fresh}")
        }
        1 => {
            table.columns.remove(place);
            format!("alter table {name} drop column {old}")
        }
        2 if is_whole => {
            table.name = format!("public.{away}");
            format!("alter table {name} rename to {away}")
        }
        3 => format!("alter table {name} alter column {old} drop default"),
        4 => format!("alter table {name} alter column {old} set default {}", default?),
        5 => format!("alter table {name} alter column {old} set not null"),
        // The values of a lost partition's first rows are not changed again by statements about its parent.
        6 if kind == "int" && is_whole => {
            "bigint".clone_into(&mut column.1);
            format!("alter table {name} alter column {old} type bigint using {old} * 2")
        }
        7 if several => {
            set.tables.remove(at);
            format!("drop table {name}")
        }
        _ => {
            "text".clone_into(&mut column.1);
            format!("alter table {name} alter column {old} type text")
        }
    })
}

fn publication(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    let table = set.table(draw)?;
    let name = &table.name;
    let identity = format!("alter table {name} replica identity full;\n");
    let identity = if table.keyed { identity } else { String::new() };
    Some(format!("{identity}select provisioning.publish('{name}')"))
}

/// Whoever owns it sees no rows from then on.
fn forced(set: &mut Set, draw: &mut Draw<'_>) -> Option<String> {
    Some(format!("alter table {} force row level security", set.table(draw)?.name))
}

fn next_file(set: &mut Set, _: &mut Draw<'_>) -> Option<String> {
    if set.files.len() < 3 {
        set.keys.push(set.last_keys());
        set.files.push(Vec::new());
    }
    None
}
