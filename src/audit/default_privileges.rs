//! What new objects grant by themselves, as a database has it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::plan::DefaultGrants;
use crate::postgres::{QueryError, query};

/// One default of the database's owner.
#[derive(Debug)]
struct Default {
    /// The schema in which it counts. `None`: it counts in all.
    schema: Option<String>,
    statement: String,
    /// The statement that takes it back.
    inverse: String,
}

/// What new objects of the database's owner grant, or do not grant, by themselves.
#[derive(Debug)]
pub(super) struct DefaultPrivileges {
    defaults: Vec<Default>,
    pub(super) grants: DefaultGrants,
}

const API: &str = "anon, authenticated, service_role";
/// Where this is, new schemas have no default privileges.
const NO_NEW_SCHEMAS: &str = "extensions.audit_no_default_privileges";
/// Each gets its default privileges by itself.
const WHAT: [&str; 3] = ["tables", "sequences", "functions"];

impl DefaultPrivileges {
    /// Reads those of a database. Needs an open transaction.
    pub(super) async fn read(client: &Client, owner: &str) -> Result<Self, QueryError> {
        let sql = include_str!("../../sql/audit/default_privileges.sql");
        let rows = client.query_typed(sql, &[(&owner, Type::TEXT)]).await;
        let rows = rows.map_err(query("read the database"))?;
        let given = rows.iter().filter(|row| row.get::<_, &str>("act") == "grant");
        let grants: BTreeSet<String> = given.map(|row| row.get("grantee")).collect();
        let defaults = rows.iter().map(|row| Default {
            schema: row.get("schema"),
            statement: row.get("statement"),
            inverse: row.get("inverse"),
        });
        Ok(Self { defaults: defaults.collect(), grants: DefaultGrants(grants) })
    }

    /// Those of schema `public` and of all schemas, for a role.
    fn at_once<'a>(
        &'a self,
        role: &'a str,
        text: impl Fn(&'a Default) -> &'a str + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        let at_once = |it: &&Default| it.schema.as_deref().is_none_or(|schema| schema == "public");
        let own = self.defaults.iter().filter(at_once);
        own.map(move |it| text(it).replace("{role}", role) + ";")
    }

    /// Sets those of schema `public` and of all schemas for a role, in place of the platform's.
    pub(super) fn of_role(&self, owner: &str) -> String {
        let mut sql = platform(owner, "revoke", "from");
        sql.extend(self.at_once(owner, |it| &it.statement));
        sql
    }

    /// Sets those of other schemas when files make these. What runs then is known here, and names nothing of the files. Empty
    /// where there are none.
    pub(super) fn in_new_schemas(&self, owner: &str) -> String {
        let mut cases = String::new();
        for Default { schema, statement, .. } in &self.defaults {
            let Some(schema) = schema.as_deref().filter(|schema| *schema != "public") else {
                continue;
            };
            let name = schema.replace('\'', "''");
            let statement = statement.replace("{role}", owner).replace('\'', "''");
            let _infallible = write!(
                cases,
                "if made = quote_ident('{name}') then execute '{statement}'; end if; "
            );
        }
        if cases.is_empty() {
            return cases;
        }
        format!(
            "create function extensions.audit_default_privileges() returns event_trigger language plpgsql \
             security definer set search_path = pg_catalog, pg_temp as $audit$ declare made text; begin \
             if to_regclass('{NO_NEW_SCHEMAS}') is not null then return; end if; for made in select object_identity from pg_event_trigger_ddl_commands() where object_type = 'schema' \
             loop {cases} end loop; end $audit$; \
             create event trigger audit_default_privileges on ddl_command_end when tag in ('CREATE SCHEMA') \
             execute function extensions.audit_default_privileges()"
        )
    }

    /// Other defaults that the files may have begun with: none, and those of the platform; and each of all three without
    /// those of schemas that files make.
    pub(super) fn beginnings(&self, owner: &str) -> Vec<String> {
        let none: String = self.at_once(owner, |it| &it.inverse).collect();
        let platform = none.clone() + &platform(owner, "grant", "to");
        let mut all = vec![none.clone(), platform.clone()];
        if !self.in_new_schemas(owner).is_empty() {
            let without = format!("create table {NO_NEW_SCHEMAS} ();");
            all.extend([String::new(), none, platform].map(|it| it + &without));
        }
        all
    }
}

fn platform(owner: &str, act: &str, to: &str) -> String {
    let of = |what: &str| {
        format!(
            "alter default privileges for role {owner} in schema public {act} all on {what} {to} {API};"
        )
    };
    WHAT.map(of).concat()
}
