//! What every new agent gets.

use std::time::Duration;

use tokio_postgres::Client;

use crate::agent::Reference;
use crate::templates::{self, ExpectedSchema, Templates};

/// What every new agent gets.
#[derive(Debug)]
pub(crate) struct BuildSpec {
    pub(crate) expected_schema: ExpectedSchema,
    pub(crate) reference: Reference,
    /// How long the tables of a deleted one are kept.
    pub(crate) retention: Duration,
}

impl BuildSpec {
    /// Tries the templates on the server, so that a bad one is known before the first agent.
    pub(crate) async fn prepare(
        client: &mut Client,
        templates: Templates,
        reference: Reference,
        retention: Duration,
    ) -> Result<Self, templates::Error> {
        let templates = templates::choose_search_paths(client, templates).await?;
        templates::validate(client, &templates, reference).await?;
        Ok(Self {
            expected_schema: ExpectedSchema::prepare(client, templates).await?,
            reference,
            retention,
        })
    }

    /// The files.
    pub(crate) fn templates(&self) -> &Templates {
        self.expected_schema.templates()
    }

    /// Whether a new agent's foreign key takes a lock on `agents`.
    pub(crate) fn locks_agents(&self) -> bool {
        self.reference == Reference::ForeignKey && self.templates().has_foreign_key()
    }
}
