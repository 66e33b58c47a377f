//! Programs that come with PostgreSQL, and may be older than the server.

use std::process::Command;

use agent_provisioner::cluster::SUPERUSER;

use super::{Admin, Database, said};

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

/// Another database, restored from a dump of this one.
pub async fn restored(db: &Database) -> Database {
    let copy = db.server.database().await;
    let empty = "drop schema public, provisioning, provisioning_trash, auth cascade; create schema public; \
                 drop publication supabase_realtime";
    copy.connect(SUPERUSER).await.batch_execute(empty).await.unwrap();
    let pipe = "pg_dump \"$1\" | psql -q -v ON_ERROR_STOP=1 \"$2\"";
    let dumped = Command::new("bash")
        .args(["-o", "pipefail", "-c", pipe, "bash", &db.url(SUPERUSER), &copy.url(SUPERUSER)])
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{}", said(&dumped));
    copy
}
