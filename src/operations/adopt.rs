//! Taking over agents' tables that an older trigger or another tool built.

use std::collections::VecDeque;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::actor::Actor;
use super::adopt_one::{Adopted, adopt};
use super::error::Error;
use crate::queue::Wait;
use crate::service::Instance;
use crate::telemetry::ErrorReport;

pub(crate) use super::adopt_plan::{Hanging, Plan, Planned, Refused, plan};

/// Tries for an agent whose tables are in use: some ten seconds, when a statement of the API may take
/// eight. Between two of them all others get theirs.
const TRIES: u32 = 10;

#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Done {
    pub adopted: Vec<String>,
    /// Gone, or without a table that is not registered.
    pub skipped: Vec<String>,
    /// Those that cannot be adopted, too: whoever asked is to notice.
    pub failed: Vec<Failed>,
    pub jobs: Vec<i64>,
}

/// An agent that was not adopted.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Failed {
    pub prefix: String,
    pub error: String,
}

/// One agent after the other, each in a transaction of its own: what is done stays done, and
/// whoever is in the way of one holds up no other.
pub(crate) async fn take_over(
    actor: &Actor,
    instance: &Instance,
    plan: &Plan,
) -> Result<Done, Error> {
    let expected_schema = instance.expected_schema().await?;
    let timeouts = instance.config.database.timeouts();
    let mut client = actor.client(instance).await?;
    let mut done = Done::expected(plan);
    let mut queue: VecDeque<&Planned> = plan.agents.iter().collect();
    for tries_left in (0..TRIES).rev() {
        for planned in std::mem::take(&mut queue) {
            let prefix = planned.prefix.clone();
            let fail = |error| Failed { prefix: prefix.clone(), error };
            match adopt(actor, &mut client, &expected_schema, &timeouts, planned).await {
                Ok(Adopted::Done(job)) => {
                    done.adopted.push(prefix);
                    done.jobs.extend(job);
                }
                Ok(Adopted::Nothing) => done.skipped.push(prefix),
                Ok(Adopted::Refused(reason)) => done.failed.push(fail(reason)),
                Ok(Adopted::Busy(_)) if tries_left > 0 => queue.push_back(planned),
                Ok(Adopted::Busy(error)) => done.failed.push(fail(ErrorReport(&error).to_string())),
                Err(error) if error.code().is_some() && !client.is_closed() => {
                    done.failed.push(fail(ErrorReport(&error).to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        if queue.is_empty() {
            break;
        }
        let pause: Duration = Wait::Moment.draw(fastrand::f64());
        tokio::time::sleep(pause).await;
    }
    Ok(done)
}

impl Done {
    /// What is known of before anything is done.
    fn expected(plan: &Plan) -> Self {
        let refused = plan.not_adoptable.iter();
        let failed = refused.map(|r| Failed { prefix: r.prefix.clone(), error: r.reason.clone() });
        Self { skipped: plan.nothing_to_adopt.clone(), failed: failed.collect(), ..Self::default() }
    }
}
