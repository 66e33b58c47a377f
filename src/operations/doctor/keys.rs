//! Whether the keys of the settings decrypt the secrets of numbers and apps, and which of them are to go.

use tokio_postgres::Client;

use super::finding::{Finding, number, ok, warning};
use crate::config::Config;
use crate::operations::keys::{self, KeysReport};
use crate::operations::secrets::key_ring;
use crate::postgres::QueryError;
use crate::telemetry::ErrorReport;
use crate::tokens;

const WHAT: &str = "keys";
const SECRETS: [&str; 2] = ["secret of numbers and apps", "secrets of numbers and apps"];

pub(crate) async fn check(client: &Client, config: &Config) -> Vec<Finding> {
    match look(client, config).await {
        Ok(findings) => findings,
        Err(error) => {
            let fix = "run deploy/roles.sql as postgres and log in as agent_provisioner";
            vec![warning(WHAT, ErrorReport(&error).to_string(), fix)]
        }
    }
}

async fn look(client: &Client, config: &Config) -> Result<Vec<Finding>, QueryError> {
    let ring = match key_ring(config) {
        Ok(ring) => ring,
        Err(tokens::Error::NotSet) => return Ok(vec![not_set(client).await?]),
        Err(error) => {
            let fix = "fix what it names. With it the commands `numbers`, `apps` and `keys` encrypt and decrypt";
            return Ok(vec![warning(WHAT, ErrorReport(&error).to_string(), fix)]);
        }
    };
    let mut report = keys::count(client, &ring).await?;
    if is_owner(client).await? {
        report.unreadable = keys::unreadable(client, &ring).await?;
    }
    let mut findings = of_keys(&report);
    findings.extend(of_secrets(&report));
    if findings.is_empty() {
        let secrets = report.keys.iter().map(|key| key.secrets).sum();
        let found = format!("{}, and the key for them is there", number(secrets, SECRETS));
        findings.push(ok(WHAT, found));
    }
    Ok(findings)
}

/// The service itself needs no key.
async fn not_set(client: &Client) -> Result<Finding, QueryError> {
    let secrets: i64 = keys::secrets_by_key(client).await?.values().sum();
    if secrets == 0 {
        return Ok(ok(WHAT, "no secret of a number or an app is stored".to_owned()));
    }
    let found =
        format!("{}; tokens.keys_file names no keys here to try on them", number(secrets, SECRETS));
    let fix = "set tokens.keys_file where somebody runs `numbers`, `apps` or `keys`; the service needs none".to_owned();
    Ok(Finding { fix: Some(fix), ..ok(WHAT, found) })
}

/// Only the owner of the secrets sees them all.
async fn is_owner(client: &Client) -> Result<bool, QueryError> {
    let doing = || crate::postgres::query("look for the owner of the secrets");
    let sql = "select pg_catalog.pg_has_role(c.relowner, 'usage') from pg_catalog.pg_class c \
               where c.oid = 'provisioning.secrets'::regclass";
    let rows = client.query_typed(sql, &[]).await.map_err(doing())?;
    rows.first().map_or(Ok(false), |row| row.try_get(0)).map_err(doing())
}

/// Weak keys, older keys in use, and keys that nothing needs.
fn of_keys(report: &KeysReport) -> Vec<Finding> {
    let mut findings = Vec::new();
    for key in &report.keys {
        let id = &key.id;
        if let Some(weakness) = &key.weakness
            && (key.is_current || key.secrets > 0)
        {
            let found = format!("key {id} is weak: {weakness}");
            findings.push(warning(WHAT, found, "change the key as docs/tokens.md says"));
        } else if !key.is_current && key.secrets > 0 {
            let found = format!(
                "key {id} is not the last one, and encrypts {}",
                number(key.secrets, SECRETS)
            );
            let fix =
                "if the last key of this file is the newest of all: agent-provisioner keys rotate";
            findings.push(warning(WHAT, found, fix));
        } else if !key.is_current {
            let found = format!("key {id} is not used any more");
            let fix = "take its line out of the file everywhere. Keep a copy of it for as long as you keep backups from before";
            findings.push(warning(WHAT, found, fix));
        }
    }
    findings
}

/// Secrets that cannot be decrypted.
fn of_secrets(report: &KeysReport) -> Vec<Finding> {
    let missing = report.missing.iter().map(|key| {
        let found = format!(
            "key {} is missing: {} cannot be decrypted",
            key.id,
            number(key.secrets, SECRETS)
        );
        let fix = "copy the file of keys from a machine that has this key, in its order: the key may be newer than those here. \
                   If it is lost, set these secrets anew: agent-provisioner numbers list --json and apps list --json show which";
        warning(WHAT, found, fix)
    });
    let unreadable = report.unreadable.iter().map(|secret| {
        let found = format!("the {} of {}: {}", secret.kind, secret.owner, secret.error);
        let (owner, name) = (&secret.owner, secret.kind.replace('_', "-"));
        let fix = if name == "access-token" {
            format!("agent-provisioner numbers set-token {owner}")
        } else {
            format!("agent-provisioner apps set-secret {owner} {name}")
        };
        warning(WHAT, found, &fix)
    });
    missing.chain(unreadable).collect()
}
