//! A connection that keeps what the server remarks on the way.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client};

use super::error::Error;
use crate::postgres::{DedicatedConnector, Source, Target, Timeouts, query};
use crate::sql_text::in_quotes;

/// How `pg_stat_activity` shows the session that reads a database.
const NAME: &str = "agent-provisioner audit";

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    statement: Duration::from_mins(2),
    lock: Duration::from_secs(10),
};
/// More of them tell nothing new.
const MOST_NOTICES: usize = 1000;

/// A connection that keeps what the server remarks on the way. It ends with this value.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    /// The number of the server's process for it.
    pub(super) pid: i32,
    notices: Arc<Mutex<Vec<DbError>>>,
    polled: JoinHandle<()>,
    /// How another one like it is opened.
    connector: DedicatedConnector,
    name: String,
}

impl Session {
    /// On the shadow. `name` is what `pg_stat_activity` shows. A statement has two minutes.
    pub(super) async fn of(target: Target, name: &str) -> Result<Self, Error> {
        let source = Source::new(target, None)?;
        let session =
            Self::connect(DedicatedConnector { source, timeouts: TIMEOUTS }, name).await?;
        session.limit().await?;
        Ok(session)
    }

    /// On a database that is read.
    pub(super) async fn open(source: Source, timeouts: Timeouts) -> Result<Self, Error> {
        Self::connect(DedicatedConnector { source, timeouts }, NAME).await
    }

    async fn connect(connector: DedicatedConnector, name: &str) -> Result<Self, Error> {
        let (client, mut wire) = connector.connect(name).await?;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notices);
        let keep = async move {
            while let Some(Ok(message)) = poll_fn(|cx| wire.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() < MOST_NOTICES && is_told(&notice) {
                        kept.push(notice);
                    }
                }
            }
        };
        #[expect(clippy::disallowed_methods, reason = "it is ended with the session")]
        let polled = tokio::spawn(keep);
        let asked = client.query_one("select pg_catalog.pg_backend_pid()", &[]).await;
        let pid = asked.map_err(query("ask for the server's process"))?.get(0);
        Ok(Self { client, pid, notices, polled, connector, name: name.to_owned() })
    }

    /// As a new session: nothing is left of what ran before, no open transaction and no setting.
    pub(super) async fn begin_anew(&self) -> Result<(), Error> {
        for sql in ["rollback", "discard all"] {
            let done = self.client.batch_execute(sql).await;
            done.map_err(query("begin anew on the shadow"))?;
        }
        self.limit().await
    }

    async fn limit(&self) -> Result<(), Error> {
        let sql = format!("set statement_timeout = {}", TIMEOUTS.statement.as_millis());
        Ok(self.client.batch_execute(&sql).await.map_err(query("limit statements"))?)
    }

    /// Makes a role without rights. Roles belong to the whole server: somebody else may be making the same one.
    pub(super) async fn make_role(&self, role: &str) -> Result<(), Error> {
        let made = self.client.batch_execute(&format!("create role {}", in_quotes(role))).await;
        let code = made.as_ref().err().and_then(tokio_postgres::Error::code);
        let is_there = [&SqlState::DUPLICATE_OBJECT, &SqlState::UNIQUE_VIOLATION];
        if code.is_some_and(|code| is_there.contains(&code)) {
            return Ok(());
        }
        Ok(made.map_err(query("make a role on the shadow"))?)
    }

    /// Has `root` end it, whatever it is doing, and opens another one in its place.
    pub(super) async fn replace(&mut self, root: &Self) -> Result<(), Error> {
        let sql = "select pg_catalog.pg_terminate_backend($1, 5000)";
        let ended = root.client.query_typed(sql, &[(&self.pid, Type::INT4)]).await;
        ended.map_err(query("end a session on the shadow"))?;
        let new = Self::connect(self.connector.clone(), &self.name).await?;
        new.limit().await?;
        std::mem::replace(self, new).close().await;
        Ok(())
    }

    /// What was remarked since the last time of objects that were there already; of a thousand such remarks no more.
    pub(super) fn notices(&self) -> Vec<DbError> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *notices)
    }

    /// Returns when the connection is closed.
    pub(super) async fn close(self) {
        let Self { client, polled, .. } = self;
        drop(client);
        polled.await.ok();
    }
}

/// Whether a remark says that something was there already.
fn is_told(notice: &DbError) -> bool {
    let is_notice = notice.parsed_severity() == Some(Severity::Notice);
    is_notice && ["42P07", "42710", "42701", "42723"].contains(&notice.code().code())
}
