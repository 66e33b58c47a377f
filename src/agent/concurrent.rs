//! Statements that no transaction may contain, on a connection of their own.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{Error, query};
use super::{Agent, Template, statement};

/// Each look finds what somebody's attempt has left meanwhile.
const TRIES: u32 = 3;

/// Runs a file's statements one after the other, each by itself.
///
/// May be called again after it was broken off anywhere: an index that is there is not built again,
/// one that was left invalid is dropped first, and one that is gone is not dropped again. To wait for
/// other sessions is the nature of such statements, and holds up nobody who reads or writes.
pub async fn run_concurrently(
    client: &Client,
    agent: &Agent,
    file: &Template,
) -> Result<(), Error> {
    let path = if file.public_path { "public" } else { "pg_catalog" };
    run(client, &format!("set lock_timeout = 0; set search_path = {path}, pg_temp")).await?;
    for statement in &file.statements(&agent.prefix, agent.id) {
        match index_name(statement) {
            Some(name) => build(client, agent, &name, statement).await?,
            None => run(client, statement).await?,
        }
    }
    Ok(())
}

async fn build(client: &Client, agent: &Agent, name: &str, statement: &str) -> Result<(), Error> {
    for _ in 0..TRIES {
        match find(client, agent, name).await? {
            Some((_, true)) => return Ok(()),
            Some((index, false)) => {
                run(client, &format!("drop index concurrently if exists {index}")).await?;
            }
            None => {}
        }
        run(client, statement).await?;
        // It may have been skipped: `if not exists` looks at the name alone.
        if find(client, agent, name).await?.is_none() {
            return Err(Error::InTheWay(vec![name.to_owned()]));
        }
    }
    match find(client, agent, name).await? {
        Some((_, true)) => Ok(()),
        _ => Err(Error::Invalid(name.to_owned())),
    }
}

/// The index of that name on one of the agent's registered tables, quoted, and whether it is valid.
async fn find(client: &Client, agent: &Agent, name: &str) -> Result<Option<(String, bool)>, Error> {
    let sql = "select format('%I.%I', n.nspname, c.relname), i.indisvalid and i.indisready \
               from provisioning.agent_tables t \
               join pg_catalog.pg_index i on i.indrelid = t.relation \
               join pg_catalog.pg_class c on c.oid = i.indexrelid and c.relname = $2 \
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace where t.agent_id = $1";
    let rows = client.query_typed(sql, &[(&agent.id.0, Type::INT8), (&name, Type::TEXT)]).await;
    let rows = rows.map_err(query("look for the index"))?;
    Ok(rows.first().map(|row| (row.get(0), row.get(1))))
}

async fn run(client: &Client, statement: &str) -> Result<(), Error> {
    client.batch_execute(statement).await.map_err(|source| {
        let head = statement.lines().next().unwrap_or_default().trim_end().to_owned();
        Error::Statement { at: String::new(), head, source }
    })
}

/// Of `create [unique] index concurrently [if not exists] NAME on …`, as the catalog has it.
fn index_name(sql: &str) -> Option<String> {
    let statements = statement::split(sql);
    let statement = statements.first()?;
    let heads = ["create index concurrently", "create unique index concurrently"];
    let head = heads.into_iter().find(|head| statement.starts_with(head))?;
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    let mut words = statement.text.split_whitespace().skip(head.split(' ').count()).peekable();
    for word in ["if", "not", "exists"] {
        words.next_if(|next| is(next, word));
    }
    let name = words.next().filter(|name| !is(name, "on"))?;
    Some(match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => name.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_index_is_found_where_there_is_one() {
        let cases = [
            ("create index concurrently a_x on t (b)", Some("a_x")),
            ("CREATE UNIQUE INDEX\n CONCURRENTLY IF NOT EXISTS A_X ON t (b)", Some("a_x")),
            ("create index concurrently \"A\"\"x\" on t (b)", Some("A\"x")),
            ("create index concurrently on t (b)", None),
            ("create index a_x on t (b)", None),
            ("drop index concurrently a_x", None),
        ];
        for (sql, name) in cases {
            assert_eq!(index_name(sql).as_deref(), name, "{sql}");
        }
    }
}
