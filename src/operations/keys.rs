//! The keys of secrets: making one, what each is used for, and going over to the last one.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::actor::Actor;
use super::error::Error;
use super::requested_job::require_owner;
use super::secrets::key_ring;
use crate::config::Config;
use crate::postgres::{QueryError, query};
use crate::service::Instance;
use crate::telemetry::ErrorReport;
use crate::tokens::{self, Binding, KeyRing, Kind};

const SECRETS: &str = include_str!("../../sql/operations/secrets.sql");
/// Before all others.
const FIRST: &str = "00000000-0000-0000-0000-000000000000";
/// Read at a time where nothing is written.
const PAGE: i64 = 1000;

/// A key that was made.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Generated {
    pub id: String,
    pub file: String,
    /// How many keys the file has now.
    pub keys: usize,
}

/// Appends a new key to the file, or to the one of the settings.
pub(crate) fn generate(config: &Config, file: Option<&Path>) -> Result<Generated, Error> {
    let file = file.or(config.tokens.keys_file.as_deref()).ok_or(tokens::Error::NotSet)?;
    let (id, keys) = tokens::append_new_key(file)?;
    Ok(Generated { id: id.to_string(), file: file.display().to_string(), keys })
}

/// What the keys of the ring are used for, and what they do not decrypt.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct KeysReport {
    /// In the order of the file.
    pub keys: Vec<KeyUse>,
    /// Keys that secrets are encrypted with and that the file lacks.
    pub missing: Vec<MissingKey>,
    /// Secrets that cannot be decrypted although their key is there.
    pub unreadable: Vec<Unreadable>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct KeyUse {
    pub id: String,
    /// It is the last one, and new secrets are encrypted with it.
    pub is_current: bool,
    /// Why it is weak: its bytes are not random. null: it is not.
    pub weakness: Option<String>,
    /// How many secrets are encrypted with it.
    pub secrets: i64,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct MissingKey {
    pub id: String,
    /// How many secrets are encrypted with it.
    pub secrets: i64,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Unreadable {
    pub kind: String,
    /// The number's `phone_number_id` or the app's `app_id`.
    pub owner: String,
    pub error: String,
}

impl KeysReport {
    /// Whether every secret can be decrypted.
    pub(crate) fn is_sound(&self) -> bool {
        self.missing.is_empty() && self.unreadable.is_empty()
    }
}

pub(crate) async fn status(instance: &Instance) -> Result<KeysReport, Error> {
    let ring = key_ring(&instance.config)?;
    let client = instance.current().await?;
    require_owner(&client).await?;
    let mut report = count(&client, &ring).await?;
    report.unreadable = unreadable(&client, &ring).await?;
    Ok(report)
}

/// How many secrets each key encrypts; decrypts none.
pub(super) async fn count(client: &Client, ring: &KeyRing) -> Result<KeysReport, QueryError> {
    let mut counts = secrets_by_key(client).await?;
    let key = |key: &tokens::Key| {
        let id = key.id().to_string();
        let secrets = counts.remove(&id).unwrap_or(0);
        let weakness = key.weakness().map(|weakness| weakness.to_string());
        KeyUse { id, is_current: key.id() == ring.last().id(), weakness, secrets }
    };
    let keys = ring.keys().map(key).collect();
    let missing = counts.into_iter().map(|(id, secrets)| MissingKey { id, secrets }).collect();
    Ok(KeysReport { keys, missing, unreadable: Vec::new() })
}

/// How many secrets each key encrypts, by the key's id.
pub(super) async fn secrets_by_key(client: &Client) -> Result<BTreeMap<String, i64>, QueryError> {
    let doing = || query("count the secrets of each key");
    let sql = "select key_id, secrets from provisioning.secrets_by_key()";
    let rows = client.query_typed(sql, &[]).await.map_err(doing())?;
    let count = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(count).collect::<Result<_, _>>().map_err(doing())
}

/// Decrypts every secret whose key is there, and tells of those where that fails. Only for the owner of the table.
pub(super) async fn unreadable(
    client: &Client,
    ring: &KeyRing,
) -> Result<Vec<Unreadable>, QueryError> {
    let (mut found, mut after) = (Vec::new(), FIRST.to_owned());
    loop {
        let page = read(client, SECRETS, "", &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after.clone_from(&last.id);
        let failed = page.iter().filter_map(|stored| Some((stored, stored.decrypt(ring).err()?)));
        let failed = failed.filter(|(_, error)| !matches!(error, tokens::Error::MissingKey(_)));
        found.extend(failed.map(|(stored, error)| stored.unreadable(&error)));
    }
}

/// What a rotation came to.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Rotated {
    /// The id of the key that all readable secrets are encrypted with now.
    pub key: String,
    /// Secrets that are encrypted anew; in a dry run those that would be.
    pub secrets: usize,
    /// Secrets that are as they were, since they cannot be decrypted.
    pub unreadable: Vec<Unreadable>,
}

/// Encrypts with the last key what another one encrypts, so many secrets a transaction. What it has committed stays where it
/// is broken off, and the next rotation does the rest. A dry run changes nothing.
pub(crate) async fn rotate(
    actor: &Actor,
    instance: &Instance,
    batch: u32,
    dry_run: bool,
) -> Result<Rotated, Error> {
    let ring = key_ring(&instance.config)?;
    ring.require_strong()?;
    let mut client = actor.client(instance).await?;
    require_owner(&client).await?;
    let key = ring.last().id().to_string();
    let (mut done, mut after) =
        (Rotated { key, secrets: 0, unreadable: Vec::new() }, FIRST.to_owned());
    loop {
        let tx = client.transaction().await.map_err(query("begin a transaction"))?;
        let sql = format!("{SECRETS} for no key update of s");
        let page = read(tx.client(), &sql, &done.key, &after, batch.max(1).into()).await?;
        let Some(last) = page.last() else { return Ok(done) };
        after.clone_from(&last.id);
        for stored in &page {
            match stored.decrypt(&ring) {
                Ok(secret) => {
                    let ciphertext = ring.encrypt(&secret, &stored.binding)?;
                    stored.replace(tx.client(), &ciphertext).await?;
                    done.secrets += 1;
                }
                Err(error) => done.unreadable.push(stored.unreadable(&error)),
            }
        }
        let ended = if dry_run { tx.rollback().await } else { tx.commit().await };
        ended.map_err(query("encrypt the secrets anew"))?;
    }
}

/// A row of `provisioning.secrets`.
struct Stored {
    id: String,
    owner: String,
    binding: Binding,
    ciphertext: Vec<u8>,
}

async fn read(
    client: &Client,
    sql: &str,
    not_of: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Stored>, QueryError> {
    let doing = || query("read the secrets");
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&not_of, Type::TEXT), (&after, Type::TEXT), (&limit, Type::INT8)];
    let rows = client.query_typed(sql, &parameters).await.map_err(doing())?;
    rows.iter().map(Stored::of).collect::<Result<_, _>>().map_err(doing())
}

impl Stored {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let kind: String = row.try_get("kind")?;
        let binding = Binding {
            // A CHECK names these kinds only.
            kind: Kind::parse(&kind).unwrap_or(Kind::AccessToken),
            row: row.try_get("row")?,
            business: row.try_get("business")?,
        };
        let (id, owner) = (row.try_get("id")?, row.try_get("owner")?);
        Ok(Self { id, owner, binding, ciphertext: row.try_get("ciphertext")? })
    }

    fn decrypt(&self, ring: &KeyRing) -> Result<tokens::Secret, tokens::Error> {
        Ok(ring.decrypt(&self.ciphertext, &self.binding)?.0)
    }

    async fn replace(&self, client: &Client, ciphertext: &[u8]) -> Result<(), Error> {
        let sql = "update provisioning.secrets set ciphertext = $2 where id = $1::uuid and ciphertext = $3";
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
            [(&self.id, Type::TEXT), (&ciphertext, Type::BYTEA), (&self.ciphertext, Type::BYTEA)];
        let changed = client.execute_typed(sql, &parameters).await;
        match changed.map_err(query("encrypt the secrets anew"))? {
            1 => Ok(()),
            _ => Err(Error::Refused(format!("the secret of {} was changed meanwhile", self.owner))),
        }
    }

    fn unreadable(&self, error: &tokens::Error) -> Unreadable {
        Unreadable {
            kind: self.binding.kind.as_str().to_owned(),
            owner: self.owner.clone(),
            error: ErrorReport(error).to_string(),
        }
    }
}
