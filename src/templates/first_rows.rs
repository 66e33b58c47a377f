//! What the templates have put into an agent's tables by the time it is built.

use std::collections::HashSet;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::apply::{apply, lock_referenced};
use super::error::{Error, query};
use super::scratch::{made, other_scratch_id, other_scratch_prefix, scratch_id, scratch_prefix};
use super::template_set::Templates;
use super::worker_role::act_as_worker;
use crate::agent::{Agent, AgentId, Prefix};
use crate::schema::FirstRows;

/// The rows that these tables of an agent begin with, and how far their sequences have counted then. Needs an open transaction,
/// and leaves it as it was.
///
/// The templates run for the agent's id and a scratch prefix, which its own then stands for. A value that is computed of the
/// prefix, such as its hash, is not seen in one run. So they run for another scratch prefix, too. A table with such values is
/// left out.
pub(super) async fn first_rows(
    client: &Client,
    templates: &Templates,
    agent: &Agent,
    version: i32,
    tables: &HashSet<&str>,
) -> Result<Vec<FirstRows>, Error> {
    let scratch = (scratch_prefix()?, scratch_id(false));
    let run = async |scratch: &(Prefix, AgentId)| {
        let mut rows = run(client, templates, agent, version, scratch).await?;
        rows.retain(|first| tables.contains(first.home.as_str()));
        Ok::<_, Error>(rows)
    };
    let mut rows = run(&scratch).await?;
    if rows.is_empty() {
        return Ok(rows);
    }
    let other = run(&(other_scratch_prefix()?, other_scratch_id())).await?;
    if rows == other {
        return Ok(rows);
    }
    // What is drawn by chance is another value each time.
    let again = run(&scratch).await?;
    rows.retain(|first| {
        let is_it = |one: &&FirstRows| one.home == first.home;
        let (again, other) = (again.iter().find(is_it), other.iter().find(is_it));
        let known = !first.differs_by_prefix(again, other);
        if !known {
            tracing::warn!(
                agent.prefix = %agent.prefix, table = first.relation,
                "its first rows are left out: they have values that the templates compute of the prefix or the id"
            );
        }
        known
    });
    Ok(rows)
}

/// Of the tables that have rows or whose sequences have counted, with the agent's names. With another id where the templates
/// refuse to make an agent of this one twice.
async fn run(
    client: &Client,
    templates: &Templates,
    agent: &Agent,
    version: i32,
    (scratch, other): &(Prefix, AgentId),
) -> Result<Vec<FirstRows>, Error> {
    let (rows, id) = match run_as(client, templates, version, scratch, agent.id).await {
        Err(error) if error.code().is_some() && error.refusal().is_none() => {
            (run_as(client, templates, version, scratch, *other).await?, *other)
        }
        rows => (rows?, agent.id),
    };
    let (found, id) = (id.to_string(), agent.id.to_string());
    let fill =
        |text: &str| text.replace(scratch.as_str(), agent.prefix.as_str()).replace(&found, &id);
    Ok(rows.iter().map(|first| first.map(fill)).collect())
}

/// The same as the scratch agent has them.
async fn run_as(
    client: &Client,
    templates: &Templates,
    version: i32,
    scratch: &Prefix,
    id: AgentId,
) -> Result<Vec<FirstRows>, Error> {
    client.batch_execute("savepoint first_rows").await.map_err(failed())?;
    let built = async {
        act_as_worker(client, None).await?;
        for file in templates.files().iter().filter(|file| file.version <= version) {
            let script = file.render(scratch, id);
            lock_referenced(client, &script, scratch).await?;
            apply(client, &script).await?;
        }
        let (tables, _) = made(client, scratch).await?;
        read(client, &tables.oids).await
    };
    let rows = built.await;
    let back = "rollback to savepoint first_rows; release savepoint first_rows";
    let back = client.batch_execute(back).await.map_err(failed());
    let rows = rows?;
    back?;
    Ok(rows)
}

async fn read(client: &Client, tables: &[u32]) -> Result<Vec<FirstRows>, Error> {
    let sql = include_str!("../../sql/templates/first_rows.sql");
    let found = client.query_typed(sql, &[(&tables, Type::OID_ARRAY)]).await.map_err(failed())?;
    // What waits for the commit of a build has its effects, too. Whatever a template has set, all is read back alike everywhere.
    let begin = "set constraints all immediate; \
                 set local datestyle = 'ISO, MDY'; set local intervalstyle = 'postgres'; \
                 set local bytea_output = 'hex'; set local extra_float_digits = 1; set local search_path = pg_catalog, pg_temp";
    client.batch_execute(begin).await.map_err(failed())?;
    let mut all = Vec::new();
    for table in &found {
        let first = FirstRows {
            home: table.get("home"),
            relation: table.get("relation"),
            columns: table.get("columns"),
            rows: rows(client, table).await?,
            counts: counts(client, table.get("sequences")).await?,
        };
        if !first.rows.is_empty() || !first.counts.is_empty() {
            all.push(first);
        }
    }
    Ok(all)
}

async fn rows(client: &Client, table: &Row) -> Result<Vec<Vec<String>>, Error> {
    let columns: Vec<&str> = table.get("columns");
    if !table.get::<_, bool>("has_rows") || columns.is_empty() {
        return Ok(Vec::new());
    }
    let relation: &str = table.get("relation");
    let open = format!(
        "grant select on {relation} to current_user; alter table {relation} no force row level security"
    );
    client.batch_execute(&open).await.map_err(failed())?;
    let constants: Vec<String> =
        columns.iter().map(|column| format!("quote_nullable({column}::text)")).collect();
    let constants = constants.join(", ");
    let sql = format!("select array[{constants}] from only {relation} order by ctid");
    let rows = client.query(sql.as_str(), &[]).await.map_err(failed())?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The statements that set sequences, but for those that are as they begin.
async fn counts(client: &Client, sequences: Vec<&str>) -> Result<Vec<String>, Error> {
    let failed = || query("read the numbers that the templates draw");
    let mut counts = Vec::new();
    for sequence in sequences {
        let open = format!("grant select on sequence {sequence} to current_user");
        client.batch_execute(&open).await.map_err(failed())?;
        let sql = format!(
            "select format('select pg_catalog.setval(%L, %s, %s)', '{}', last_value, is_called::text) \
             from {sequence} where is_called or last_value <> \
             (select seqstart from pg_catalog.pg_sequence where seqrelid = '{0}'::regclass)",
            sequence.replace('\'', "''")
        );
        let rows = client.query(sql.as_str(), &[]).await.map_err(failed())?;
        counts.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    Ok(counts)
}

fn failed() -> impl FnOnce(tokio_postgres::Error) -> Error {
    query("read the rows that the templates write")
}
