//! `agent-provisioner types`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args as Clap;

use super::Error;
use super::output::stdout;
use crate::operations::types;
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// Into this file, such as `src/agents.ts`; without it to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn main(args: &Args, instance: &Instance) -> Result<ExitCode, Error> {
    let text = types::write(instance).await?;
    match &args.out {
        Some(path) => std::fs::write(path, text).map_err(|source| {
            let file = path.display().to_string();
            Error::File { file, source }
        })?,
        None => stdout().lock().write_all(text.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}
