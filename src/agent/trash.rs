//! The trash: deleted agents' tables, kept for a while out of everybody's reach.
//!
//! A table moves with its rows, indexes, sequences, policies and triggers. What would tie it to the
//! world outside (privileges, publications, the foreign key to `agents`) is taken off, and the
//! statements that give it back are kept with it.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::deprovision::{Holdings, Leaving};
use super::error::{Error, query};
use super::mend::refers_to_agents;
use super::{AgentId, Kind, Object, catalog, statement};

/// Writes an agent down for the trash, with its tables bare; its number there, and the statements
/// that move the tables.
///
/// What could not be dropped is not moved either: a view would go on showing its rows.
pub(super) async fn note(
    client: &Client,
    retention: Duration,
    leaving: Leaving<'_>,
    holdings: &Holdings,
) -> Result<(i64, String), Error> {
    let tables: Vec<u32> = holdings.tables.iter().map(|table| table.oid).collect();
    let types: Vec<u32> = holdings.types.iter().map(|own| own.oid).collect();
    let objects = catalog::read(client, &tables, &types).await?;
    let bared = format!(
        "{}savepoint trash;\n{}rollback to savepoint trash;\nrelease savepoint trash;\n{}",
        holdings.lock(),
        holdings.drop(),
        bare(&objects)
    );
    client.batch_execute(&bared).await.map_err(query("take the agent's tables out of use"))?;
    let unpublished = unpublish(client, &objects).await?;
    let taken_off = |(oid, object): &&(u32, Object)| {
        object.kind == Kind::Grant
            || refers_to_agents(object)
            || (object.kind == Kind::Publication
                && unpublished.contains(&(*oid, object.part.clone())))
    };
    let taken_off = objects.iter().filter(taken_off).map(|(_, object)| object.create() + ";");
    let taken_off = taken_off.collect::<Vec<_>>().join("\n");
    let regain: Vec<&str> = statement::split(&taken_off).iter().map(|one| one.text).collect();
    let Leaving { id, user, row } = leaving;
    let noted = client
        .query_typed(
            include_str!("../../sql/queries/trash.sql"),
            &[
                (&id.0, Type::INT8),
                (&user, Type::TEXT),
                (&row, Type::TEXT),
                (&regain, Type::TEXT_ARRAY),
                (&retention.as_secs_f64(), Type::FLOAT8),
            ],
        )
        .await;
    let noted = noted.map_err(query("write the agent down for the trash"))?;
    let item: i64 = noted.first().map(|row| row.get("item")).unwrap_or_default();
    let sql = include_str!("../../sql/queries/trash_relations.sql");
    let moves = client.query_typed(sql, &[(&id.0, Type::INT8), (&item, Type::INT8)]).await;
    let moves = moves.map_err(query("write the agent's tables down for the trash"))?;
    Ok((item, moves.iter().map(|row| row.get::<_, String>("statement") + ";\n").collect()))
}

/// Takes off privileges and the foreign key to `agents`.
fn bare(objects: &[(u32, Object)]) -> String {
    let mut batch = String::new();
    for (_, object) in objects {
        let Object { kind, relation, part, .. } = object;
        if *kind == Kind::Grant {
            batch.extend(["revoke all on ", relation, " from ", part, " cascade;\n"]);
        } else if refers_to_agents(object) {
            batch.extend(["alter table ", relation, " drop constraint ", part, ";\n"]);
        }
    }
    batch
}

/// Tables with the publications, quoted, that they were taken out of.
async fn unpublish(
    client: &Client,
    objects: &[(u32, Object)],
) -> Result<Vec<(u32, String)>, Error> {
    let published = objects.iter().filter(|(_, object)| object.kind == Kind::Publication);
    let mut tables: Vec<u32> = published.map(|(oid, _)| *oid).collect();
    tables.sort_unstable();
    tables.dedup();
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "select t.oid, quote_ident(p.name) as publication from unnest($1) t (oid), \
               provisioning.unpublish(t.oid::regclass) p (name)";
    let rows = client.query_typed(sql, &[(&tables, Type::OID_ARRAY)]).await;
    let rows = rows.map_err(query("take the agent's tables out of publications"))?;
    Ok(rows.iter().map(|row| (row.get("oid"), row.get("publication"))).collect())
}

/// Drops for good what has been in the trash for long enough; whose it was. `None`: somebody else
/// has it in hands.
pub async fn purge(client: &Client, item: i64) -> Result<Option<(AgentId, String)>, Error> {
    let sql = include_str!("../../sql/queries/purge.sql");
    let rows = client.query_typed(sql, &[(&item, Type::INT8)]).await;
    let rows = rows.map_err(query("take an agent off the trash's books"))?;
    let Some(row) = rows.first() else { return Ok(None) };
    for kind in ["table", "type"] {
        if let Some(names) = row.get::<_, Option<&str>>(&*format!("{kind}s")) {
            let dropped = client.batch_execute(&format!("drop {kind} {names}")).await;
            dropped.map_err(query("drop what is in the trash"))?;
        }
    }
    Ok(Some((AgentId(row.get("agent_id")), row.get("agent_prefix"))))
}
