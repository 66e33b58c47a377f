//! Everything that would keep `run` from working, each with the way to fix it.

mod absence;
mod facts;
mod instances;
mod locks;
mod public_schema;
mod templates;
mod trash;

use serde::Serialize;

use crate::config::Config;
use crate::db::{self, Db, Listener, Unheard};
use crate::error::Chain;
use facts::Facts;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// The service works, for now or not as well as it could.
    Warning,
    /// The service cannot work.
    Failure,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was looked at, in a word or two.
    pub what: &'static str,
    /// What was seen, and why it matters.
    pub found: String,
    /// What to run or to change; `None` where nothing is to be mended.
    pub fix: Option<String>,
}

/// Looks at everything that can be looked at; what cannot be reached is a finding too.
///
/// Changes nothing. A setting that cannot be used at all is the caller's error.
pub async fn examine(config: &Config, db: &Db, listener: &Listener) -> Vec<Finding> {
    let mut client = match db.get().await {
        Ok(client) => client,
        Err(error) => {
            let fix = "check the URL, the network and the password; the service needs no more";
            return vec![failure("connection", Chain(&error).to_string(), fix)];
        }
    };
    let mut findings = vec![ok("connection", "the database answers".to_owned())];
    findings.push(if listener.source.is_pooled() {
        let found = "a transaction-mode pooler, by port 6543 or pgbouncer=true: no notification \
                     arrives there";
        let fix = "set database.listen_url to the direct connection or the session pooler (5432)";
        warning("pooler", found.to_owned(), fix)
    } else {
        ok("pooler", "none that would swallow notifications, by the URL".to_owned())
    });
    if let Err(error) = db::require_writable(&client).await {
        let fix = "give the service the URL of a server that takes writes";
        findings.push(failure("writes", Chain(&error).to_string(), fix));
        return findings; // what else the service needs is to be asked there
    }
    findings.push(ok("writes", "the server takes them".to_owned()));
    if let Err(error) = db::require_current(&mut client).await {
        let fix = "run `agent-provisioner migrate` as postgres, then deploy/roles.sql";
        findings.push(failure("schema", Chain(&error).to_string(), fix));
        return findings;
    }
    findings.push(ok("schema", "is this program's version".to_owned()));
    match Facts::read(&client).await {
        Ok(facts) => findings.extend(facts.judge(config, listener.source.sslmode())),
        Err(error) => findings.push(failure(
            "catalog",
            Chain(&error).to_string(),
            "run deploy/roles.sql as postgres and log in as agent_provisioner",
        )),
    }
    findings.push(secrets(config));
    findings.extend(public_schema::judge(&client).await);
    findings.push(absence::judge(&client).await);
    findings.extend(locks::judge(&client).await);
    findings.extend(trash::judge(&client, config).await);
    findings.extend(templates::judge(&mut client, config).await);
    findings.extend(instances::judge(&client, config).await);
    findings.push(match listener.try_once().await {
        Ok(()) => ok("notifications", "LISTEN delivers".to_owned()),
        Err(Unheard::Full) => {
            let found = "none is sent, since the server's queue of them is nearly full; the service polls \
                         every second instead";
            warning("notifications", found.to_owned(), "as for \"notification queue\"")
        }
        Err(Unheard::Broken(reason)) => {
            let found = format!("{reason}; the service polls every second instead");
            let fix = "set database.listen_url to a direct or session-mode connection (port 5432)";
            warning("notifications", found, fix)
        }
    });
    findings
}

/// Whether files with passwords are kept from other users.
fn secrets(config: &Config) -> Finding {
    let files: Vec<_> = config.database.exposed();
    let Some((_, file)) = files.first() else {
        return ok(
            "secrets",
            "no file that a key of section database names is everybody's".to_owned(),
        );
    };
    let keys: Vec<_> = files.iter().map(|(key, _)| *key).collect();
    let found = format!("every user of this machine can read the file of {}", keys.join(" and "));
    warning(
        "secrets",
        found,
        &format!("chmod 600 '{}'", file.display().to_string().replace('\'', r"'\''")),
    )
}

fn ok(what: &'static str, found: String) -> Finding {
    Finding { severity: Severity::Ok, what, found, fix: None }
}

fn warning(what: &'static str, found: String, fix: &str) -> Finding {
    Finding { severity: Severity::Warning, what, found, fix: Some(fix.to_owned()) }
}

fn failure(what: &'static str, found: String, fix: &str) -> Finding {
    Finding { severity: Severity::Failure, what, found, fix: Some(fix.to_owned()) }
}
