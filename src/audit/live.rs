//! The database that is compared: read in one transaction that changes nothing.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::default_privileges::DefaultPrivileges;
use super::error::Error;
use super::ledger::Ledger;
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
    /// The server's version as a number, such as 150004.
    pub(super) version: i32,
    pub(super) default_privileges: DefaultPrivileges,
    /// Its extensions: the name of each, and its schema.
    pub(super) extensions: Vec<(String, String)>,
    /// Roles other than the server's own.
    pub(super) roles: BTreeSet<String>,
    /// Publications of the platform that it lacks.
    pub(super) lost_publications: Vec<String>,
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
        let default_privileges = DefaultPrivileges::read(client, &state.owner).await?;
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
            extensions: extensions.iter().map(|row| (row.get(0), row.get(1))).collect(),
            roles: roles.into_iter().collect(),
            lost_publications: Vec::new(),
            of_agents: agents.len(),
        })
    }
}

/// The server, and the database on it, that a session is in.
pub(super) async fn identity(client: &Client) -> Result<String, Error> {
    let sql = "select concat_ws(' ', pg_catalog.pg_postmaster_start_time()::text, d.oid::text, current_setting('port')) \
               from pg_catalog.pg_database d where d.datname = current_database()";
    let row = client.query_one(sql, &[]).await.map_err(query("ask which database it is"))?;
    Ok(row.get(0))
}

/// Says who has locked what, where that is why the database could not be read.
pub(super) async fn explain(client: &Client, error: Error) -> Error {
    if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) {
        return error;
    }
    if client.batch_execute("rollback").await.is_err() {
        return error;
    }
    let Ok(rows) = client.query_typed(include_str!("../../sql/audit/locks.sql"), &[]).await else {
        return error;
    };
    let locks =
        rows.iter().map(|row| format!("{} by {}", row.get::<_, &str>(0), row.get::<_, &str>(1)));
    let locks: Vec<String> = locks.collect();
    if locks.is_empty() { error } else { Error::Locked(locks.join(", ")) }
}

/// Ends the transaction in which the database was read.
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
