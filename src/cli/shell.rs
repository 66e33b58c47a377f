//! `agent-provisioner completions` and `agent-provisioner man`: what a shell and a package want of the command line.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as Clap, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Error};

#[derive(Clone, Debug, Clap)]
pub(super) struct Completions {
    /// For this shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Debug, Clap)]
pub(super) struct Man {
    /// The directory that the pages are written to, one for each command; it has to be there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Prints a script that completes commands and options.
pub(super) fn completions(args: &Completions) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    // The generator for bash spells a program's name that contains a dash in two ways, and so finds no word after the first.
    let script = String::from_utf8_lossy(&script)
        .replace("agent__subcmd__provisioner", "agent__provisioner");
    stdout().write_all(script.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual pages.
pub(super) fn man(args: &Man) -> Result<ExitCode, Error> {
    clap_mangen::generate_to(Cli::command(), &args.dir)?;
    Ok(ExitCode::SUCCESS)
}
