//! What new objects grant by themselves, on the shadow as in the database.
//!
//! The database shows what it grants now. Files that change that have run since: with what they began, no catalog says. It is
//! taken to be what makes the fewest grants differ.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::Error;
use super::files::SqlFile;
use super::live::Live;
use super::plan::DefaultGrants;
use super::replay::{self, Replay};
use super::run::StandIns;
use super::schema_state::SchemaState;
use super::shadow::Shadow;
use crate::postgres::{QueryError, query};
use crate::schema::{Fact, Key, Kind};
use crate::sql_text::tokens;

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

    /// Sets them on the shadow, for the role that runs the files.
    pub(super) async fn set(&self, shadow: &Shadow) -> Result<(), Error> {
        let owner = &shadow.owner;
        let mut sql = platform(owner, "revoke", "from");
        sql.extend(self.at_once(owner, |it| &it.statement));
        shadow.prepare_base(&sql).await?;
        let later = self.in_new_schemas(owner);
        if later.is_empty() { Ok(()) } else { shadow.prepare_base_as_root(&later).await }
    }

    /// Sets those of other schemas when files make these. What runs then is known here, and names nothing of the files.
    fn in_new_schemas(&self, owner: &str) -> String {
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
    fn beginnings(&self, owner: &str) -> Vec<String> {
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

/// Where files change default privileges, and grants differ from the database's, runs the files again with other beginnings,
/// and keeps what differs least.
pub(super) async fn find_beginning(
    shadow: &mut Shadow,
    files: &[SqlFile],
    live: &Live,
    replay: &mut Replay,
    stand_ins: &mut StandIns,
) -> Result<(), Error> {
    let mut least = differing(&replay.state, &live.state);
    if least == 0 || !files.iter().any(changes_defaults) {
        return Ok(());
    }
    let mut best = String::new();
    for beginning in live.default_privileges.beginnings(&shadow.owner) {
        if least == 0 {
            break;
        }
        shadow.beginning.clone_from(&beginning);
        let other = replay::again(shadow, files, replay, stand_ins).await?;
        let count = differing(&other.state, &live.state);
        if count < least {
            (least, best) = (count, beginning);
            (replay.state, replay.database) = (other.state, other.database);
        }
    }
    shadow.beginning = best;
    Ok(())
}

/// How many grants differ on what is in both.
fn differing(expected: &SchemaState, live: &SchemaState) -> usize {
    let homes = |state: &SchemaState| -> HashSet<String> {
        state.facts.values().map(|fact| fact.home.clone()).collect()
    };
    let (own, theirs) = (homes(expected), homes(live));
    let grants = |state: &SchemaState| -> HashSet<(Key, String)> {
        let them = state.facts.values().filter(|fact| fact.kind == Kind::Grant);
        let both = |fact: &&Fact| own.contains(&fact.home) && theirs.contains(&fact.home);
        them.filter(both).map(|fact| (fact.key(), fact.definition.clone())).collect()
    };
    grants(expected).symmetric_difference(&grants(live)).count()
}

fn changes_defaults(file: &SqlFile) -> bool {
    let mut before = false;
    tokens(&file.text).filter(|token| !token.is_blank()).any(|token| {
        let was = std::mem::replace(&mut before, token.is("default"));
        was && token.is("privileges")
    })
}
