//! `agent-provisioner run`

use std::process::ExitCode;

use clap::Args as Clap;

use super::{Error, connect};
use crate::config::Config;
use crate::shutdown::{self, End};
use crate::{db, service};

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// Migrate first
    #[arg(long)]
    migrate: bool,
}

pub(super) async fn main(args: &Args, config: &Config) -> Result<ExitCode, Error> {
    let hangups = shutdown::outlive_hangups().map_err(service::Error::from)?;
    for (old, new) in &config.renamed {
        tracing::warn!(old, new, "a configuration key has a new name: rename it");
    }
    if args.migrate {
        let mut client = connect(config).await?;
        for migration in db::migrate(&mut client).await? {
            tracing::info!(migration = %migration, "applied");
        }
    }
    Ok(match service::run(config, hangups).await? {
        End::Drained => ExitCode::SUCCESS,
        End::Aborted | End::Died => ExitCode::FAILURE,
    })
}
