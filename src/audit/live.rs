//! The database that is compared: read in one transaction that changes nothing.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::Error;
use super::ledger::Ledger;
use super::plan::DefaultGrants;
use super::schema_state::SchemaState;
use crate::postgres::{query, session_settings};

/// Short: nobody is to wait for an audit.
const BEGIN: &str = "begin isolation level repeatable read read only";
const LIMITS: &str = "set local statement_timeout = '30s'; set local lock_timeout = '2s'; \
                      set local idle_in_transaction_session_timeout = '5min'";

/// What a database has of a project.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) state: SchemaState,
    pub(super) ledger: Ledger,
    /// Such as 150004.
    pub(super) version: i32,
    /// What it grants on new objects, as statements for `{role}`.
    pub(super) default_privileges: Vec<String>,
    pub(super) default_grants: DefaultGrants,
    /// Names and schemas.
    pub(super) extensions: Vec<(String, String)>,
    /// Roles other than the server's own.
    pub(super) roles: BTreeSet<String>,
    /// Tables and enums of agents, which are compared with templates.
    pub(super) of_agents: usize,
}

impl Live {
    /// Leaves a transaction open, in which more may be read; [`end`] ends it.
    pub(super) async fn read(client: &Client) -> Result<Self, Error> {
        let doing = || query("read the database");
        let begin = format!("{BEGIN}; {LIMITS}; {}", session_settings::local());
        client.batch_execute(&begin).await.map_err(doing())?;
        let ledger = Ledger::read(client).await?;
        let agents = agents(client, ledger.has_base_schema).await?;
        let state = SchemaState::read(client, &agents).await?;
        let sql = include_str!("../../sql/audit/default_privileges.sql");
        let rows = client.query_typed(sql, &[(&state.owner, Type::TEXT)]).await.map_err(doing())?;
        let default_privileges = rows.iter().map(|row| row.get("statement")).collect();
        let default_grants = DefaultGrants(rows.iter().map(|row| row.get("grantee")).collect());
        let sql = "select current_setting('server_version_num')::int as version, \
                   array(select rolname::text from pg_catalog.pg_roles where not rolname ^@ 'pg_') as roles";
        let row = client.query_one(sql, &[]).await.map_err(doing())?;
        let roles: Vec<String> = row.get("roles");
        let sql = "select e.extname::text, n.nspname::text from pg_catalog.pg_extension e \
                   join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname <> 'plpgsql'";
        let extensions = client.query_typed(sql, &[]).await.map_err(doing())?;
        Ok(Self {
            state,
            ledger,
            version: row.get("version"),
            default_privileges,
            default_grants,
            extensions: extensions.iter().map(|row| (row.get(0), row.get(1))).collect(),
            roles: roles.into_iter().collect(),
            of_agents: agents.len(),
        })
    }
}

/// Ends the transaction.
pub(super) async fn end(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute("rollback").await.map_err(query("end the look at the database"))?)
}

/// The oids of agents' tables and enums.
async fn agents(client: &Client, has_registry: bool) -> Result<Vec<u32>, Error> {
    let doing = || query("look for agents' tables");
    let mut oids: HashSet<u32> = HashSet::new();
    if has_registry {
        let sql = include_str!("../../sql/audit/agents_registered.sql");
        let rows = client.query_typed(sql, &[]).await.map_err(doing())?;
        oids.extend(rows.iter().map(|row| row.get::<_, u32>(0)));
    }
    let sql = "select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
               join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'agent_prefix' \
               where n.nspname = 'public' and c.relname = 'agents' and c.relkind = 'r' \
               and has_table_privilege(c.oid, 'select')";
    if !client.query_typed(sql, &[]).await.map_err(doing())?.is_empty() {
        let sql = include_str!("../../sql/audit/agents_named.sql");
        let rows = client.query_typed(sql, &[]).await.map_err(doing())?;
        oids.extend(rows.iter().map(|row| row.get::<_, u32>(0)));
    }
    Ok(oids.into_iter().collect())
}
