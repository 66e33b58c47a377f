//! Several statements in one round trip, each in a message of its own.

use std::future;

use futures_util::TryStreamExt;
use tokio_postgres::{Client, Error, SimpleQueryStream};

use super::query_error::QueryError;

/// Runs statements in this order, in a transaction that the caller opened. All are sent before the first answer is read.
///
/// Each is a message of its own. Citus sends on the text of a whole message, and refuses many a statement that shares one.
/// Statements after the one that failed do nothing, since its transaction is aborted. Which one that was, and why:
pub(crate) async fn one_by_one(
    client: &Client,
    statements: &[String],
) -> Result<(), (usize, Error)> {
    let mut answers: Vec<SimpleQueryStream> = Vec::new();
    for statement in statements {
        let sent = client.simple_query_raw(statement).await;
        answers.push(sent.map_err(|error| (answers.len(), error))?);
    }
    for (number, answer) in answers.into_iter().enumerate() {
        let done = answer.try_for_each(|_| future::ready(Ok(())));
        done.await.map_err(|error| (number, error))?;
    }
    Ok(())
}

/// The same; an error says what they do.
pub(crate) async fn run_each(
    client: &Client,
    statements: &[String],
    doing: &'static str,
) -> Result<(), QueryError> {
    one_by_one(client, statements).await.map_err(|(_, source)| QueryError { doing, source })
}
