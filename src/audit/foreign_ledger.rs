//! Tables in which other tools record what they have applied. No file of a project makes them, and nobody may drop them.

use std::collections::BTreeSet;

use super::compare::open;
use super::finding::{Finding, Severity};
use super::schema_state::SchemaState;
use crate::schema::{Fact, Kind, bare};

/// Of dbmate and Rails, Prisma, goose, Flyway, Knex, sqlx, Alembic, node-pg-migrate, Diesel and `TypeORM`.
const TABLES: [&str; 12] = [
    "schema_migrations",
    "_prisma_migrations",
    "goose_db_version",
    "flyway_schema_history",
    "knex_migrations",
    "knex_migrations_lock",
    "_sqlx_migrations",
    "alembic_version",
    "pgmigrations",
    "ar_internal_metadata",
    "__diesel_schema_migrations",
    "typeorm_metadata",
];
/// Schemas that tools keep their record in.
const SCHEMAS: [&str; 1] = ["drizzle"];

/// Takes them out of the database's facts, but for what files make. Returns a finding for each that callers of the API may
/// use.
pub(super) fn take_out(found: &mut SchemaState, expected: &SchemaState) -> Vec<Finding> {
    let tables = found.facts.values().filter(|fact| fact.kind == Kind::Table);
    let names: BTreeSet<String> = tables
        .map(|fact| fact.relation.clone())
        .filter(|name| is_ledger(name) && !expected.has(Kind::Table, name))
        .collect();
    let open = open(found);
    let findings = names.iter().filter(|name| open.contains(*name)).map(|name| finding(name));
    let findings = findings.collect();
    let is_schema = |name: &str| SCHEMAS.contains(&name) && !expected.has(Kind::Schema, name);
    found.facts.retain(|_, fact| {
        let schema = fact.home.split('.').next().unwrap_or_default();
        !(is_schema(schema) || names.iter().any(|table| belongs(fact, table)))
    });
    findings
}

fn is_ledger(table: &str) -> bool {
    TABLES.contains(&bare(table))
}

/// Also what numbers its rows.
fn belongs(fact: &Fact, table: &str) -> bool {
    fact.home == table
        || fact
            .home
            .strip_prefix(table)
            .is_some_and(|rest| rest.starts_with('_') && rest.ends_with("_seq"))
}

fn finding(table: &str) -> Finding {
    let message = format!(
        "{table} is the record of a tool, callers of the API may use it, and it has no row security"
    );
    Finding {
        evidence: "grants to anon or authenticated".to_owned(),
        impact: "Whoever has the public key can make the tool run migrations again, or leave them out.",
        fix: format!("alter table {table} enable row level security;"),
        ..Finding::new("table_without_row_security", Severity::Warning, table, message)
    }
}
