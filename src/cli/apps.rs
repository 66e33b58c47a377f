//! `agent-provisioner apps`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args as Clap, Subcommand, ValueEnum};

use super::group::Shape;
use super::output::stdout;
use super::table::{Table, or_dash, print_json};
use super::{By, Error, secrets};
use crate::operations::MetaId;
use crate::operations::apps::{self, App};
use crate::service::Instance;
use crate::tokens::Kind;

/// As the owner of schema `provisioning`, such as `postgres`
#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    #[command(flatten)]
    by: By,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// Signs what the app's webhooks send
    AppSecret,
    /// For the subscription to its webhooks
    VerifyToken,
}

impl Which {
    const fn kind(self) -> Kind {
        match self {
            Self::AppSecret => Kind::AppSecret,
            Self::VerifyToken => Kind::VerifyToken,
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List Meta apps, and which of their secrets are set
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Add an app
    Add {
        /// The app's id at Meta
        app_id: MetaId,
        /// What people call it
        #[arg(long)]
        name: String,
        /// The id of its business; without one the app is the platform's
        #[arg(long, value_name = "ID")]
        business: Option<String>,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Encrypt a secret of an app and store it; it is read from standard input or a file
    SetSecret {
        /// The app's id at Meta
        app_id: MetaId,
        /// Which of its secrets
        which: Which,
        #[command(flatten)]
        from: secrets::From,
    },
    /// Decrypt a secret with the keys of the settings, and print which key it is; Meta is not asked
    Test {
        /// The app's id at Meta
        app_id: MetaId,
        /// Which of its secrets
        which: Which,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Delete a secret of an app
    ForgetSecret {
        /// The app's id at Meta
        app_id: MetaId,
        /// Which of its secrets
        which: Which,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
}

impl Args {
    /// Whether every database can be asked at once.
    pub(super) fn shape(&self) -> Option<Shape> {
        match self.verb {
            Verb::List { json } => Some(Shape { json, changes: false }),
            Verb::Add { .. }
            | Verb::SetSecret { .. }
            | Verb::Test { .. }
            | Verb::ForgetSecret { .. } => None,
        }
    }
}

pub(super) async fn main(args: Args, instance: &Instance) -> Result<ExitCode, Error> {
    let actor = &args.by.actor();
    match args.verb {
        Verb::List { json } => {
            let apps = apps::list(instance).await?;
            let mut out = stdout().lock();
            if json { print_json(&mut out, &apps)? } else { list(&mut out, &apps)? }
        }
        Verb::Add { app_id, name, business, json } => {
            let added = apps::add(actor, instance, &app_id, &name, business.as_deref()).await?;
            let mut out = stdout().lock();
            if json {
                print_json(&mut out, &added)?;
            } else {
                writeln!(
                    out,
                    "added {app_id}; its secret: agent-provisioner apps set-secret {app_id} app-secret"
                )?;
            }
        }
        Verb::SetSecret { app_id, which, from } => {
            return secrets::set(&from, which.kind(), &app_id, actor, instance).await;
        }
        Verb::Test { app_id, which, json } => {
            return secrets::test(which.kind(), &app_id, json, instance).await;
        }
        Verb::ForgetSecret { app_id, which, yes } => {
            return secrets::forget(which.kind(), &app_id, yes, actor, instance).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(out: &mut impl Write, apps: &[App]) -> io::Result<()> {
    if apps.is_empty() {
        return writeln!(out, "no apps");
    }
    let headings = [
        "APP ID",
        "NAME",
        "BUSINESS",
        "NUMBERS",
        "APP SECRET",
        "SINCE",
        "SET BY",
        "VERIFY TOKEN",
        "SINCE",
        "SET BY",
    ];
    let mut table = Table::list(&headings);
    for app in apps {
        let [secret, secret_since, secret_by] = secrets::cells(app.app_secret.as_ref());
        let [token, token_since, token_by] = secrets::cells(app.verify_token.as_ref());
        table.row([
            app.app_id.clone(),
            app.name.clone(),
            or_dash(app.business.as_ref()),
            app.numbers.to_string(),
            secret,
            secret_since,
            secret_by,
            token,
            token_since,
            token_by,
        ]);
    }
    table.print(out, 0)
}
