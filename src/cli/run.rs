//! `agent-provisioner run`

use std::process::ExitCode;

use clap::Args as Clap;
use tracing::Instrument as _;

use super::Error;
use crate::config::{Config, DatabaseName};
use crate::console::{self, Console};
use crate::operations::migrate;
use crate::service::{self, End, Instance, Parts};
use crate::telemetry::{self, ErrorReport};

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// Migrate first
    #[arg(long)]
    migrate: bool,
}

/// On one database without a name as ever; on those with names side by side.
pub(super) async fn main(args: &Args, configs: Vec<Config>) -> Result<ExitCode, Error> {
    let hangups = service::ignore_sighup().map_err(service::Error::from)?;
    for (old, new) in configs.first().into_iter().flat_map(|config| &config.renamed) {
        tracing::warn!(old, new, "a configuration key has a new name: rename it");
    }
    let mut instances = Vec::new();
    for config in configs {
        let connections = config.database.pool_size;
        instances.push((config.name.clone(), Instance::new(config, connections)?));
    }
    if args.migrate {
        migrate_first(&instances).await?;
    }
    let configs: Vec<&Config> = instances.iter().map(|(_, instance)| &instance.config).collect();
    let console = Console::bind(&configs).await?;
    let beside = |parts: &Parts| console::beside(console, parts);
    let ended = if let [(None, instance)] = instances.as_slice() {
        service::run(instance, beside, hangups).await?
    } else {
        let named = |(name, instance): (Option<DatabaseName>, Instance)| Some((name?, instance));
        let named = instances.into_iter().filter_map(named).collect();
        service::run_many(named, beside, hangups).await?
    };
    Ok(match ended {
        End::Drained => ExitCode::SUCCESS,
        End::Aborted | End::Died => ExitCode::FAILURE,
    })
}

/// One after the other. Where one of many cannot be migrated, the others are worked on all the same.
async fn migrate_first(instances: &[(Option<DatabaseName>, Instance)]) -> Result<(), Error> {
    for (name, instance) in instances {
        let migrated = migrate::up(instance, false);
        let Some(name) = name else {
            for migration in migrated.await? {
                tracing::info!(migration = %migration, "applied");
            }
            continue;
        };
        let span = telemetry::of_database(name);
        match migrated.instrument(span.clone()).await {
            Ok(applied) => applied.iter().for_each(|migration| {
                span.in_scope(|| tracing::info!(migration = %migration, "applied"));
            }),
            Err(error) => span.in_scope(|| {
                tracing::error!(error = %ErrorReport(&error), "cannot migrate this database");
            }),
        }
    }
    Ok(())
}
