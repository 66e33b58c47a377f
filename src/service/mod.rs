//! The service: everything that runs for one database until a signal comes.

mod database_stats;
mod http;
mod instance;
mod peers;
mod run;
mod serve;
mod shutdown;
mod systemd;

pub use database_stats::DatabaseStats;
pub use http::{Error as HttpError, Http};
pub use instance::{Error as InstanceError, Instance};
pub use peers::settings;
pub use run::{Error, MANY_AGENTS, run};
pub(crate) use serve::{Known as KnownConnection, REQUEST_TAKES, serve};
pub use shutdown::{End, Shutdown, ignore_sighup};
