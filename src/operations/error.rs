//! Why an operation failed.

use tokio_postgres::error::SqlState;

use super::moves::MoveError;
use crate::agent::Prefix;
use crate::queue::admin::ReplayError;
use crate::worker::CompareError;
use crate::{
    agent, audit, base_schema, config, postgres, provisioning, service, templates, tokens,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Instance(#[from] service::InstanceError),
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Db(#[from] postgres::Error),
    #[error(transparent)]
    Migrate(#[from] postgres::MigrateError),
    #[error(transparent)]
    Audit(#[from] audit::Error),
    #[error(transparent)]
    BaseSchema(#[from] base_schema::Error),
    #[error(transparent)]
    Template(#[from] templates::Error),
    #[error(transparent)]
    Provisioning(#[from] provisioning::Error),
    /// The server cannot read this agent's rows of the catalog. It can read those of others.
    #[error("cannot compare agent {prefix} with its templates")]
    Agent { prefix: Prefix, source: provisioning::Error },
    #[error(transparent)]
    Query(#[from] postgres::QueryError),
    #[error(transparent)]
    Move(#[from] MoveError),
    #[error("the jobs do not go back into the queue")]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Prefix(#[from] agent::InvalidPrefix),
    #[error("there is no job {0}")]
    NoJob(i64),
    /// What a filter had found is not so any more.
    #[error("{}: nothing was done; see what there is now", changed(*shown, *left))]
    Changed { shown: usize, left: usize },
    #[error("no agent has the prefix {0:?}, and none has left anything under it outside the trash")]
    NoAgent(String),
    /// Neither an id nor an e-mail address.
    #[error("there is no user {0:?}: name one by the id or the e-mail address in public.users")]
    NoUser(String),
    /// The tables may be there.
    #[error("{0}: its row in public.agents is gone already; see: agents show {0}")]
    RowGone(String),
    /// Only the owner's rights suffice.
    #[error(
        "role {role} may not do this: run it as {owner}, who owns schema provisioning, or as a member of that role, by the URL"
    )]
    NotOwner { owner: String, role: String },
    /// In the words of a function of the API.
    #[error("{0}")]
    Refused(String),
    /// Nothing is registered under the prefix.
    #[error("no tables are registered for an agent {0:?}; see: agents list")]
    NotRegistered(String),
    /// An agent has the prefix that is to be restored.
    #[error(
        "{prefix} is agent {id}{}",
        if *alive {
            ", which has the prefix now. Delete it first; where the trash then holds several of the prefix, \
             `agents trash` lists them and --item chooses"
        } else {
            ", which is being deleted; see: agents show"
        }
    )]
    Present {
        prefix: String,
        /// Whose it is.
        id: i64,
        /// Whether the agent has its row.
        alive: bool,
    },
    /// Two databases would serve the agent.
    #[error(
        "{prefix} was moved to database {peer:?} at {since}, and these are the rows of then. Move it back from there; or, if that database \
         does not serve it any more, say --moved"
    )]
    MovedAway { prefix: String, peer: String, since: String },
    /// The trash has nothing of the prefix.
    #[error("there is no such {0:?} in the trash; see: agents trash")]
    NotInTrash(String),
    /// A schema that its tables stood in is gone.
    #[error(
        "{prefix} had a table or a type in a schema that is gone. Run as postgres: {}; then restore it again",
        .statements.join("; ")
    )]
    SchemaGone { prefix: String, statements: Vec<String> },
    /// The trash has no such item, or another session uses it.
    #[error("there is no item {0} in the trash, or it is in use at this moment; see: agents trash")]
    NoItem(i64),
    /// The trash has more than one agent of the prefix.
    #[error("the trash holds several agents {prefix:?}; choose one by --item: {items}")]
    Several {
        prefix: String,
        /// What there is to choose from.
        items: String,
    },
    #[error(transparent)]
    Tokens(#[from] tokens::Error),
    #[error("there is no WhatsApp number with the phone_number_id {0:?}; see: numbers list")]
    NoNumber(String),
    #[error("there is no Meta app with the app_id {0:?}; see: apps list")]
    NoApp(String),
    #[error("there is a Meta app with the app_id {0} already; see: apps list")]
    AppTaken(String),
    #[error("the name of an app has 1 to 200 characters")]
    AppName,
    #[error("there is no business {0:?}: name one by its id in public.businesses")]
    NoBusiness(String),
    /// An app of the platform, and no agent.
    #[error(
        "neither the app nor an agent says which business has the number {0}: name its business by --business, or its agent by --agent"
    )]
    WhichBusiness(String),
    #[error("{owner} has no {kind}")]
    NoSecret { kind: &'static str, owner: String },
    #[error("the {kind} of {owner} cannot be decrypted")]
    Unreadable {
        kind: &'static str,
        owner: String,
        #[source]
        source: tokens::Error,
    },
    /// Since it was shown.
    #[error(
        "{0}: a repair would run other statements than those that were confirmed: nothing was queued; see: agents repair {0} --dry-run"
    )]
    PlanChanged(String),
    #[error("doctor finds nothing now that has the key {0:?}; see: doctor --json")]
    NoFinding(String),
    #[error("no finding {0:?} is accepted; see: doctor accepted")]
    NotAccepted(String),
    #[error("there is no rollout {0}; see: rollouts list")]
    NoRollout(i64),
    #[error("no rollout is under way; see: rollouts list")]
    NoOpenRollout,
    /// It cannot be paused, resumed or aborted any more.
    #[error("rollout {id} is over: {state}")]
    RolloutOver { id: i64, state: String },
    /// One at a time.
    #[error(
        "rollout {id} is {state}, and there is one at a time; see: rollouts list. To end it: rollouts abort {id}"
    )]
    RolloutOpen { id: i64, state: String },
    #[error("cannot read the status")]
    Status(#[source] serde_json::Error),
    #[error("all ids of the range {first}-{last} were given: take another range")]
    RangeFull { first: i64, last: i64 },
    /// The template set has no foreign key.
    #[error("the templates have no foreign_key.sql: there is no key to create")]
    NoForeignKey,
}

