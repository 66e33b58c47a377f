//! The side that an agent comes to.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::layout::TableLayout;
use super::record::Move;
use super::source::lock_statement;
use crate::agent::{Agent, AgentId};
use crate::postgres::{QueryError, query};
use crate::provisioning::build::in_the_way;
use crate::provisioning::error::Error;
use crate::templates::{
    ExpectedSchema, Templates, act_as_oneself, act_as_worker, apply, lock_referenced,
};

/// What keeps an agent from coming, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Obstacle {
    pub(crate) obstacle: String,
    pub(crate) fix: String,
}

/// An agent that is to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coming<'a> {
    /// Of the move or of the copy.
    pub(crate) id: &'a str,
    /// On the source.
    pub(crate) agent: i64,
    pub(crate) prefix: &'a str,
    /// The source's name.
    pub(crate) home: &'a str,
    /// The source keeps the agent, too.
    pub(crate) is_copy: bool,
}

/// What keeps an agent from coming here. `id`: its id here; `None`: a new one. `id_of`: the move.
pub(crate) async fn obstacles(
    client: &Client,
    carried: &str,
    id: Option<i64>,
    id_of: &str,
) -> Result<Vec<Obstacle>, QueryError> {
    let doing = || query("look whether there is room for the agent");
    let sql = include_str!("../../../sql/provisioning/moving_obstacles.sql");
    let asked: [(&(dyn ToSql + Sync), Type); 3] =
        [(&carried, Type::TEXT), (&id, Type::INT8), (&id_of, Type::TEXT)];
    let rows = client.query_typed(sql, &asked).await.map_err(doing())?;
    let obstacle = |row: &tokio_postgres::Row| {
        Ok(Obstacle { obstacle: row.try_get("obstacle")?, fix: row.try_get("fix")? })
    };
    rows.iter().map(obstacle).collect::<Result<_, _>>().map_err(doing())
}

/// Notes that an agent comes: nobody else takes its prefix and its id. One that was noted before stays, with its id.
///
/// `own_id`: the agent gets the next id of this database.
pub(crate) async fn reserve(
    client: &Client,
    coming: Coming<'_>,
    own_id: bool,
    who: Option<&str>,
) -> Result<Option<Move>, QueryError> {
    let sql = include_str!("../../../sql/provisioning/moving_reserve.sql");
    let asked: [(&(dyn ToSql + Sync), Type); 7] = [
        (&coming.id, Type::TEXT),
        (&coming.agent, Type::INT8),
        (&coming.prefix, Type::TEXT),
        (&coming.home, Type::TEXT),
        (&own_id, Type::BOOL),
        (&coming.is_copy, Type::BOOL),
        (&who, Type::TEXT),
    ];
    let done = client.query_typed(sql, &asked).await;
    done.map_err(query("reserve prefix and id"))?;
    Move::find(client, coming.id).await
}

/// Builds the tables, out of everybody's reach, in place of those that were built for this move before. In a transaction that
/// the caller opened.
pub(crate) async fn build_for(
    client: &Client,
    expected_schema: &ExpectedSchema,
    coming: &Move,
    carried: &str,
) -> Result<(), Error> {
    let agent = Agent { id: AgentId(coming.agent), prefix: coming.prefix.parse()? };
    let (prefix, templates) = (&agent.prefix, expected_schema.templates());
    let version = templates.version();
    let drop_built = "select provisioning.drop_built($1::text::uuid)";
    let dropped = client.query_typed(drop_built, &[(&coming.id, Type::TEXT)]).await;
    dropped.map_err(query("drop what was built before"))?;
    let found = in_the_way(client, expected_schema, prefix).await?;
    if !found.is_empty() {
        return Err(Error::InTheWay(found));
    }
    let files = templates.numbered(prefix, agent.id);
    act_as_worker(client, Some(agent.id)).await?;
    lock_referenced(client, &files, prefix).await?;
    apply(client, &files).await?;
    act_as_oneself(client).await?;
    let tables = expected_schema.tables(prefix, version);
    let types = expected_schema.types(prefix, version);
    let sql = "select provisioning.note_built($1::text::uuid, $2, $3, $4::text::jsonb)";
    let asked: [(&(dyn ToSql + Sync), Type); 4] = [
        (&coming.id, Type::TEXT),
        (&tables, Type::TEXT_ARRAY),
        (&types, Type::TEXT_ARRAY),
        (&carried, Type::TEXT),
    ];
    let noted = client.query_typed(sql, &asked).await;
    noted.map_err(query("note what was built"))?;
    // So that the API knows the tables by the time that they may be used.
    let tell = "select provisioning.notify('pgrst', 'reload schema')";
    Ok(client.batch_execute(tell).await.map_err(query("tell the API"))?)
}

