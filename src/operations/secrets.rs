//! The secrets of numbers and apps: set, tried and forgotten. None of them is returned.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::actor::Actor;
use super::error::Error;
use super::meta_id::MetaId;
use super::requested_job::require_owner;
use crate::config::Config;
use crate::postgres::query;
use crate::service::Instance;
use crate::tokens::{self, Binding, KeyRing, Kind, Secret};

/// A secret that is set, as far as it may be shown.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct SecretState {
    /// Its last four characters. null: it is too short to show any.
    pub last_four: Option<String>,
    pub set_at: String,
    /// The database role, and in parentheses whom that named.
    pub set_by: String,
    /// The id of the key that encrypts it.
    pub key: String,
}

impl SecretState {
    /// Of the columns with this prefix; none where no secret is set.
    pub(super) fn of(row: &Row, prefix: &str) -> Result<Option<Self>, tokio_postgres::Error> {
        let text = |name: &str| row.try_get::<_, Option<String>>(&*format!("{prefix}{name}"));
        let (Some(set_at), Some(set_by), Some(key)) =
            (text("set_at")?, text("set_by")?, text("key_id")?)
        else {
            return Ok(None);
        };
        Ok(Some(Self { last_four: text("last_four")?, set_at, set_by, key }))
    }
}

/// A secret that was decrypted.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Tested {
    /// The number's `phone_number_id` or the app's `app_id`.
    pub owner: String,
    pub kind: &'static str,
    /// The id of the key that it is encrypted with.
    pub key: String,
    /// That key encrypts, too.
    pub is_current: bool,
}

/// The keys that the settings name.
pub(super) fn key_ring(config: &Config) -> Result<KeyRing, tokens::Error> {
    let file = config.tokens.keys_file.as_deref().ok_or(tokens::Error::NotSet)?;
    KeyRing::read(file)
}

/// The number or the app that a secret of this kind belongs to, by the id that Meta gives it.
async fn find(client: &Client, kind: Kind, owner: &MetaId) -> Result<Binding, Error> {
    let (sql, missing): (_, fn(String) -> Error) = match kind {
        Kind::AccessToken => (
            "select id::text as row, business_id::text as business from public.whatsapp_numbers where phone_number_id = $1",
            Error::NoNumber,
        ),
        Kind::AppSecret | Kind::VerifyToken => (
            "select id::text as row, business_id::text as business from public.meta_apps where app_id = $1",
            Error::NoApp,
        ),
    };
    let doing = || query("look for the number or the app");
    let rows = client.query_typed(sql, &[(&owner.as_str(), Type::TEXT)]).await.map_err(doing())?;
    let row = rows.first().ok_or_else(|| missing(owner.to_string()))?;
    let business = row.try_get("business").map_err(doing())?;
    Ok(Binding { kind, row: row.try_get("row").map_err(doing())?, business })
}

const MOVED: &str =
    "nothing was stored: the number has gone to another business meanwhile. Set it again";

/// Encrypts a secret and stores it, in the place of a former one.
pub(crate) async fn set(
    actor: &Actor,
    instance: &Instance,
    kind: Kind,
    owner: &MetaId,
    secret: &Secret,
) -> Result<(), Error> {
    let doing = || query("store the secret");
    let ring = key_ring(&instance.config)?;
    let client = actor.client(instance).await?;
    require_owner(&client).await?;
    let binding = find(&client, kind, owner).await?;
    let ciphertext = ring.encrypt(secret, &binding)?;
    let sql = include_str!("../../sql/operations/set_secret.sql");
    // Where the number has gone to another business since, nothing is stored, or its foreign key refuses.
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
        (&kind.as_str(), Type::TEXT),
        (&binding.row, Type::TEXT),
        (&binding.business, Type::TEXT),
        (&ciphertext, Type::BYTEA),
        (&secret.last_four(), Type::TEXT),
        (&actor.name(), Type::TEXT),
    ];
    let stored = client.execute_typed(sql, &parameters).await.map_err(doing())?;
    if stored == 1 { Ok(()) } else { Err(Error::Refused(MOVED.to_owned())) }
}

/// Decrypts a secret with the ring, and asks nobody else.
pub(crate) async fn test(instance: &Instance, kind: Kind, owner: &MetaId) -> Result<Tested, Error> {
    let doing = || query("read the secret");
    let ring = key_ring(&instance.config)?;
    let client = instance.current().await?;
    require_owner(&client).await?;
    let binding = find(&client, kind, owner).await?;
    let sql = "select ciphertext from provisioning.secrets \
               where kind = $1 and coalesce(whatsapp_number_id, meta_app_id) = $2::uuid";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&kind.as_str(), Type::TEXT), (&binding.row, Type::TEXT)];
    let rows = client.query_typed(sql, &parameters).await.map_err(doing())?;
    let row = rows.first().ok_or_else(|| no_secret(kind, owner))?;
    let ciphertext: Vec<u8> = row.try_get("ciphertext").map_err(doing())?;
    let unreadable =
        |source| Error::Unreadable { kind: kind.as_str(), owner: owner.to_string(), source };
    let (_secret, key) = ring.decrypt(&ciphertext, &binding).map_err(unreadable)?;
    Ok(Tested {
        owner: owner.to_string(),
        kind: kind.as_str(),
        key: key.to_string(),
        is_current: key == ring.last().id(),
    })
}

/// Deletes a secret.
pub(crate) async fn forget(
    actor: &Actor,
    instance: &Instance,
    kind: Kind,
    owner: &MetaId,
) -> Result<(), Error> {
    let client = actor.client(instance).await?;
    require_owner(&client).await?;
    let binding = find(&client, kind, owner).await?;
    let sql = "delete from provisioning.secrets \
               where kind = $1 and coalesce(whatsapp_number_id, meta_app_id) = $2::uuid";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&kind.as_str(), Type::TEXT), (&binding.row, Type::TEXT)];
    let gone = client.execute_typed(sql, &parameters).await.map_err(query("delete the secret"))?;
    if gone == 1 { Ok(()) } else { Err(no_secret(kind, owner)) }
}

fn no_secret(kind: Kind, owner: &MetaId) -> Error {
    Error::NoSecret { kind: kind.as_str(), owner: owner.to_string() }
}
