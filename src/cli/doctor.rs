//! `agent-provisioner doctor`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::Error;
use crate::config::Config;
use crate::db::{Db, Listener, Presence};
use crate::doctor::{self, Severity};
use crate::printable::Printable;

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

/// Exit code 1 where `run` could not work; warnings are no failure.
pub(super) async fn main(args: &Args, config: &Config) -> Result<ExitCode, Error> {
    let patience = config.database.patience();
    let source = config.database.source()?;
    let db = Db::new(&source, &patience, 2)?;
    let source = config.database.listen_source(&source)?;
    let listener = Listener { source, patience, presence: Presence::new(db.clone(), None) };
    let findings = doctor::examine(config, &db, &listener).await;
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!(findings))?;
    } else {
        for finding in &findings {
            let mark = match finding.severity {
                Severity::Ok => "ok  ",
                Severity::Warning => "WARN",
                Severity::Failure => "FAIL",
            };
            writeln!(out, "{mark}  {:<14} {}", finding.what, Printable(&finding.found))?;
            if let Some(fix) = &finding.fix {
                writeln!(out, "{:21}fix: {}", "", Printable(fix))?;
            }
        }
    }
    let failed = findings.iter().any(|finding| finding.severity == Severity::Failure);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
