//! Why an agent was not moved.

use std::time::Duration;

use crate::provisioning::moving::{Differing, Obstacle};

/// Why an agent was not moved. Until the hand-over it is served where it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveError {
    #[error("{0}: there is no such agent here, or its tables are not built; see: agents show {0}")]
    NotBuilt(String),
    #[error("source and target are the same database")]
    SameDatabase,
    #[error(
        "the agent is on its way to database {peer:?}, since {since}: finish that by --to {peer}, or give it up by --abort"
    )]
    OtherTarget { peer: String, since: String },
    /// What would come out of the templates is another thing.
    #[error("the two databases have other templates: {source_set} here, {target_set} there")]
    OtherTemplates { source_set: String, target_set: String },
    #[error(
        "{prefix} is at template version {version}, and a new agent gets {wanted}: first agent-provisioner agents upgrade {prefix}"
    )]
    OtherVersion { prefix: String, version: i32, wanted: i32 },
    #[error("{}", .0.iter().map(|(id, state)| format!("job {id} of the agent is {state}; see: jobs show {id}")).collect::<Vec<_>>().join("; "))]
    OpenJobs(Vec<(i64, String)>),
    #[error("{prefix} cannot go to database {peer:?}: {}", listed(.found))]
    Obstacles { prefix: String, peer: String, found: Vec<Obstacle> },
    #[error(
        "row security hides rows of {0} from this role: run it as a role with BYPASSRLS, such as postgres, on both sides"
    )]
    HiddenRows(String),
    #[error(
        "the tables are not the same on both sides: {}; see: agents verify",
        .0.iter().map(|one| format!("{} only {}", one.what, if one.on_source { "here" } else { "there" })).collect::<Vec<_>>().join(", ")
    )]
    OtherTables(Vec<Differing>),
    #[error("cannot copy the rows of {table}")]
    Copy {
        table: String,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error(
        "{table} has {here} rows here and {there} there, or rows that differ: the agent stays as it is. Run it again"
    )]
    OtherRows { table: String, here: i64, there: i64 },
    #[error(
        "the copy took longer than {}, for which writers would have waited: nothing was handed over. Allow more by --max-lock",
        humantime::format_duration(*.0)
    )]
    TooLong(Duration),
    /// Whether it was handed over is for the next run to find out.
    #[error("one of the two databases did not answer within {}: run the same command again", humantime::format_duration(*.0))]
    Silent(Duration),
    #[error("somebody uses the agent's tables, and it stays as it is: {}", if .0.is_empty() { "look again".to_owned() } else { .0.join(" ") })]
    Busy(Vec<String>),
    #[error(
        "the record of the move was not written: look for a rule, a trigger or a policy on provisioning.moves"
    )]
    Swallowed,
    /// The source has handed over.
    #[error(
        "the agent is handed over, and database {peer:?} does not serve it yet: nobody takes its writes. Run the same command again. Or give \
         the move up by --abort"
    )]
    NotTakenOver {
        peer: String,
        #[source]
        source: Box<super::super::Error>,
    },
    #[error(
        "database {0:?} knows nothing of the move, which was handed over to it. Do its settings name another database now? Only if that database is \
         lost, or was set back to before the move, serve the agent from here again: --abort --lost"
    )]
    Forgotten(String),
    /// Its `--abort` was broken off.
    #[error("database {0:?} has given the move up: give it up here, too, by --abort")]
    GivenUp(String),
    #[error(
        "the agent was handed over, and database {0:?} does not serve it: was that database set back? The rows of the hand-over are in the trash here: \
         agents restore --moved. To drop those that are there: --abort --lost"
    )]
    SetBack(String),
    #[error(
        "job {0}, which deletes the agent's tables here, is in somebody's hands: run the same command again"
    )]
    NotApproved(i64),
    #[error("no move of {0} is under way")]
    NoMove(String),
    #[error("no copy of {0} is under way there")]
    NoCopy(String),
    #[error("tables of {0} were changed or made meanwhile: run it again")]
    Changed(String),
    #[error(
        "database {0:?} has the agent by now: the move cannot be given up. Run the command without --abort to finish it, then move it back"
    )]
    TooLate(String),
}

fn listed(found: &[Obstacle]) -> String {
    let each = found.iter().map(|Obstacle { obstacle, fix }| format!("{obstacle} ({fix})"));
    each.collect::<Vec<_>>().join("; ")
}
