//! What code and documents are compared with: tables, functions, publications and buckets of one database.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use tokio_postgres::Client;

use crate::postgres::{QueryError, query};
use crate::sql_text::quoted;

/// Why the catalog cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused a statement.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The server answered with something else than the statement asks for.
    #[error("cannot understand what the catalog says")]
    Entry(#[from] serde_json::Error),
}

/// Stands for an agent's prefix at the head of a name: see [`AgentTables`](super::AgentTables).
pub const PREFIX: &str = "{prefix}";

/// A schema and a name in it, as the catalog has them. [`fmt::Display`] quotes them where SQL needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Name {
    /// Such as `public`.
    pub schema: String,
    /// Of the table, the view or the function.
    pub name: String,
}

impl Name {
    /// Takes both as the catalog has them.
    pub fn new(schema: &str, name: &str) -> Self {
        Self { schema: schema.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = quoted(&self.schema);
        match self.name.strip_prefix(PREFIX) {
            Some(suffix) => write!(f, "{schema}.{PREFIX}{suffix}"),
            None => write!(f, "{schema}.{}", quoted(&self.name)),
        }
    }
}

/// A table or a view.
#[derive(Clone, Debug, Deserialize)]
pub struct Table {
    /// An agent's table has [`PREFIX`] at the head of its name.
    pub name: Name,
    /// Materialised or not. The API finds relationships of a view by rules that the catalog does not show.
    pub is_view: bool,
    /// A part of another table.
    pub is_partition: bool,
    /// It came with an extension.
    pub is_extension: bool,
    /// In the table's order.
    pub columns: Vec<Column>,
    /// Without those of expressions or of some rows.
    pub indexes: Vec<Index>,
    /// Those that this table has, not those to it.
    pub foreign_keys: Vec<ForeignKey>,
}

/// A column of a table or a view.
#[derive(Clone, Debug, Deserialize)]
pub struct Column {
    /// Unquoted.
    pub name: String,
    /// As the server spells it, such as `character varying(20)`.
    pub r#type: String,
    /// Of a column of an enum.
    pub r#enum: Option<Enum>,
    /// Null is refused by the column itself.
    pub not_null: bool,
    /// In the server's words.
    pub default: Option<String>,
    /// The expression that it is generated from.
    pub generated: Option<String>,
    /// `always` or `by default`.
    pub identity: Option<String>,
}

/// An enum, itself or behind a domain.
#[derive(Clone, Debug, Deserialize)]
pub struct Enum {
    /// Of the type.
    pub name: Name,
    /// The values that it has, in its order.
    pub labels: Vec<String>,
}

/// An index on columns, for all rows.
#[derive(Clone, Debug, Deserialize)]
pub struct Index {
    /// ON CONFLICT can use it.
    pub unique: bool,
    /// It is the primary key's.
    pub primary: bool,
    /// In the index's order.
    pub columns: Vec<String>,
}

/// A foreign key.
#[derive(Clone, Debug, Deserialize)]
pub struct ForeignKey {
    /// Of the constraint.
    pub name: String,
    /// That refer.
    pub columns: Vec<String>,
    /// The table that is referred to.
    pub target: Name,
    /// That are referred to.
    pub target_columns: Vec<String>,
    /// In SQL's words, such as `set null`.
    pub on_delete: String,
}

/// A function that a request can call.
#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    /// Several functions can have one name.
    pub name: Name,
    /// Its last argument is a list.
    pub is_variadic: bool,
    /// The table whose rows it returns.
    pub returns_row_of: Option<Name>,
    /// What a caller gives.
    pub arguments: Vec<Argument>,
}

/// What a caller gives.
#[derive(Clone, Debug, Deserialize)]
pub struct Argument {
    /// Empty where it has none.
    pub name: String,
    /// As the server spells it.
    pub r#type: String,
    /// Where it is an enum's value.
    pub r#enum: Option<Enum>,
    /// It may be left out.
    pub has_default: bool,
    /// The table whose row it is.
    pub row_of: Option<Name>,
}

