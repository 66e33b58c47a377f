//! `agent-provisioner audit`

use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;

use clap::{Args as Clap, ValueEnum};
use secrecy::SecretString;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::stdout;
use super::table::{clean, counted, print_json};
use super::{Error, audit_text, instance};
use crate::audit::{Baseline, Project, Report, Severity, Summary, markdown, sarif};
use crate::config::Config;
use crate::operations::audit;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// A directory of migrations, or a file; may be repeated
    #[arg(long, value_name = "DIR")]
    migrations: Vec<PathBuf>,
    /// A directory of JavaScript or TypeScript; may be repeated
    #[arg(long, value_name = "DIR")]
    code: Vec<PathBuf>,
    /// A document that describes tables; may be repeated
    #[arg(long, value_name = "FILE")]
    docs: Vec<PathBuf>,
    /// The database; without it the configured one. Others see it in the list of processes: `DATABASE_URL` is safer
    #[arg(long, value_parser = secret, conflicts_with = "no_database")]
    url: Option<SecretString>,
    /// Look at files only
    #[arg(long)]
    no_database: bool,
    /// An empty database to run the files in, instead of a throwaway server; it stays empty
    #[arg(long, value_name = "URL", value_parser = secret)]
    shadow: Option<SecretString>,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The least severity for exit code 1
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    fail_on: FailOn,
    /// Leave out the findings of this file
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write all findings to this file, for --baseline, instead of a report
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    write_baseline: Option<PathBuf>,
    /// Write the SQL that ends the differences, once it is proven on a copy of the schema
    #[arg(long, value_name = "FILE", conflicts_with = "no_database")]
    fix: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// One object
    Json,
    /// For a comment on a pull request
    Markdown,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    Error,
    Warning,
}

impl FailOn {
    fn severity(self) -> Severity {
        match self {
            Self::Error => Severity::Error,
            Self::Warning => Severity::Warning,
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.to_owned().into())
}

/// Waits for Ctrl-C or SIGTERM: with which exit code a shell tells that a program has ended by it.
async fn signalled() -> io::Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    })
}

/// Exit code 1 where something is as bad as `--fail-on` says.
pub(super) async fn main(args: Args, mut config: Config) -> Result<ExitCode, Error> {
    if let Some(url) = args.url {
        config.database.set_url(url);
    }
    // Before anything runs: a baseline that is none is a mistake in the arguments.
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;
    let project = Project {
        migrations: args.migrations,
        code: args.code,
        docs: args.docs,
        templates: audit::templates(&config)?,
        has_own_templates: config.templates.is_some(),
        shadow: args.shadow,
        fix: args.fix,
        file_limit: None,
    };
    let instance = if args.no_database { None } else { Some(instance(config)?) };
    let stop = CancellationToken::new();
    let mut audited = pin!(audit::audit(&project, instance.as_ref(), &stop));
    let mut report = tokio::select! {
        report = &mut audited => report?,
        code = signalled() => {
            let code = code?;
            stop.cancel();
            // What is on the shadow is dropped first.
            audited.await.ok();
            return Ok(ExitCode::from(code));
        }
    };
    let mut out = stdout().lock();
    if let Some(file) = args.write_baseline {
        Baseline::of(&report.findings).write(&file)?;
        let count = counted(report.findings.len(), "finding");
        writeln!(out, "{count} written to {}", clean(&file.display().to_string()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(baseline) = baseline {
        let gone = baseline.outdated(&report.findings);
        let known = baseline.apply(&mut report.findings);
        report
            .unchecked
            .push(format!("{known} findings of the baseline; {gone} more of it are gone"));
    }
    match args.format {
        Format::Json => {
            print_json(&mut out, &Counted { summary: report.summary(), report: &report })?;
        }
        Format::Text => audit_text::print(&report, &mut out)?,
        Format::Markdown => write!(out, "{}", markdown(&report))?,
        Format::Sarif => print_json(&mut out, &sarif(&report))?,
    }
    let failed = report.fails_on(args.fail_on.severity());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The report, with its counts.
#[derive(Serialize)]
struct Counted<'a> {
    summary: Summary,
    #[serde(flatten)]
    report: &'a Report,
}
