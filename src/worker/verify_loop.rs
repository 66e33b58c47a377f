//! Verify in the background, all the time.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::compare_agents::{Error, Pace};
use super::verify::{Scope, verify};
use crate::postgres::{self, Db, query};
use crate::provisioning::{self, BuildSpec, NewDrift};
use crate::telemetry::{ErrorReport, Metrics, caught};
use crate::templates::ExpectedSchema;

/// Compares all agents at every interval, on whichever instance is the first to come.
///
/// An agent is compared in depth when something of it has changed, while it differs, and once a day.
#[derive(Debug)]
pub(crate) struct VerifyLoop {
    pub(crate) db: Db,
    /// The templates.
    pub(crate) build_spec: Arc<BuildSpec>,
    pub(crate) metrics: Arc<Metrics>,
    /// Between comparisons, of all instances together; zero for none.
    pub(crate) interval: Duration,
    /// Longer than any statement takes.
    pub(crate) patience: Duration,
}

impl VerifyLoop {
    /// Begins one interval after the start: a service that is started again and again is no load.
    pub(crate) async fn run(self, stop: CancellationToken) {
        if self.interval.is_zero() {
            return stop.cancelled().await;
        }
        let mut pause = self.interval;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            let turn = self.db.while_heard(self.patience, self.turn());
            let turn = tokio::select! {
                turn = caught(turn) => turn,
                () = stop.cancelled() => return,
            };
            pause = self.interval;
            match turn {
                Ok(Ok(Ok(next))) => {
                    pause = next;
                    continue;
                }
                Ok(Ok(Err(error))) => warn(&error),
                Ok(Err(error)) => warn(&error),
                Err(error) => tracing::error!(error, "cannot verify the agents"),
            }
            self.metrics.verify_failed();
        }
    }

    /// How long it is to the next turn.
    async fn turn(&self) -> Result<Duration, Error> {
        let mut client = self.db.get().await?;
        let sql = include_str!("../../sql/worker/verify_turn.sql");
        let interval = self.interval.as_secs_f64();
        let rows = client.query_typed(sql, &[(&interval, Type::FLOAT8)]).await;
        let rows =
            rows.map_err(query("take the turn to verify")).map_err(provisioning::Error::from)?;
        let Some(row) = rows.first() else { return Ok(self.interval) };
        let next = Duration::try_from_secs_f64(row.get("seconds")).unwrap_or_default();
        if row.get("taken") {
            let templates = self.build_spec.templates().clone();
            let expected = ExpectedSchema::prepare(&mut client, templates).await;
            let expected = expected.map_err(provisioning::Error::from)?;
            drop(client);
            let scope = Scope { named: None, full: false, pace: Pace::Gentle };
            let found = verify(&self.db, &expected, scope).await?;
            let (compared, unchanged, drifted) =
                (found.compared, found.unchanged, found.drifted.len());
            for NewDrift { prefix, differences } in found.new_drift {
                tracing::warn!(
                    agent.prefix = prefix,
                    differences,
                    "the agent differs from what the templates make; see `agent-provisioner agents verify`"
                );
            }
            for postgres::Difference { setting, host, pid, .. } in found.differing {
                tracing::warn!(
                    setting,
                    host,
                    pid,
                    "what verify found is not recorded: another instance is configured differently"
                );
            }
            tracing::debug!(compared, unchanged, drifted, "verified the agents");
        }
        Ok(next.min(self.interval))
    }
}

fn warn(error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(error = %ErrorReport(error), "cannot verify the agents");
}
