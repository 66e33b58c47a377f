//! What the templates have put into the tables of the scratch agent.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use crate::schema::FirstRows;

/// By table; those without rows whose sequences have not counted are left out. Needs an open transaction.
pub(super) async fn first_rows(
    client: &Client,
    tables: &[u32],
) -> Result<Vec<(u32, FirstRows)>, Error> {
    let failed = || query("read the rows that the templates write");
    let sql = include_str!("../../sql/templates/first_rows.sql");
    let found = client.query_typed(sql, &[(&tables, Type::OID_ARRAY)]).await.map_err(failed())?;
    // Whatever a template has set, these are read back alike everywhere.
    let begin = "savepoint first_rows; set local datestyle = 'ISO, MDY'; set local intervalstyle = 'postgres'; \
                 set local bytea_output = 'hex'; set local extra_float_digits = 1; set local search_path = pg_catalog, pg_temp";
    client.batch_execute(begin).await.map_err(failed())?;
    let mut all = Vec::new();
    for table in &found {
        let first = FirstRows {
            relation: table.get("relation"),
            columns: table.get("columns"),
            rows: rows(client, table).await?,
            counts: counts(client, table.get("sequences")).await?,
            ..FirstRows::default()
        };
        if !first.rows.is_empty() || !first.counts.is_empty() {
            all.push((table.get("oid"), first));
        }
    }
    let back = "rollback to savepoint first_rows; release savepoint first_rows";
    client.batch_execute(back).await.map_err(failed())?;
    Ok(all)
}

async fn rows(client: &Client, table: &Row) -> Result<Vec<String>, Error> {
    let columns: Vec<&str> = table.get("columns");
    if !table.get::<_, bool>("has_rows") || columns.is_empty() {
        return Ok(Vec::new());
    }
    let failed = || query("read the rows that the templates write");
    let relation: &str = table.get("relation");
    if table.get("forced") {
        // What waits for the commit keeps a table from being altered.
        let lift = format!(
            "set constraints all immediate; alter table {relation} no force row level security"
        );
        client.batch_execute(&lift).await.map_err(failed())?;
    }
    let constants: Vec<String> =
        columns.iter().map(|column| format!("quote_nullable({column}::text)")).collect();
    let constants = constants.join(", ");
    let sql = format!(
        "select format('(%s)', array_to_string(array[{constants}], ', ')) from only {relation}"
    );
    let rows = client.query(sql.as_str(), &[]).await.map_err(failed())?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The statements that set sequences, but for those that are as they begin.
async fn counts(client: &Client, sequences: Vec<&str>) -> Result<Vec<String>, Error> {
    let mut counts = Vec::new();
    for sequence in sequences {
        let sql = format!(
            "select format('select pg_catalog.setval(%L, %s, %s)', '{}', last_value, is_called::text) \
             from {sequence} where is_called or last_value <> \
             (select seqstart from pg_catalog.pg_sequence where seqrelid = '{0}'::regclass)",
            sequence.replace('\'', "''")
        );
        let rows = client.query(sql.as_str(), &[]).await;
        let rows = rows.map_err(query("read the numbers that the templates draw"))?;
        counts.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    Ok(counts)
}
