//! What the catalog says of a scratch agent's tables and of the functions of the API.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::agent::Prefix;
use crate::postgres::{QueryError, query};

/// The kind of an enum: see [`TypeShape::kind`].
pub(super) const ENUM: &str = "enum";

/// Names of an agent's own are without the prefix.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) tables: Vec<Table>,
    /// Their values by their names.
    pub(super) enums: BTreeMap<String, Vec<String>>,
    pub(super) functions: Vec<Function>,
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) foreign_keys: Vec<ForeignKey>,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) of: TypeShape,
    pub(super) is_nullable: bool,
    pub(super) has_default: bool,
    /// The server alone gives it a value.
    pub(super) is_generated: bool,
}

#[derive(Debug)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    /// In the database its name has the prefix at its head.
    pub(super) is_prefixed: bool,
    pub(super) columns: Vec<String>,
    pub(super) is_one_to_one: bool,
    pub(super) referenced_table: String,
    pub(super) referenced_columns: Vec<String>,
}

/// What the API makes of a type, below domains and arrays.
#[derive(Clone, Debug, Default)]
pub(super) struct TypeShape {
    /// `boolean`, `number`, `string`, `Json`, or `enum`.
    pub(super) kind: String,
    /// Of an array more than 0.
    pub(super) dimensions: i32,
    /// Of an enum of the agent's own.
    pub(super) own_name: Option<String>,
    /// Of an enum.
    pub(super) labels: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) answer: Vec<Argument>,
}

/// An argument, or a column of an answer.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) of: TypeShape,
    pub(super) has_default: bool,
}

impl Catalog {
    /// Of the tables that stand under a scratch prefix, and of functions by their signatures.
    pub(super) async fn read(
        client: &Client,
        scratch: &Prefix,
        signatures: &[String],
    ) -> Result<Self, QueryError> {
        let head = format!("{scratch}_");
        let columns =
            of_head(client, include_str!("../../../sql/operations/types/columns.sql"), &head);
        let columns = columns.await?;
        let keys =
            of_head(client, include_str!("../../../sql/operations/types/foreign_keys.sql"), &head);
        let keys = keys.await?;
        let sql = include_str!("../../../sql/operations/types/functions.sql");
        let arguments = client.query_typed(sql, &[(&signatures, Type::TEXT_ARRAY)]).await;
        let arguments = arguments.map_err(query("look at the functions of the API"))?;
        let types = Types::read(client, columns.iter().chain(&arguments), &head).await?;
        Ok(Self {
            tables: tables(&columns, &keys, &types, &head),
            functions: functions(&arguments, &types),
            enums: types.enums(),
        })
    }
}

async fn of_head(client: &Client, sql: &str, head: &str) -> Result<Vec<Row>, QueryError> {
    let rows = client.query_typed(sql, &[(&head, Type::TEXT)]).await;
    rows.map_err(query("look at the tables of the templates"))
}

fn bare(name: &str, head: &str) -> String {
    name.strip_prefix(head).unwrap_or(name).to_owned()
}

fn tables(columns: &[Row], keys: &[Row], types: &Types, head: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for row in columns {
        let name = bare(row.get("table_name"), head);
        let column = Column {
            name: row.get("name"),
            of: types.of(row),
            is_nullable: row.get("is_nullable"),
            has_default: row.get("has_default"),
            is_generated: row.get("is_generated"),
        };
        match tables.last_mut().filter(|table| table.name == name) {
            Some(table) => table.columns.push(column),
            None => tables.push(Table { name, columns: vec![column], foreign_keys: Vec::new() }),
        }
    }
    for row in keys {
        let name = bare(row.get("table_name"), head);
        if let Some(table) = tables.iter_mut().find(|table| table.name == name) {
            table.foreign_keys.push(ForeignKey {
                name: row.get("name"),
                is_prefixed: row.get("is_prefixed"),
                columns: row.get("columns"),
                is_one_to_one: row.get("is_one_to_one"),
                referenced_table: bare(row.get("referenced_table"), head),
                referenced_columns: row.get("referenced_columns"),
            });
        }
    }
    tables
}

fn functions(rows: &[Row], types: &Types) -> Vec<Function> {
    let mut functions: Vec<Function> = Vec::new();
    for row in rows {
        let name: String = row.get("function_name");
        if functions.last().is_none_or(|function| function.name != name) {
            functions.push(Function { name, arguments: Vec::new(), answer: Vec::new() });
        }
        let Some(function) = functions.last_mut() else { continue };
        let list =
            if row.get("is_answer") { &mut function.answer } else { &mut function.arguments };
        list.push(Argument {
            name: row.get("name"),
            of: types.of(row),
            has_default: row.get("has_default"),
        });
    }
    functions
}

/// By oid.
struct Types(HashMap<u32, TypeShape>);

impl Types {
    async fn read(
        client: &Client,
        users: impl Iterator<Item = &Row>,
        head: &str,
    ) -> Result<Self, QueryError> {
        let oids: Vec<u32> = users.map(|row| row.get("type_oid")).collect();
        let sql = include_str!("../../../sql/operations/types/types.sql");
        let rows = client.query_typed(sql, &[(&oids, Type::OID_ARRAY), (&head, Type::TEXT)]).await;
        let rows = rows.map_err(query("look at types"))?;
        let shape = |row: &Row| TypeShape {
            kind: row.get("kind"),
            dimensions: row.get("dimensions"),
            own_name: row.get::<_, Option<&str>>("own_name").map(|name| bare(name, head)),
            labels: row.get("labels"),
        };
        Ok(Self(rows.iter().map(|row| (row.get("type_oid"), shape(row))).collect()))
    }

    /// Of the column or argument of a row.
    fn of(&self, row: &Row) -> TypeShape {
        self.0.get(&row.get("type_oid")).cloned().unwrap_or_default()
    }

    /// The agent's own, by name.
    fn enums(self) -> BTreeMap<String, Vec<String>> {
        let own = |shape: TypeShape| {
            let is_enum = shape.kind == ENUM && shape.dimensions == 0;
            Some((shape.own_name.filter(|_| is_enum)?, shape.labels))
        };
        self.0.into_values().filter_map(own).collect()
    }
}
