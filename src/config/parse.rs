//! How the values of settings are read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use super::error;

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wanted = "a duration: write it like \"5s\", \"500ms\" or \"1m 30s\"";
    humantime::parse_duration(&text).map_err(|_quotes| error::expected(wanted))
}

/// Names that may be spliced into SQL.
pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut names = Vec::<String>::deserialize(deserializer)?;
    names.retain(|name| !name.is_empty()); // an empty variable of the environment is one
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if names.iter().all(|name| name.bytes().all(plain)) {
        return Ok(names);
    }
    let wanted = "names of tables without their prefix, such as \"messages\": a-z, 0-9 and _";
    Err(error::expected(wanted))
}

/// Any texts, without empty ones: an empty variable of the environment is one.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut texts = Vec::<String>::deserialize(deserializer)?;
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}

pub(super) fn address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text == "off" {
        return Ok(None);
    }
    let wanted = "an address: write it like \"127.0.0.1:9187\", or \"off\"";
    text.parse().map(Some).map_err(|_error| error::expected(wanted))
}

/// What is shown when it cannot be read: so no URL may stand in its place.
pub(super) fn path<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if error::is_secret(&text) {
        return Err(error::expected("the path of a file or a directory"));
    }
    Ok(Some(text.into()))
}

/// One of an enumeration's names, all of which the error lists.
pub(super) fn choice<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let text = String::deserialize(deserializer)?;
    let chosen: Result<T, serde::de::value::Error> = T::deserialize(text.into_deserializer());
    chosen.map_err(serde::de::Error::custom)
}

pub(super) fn optional_choice<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    choice(deserializer).map(Some)
}
