//! The settings: a TOML file, then `DATABASE_URL`, then `PROVISIONER_…`, each over the last.

mod console;
mod database;
mod databases;
mod deprovision;
mod error;
mod jobs;
mod parse;
mod secret_file;
mod settings;
mod tokens;
mod verify;

pub(crate) use console::is_viewer;
pub use console::{Console, ConsoleAuth};
pub use database::Database;
pub use databases::{DatabaseName, Databases};
pub use deprovision::Deprovision;
pub use error::Error;
pub use jobs::Jobs;
pub(crate) use secret_file::{Exposure, exposure};
pub use settings::{Config, Http, Log, Worker, load};
pub use tokens::Tokens;
pub use verify::Verify;
