//! `agent-provisioner keys`

use std::io::{self, Write, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as Clap, Subcommand};

use super::group::Shape;
use super::output::stdout;
use super::table::{Table, clean, counted, print_json};
use super::{By, Error, instance};
use crate::config::Config;
use crate::operations::keys::{self, KeysReport, Rotated, Unreadable};

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    #[command(flatten)]
    by: By,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Append a new key to the file of keys, which is made where there is none; the new key encrypts from then on
    Generate {
        /// This file, and not the one that `tokens.keys_file` names
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// List the keys and how many secrets each encrypts: exit 1 where a secret cannot be decrypted
    Status {
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Encrypt with the last key what an older one encrypts: exit 1 where a secret cannot be decrypted
    Rotate {
        /// So many secrets a transaction
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        batch: u32,
        /// Say how many secrets it would be, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    /// Whether every database can be asked at once.
    pub(super) fn shape(&self) -> Option<Shape> {
        match self.verb {
            Verb::Status { json } => Some(Shape { json, changes: false }),
            Verb::Generate { .. } | Verb::Rotate { .. } => None,
        }
    }

    /// Whether it works on the file of keys alone, which is the same for all databases.
    pub(super) fn needs_no_database(&self) -> bool {
        matches!(self.verb, Verb::Generate { .. })
    }
}

pub(super) async fn main(args: Args, config: Config) -> Result<ExitCode, Error> {
    let is_sound = match args.verb {
        // Needs no database.
        Verb::Generate { file, json } => {
            let made = keys::generate(&config, file.as_deref())?;
            let mut out = stdout().lock();
            if json {
                print_json(&mut out, &made)?;
            } else {
                let (id, file) = (&made.id, clean(&made.file));
                writeln!(
                    out,
                    "key {id} is the last of {} in {file}",
                    counted(made.keys as u64, "key")
                )?;
            }
            true
        }
        Verb::Status { json } => {
            let report = keys::status(&instance(config)?).await?;
            let mut out = stdout().lock();
            if json {
                print_json(&mut out, &report)?;
            } else {
                status(&mut out, &report)?;
            }
            report.is_sound()
        }
        Verb::Rotate { batch, dry_run, json } => {
            let actor = args.by.actor();
            let rotated = keys::rotate(&actor, &instance(config)?, batch, dry_run).await?;
            let mut out = stdout().lock();
            if json {
                print_json(&mut out, &rotated)?;
            } else {
                say(&mut out, &rotated, dry_run)?;
            }
            rotated.unreadable.is_empty()
        }
    };
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn status(out: &mut impl Write, report: &KeysReport) -> io::Result<()> {
    let mut table = Table::list(&["KEY", "SECRETS", "NOTE"]);
    for key in &report.keys {
        let current = key.is_current.then(|| "encrypts".to_owned());
        let weak = key.weakness.as_ref().map(|weakness| format!("weak: {weakness}"));
        let note: Vec<_> = current.into_iter().chain(weak).collect();
        table.row([key.id.clone(), key.secrets.to_string(), note.join(", ")]);
    }
    for key in &report.missing {
        table.row([key.id.clone(), key.secrets.to_string(), "missing".to_owned()]);
    }
    table.print(out, 0)?;
    tell(&report.unreadable)
}

fn say(out: &mut impl Write, rotated: &Rotated, dry_run: bool) -> io::Result<()> {
    let secrets = counted(rotated.secrets as u64, "secret");
    let done = if dry_run { "would be encrypted anew" } else { "encrypted anew" };
    writeln!(out, "{secrets} {done}, with key {}", rotated.key)?;
    tell(&rotated.unreadable)
}

fn tell(unreadable: &[Unreadable]) -> io::Result<()> {
    let mut err = stderr();
    unreadable.iter().try_for_each(|secret| {
        let Unreadable { kind, owner, error } = secret;
        writeln!(err, "the {kind} of {owner} cannot be decrypted: {}", clean(error))
    })
}
