//! `agent-provisioner render`

use std::io::Write;
use std::process::ExitCode;

use clap::Args as Clap;

use super::Error;
use super::output::stdout;
use crate::agent::AgentId;
use crate::config::Config;
use crate::operations::render;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// The agent's prefix, such as `agt_6f78`
    prefix: String,
    /// The key of its row in agents
    #[arg(long, default_value_t = 1)]
    agent_id: i64,
}

pub(super) fn main(args: &Args, config: &Config) -> Result<ExitCode, Error> {
    let prefix = args.prefix.parse()?;
    write!(stdout().lock(), "{}", render::script(config, &prefix, AgentId(args.agent_id))?)?;
    Ok(ExitCode::SUCCESS)
}
