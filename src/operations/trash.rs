//! What the trash holds.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::error::Error;
use crate::agent::Prefix;
use crate::service::Instance;

pub(crate) use crate::provisioning::Trashed;

/// Deleted agents that can be restored, by prefix, the latest first.
pub(crate) async fn list(instance: &Instance) -> Result<Vec<Trashed>, Error> {
    Ok(Trashed::read(&*instance.current().await?).await?)
}

/// What the trash holds of these prefixes, or of all where none is named; of a prefix the latest first. A
/// prefix that is named has its place although there is nothing of it.
pub(super) async fn choose(
    client: &Client,
    prefixes: &[Prefix],
    wanted: impl Fn(&Trashed) -> bool,
) -> Result<BTreeMap<String, Vec<Trashed>>, Error> {
    let mut chosen: BTreeMap<String, Vec<Trashed>> =
        prefixes.iter().map(|prefix| (prefix.to_string(), Vec::new())).collect();
    for trashed in Trashed::read(client).await? {
        if !wanted(&trashed) {
            continue;
        }
        if prefixes.is_empty() {
            chosen.entry(trashed.agent_prefix.clone()).or_default().push(trashed);
        } else if let Some(of_prefix) = chosen.get_mut(&trashed.agent_prefix) {
            of_prefix.push(trashed);
        }
    }
    Ok(chosen)
}