/// Empties the tables, which nobody else reaches until the transaction ends, and keeps their triggers from running. The
/// statements that give the triggers back.
pub(crate) async fn empty(
    client: &Client,
    oids: &[u32],
    tables: &[TableLayout],
) -> Result<String, QueryError> {
    let doing = || query("empty the new tables");
    let lock = lock_statement(tables, "access exclusive");
    client.batch_execute(&lock).await.map_err(doing())?;
    let sql = include_str!("../../../sql/provisioning/moving_triggers.sql");
    let rows = client.query_typed(sql, &[(&oids, Type::OID_ARRAY)]).await.map_err(doing())?;
    let Some(row) = rows.first() else { return Ok(String::new()) };
    let text = |column| row.try_get::<_, Vec<String>>(column).map_err(doing());
    let (mut off, back) = (text("off")?, text("back")?);
    let names: Vec<&str> = tables.iter().map(|table| table.relation.as_str()).collect();
    off.push(format!("truncate {}", names.join(", ")));
    client.batch_execute(&off.join(";\n")).await.map_err(doing())?;
    Ok(back.join(";\n"))
}

/// Has the sequences go on where those of the source are, and the triggers run again.
pub(crate) async fn complete(
    source: &Client,
    source_tables: &[u32],
    target: &Client,
    target_tables: &[u32],
    triggers: &str,
) -> Result<(), QueryError> {
    let doing = || query("set the sequences");
    let sql = include_str!("../../../sql/provisioning/moving_sequences.sql");
    let there = source.query_typed(sql, &[(&source_tables, Type::OID_ARRAY)]).await;
    let here = target.query_typed(sql, &[(&target_tables, Type::OID_ARRAY)]).await;
    let (there, here) = (there.map_err(doing())?, here.map_err(doing())?);
    let column = |row: &tokio_postgres::Row| -> Result<(String, String), QueryError> {
        Ok((
            row.try_get("table_name").map_err(doing())?,
            row.try_get("column_name").map_err(doing())?,
        ))
    };
    for row in &there {
        let Some(last) = row.try_get::<_, Option<i64>>("last_value").map_err(doing())? else {
            continue;
        };
        let wanted = column(row)?;
        for twin in &here {
            if column(twin)? == wanted {
                let name: String = twin.try_get("sequence").map_err(doing())?;
                let sql = "select setval($1::text::regclass, $2)";
                let asked: [(&(dyn ToSql + Sync), Type); 2] =
                    [(&name, Type::TEXT), (&last, Type::INT8)];
                target.query_typed(sql, &asked).await.map_err(doing())?;
            }
        }
    }
    target.batch_execute(triggers).await.map_err(query("give the triggers back"))
}

/// Notes that all rows are here; the copy's id.
pub(crate) async fn copied(
    client: &Client,
    id: &str,
    rows: i64,
    carried: &str,
) -> Result<Option<String>, QueryError> {
    let doing = || query("note the copy");
    let sql = "update provisioning.moves set state = 'copied', copy = gen_random_uuid(), row_count = $2, \
               carried = $3::text::jsonb where id = $1::text::uuid returning copy::text";
    let asked: [(&(dyn ToSql + Sync), Type); 3] =
        [(&id, Type::TEXT), (&rows, Type::INT8), (&carried, Type::TEXT)];
    let rows = client.query_typed(sql, &asked).await.map_err(doing())?;
    rows.first().map(|row| row.try_get(0)).transpose().map_err(doing())
}

/// Has the agent be here: its row, its registration, its numbers and its configuration. Its tables come within reach. In a
/// transaction that the caller opened.
pub(crate) async fn take_over(
    client: &Client,
    templates: &Templates,
    coming: &Move,
    copy: &str,
) -> Result<(), Error> {
    let sql = "select provisioning.take_over($1::text::uuid, $2::text::uuid)";
    let taken = client.query_typed(sql, &[(&coming.id, Type::TEXT), (&copy, Type::TEXT)]).await;
    taken.map_err(query("take the agent over"))?;
    let published = templates.published(&coming.prefix.parse()?);
    act_as_worker(client, Some(AgentId(coming.agent))).await?;
    apply(client, &published).await?;
    Ok(act_as_oneself(client).await?)
}

/// Does the same and takes it back: what would keep the target from it is known before the source has handed over.
pub(crate) async fn rehearse(
    client: &Client,
    templates: &Templates,
    coming: &Move,
    copy: &str,
) -> Result<(), Error> {
    client.batch_execute("savepoint rehearsal").await.map_err(query("open a savepoint"))?;
    take_over(client, templates, coming, copy).await?;
    let back = "rollback to savepoint rehearsal; release savepoint rehearsal";
    Ok(client.batch_execute(back).await.map_err(query("take the rehearsal back"))?)
}

/// Drops what was built for a move, and ends it. One that is over stays as it is.
pub(crate) async fn abort(client: &Client, id: &str) -> Result<(), QueryError> {
    let doing = || query("drop what was built for the move");
    let sql = "select provisioning.drop_built($1::text::uuid)";
    client.query_typed(sql, &[(&id, Type::TEXT)]).await.map_err(doing())?;
    let sql = "update provisioning.moves set state = 'aborted', ended_at = clock_timestamp() \
               where id = $1::text::uuid and ended_at is null";
    client.query_typed(sql, &[(&id, Type::TEXT)]).await.map(drop).map_err(doing())
}
