//! The database: connections, their settings, migrations, and locks on shared tables.

mod activity;
mod auth;
pub(crate) mod backoff;
mod connector;
mod dedicated;
mod error;
mod failover;
mod listener;
mod lock_mode;
pub(crate) mod migrate;
mod migration;
mod one_by_one;
mod pool;
mod presence;
mod query_error;
mod read_only;
mod repeatable;
pub(crate) mod session_settings;
mod shared_lock;
mod source;
mod timeouts;
mod tls;
mod transaction;
mod url;

pub use auth::Methods;
pub use connector::{Connecting, Connector, Wire};
pub use dedicated::{DedicatedConnector, drive};
pub use error::Error;
pub use listener::{Event, ListenError, Listener};
pub use lock_mode::{LockMode, Refusal};
pub use migrate::{
    Applied, Error as MigrateError, File, Step, down, files, install_shim, migrate,
    require_current, schema_version, script, status,
};
pub use migration::Migration;
pub(crate) use one_by_one::{one_by_one, run_each};
pub use pool::Db;
pub use presence::{Announcement, Difference, Presence, host};
pub use query_error::{QueryError, query};
pub use read_only::{ReadOnly, require_writable};
pub use repeatable::Repeatable;
pub use session_settings::IDLE_IN_TRANSACTION;
pub use shared_lock::require_turn;
pub(crate) use shared_lock::{LOCK_GATE, lock, lock_patiently};
pub use source::{Place, Source, UrlFile};
pub use timeouts::Timeouts;
pub use tls::{Error as TlsError, SslMode};
pub(crate) use transaction::{begin, begin_snapshot};
pub use url::{Error as UrlError, Target};
