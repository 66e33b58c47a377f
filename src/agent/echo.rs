//! What becomes of definitions that are made anew from the server's own words.
//!
//! The server does not always say the same again: `check (a in ('x'))` on a varchar comes out in one
//! form, and that form, run, in another. A repair and a restored dump both run it. So each object is
//! made anew from its definition, once, and what comes out is as good as what went in.

use tokio_postgres::Client;

use super::drift::{Change, Drift};
use super::error::{Error, query};
use super::mend::mend;
use super::object::{Kind, Object};
use super::provision::apply;
use super::reshape::is_unchecked;
use super::script::Script;
use super::{Prefix, catalog, rehearsal};

/// Fills in [`Object::echo`]. Needs an open transaction in which these objects stand, under the
/// scratch prefix, and leaves it as it was.
///
/// Where one of them cannot be made anew there are no echoes; a repair would fail the same way.
pub(super) async fn listen(
    client: &Client,
    scratch: &Prefix,
    objects: &mut [Object],
) -> Result<(), Error> {
    let twin = rehearsal::scratch_prefix()?;
    let rename = |text: &str| text.replace(scratch.as_str(), twin.as_str());
    let made: Vec<Drift> = objects
        .iter()
        .filter(|object| object.kind != Kind::Owner)
        .map(|object| Drift { object: object.map(rename), change: Change::Missing })
        .collect();
    let failed = query("make the templates' objects anew");
    client.batch_execute("savepoint echo").await.map_err(failed)?;
    // What the keys refer to is locked already.
    let made = mend(&twin, &made, false);
    let keys = made.keys.map(|keys| keys.statements).unwrap_or_default();
    let made = Script::of([made.statements, keys].concat().join(";\n"));
    let heard = match apply(client, &made).await {
        Ok(()) => {
            let (tables, types) = rehearsal::made(client, &twin).await?;
            catalog::read(client, &tables.oids, &types.oids).await?
        }
        Err(error) => {
            tracing::debug!(error = %crate::error::Chain(&error), "no echo");
            Vec::new()
        }
    };
    let back = "rollback to savepoint echo; release savepoint echo";
    client.batch_execute(back).await.map_err(query("take the echo back"))?;
    for (_, heard) in heard.into_iter().filter(|(_, heard)| heard.kind != Kind::Owner) {
        let heard = heard.map(|text| text.replace(twin.as_str(), scratch.as_str()));
        let same = |object: &&mut Object| {
            object.kind == heard.kind
                && object.relation == heard.relation
                && object.part == heard.part
                && object.definition != heard.definition
        };
        if let Some(object) = objects.iter_mut().find(same) {
            // A key to a table outside was made without a check; it is as good only when it is checked.
            object.echo = Some(heard.definition).filter(|heard| !is_unchecked(object, heard));
        }
    }
    Ok(())
}
