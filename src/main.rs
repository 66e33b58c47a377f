//! The program: parses, loads, dispatches and reports.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent_provisioner::cli::main()
}
