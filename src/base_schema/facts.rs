//! What the base schema consists of, one object a fact: expected and found.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row, Transaction};

use super::error::Error;
use super::names::{Names, OWNER, is_for_others};
use crate::postgres::{self, query};
use crate::schema::{self, Fact, Kind};

/// One fact a line: kind, what it is or belongs to, its name there, its definition. PostgreSQL 15 to 18 say the same.
pub const FACTS: &str = include_str!("../../sql/base/facts.jsonl");

/// The facts of a database that this program has migrated, for `sql/base/facts.jsonl`.
pub async fn read_as_text(client: &mut Client) -> Result<String, Error> {
    let tx = postgres::begin(client).await.map_err(query("begin"))?;
    let (mut found, _) = read(&tx, &Names::of_fresh(&tx).await?).await?;
    // What deploy/roles.sql makes is no part of it.
    found.retain(|object| !is_for_others(object));
    found.sort_by(|a, b| (a.kind, &a.relation, &a.part).cmp(&(b.kind, &b.relation, &b.part)));
    let line = |object: &Fact| {
        let fact = [object.kind.as_str(), &object.relation, &object.part, &object.definition];
        format!("{}\n", serde_json::json!(fact))
    };
    Ok(found.iter().map(line).collect())
}

pub(super) fn expected() -> Result<Vec<Fact>, Error> {
    let fact = |(index, text): (usize, &str)| {
        let fact: Option<[String; 4]> = serde_json::from_str(text).ok();
        let [kind, relation, part, definition] = fact.ok_or(Error::NoFact(index + 1))?;
        let kind = Kind::parse(&kind).ok_or(Error::NoFact(index + 1))?;
        Ok(Fact { kind, home: String::new(), relation, part, definition, echo: None })
    };
    FACTS.lines().enumerate().map(fact).collect()
}

/// The functions of the API, with the types of their arguments.
pub(crate) fn api_functions() -> Result<Vec<String>, Error> {
    let is_api = |fact: &Fact| fact.kind == Kind::Function && fact.relation.starts_with("public.");
    let functions = expected()?.into_iter().filter(is_api);
    Ok(functions.map(|function| function.relation).collect())
}

const AGENT_IDS: &str = "public.agents_id_seq";

/// To whom the base schema has to belong.
#[derive(Debug)]
pub(super) struct Owner {
    /// Quoted.
    pub(super) name: String,
    pub(super) is_superuser: bool,
}

/// All of it, and the owner of the base schema.
pub(super) async fn read(tx: &Transaction<'_>, names: &Names) -> Result<(Vec<Fact>, Owner), Error> {
    let sql = include_str!("../../sql/base_schema/facts_tables.sql");
    let rows = tx.query_typed(sql, &[(&names.tables, Type::TEXT_ARRAY)]).await;
    let rows = rows.map_err(query("look for tables"))?;
    let (tables, types): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.get::<_, bool>("is_table"));
    let oids = |rows: Vec<&Row>| rows.iter().map(|row| row.get("oid")).collect::<Vec<u32>>();
    let of_tables = schema::read(tx.client(), &oids(tables), &oids(types)).await?;
    // A table's grants and owner are read with those of everything else. How a project stores and describes it is the
    // project's own.
    let others =
        [Kind::Grant, Kind::ColumnGrant, Kind::Owner, Kind::OwnerRights, Kind::Publication];
    // The sequence of agents' ids is read with everything else, too, without its range.
    let kept = |object: &Fact| {
        let of_ids = object.kind == Kind::Sequence && object.relation == AGENT_IDS;
        !others.contains(&object.kind) && !object.kind.is_detail() && !of_ids
    };
    let mut found: Vec<_> = of_tables.into_iter().map(|(_, object)| object).filter(kept).collect();
    let sql = include_str!("../../sql/base_schema/facts.sql");
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
        (&names.functions, Type::TEXT_ARRAY),
        (&names.tables, Type::TEXT_ARRAY),
        (&names.triggers, Type::TEXT_ARRAY),
    ];
    let rows = tx.query_typed(sql, &parameters).await.map_err(query("read the catalog"))?;
    for row in &rows {
        found.push(schema::read_fact(row, Some(String::new()))?);
    }
    let owner = owner(tx, names).await?;
    for object in found.iter_mut().filter(|o| o.kind == Kind::Owner && o.definition == owner.name) {
        OWNER.clone_into(&mut object.definition);
    }
    Ok((found, owner))
}

pub(super) async fn owner(tx: &Transaction<'_>, names: &Names) -> Result<Owner, Error> {
    let sql = include_str!("../../sql/base_schema/owner.sql");
    let rows = tx.query_typed(sql, &[(&names.tables, Type::TEXT_ARRAY)]).await;
    let rows = rows.map_err(query("look for the owner"))?;
    let read = |row: &Row| Owner { name: row.get("name"), is_superuser: row.get("is_superuser") };
    let nobody = || Owner { name: String::new(), is_superuser: false };
    Ok(rows.first().map_or_else(nobody, read))
}
