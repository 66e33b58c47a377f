//! Running rendered templates in a transaction that the caller opened.

use tokio_postgres::Client;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::types::Type;

use super::enum_values::INSTEAD;
use super::error::{Error, query};
use super::script::{Script, SourceLocation};
use crate::agent::Prefix;
use crate::postgres::{LockMode, lock, one_by_one};
use crate::schema::{self, AgentsKey};
use crate::sql_text::{AGENTS, Reader, outside, refers_to};

/// Runs rendered templates; an error names the statement that failed. What adds foreign keys to `agents` is sent as a call.
///
/// Schema public is in the path only while templates run that may have names without a schema.
pub(crate) async fn apply(client: &Client, script: &Script) -> Result<(), Error> {
    if script.is_empty() {
        return Ok(());
    }
    let places = script.with_paths().places();
    let sent: Vec<String> = places.iter().map(|place| schema::rewrite(&place.text)).collect();
    one_by_one(client, &sent).await.map_err(|(number, source)| {
        let place = places.into_iter().nth(number).unwrap_or_default();
        let place = match source.as_db_error().and_then(DbError::position) {
            Some(ErrorPosition::Original(character)) => place.at_character(*character),
            Some(ErrorPosition::Internal { .. }) | None => place,
        };
        blame(place, source)
    })
}

/// The same, and where the server refuses it nothing has happened.
pub(crate) async fn apply_or_take_back(
    client: &Client,
    script: &Script,
) -> Result<Result<(), Error>, Error> {
    let opened = client.batch_execute("savepoint step");
    let (opened, applied) = tokio::join!(biased; opened, apply(client, script));
    opened.map_err(query("open a savepoint"))?;
    let back = if applied.is_ok() { "" } else { "rollback to savepoint step; " };
    let ended = client.batch_execute(&format!("{back}release savepoint step")).await;
    ended.map_err(query("end a savepoint"))?;
    Ok(applied)
}

fn blame(SourceLocation { at, text }: SourceLocation, source: tokio_postgres::Error) -> Error {
    let head = text.lines().next().unwrap_or_default().trim_end().to_owned();
    let denied = source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    if denied && refers_to(&text, AGENTS) && AgentsKey::parse(&text).is_none() {
        return Error::Refers { at, head, source };
    }
    match advice(&text, source.code()) {
        Some(advice) => Error::Advised { at, head, advice, source },
        None => Error::Statement { at, head, source },
    }
}

/// What to write instead of a statement that the server has refused.
fn advice(text: &str, code: Option<&SqlState>) -> Option<String> {
    if code == Some(&SqlState::UNSAFE_NEW_ENUM_VALUE_USAGE) {
        return Some(format!(
            "a new value of an enum cannot be used before it is committed. {INSTEAD}"
        ));
    }
    if code != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return None;
    }
    let mut rest = Reader::new(text);
    while let Some(token) = rest.next() {
        if token.is("auth") && rest.next_is('.') {
            return Some(AUTH.to_owned());
        }
        if token.is("references") {
            let table = rest.clone().qualified()?.join(".");
            return Some(format!(
                "the worker's role may not refer to {table}. Leave the key out; or, as the owner of {table}, who then \
                 has to trust that role (docs/security.md, Foreign keys): grant references on {table} to \
                 agent_provisioner"
            ));
        }
    }
    None
}

const AUTH: &str = "the worker's role may not use schema auth. For rows of the agent's owner write \
     (select provisioning.owned_agent({agent_id})) is not null; for the caller's id write \
     (select (nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub')::uuid); or, where you own \
     the schema: grant usage on schema auth to agent_provisioner";

/// Locks the tables outside that the files refer to by foreign keys of their own.
pub(crate) async fn lock_referenced(
    client: &Client,
    files: &Script,
    prefix: &Prefix,
) -> Result<(), Error> {
    let outside = outside(&files.to_string(), prefix);
    if outside.is_empty() {
        return Ok(());
    }
    Ok(lock(client, LockMode::ShareRowExclusive, &outside, &[]).await?)
}

/// Locks what foreign keys refer to, and makes them.
pub(crate) async fn add_foreign_keys(
    client: &Client,
    key: &Script,
    prefix: &Prefix,
) -> Result<(), Error> {
    let (reached, tied) =
        tokio::join!(biased; lock_referenced(client, key, prefix), apply(client, key));
    reached.and(tied)
}

/// Relations that bear one of the names already, and types that bear one of `types`: a table has a type of its name.
pub(crate) async fn existing_relations(
    client: &Client,
    names: &[String],
    types: &[String],
) -> Result<Vec<String>, Error> {
    let sql = "select format('%I.%I', 'public', name) from ( \
                   select relname from pg_catalog.pg_class \
                   where relnamespace = 'public'::regnamespace and relname = any ($1) \
                   union \
                   select typname from pg_catalog.pg_type \
                   where typnamespace = 'public'::regnamespace and typname = any ($2)) found (name) \
               order by name";
    let rows =
        client.query_typed(sql, &[(&names, Type::TEXT_ARRAY), (&types, Type::TEXT_ARRAY)]).await;
    Ok(rows.map_err(query("look for tables in the way"))?.iter().map(|row| row.get(0)).collect())
}
