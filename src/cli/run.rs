//! `agent-provisioner run`

use std::process::ExitCode;

use clap::Args as Clap;

use super::Error;
use crate::config::Config;
use crate::console::{self, Console};
use crate::operations::migrate;
use crate::service::{self, End, Instance};

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// Migrate first
    #[arg(long)]
    migrate: bool,
}

pub(super) async fn main(args: &Args, config: Config) -> Result<ExitCode, Error> {
    let hangups = service::ignore_sighup().map_err(service::Error::from)?;
    for (old, new) in &config.renamed {
        tracing::warn!(old, new, "a configuration key has a new name: rename it");
    }
    let connections = config.database.pool_size;
    let instance = Instance::new(config, connections)?;
    if args.migrate {
        for migration in migrate::up(&instance, false).await? {
            tracing::info!(migration = %migration, "applied");
        }
    }
    let console = Console::bind(&instance.config).await?;
    Ok(
        match service::run(&instance, |shutdown| console::beside(console, shutdown), hangups)
            .await?
        {
            End::Drained => ExitCode::SUCCESS,
            End::Aborted | End::Died => ExitCode::FAILURE,
        },
    )
}
