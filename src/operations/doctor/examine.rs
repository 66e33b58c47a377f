//! Everything that would keep `run` from working, each with the way to fix it.

use super::facts::Facts;
use super::finding::{Finding, failure, ok, warning};
use super::{
    absence, accepted, base_schema, citus, connection, console, ids, instances, keys, locks, moves,
    ownership, public_schema, room, sequences, snapshots, templates, trash, workers,
};
use crate::config::Config;
use crate::operations::Error;
use crate::postgres::{self, Db, ListenError, Listener, MigrateError, Presence, SslMode};
use crate::service::Instance;
use crate::telemetry::ErrorReport;

/// Looks at everything that can be looked at; what cannot be reached is a finding too.
///
/// Changes nothing. A setting that cannot be used at all is the caller's error.
pub(crate) async fn examine(instance: &Instance) -> Result<Vec<Finding>, Error> {
    let Instance { config, db } = instance;
    let source = config.database.listen_source(&config.database.source()?)?;
    let presence = Presence::new(db.clone(), None);
    let listener = Listener { source, timeouts: config.database.timeouts(), presence };
    Ok(look(config, db, &listener).await)
}

async fn look(config: &Config, db: &Db, listener: &Listener) -> Vec<Finding> {
    let mut client = match db.get().await {
        Ok(client) => client,
        Err(error) => return vec![connection::failed(&error)],
    };
    let mut findings = vec![ok("connection", format!("{} answers", db.place()))];
    findings.push(certificate(db, listener.source.sslmode()));
    findings.push(pooler(listener));
    if let Err(error) = postgres::require_writable(&client).await {
        let fix = "give the service the URL of a server that takes writes";
        findings.push(failure("writes", ErrorReport(&error).to_string(), fix));
        return findings; // what else the service needs is to be asked there
    }
    findings.push(ok("writes", "the server takes them".to_owned()));
    let of_queue = locks::of_queue(&client).await;
    if !of_queue.is_empty() {
        findings.extend(of_queue);
        return findings;
    }
    if let Err(error) = postgres::require_current(&mut client).await {
        findings.push(failure("schema", ErrorReport(&error).to_string(), &of_schema(&error)));
        return findings;
    }
    findings.push(ok("schema", "is this program's version".to_owned()));
    let (of_schema, has_tables) = base_schema::check(&mut client).await;
    findings.extend(of_schema);
    if !has_tables {
        return findings; // everything else would only say that a table is not there
    }
    match Facts::read(&client).await {
        Ok(facts) => findings.extend(facts.check(config, listener.source.sslmode())),
        Err(error) => findings.push(failure(
            "catalog",
            ErrorReport(&error).to_string(),
            "run deploy/roles.sql as postgres and log in as agent_provisioner",
        )),
    }
    findings.push(room::check(&client).await);
    findings.extend(citus::check(&client, config).await);
    findings.push(secrets(config));
    findings.extend(keys::check(&client, config).await);
    findings.push(console::check(config).await);
    findings.push(public_schema::check(&client).await);
    findings.push(absence::check(&client).await);
    findings.extend(ownership::check(&client).await);
    let of_locks = locks::check(&client).await;
    findings.extend(snapshots::check(&client, &of_locks).await);
    findings.extend(of_locks);
    findings.extend(sequences::check(&client).await);
    findings.push(ids::check(&client, config).await);
    findings.extend(workers::check(&client, config).await);
    findings.extend(trash::check(&client, config).await);
    findings.extend(moves::check(&client, config).await);
    findings.extend(templates::check(&mut client, config).await);
    findings.extend(instances::check(&client, config).await);
    findings.push(notifications(listener).await);
    accepted::mark(&client, &mut findings).await;
    findings
}

fn pooler(listener: &Listener) -> Finding {
    if !listener.source.is_pooled() {
        return ok("pooler", "none that would swallow notifications, by the URL".to_owned());
    }
    let found = "a transaction-mode pooler, by port 6543 or pgbouncer=true: no notification \
                 arrives there";
    let fix = "set database.listen_url to the direct connection or the session pooler (5432)";
    warning("pooler", found.to_owned(), fix)
}

fn of_schema(error: &MigrateError) -> String {
    if let MigrateError::Renamed { owner, statement, .. } = error {
        return format!("as {owner} run: {statement}");
    }
    if matches!(error, MigrateError::Newer { .. } | MigrateError::NewerProgram { .. }) {
        return "install the agent-provisioner that made it, or a newer one".to_owned();
    }
    "run `agent-provisioner migrate` as postgres, then deploy/roles.sql".to_owned()
}

/// Whether a notification arrives.
async fn notifications(listener: &Listener) -> Finding {
    match listener.try_once().await {
        Ok(()) => ok("notifications", "LISTEN delivers".to_owned()),
        Err(ListenError::Full) => {
            let found = "none is sent, since the server's queue of them is nearly full; the service polls \
                         every second instead";
            warning("notifications", found.to_owned(), "as for \"notification queue\"")
        }
        Err(ListenError::Broken(reason)) => {
            let found = format!("{reason}; the service polls every second instead");
            let fix = "set database.listen_url to a direct or session-mode connection (port 5432)";
            warning("notifications", found, fix)
        }
    }
}

fn certificate(db: &Db, sslmode: SslMode) -> Finding {
    const WHAT: &str = "certificate";
    if db.certificate_ends_soon() {
        let found = "the server's certificate, or one above it, ends within 30 days: after that nobody connects";
        let fix =
            "renew it on the server, or download the new root certificate and set sslrootcert";
        return warning(WHAT, found.to_owned(), fix);
    }
    let verified = matches!(sslmode, SslMode::VerifyCa | SslMode::VerifyFull);
    let found = if verified {
        "what the server sends is valid for 30 days more; the end of a certificate in sslrootcert is not looked at"
    } else {
        "is not verified, see encryption"
    };
    ok(WHAT, found.to_owned())
}

/// Whether files with passwords are kept from other users.
fn secrets(config: &Config) -> Finding {
    let files: Vec<_> = config.exposed();
    let Some((_, file)) = files.first() else {
        return ok(
            "secrets",
            "nobody else can read or change the files of secrets that the settings name".to_owned(),
        );
    };
    let keys: Vec<_> = files.iter().map(|(key, _)| key.as_str()).collect();
    let found = format!("others can read or change the file of {}", keys.join(" and "));
    warning(
        "secrets",
        found,
        &format!("chmod 600 '{}'", file.display().to_string().replace('\'', r"'\''")),
    )
}
