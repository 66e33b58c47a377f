//! How registered agents compare with what their templates make.

use std::collections::HashMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::Error;
use super::outside_keys::keys_off;
use super::registry::{Displaced, RegisteredAgent};
use crate::schema::{
    self, Change, Difference, Fact, Kind, add_removed, compare, is_foreign_key,
    leave_out_checked_children, take_sequence_names_back, tell_renamed_columns,
};
use crate::templates::ExpectedSchema;

/// How these agents differ from what their template version makes, in their order; an agent that is
/// as it should be differs in nothing. One query for all. Needs an open transaction.
pub(crate) async fn drift(
    client: &Client,
    expected_schema: &ExpectedSchema,
    agents: &[RegisteredAgent],
) -> Result<Vec<Vec<Difference>>, Error> {
    let mut expected = Vec::with_capacity(agents.len());
    for RegisteredAgent { agent, version, reference, .. } in agents {
        expected.push(expected_schema.objects(client, agent, *version, *reference).await?);
    }
    let tables: Vec<u32> = agents.iter().flat_map(|built| &built.tables).copied().collect();
    let types: Vec<u32> = agents.iter().flat_map(|built| &built.types).copied().collect();
    let mut found: HashMap<u32, Vec<Fact>> = HashMap::new();
    let mut positions_of: HashMap<u32, Vec<Difference>> = HashMap::new();
    let of = |built: &RegisteredAgent| built.agent.id.0;
    let owned: Vec<(i64, u32)> =
        agents.iter().flat_map(|it| it.tables.iter().map(move |oid| (of(it), *oid))).collect();
    for (oid, object) in schema::read_of(client, &owned, &types).await? {
        found.entry(oid).or_default().push(object);
    }
    for (oid, behind) in positions(client, &tables).await? {
        positions_of.entry(oid).or_default().push(behind);
    }
    let ids: Vec<i64> = agents.iter().map(of).collect();
    let mut off: HashMap<i64, Vec<Difference>> = HashMap::new();
    for key in keys_off(client, &ids).await? {
        off.entry(key.agent).or_default().push(key.drift());
    }
    let mut all = Vec::with_capacity(agents.len());
    for (built, expected) in agents.iter().zip(expected) {
        let RegisteredAgent { agent, version, reference, .. } = built;
        let oids = built.tables.iter().chain(&built.types);
        let mut found: Vec<Fact> = oids.filter_map(|oid| found.remove(oid)).flatten().collect();
        built.displaced.iter().for_each(|displaced| rename_in_others(displaced, &mut found));
        let mut drift = Vec::new();
        if !compare(&expected, &found).is_empty() {
            let expected = expected_schema.objects_with_echoes(client, agent, *version, *reference);
            let expected = expected.await?;
            drift = take_sequence_names_back(&expected, &mut found);
            drift.extend(compare(&expected, &found));
            leave_out_checked_children(&mut drift, &found);
            tell_renamed_columns(&mut drift, &expected);
        }
        drift.extend(built.tables.iter().filter_map(|oid| positions_of.remove(oid)).flatten());
        add_removed(&mut drift, off.remove(&agent.id.0).unwrap_or_default());
        built.displaced.iter().for_each(|displaced| tell_of(displaced, &mut drift));
        all.push(drift);
    }
    Ok(all)
}

/// Lets foreign keys to a table that stands elsewhere, and its children, say what they say when it is back: so a key that is
/// renamed, too, is known.
fn rename_in_others(displaced: &Displaced, found: &mut [Fact]) {
    let Displaced { now, wanted, .. } = displaced;
    let reference = |table: &str| format!(" REFERENCES {table}(");
    for fact in found {
        if is_foreign_key(fact) {
            fact.definition = fact.definition.replace(&reference(now), &reference(wanted));
        } else if fact.kind == Kind::Parent && fact.part == *now {
            fact.part.clone_from(wanted);
        }
    }
}

/// One difference for a table that stands elsewhere, in the words of the view `displaced_tables`: what it has there is
/// compared when it is back. No repair gives it a name that something else has taken.
fn tell_of(displaced: &Displaced, drift: &mut Vec<Difference>) {
    let Displaced { name, wanted, now, displacement, obstacle, back } = displaced;
    let follows = |difference: &Difference| match &difference.change {
        Change::Differs { found } => difference.object.is(&found.replace(now, wanted)),
        Change::Missing | Change::Extra | Change::Removed { .. } => false,
    };
    drift.retain(|difference| difference.object.home != *name && !follows(difference));
    let object = Fact {
        kind: Kind::Name,
        home: name.clone(),
        relation: now.clone(),
        part: back.clone(),
        definition: wanted.clone(),
        echo: None,
    };
    let change = match obstacle {
        None => Change::Differs { found: displacement.clone() },
        Some(_) => Change::Removed {
            found: Some(displacement.clone()),
            obstacle: obstacle.clone(),
            statement: Some(back.clone()),
        },
    };
    drift.push(Difference { object, change });
}

/// The columns whose sequences seem to be behind their rows, by table.
pub(super) async fn positions(
    client: &Client,
    tables: &[u32],
) -> Result<Vec<(u32, Difference)>, Error> {
    let sql = include_str!("../../sql/provisioning/sequence_positions.sql");
    let rows = schema::by_index(client, sql, &[(&tables, Type::OID_ARRAY)]).await?;
    let behind = |row: &Row| {
        let object = Fact {
            kind: Kind::Position,
            home: row.get("home"),
            relation: row.get("relation"),
            part: row.get("part"),
            definition: row.get("sequence"),
            echo: None,
        };
        let change = Change::Differs { found: row.get("found") };
        (row.get("owner"), Difference { object, change })
    };
    Ok(rows.iter().map(behind).collect())
}
