//! The catalog as TypeScript.

use super::catalog::{Argument, Catalog, Column, ENUM, ForeignKey, Function, Table, TypeShape};

/// What is the same for all templates.
const CLIENT: &str = include_str!("client.ts");

/// What functions answer besides how it went, and the table whose row it is.
const ROWS: [(&str, &str); 6] = [
    ("agent", "agents"),
    ("config", "whatsapp_configuration"),
    ("business", "businesses"),
    ("member", "user_businesses"),
    ("invitation", "business_invitations"),
    ("number", "whatsapp_numbers"),
];

/// What may be null in the answers of the other functions: the catalog does not know.
const NULLABLE: [(&str, &[&str]); 5] = [
    ("agent_status", &["template_version"]),
    ("agent_statuses", &["template_version"]),
    ("route_message", &["agent_id", "agent_prefix"]),
    ("secret_status", &["whatsapp_number_id", "meta_app_id", "last_four"]),
    ("get_meta_app_secrets", &["business_id"]),
];

/// The whole file.
pub(super) fn write(catalog: &Catalog, version: i32) -> String {
    let Catalog { tables, enums, functions } = catalog;
    let table_types = members(tables.iter().map(table));
    let enum_types =
        members(enums.iter().map(|(name, labels)| format!("  {}: {}\n", key(name), union(labels))));
    let function_types = members(functions.iter().map(function));
    let names = |table: &Table| {
        let keys = table.foreign_keys.iter().filter(|key| key.is_prefixed);
        keys.map(|key| key.name.clone()).chain([table.name.clone()]).collect::<Vec<_>>()
    };
    let prefixed: Vec<String> = tables.iter().flat_map(names).collect();
    let prefixed = list(&prefixed);
    format!(
        "\
// Written by `agent-provisioner types`, from templates of version {version}. Changes here are lost.
/* eslint-disable */
import type {{ SupabaseClient }} from \"@supabase/supabase-js\"

type Json = string | number | boolean | null | {{ [key: string]: Json | undefined }} | Json[]

/** An agent's tables, without the prefix in their names. */
export type AgentTables = {{
{table_types}}}

/** An agent's enums, without the prefix in their names. */
export type AgentEnums = {{
{enum_types}}}

/** The functions of the API. `D` is the `Database` of `supabase gen types`. */
export type ApiFunctions<D = unknown> = {{
{function_types}}}

/** Tables and foreign keys that bear the prefix in the database. */
const prefixed: ReadonlySet<string> = new Set({prefixed})
{CLIENT}"
    )
}

fn members(lines: impl Iterator<Item = String>) -> String {
    let lines: String = lines.collect();
    if lines.is_empty() { "  [_ in never]: never\n".to_owned() } else { lines }
}

fn table(table: &Table) -> String {
    let Table { name, columns, foreign_keys } = table;
    let columns_of = |kind: fn(&Column) -> String| {
        let line = |column| format!("      {}\n", kind(column));
        columns.iter().map(line).collect::<String>()
    };
    let (row, insert, update) = (columns_of(row), columns_of(insert), columns_of(update));
    let mut relationships: String = foreign_keys.iter().map(relationship).collect();
    if !relationships.is_empty() {
        relationships.push_str("\n    ");
    }
    format!(
        "  {}: {{\n    Row: {{\n{row}    }}\n    Insert: {{\n{insert}    }}\n    Update: {{\n{update}    }}\n    \
         Relationships: [{relationships}]\n  }}\n",
        key(name)
    )
}

fn row(column: &Column) -> String {
    format!("{}: {}", key(&column.name), value(column))
}

/// Of an INSERT. What has a default may be left out.
fn insert(column: &Column) -> String {
    let optional = if column.has_default || column.is_nullable { "?" } else { "" };
    written(column, optional)
}

fn update(column: &Column) -> String {
    written(column, "?")
}

