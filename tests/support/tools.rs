//! Programs that come with PostgreSQL, and may be older than the server.

use std::process::Command;

use super::{Admin, said};

/// Whether `pg_dump` is not older than the server, which it would refuse. If it is, says so.
pub async fn pg_dump_can(admin: &Admin) -> bool {
    let server: i32 = admin.one("select current_setting('server_version_num')::int / 10000").await;
    let version = said(&Command::new("pg_dump").arg("--version").output().unwrap());
    let number = version.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    let own: i32 = number.unwrap().parse().unwrap();
    if own < server {
        eprintln!("skipped: {} cannot read PostgreSQL {server}", version.trim());
    }
    own >= server
}
