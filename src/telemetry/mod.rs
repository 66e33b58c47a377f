//! What the program says of itself: logs, error reports, metrics and liveness.

mod age;
mod error_report;
mod exposition;
mod liveness;
mod log;
mod metrics;
mod panics;
mod printable;
mod span;

pub(crate) use age::age;
pub(crate) use error_report::is_disk_full;
pub use error_report::{ErrorReport, RedactedErrorReport};
pub(crate) use exposition::merged;
pub use liveness::{Liveness, Unready};
pub use log::{Error, LogFormat, Logs, init, log_panics};
pub use metrics::{DatabaseGauges, Metrics, Wakeup};
pub(crate) use panics::caught;
pub use printable::{Printable, is_printable};
pub(crate) use span::of_database;