/// As many may be others.
fn changed(shown: usize, left: usize) -> String {
    if left < shown {
        format!("{left} of {shown} jobs are as they were shown")
    } else {
        format!("{shown} jobs were shown, and others match now, or some have changed")
    }
}

impl From<CompareError> for Error {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Db(error) => Self::Db(error),
            CompareError::Provisioning(error) => Self::Provisioning(error),
            CompareError::Agent { prefix, source } => Self::Agent { prefix, source },
        }
    }
}

impl Error {
    /// Whether somebody has locked what it takes.
    pub(crate) fn is_lock(&self) -> bool {
        let mut cause: Option<&dyn std::error::Error> = Some(self);
        while let Some(error) = cause {
            let code = error.downcast_ref::<tokio_postgres::Error>().and_then(|error| error.code());
            if code == Some(&SqlState::LOCK_NOT_AVAILABLE) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Whether the arguments, the settings or the template files have to change, and the database is not to blame.
    pub(crate) fn is_bad_input(&self) -> bool {
        match self {
            Self::Instance(error) => error.is_configuration(),
            Self::Template(error) => error.is_configuration(),
            Self::Provisioning(error) | Self::Agent { source: error, .. } => {
                error.is_configuration()
            }
            Self::Audit(error) => error.is_bad_input(),
            Self::Tokens(error) => error.is_bad_input(),
            Self::Config(_)
            | Self::Prefix(_)
            | Self::NoForeignKey
            | Self::AppName
            | Self::WhichBusiness(_) => true,
            Self::Db(_)
            | Self::Migrate(_)
            | Self::BaseSchema(_)
            | Self::Query(_)
            | Self::Move(_)
            | Self::Replay(_)
            | Self::NoJob(_)
            | Self::Changed { .. }
            | Self::NoAgent(_)
            | Self::NoUser(_)
            | Self::RowGone(_)
            | Self::NotOwner { .. }
            | Self::Refused(_)
            | Self::NotRegistered(_)
            | Self::Present { .. }
            | Self::NotInTrash(_)
            | Self::MovedAway { .. }
            | Self::SchemaGone { .. }
            | Self::NoItem(_)
            | Self::NoNumber(_)
            | Self::NoApp(_)
            | Self::AppTaken(_)
            | Self::NoBusiness(_)
            | Self::NoSecret { .. }
            | Self::Unreadable { .. }
            | Self::PlanChanged(_)
            | Self::NoFinding(_)
            | Self::NotAccepted(_)
            | Self::NoRollout(_)
            | Self::NoOpenRollout
            | Self::RolloutOver { .. }
            | Self::RolloutOpen { .. }
            | Self::Status(_)
            | Self::RangeFull { .. }
            | Self::Several { .. } => false,
        }
    }
}
