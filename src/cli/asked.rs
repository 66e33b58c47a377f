//! What `agents repair`, `upgrade` and `convert` print with `--json`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::operations::repair::Left;
use crate::operations::{HeldBack, RolloutSummary};

/// What a request to repair, upgrade or convert agents came to.
#[derive(Debug, Default, JsonSchema, Serialize)]
pub(super) struct Asked {
    /// The agents that it is about, by prefix, without those that were left out.
    pub agents: Vec<String>,
    /// Agents that were left out.
    pub held_back: Vec<HeldBack>,
    /// The jobs that do it. Null where none was queued, and where they were queued and followed little by little.
    pub jobs: Option<Vec<i64>>,
    /// The rollout that queues them little by little, where one does.
    pub rollout: Option<i64>,
    /// How they ended, where that was waited for.
    pub summary: Option<RolloutSummary>,
    /// The SQL for one of the agents, of a dry run of an upgrade.
    pub sql: Option<String>,
    /// Agents that differ after the repairs that were waited for.
    pub still_differ: Vec<Left>,
}
