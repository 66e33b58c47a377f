//! The tables of both sides, the copy of their rows, and its comparison.

use futures_util::{SinkExt, StreamExt, pin_mut};
use tokio_postgres::Client;

use super::CopiedTable;
use super::error::MoveError;
use crate::operations::Error;
use crate::provisioning::moving::{Carried, Leaving, Move, TableLayout, differences, read_layout};

/// Fails where one side has a table or a column that the other has not.
pub(super) fn require_same(from: &[TableLayout], to: &[TableLayout]) -> Result<(), MoveError> {
    let other = differences(from, to);
    if other.is_empty() { Ok(()) } else { Err(MoveError::OtherTables(other)) }
}

/// The agent as it is now, and its tables as they are read.
pub(super) async fn layout_of_source(
    here: &Client,
    prefix: &str,
    what: Carried,
    coming: &Move,
    to: &[TableLayout],
) -> Result<(Leaving, Vec<TableLayout>), Error> {
    let leaving = Leaving::read(here, prefix, what).await?;
    let leaving = leaving.ok_or_else(|| MoveError::NotBuilt(prefix.to_owned()))?;
    let other = (coming.agent != leaving.agent).then_some((coming.agent, to));
    let from = read_layout(here, &leaving.tables, leaving.agent, other).await?;
    Ok((leaving, from))
}

/// Copies the rows of all tables, and compares both sides.
pub(super) async fn copy_rows(
    here: &Client,
    from: &[TableLayout],
    there: &Client,
    to: &[TableLayout],
) -> Result<Vec<CopiedTable>, Error> {
    let mut copied = Vec::new();
    // In the target's order: it checks foreign keys.
    for target in to.iter().filter(|table| table.has_rows) {
        let Some(source) = from.iter().find(|table| table.name == target.name) else { continue };
        let table = || target.name.clone();
        let stream = copy_one(here, there, source.copies(target)).await;
        stream.map_err(|source| MoveError::Copy { table: table(), source })?;
    }
    for target in to.iter().filter(|table| table.has_rows) {
        let Some(source) = from.iter().find(|table| table.name == target.name) else { continue };
        let (here, there) = tokio::join!(source.digest(here), target.digest(there));
        let (here, there) = (here?, there?);
        let table = target.name.clone();
        if here != there {
            return Err(MoveError::OtherRows { table, here: here.rows, there: there.rows }.into());
        }
        copied.push(CopiedTable { table, rows: here.rows });
    }
    Ok(copied)
}

async fn copy_one(
    here: &Client,
    there: &Client,
    (copy_out, copy_in): (String, String),
) -> Result<(), tokio_postgres::Error> {
    let stream = here.copy_out(&copy_out).await?;
    let sink = there.copy_in(&copy_in).await?;
    pin_mut!(stream, sink);
    while let Some(piece) = stream.next().await {
        // Not `send`, which would wait for each row.
        sink.feed(piece?).await?;
    }
    sink.as_mut().finish().await.map(drop)
}
