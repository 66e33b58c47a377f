//! Noticing a connection that is open and says nothing: a host, a proxy or a pooler in between may
//! acknowledge every packet and pass on none.

use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::postgres::{self, Db};
use crate::queue::{ErrorCode, ErrorParts};
use crate::telemetry::{ErrorReport, Liveness, RedactedErrorReport};

/// For a claim or a look ahead, which take milliseconds.
pub(crate) const CLAIM_TIMEOUT: Duration = Duration::from_secs(10);

/// For a record and its commit. When it is over, the server has ended the silent transaction, and
/// the next connection can record what became of the attempt.
pub(crate) const SETTLE_TIMEOUT: Duration =
    postgres::IDLE_IN_TRANSACTION.saturating_add(Duration::from_secs(2));

const ASK_EVERY: Duration = Duration::from_secs(3);

/// Why a connection is to be dropped, and what was being done on it.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It closed, or the server refused what it must not refuse.
    Failed(&'static str, tokio_postgres::Error),
    /// No answer came in time.
    Silent(&'static str, Duration),
}

impl Broken {
    pub(crate) fn error(&self) -> Option<&tokio_postgres::Error> {
        match self {
            Self::Failed(_, error) => Some(error),
            Self::Silent(..) => None,
        }
    }

    pub(crate) fn code(&self) -> Option<&SqlState> {
        self.error().and_then(tokio_postgres::Error::code)
    }

    /// The error in parts, as the job's record keeps it.
    pub(crate) fn parts(&self) -> ErrorParts {
        match self.error() {
            Some(error) if error.code().is_some() => {
                ErrorParts::of(ErrorCode::StatementFailed).with_cause(error)
            }
            Some(_) | None => ErrorParts::of(ErrorCode::ConnectionLost),
        }
    }

    /// Without what may quote a row: a constraint may wait for the commit.
    pub(crate) fn redacted(&self) -> String {
        match self {
            Self::Failed(doing, error) => format!("cannot {doing}: {}", RedactedErrorReport(error)),
            Self::Silent(..) => self.to_string(),
        }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(doing, error) => write!(f, "cannot {doing}: {}", ErrorReport(error)),
            Self::Silent(doing, limit) => write!(f, "cannot {doing}: no answer within {limit:?}"),
        }
    }
}

/// What is asked on a connection, with a limit to the wait for the answer.
pub(crate) async fn with_timeout<T>(
    doing: &'static str,
    limit: Duration,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Broken> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(|error| Broken::Failed(doing, error)),
        Err(_) => Err(Broken::Silent(doing, limit)),
    }
}

/// Returns when nobody holds a job's row: then the transaction that had claimed it is over, whether
/// or not its own connection has said so.
///
/// Work has no limit of its own, since a large agent's upgrade takes as long as it takes. But the
/// server ends a transaction that it hears nothing more of, and this asks it every three seconds, on
/// another connection.
pub(crate) async fn job_released(db: &Db, liveness: &Liveness, job: i64) {
    loop {
        sleep(ASK_EVERY).await;
        liveness.beat();
        match timeout(CLAIM_TIMEOUT, is_free(db, job)).await {
            Ok(Ok(true)) => return,
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::debug!(job.id = job, error = %ErrorReport(&error), "cannot ask for the job");
            }
        }
    }
}

async fn is_free(db: &Db, job: i64) -> Result<bool, postgres::Error> {
    let client = db.get().await?;
    let rows = client.query_typed("select provisioning.is_free($1)", &[(&job, Type::INT8)]).await?;
    Ok(rows.iter().any(|row| row.get(0)))
}
