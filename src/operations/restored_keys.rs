//! The foreign keys that come back after a restored agent's tables.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;

use super::error::Error;
use crate::postgres::{self, query};
use crate::provisioning::KeyOff;
use crate::telemetry::ErrorReport;

/// A foreign key that is off.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Left {
    pub why: String,
    /// For a person to run, as `postgres`; null: a repair gives it back, or nothing does.
    pub by_hand: Option<String>,
}

/// What became of the foreign keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) statements: Vec<String>,
    pub(super) not_valid: Vec<String>,
    pub(super) left: Vec<Left>,
}

/// Commits the key before its rows are checked; whether all have a partner.
async fn give_back(client: &mut Client, key: &KeyOff) -> Result<bool, Error> {
    let begin = "begin a transaction";
    let tx = postgres::begin(client).await.map_err(query(begin))?;
    key.add(tx.client()).await?;
    tx.commit().await.map_err(query("give a foreign key back"))?;
    let tx = postgres::begin(client).await.map_err(query(begin))?;
    let holds = key.check(tx.client()).await?;
    tx.commit().await.map_err(query("check a foreign key"))?;
    Ok(holds)
}

impl Keys {
    /// Not tried: that would lock the tables that they refer to.
    pub(super) fn planned(keys: Vec<KeyOff>) -> Self {
        let mut planned = Self::default();
        for key in keys {
            match (key.obstacle, key.statement) {
                (None, Some(statement)) => planned.statements.push(statement),
                (why, by_hand) => {
                    planned.left.push(Left { why: why.unwrap_or_default(), by_hand });
                }
            }
        }
        planned
    }

    /// What fails stays on the agent's books.
    pub(super) async fn give_back(&mut self, client: &mut Client, key: KeyOff) {
        if let Some(why) = key.obstacle {
            self.left.push(Left { why, by_hand: key.statement });
            return;
        }
        match give_back(client, &key).await {
            Ok(holds) => {
                self.not_valid.extend(key.statement.clone().filter(|_| !holds));
                self.statements.extend(key.statement);
            }
            Err(error) => {
                let key = key.statement.unwrap_or_default();
                let why = format!("cannot {key}: {}", ErrorReport(&error));
                self.left.push(Left { why, by_hand: None });
            }
        }
    }
}
