//! What becomes of definitions that are made anew from the server's own words.
//!
//! The server does not always say the same again: `check (a in ('x'))` on a varchar comes out in one
//! form, and that form, run, in another. A repair and a restored dump both run it. So each object is
//! made anew from its definition, once, and what comes out is as good as what went in.

use std::collections::HashMap;

use tokio_postgres::Client;

use super::apply::apply_or_take_back;
use super::error::{Error, query};
use super::scratch;
use super::script::Script;
use crate::agent::Prefix;
use crate::schema::{
    self, Change, Difference, Fact, Key, Kind, Step, is_unchecked, lacks_not_null, plan_repair,
};

/// Fills in [`Fact::echo`]. Needs an open transaction in which these objects stand, under the
/// scratch prefix, and leaves it as it was.
///
/// What cannot be made anew has no echo; a repair would fail the same way.
pub(crate) async fn add_echoes(
    client: &Client,
    scratch: &Prefix,
    objects: &mut [Fact],
) -> Result<(), Error> {
    let twin = scratch::scratch_prefix()?;
    let rename = |text: &str| text.replace(scratch.as_str(), twin.as_str());
    let made: Vec<Difference> = objects
        .iter()
        .filter(|object| object.kind != Kind::Owner)
        .map(|object| Difference { object: object.map(rename, rename), change: Change::Missing })
        .collect();
    let failed = query("make the templates' objects anew");
    client.batch_execute("savepoint echo").await.map_err(failed)?;
    // What the keys refer to is locked already.
    let made = plan_repair(&twin, &made, false, &[]);
    let keys = made.keys.as_ref().map(|keys| keys.statements.clone()).unwrap_or_default();
    let steps = made.doors.iter().chain(&made.parts).chain(&made.steps);
    let mut steps: Vec<String> = steps.map(Step::to_sql).collect();
    steps.extend(keys);
    make(client, &steps).await?;
    let (tables, types) = scratch::made(client, &twin).await?;
    let heard = schema::read(client, &tables.oids, &types.oids).await?;
    let back = "rollback to savepoint echo; release savepoint echo";
    client.batch_execute(back).await.map_err(query("take the echo back"))?;
    let back = |text: &str| text.replace(twin.as_str(), scratch.as_str());
    // What is granted by default is no other wording of what the templates grant.
    let rights = [Kind::Owner, Kind::Grant, Kind::ColumnGrant, Kind::OwnerRights];
    let heard = heard.into_iter().filter(|(_, heard)| !rights.contains(&heard.kind));
    let heard: HashMap<Key, String> = heard
        .map(|(_, heard)| heard.map(back, back))
        .map(|heard| (heard.key(), heard.definition))
        .collect();
    for object in objects {
        let echo = heard.get(&object.key()).filter(|heard| **heard != object.definition);
        // A key to a table outside was made without a check; it is as good only when it is checked. A column that takes nulls is
        // not as good as one that takes none.
        let is_less = |heard: &str| is_unchecked(object, heard) || lacks_not_null(object, heard);
        object.echo = echo.filter(|heard| !is_less(heard)).cloned();
    }
    Ok(())
}

/// All at once; where one of them fails, each by itself, so that it fails alone.
async fn make(client: &Client, steps: &[String]) -> Result<(), Error> {
    if apply_or_take_back(client, &Script::of(steps.join(";\n"))).await?.is_ok() {
        return Ok(());
    }
    for step in steps {
        if let Err(error) = apply_or_take_back(client, &Script::of(step.as_str())).await? {
            tracing::debug!(error = %crate::telemetry::ErrorReport(&error), "no echo");
        }
    }
    Ok(())
}