/// What one database has. The maps are ordered, so that reports are.
#[derive(Clone, Debug, Default)]
pub struct Relations {
    tables: BTreeMap<Name, Table>,
    functions: BTreeMap<Name, Vec<Function>>,
    published: BTreeSet<(String, Name)>,
    /// That have tables, here or in what this is compared with.
    publications: BTreeSet<String>,
    /// `None` where they are not known: the role may not read them, or there are none yet.
    buckets: Option<BTreeSet<String>>,
}

/// One row of `sql/audit/relations.sql`.
#[derive(Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Entry {
    Table { table: Table },
    Function { function: Function },
    Published { published: Published },
}

#[derive(Deserialize)]
struct Published {
    publication: String,
    table: Name,
}

impl Relations {
    /// Reads the catalog by one statement, and storage buckets by two. Changes nothing.
    pub async fn read(client: &Client) -> Result<Self, Error> {
        let sql = include_str!("../../sql/audit/relations.sql");
        let rows = client.query_typed(sql, &[]).await.map_err(query("read the catalog"))?;
        let mut relations = Self::default();
        for row in &rows {
            relations.add(serde_json::from_str(row.get("entry"))?);
        }
        relations.buckets = buckets(client).await?;
        Ok(relations)
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Table { table } => drop(self.tables.insert(table.name.clone(), table)),
            Entry::Function { function } => {
                self.functions.entry(function.name.clone()).or_default().push(function);
            }
            Entry::Published { published: Published { publication, table } } => {
                self.publications.insert(publication.clone());
                self.published.insert((publication, table));
            }
        }
    }

    /// The table or view of that name.
    pub fn table(&self, name: &Name) -> Option<&Table> {
        self.tables.get(name)
    }

    /// All tables and views, by name.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// Whether there is anything in that schema. `public` is there in any case.
    pub fn has_schema(&self, schema: &str) -> bool {
        let mut names = self.tables.keys().chain(self.functions.keys());
        schema == "public" || names.any(|name| name.schema == schema)
    }

    /// All functions of that name.
    pub fn functions(&self, name: &Name) -> &[Function] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names of all functions.
    pub fn function_names(&self) -> impl Iterator<Item = &Name> {
        self.functions.keys()
    }

    /// Whether a column of that table is a function of its row.
    pub fn computes(&self, table: &Name, column: &str) -> bool {
        self.computed(table, column).is_some()
    }

    /// The function of a table's row that bears that name.
    pub fn computed(&self, table: &Name, column: &str) -> Option<&Function> {
        let of_row = |function: &&Function| match function.arguments.as_slice() {
            [argument] => argument.row_of.as_ref() == Some(table),
            _ => false,
        };
        let named = self.functions.iter().filter(|(name, _)| name.name == column);
        named.flat_map(|(_, functions)| functions).find(of_row)
    }

    /// Whether the publication sends the table's changes.
    pub fn publishes(&self, publication: &str, table: &Name) -> bool {
        self.published.contains(&(publication.to_owned(), table.clone()))
    }

    /// Whether anything is in that publication, here or where it was heard of. Else nothing is known of it.
    pub fn knows_publication(&self, publication: &str) -> bool {
        self.publications.contains(publication)
    }

    /// Learns which publications the others know.
    pub(super) fn hear_of_publications(&mut self, others: &Self) {
        self.publications.extend(others.publications.iter().cloned());
    }

    /// The ids of storage buckets, where they are known.
    pub fn buckets(&self) -> Option<&BTreeSet<String>> {
        self.buckets.as_ref()
    }
}

/// `None` where the role may not see all of them, or where there are none: buckets are often made by hand.
async fn buckets(client: &Client) -> Result<Option<BTreeSet<String>>, Error> {
    let readable = "select c.oid is not null and has_table_privilege(c.oid, 'select') \
                        and not row_security_active(c.oid) \
                    from (select to_regclass('storage.buckets') as oid) c";
    let row = client.query_typed(readable, &[]).await.map_err(query("look for buckets"))?;
    if row.first().and_then(|row| row.get::<_, Option<bool>>(0)) != Some(true) {
        return Ok(None);
    }
    let sql = "select id::text from storage.buckets";
    let rows = client.query_typed(sql, &[]).await.map_err(query("read the buckets"))?;
    let buckets: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok((!buckets.is_empty()).then_some(buckets))
}
