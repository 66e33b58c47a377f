//! The service: everything that runs for one database, or for many, until a signal comes.

mod database_stats;
mod http;
mod instance;
mod parts;
mod peers;
mod run;
mod serve;
mod served;
mod shutdown;
mod supervisor;
mod systemd;

pub use database_stats::DatabaseStats;
pub use http::{Error as HttpError, Http};
pub use instance::{Error as InstanceError, Instance};
pub use parts::Parts;
pub use peers::settings;
pub use run::{Error, MANY_AGENTS, run};
pub(crate) use serve::{Known as KnownConnection, REQUEST_TAKES, serve};
pub use served::Served;
pub use shutdown::{End, ignore_sighup};
pub use supervisor::run_many;
