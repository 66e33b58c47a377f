//! What the tests stand on: a real server, a database each, the real program, and patience.

mod database;
mod service;
mod wait;

pub use database::{ADMIN, Database, Server, WORKER};
pub use service::{Service, provisioner, said};
pub use wait::until;