fn written(column: &Column, optional: &str) -> String {
    let name = key(&column.name);
    if column.is_generated {
        return format!("{name}?: never");
    }
    format!("{name}{optional}: {}", value(column))
}

fn value(column: &Column) -> String {
    let null = if column.is_nullable { " | null" } else { "" };
    format!("{}{null}", type_name(&column.of))
}

fn relationship(key: &ForeignKey) -> String {
    let ForeignKey { name, columns, is_one_to_one, referenced_table, referenced_columns, .. } = key;
    let (name, table) = (literal(name), literal(referenced_table));
    let (columns, referenced_columns) = (list(columns), list(referenced_columns));
    format!(
        "\n      {{\n        foreignKeyName: {name}\n        columns: {columns}\n        isOneToOne: {is_one_to_one}\n        \
         referencedRelation: {table}\n        referencedColumns: {referenced_columns}\n      }},"
    )
}

fn function(function: &Function) -> String {
    let Function { name, arguments, .. } = function;
    let argument = |Argument { name, of, has_default }: &Argument| {
        // Where an argument may be left out, null says the same.
        let (optional, null) = if *has_default { ("?", " | null") } else { ("", "") };
        format!("{}{optional}: {}{null}", key(name), type_name(of))
    };
    let arguments: Vec<String> = arguments.iter().map(argument).collect();
    let arguments = if arguments.is_empty() {
        "never".to_owned()
    } else {
        format!("{{ {} }}", arguments.join("; "))
    };
    format!(
        "  {}: {{\n    Args: {arguments}\n    Returns: {}[]\n  }}\n",
        key(name),
        answer(function)
    )
}

/// One row of what a function answers.
fn answer(function: &Function) -> String {
    let is_outcome = |column: &&Argument| ["success", "message", "code"].contains(&&*column.name);
    let (outcome, rest): (Vec<_>, Vec<_>) = function.answer.iter().partition(is_outcome);
    match rest.as_slice() {
        [] => return "Answer".to_owned(),
        [one] if outcome.len() == 3 => {
            let row = ROWS.iter().find(|(name, _)| *name == one.name);
            let row = row.map_or_else(
                || type_name(&one.of),
                |(_, table)| format!("RowOf<D, {}>", literal(table)),
            );
            return format!("Answer<{}, {row}>", literal(&one.name));
        }
        _ => {}
    }
    let nullable = NULLABLE.iter().find(|(name, _)| *name == function.name);
    let column = |Argument { name, of, .. }: &Argument| {
        let is_nullable = nullable.is_some_and(|(_, names)| names.contains(&&**name));
        let null = if is_nullable { " | null" } else { "" };
        format!("{}: {}{null}", key(name), type_name(of))
    };
    let columns: Vec<String> = function.answer.iter().map(column).collect();
    format!("{{ {} }}", columns.join("; "))
}

fn type_name(shape: &TypeShape) -> String {
    let TypeShape { kind, dimensions, own_name, labels } = shape;
    let arrays = "[]".repeat(usize::try_from(*dimensions).unwrap_or_default());
    match own_name {
        _ if kind != ENUM => format!("{kind}{arrays}"),
        Some(name) => format!("AgentEnums[{}]{arrays}", literal(name)),
        None if arrays.is_empty() => union(labels),
        None => format!("({}){arrays}", union(labels)),
    }
}

fn union(labels: &[String]) -> String {
    let literals: Vec<String> = labels.iter().map(|label| literal(label)).collect();
    if literals.is_empty() { "never".to_owned() } else { literals.join(" | ") }
}

fn list(names: &[String]) -> String {
    let literals: Vec<String> = names.iter().map(|name| literal(name)).collect();
    format!("[{}]", literals.join(", "))
}

/// A text as TypeScript has it, which is as JSON has it.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name in an object type.
fn key(name: &str) -> String {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$');
    if is_word { name.to_owned() } else { literal(name) }
}
