//! What an error says to people: one place.

use std::error::Error;
use std::fmt;

use tokio_postgres::error::{DbError, Severity, SqlState};

/// Shows an error with all its causes, as logs and `last_error` want it; a terminal wants it
/// [`Printable`](crate::telemetry::Printable).
///
/// What the server said is spelled out with its SQLSTATE, detail and hint: `tokio_postgres::Error`
/// itself displays as no more than "db error".
#[derive(Debug)]
pub struct ErrorReport<'a>(pub &'a (dyn Error + 'static));

/// The same for logs of what was done to agents' tables: without what may quote a row.
#[derive(Debug)]
pub struct RedactedErrorReport<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        chain(f, self.0, said)
    }
}

impl fmt::Display for RedactedErrorReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        chain(f, self.0, |f, db| match db.code().code().get(..2) {
            // Data exceptions and violated constraints name values; so may a template's own errors.
            Some("22" | "23" | "P0") => write!(
                f,
                "SQLSTATE {}, and words that may quote a row: a job that failed has them in its last_error",
                db.code().code()
            ),
            _ => said(f, db),
        })
    }
}

fn chain(
    f: &mut fmt::Formatter<'_>,
    error: &(dyn Error + 'static),
    said: impl Fn(&mut fmt::Formatter<'_>, &DbError) -> fmt::Result,
) -> fmt::Result {
    let mut next = Some(error);
    let mut first = true;
    while let Some(error) = next {
        next = error.source();
        if error.is::<tokio_postgres::Error>() && next.is_some_and(<dyn Error>::is::<DbError>) {
            continue; // "db error", where the cause says it all
        }
        if !first {
            f.write_str(": ")?;
        }
        first = false;
        match error.downcast_ref::<DbError>() {
            Some(db) => said(f, db)?,
            None => write!(f, "{error}")?,
        }
    }
    Ok(())
}

/// Whether the server refused a statement and kept the connection.
pub(crate) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let ends =
        |db: &DbError| matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    error.as_db_error().is_some_and(|db| !ends(db))
}

/// Whether the server's disk was full.
pub(crate) fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<DbError>().is_some_and(|db| *db.code() == SqlState::DISK_FULL) {
            return true;
        }
        next = error.source();
    }
    false
}

fn said(f: &mut fmt::Formatter<'_>, db: &DbError) -> fmt::Result {
    if *db.code() == SqlState::READ_ONLY_SQL_TRANSACTION {
        f.write_str("the server is read-only, as a standby or by default_transaction_read_only: ")?;
    }
    write!(f, "{} (SQLSTATE {})", db.message(), db.code().code())?;
    for (label, text) in [("detail", db.detail()), ("hint", db.hint())] {
        if let Some(text) = text {
            write!(f, "; {label}: {text}")?;
        }
    }
    Ok(())
}
