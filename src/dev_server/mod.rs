//! A throwaway PostgreSQL server, for `dev` and for the tests.

mod binaries;
mod environment;
mod error;
mod scratch;
mod server;

pub use error::Error;
pub use server::{DevServer, SUPERUSER, Stop, draw_password};
