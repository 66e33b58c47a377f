//! Everything for one database: its settings and its connections.

use deadpool_postgres::Object;

use crate::config::{self, Config};
use crate::postgres::{self, Db, MigrateError};
use crate::templates::{self, ExpectedSchema, LoadError, Templates};

/// One database, and how it is worked on.
#[derive(Debug)]
pub struct Instance {
    /// The settings.
    pub config: Config,
    /// Connects when first asked.
    pub db: Db,
}

/// Why a database cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// There is no connection.
    #[error(transparent)]
    Db(#[from] postgres::Error),
    /// The schema is not this program's.
    #[error(transparent)]
    Schema(#[from] MigrateError),
    /// The template files cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The server does not take the templates.
    #[error("cannot prepare the templates")]
    Templates(#[from] templates::Error),
}

impl Instance {
    /// With at most so many connections at a time.
    pub fn new(config: Config, connections: usize) -> Result<Self, Error> {
        let (source, timeouts) = (config.database.source()?, config.database.timeouts());
        Ok(Self { db: Db::new(&source, &timeouts, connections)?, config })
    }

    /// A connection, whatever the schema's version.
    pub async fn connect(&self) -> Result<Object, Error> {
        Ok(self.db.get().await?)
    }

    /// A connection to a database at this program's schema version.
    pub async fn current(&self) -> Result<Object, Error> {
        let mut client = self.db.get().await?;
        postgres::require_current(&mut client).await?;
        Ok(client)
    }

    /// The template files, loaded and checked.
    pub fn templates(&self) -> Result<Templates, Error> {
        Ok(Templates::from(self.config.templates.as_deref(), &self.config.realtime)?)
    }

    /// What the templates make, learnt on a database at this program's schema version.
    pub async fn expected_schema(&self) -> Result<ExpectedSchema, Error> {
        let templates = self.templates()?;
        let mut client = self.current().await?;
        Ok(ExpectedSchema::prepare(&mut client, templates).await?)
    }
}

impl Error {
    /// Whether settings or template files have to change, and the database is not to blame.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_) | Self::Load(_) => true,
            Self::Templates(error) => error.is_configuration(),
            Self::Db(_) | Self::Schema(_) => false,
        }
    }
}
