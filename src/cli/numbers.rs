//! `agent-provisioner numbers`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args as Clap, Subcommand};

use super::group::Shape;
use super::output::stdout;
use super::table::{Table, or_dash, print_json};
use super::{By, Error, secrets};
use crate::agent::Prefix;
use crate::operations::numbers::{self, NewNumber, Number};
use crate::operations::{Actor, MetaId};
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

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List WhatsApp numbers, and whether each has an access token
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Add a number to a Meta app
    Add(Add),
    /// Encrypt an access token and store it; it is read from standard input or a file
    SetToken {
        /// The number's id at Meta
        phone_number_id: MetaId,
        #[command(flatten)]
        from: secrets::From,
    },
    /// Decrypt the access token with the keys of the settings, and print which key it is; Meta is not asked
    Test {
        /// The number's id at Meta
        phone_number_id: MetaId,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Delete the access token
    ForgetToken {
        /// The number's id at Meta
        phone_number_id: MetaId,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Clone, Debug, Clap)]
struct Add {
    /// The number's id at Meta
    phone_number_id: MetaId,
    /// The id of its WhatsApp business account
    #[arg(long, value_name = "ID")]
    account: MetaId,
    /// The number as people write it, the country's code first
    #[arg(long, value_name = "NUMBER")]
    display: String,
    /// The app's id at Meta
    #[arg(long, value_name = "APP_ID")]
    app: MetaId,
    /// The id of its business; needed where app and agent name none
    #[arg(long, value_name = "ID")]
    business: Option<String>,
    /// The prefix of the agent that answers
    #[arg(long, value_name = "PREFIX")]
    agent: Option<Prefix>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether every database can be asked at once.
    pub(super) fn shape(&self) -> Option<Shape> {
        match self.verb {
            Verb::List { json } => Some(Shape { json, changes: false }),
            Verb::Add(_) | Verb::SetToken { .. } | Verb::Test { .. } | Verb::ForgetToken { .. } => {
                None
            }
        }
    }
}

pub(super) async fn main(args: Args, instance: &Instance) -> Result<ExitCode, Error> {
    let actor = &args.by.actor();
    match args.verb {
        Verb::List { json } => {
            let numbers = numbers::list(instance).await?;
            let mut out = stdout().lock();
            if json { print_json(&mut out, &numbers)? } else { list(&mut out, &numbers)? }
        }
        Verb::Add(args) => add(&args, actor, instance).await?,
        Verb::SetToken { phone_number_id, from } => {
            return secrets::set(&from, Kind::AccessToken, &phone_number_id, actor, instance).await;
        }
        Verb::Test { phone_number_id, json } => {
            return secrets::test(Kind::AccessToken, &phone_number_id, json, instance).await;
        }
        Verb::ForgetToken { phone_number_id, yes } => {
            return secrets::forget(Kind::AccessToken, &phone_number_id, yes, actor, instance)
                .await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(args: &Add, actor: &Actor, instance: &Instance) -> Result<(), Error> {
    let number = NewNumber {
        phone_number_id: &args.phone_number_id,
        business_account_id: &args.account,
        display_number: &args.display,
        app_id: &args.app,
        business: args.business.as_deref(),
        agent: args.agent.as_ref(),
    };
    let added = numbers::add(actor, instance, &number).await?;
    let mut out = stdout().lock();
    if args.json {
        print_json(&mut out, &added)?;
    } else {
        let id = number.phone_number_id;
        writeln!(out, "added {id}; its token: agent-provisioner numbers set-token {id}")?;
    }
    Ok(())
}

fn list(out: &mut impl Write, numbers: &[Number]) -> io::Result<()> {
    if numbers.is_empty() {
        return writeln!(out, "no numbers");
    }
    let headings = [
        "PHONE NUMBER ID",
        "NUMBER",
        "BUSINESS",
        "APP",
        "AGENT",
        "ACTIVE",
        "TOKEN",
        "SINCE",
        "SET BY",
    ];
    let mut table = Table::list(&headings);
    for number in numbers {
        let [token, since, by] = secrets::cells(number.token.as_ref());
        let active = if number.is_active { "yes" } else { "no" };
        table.row([
            number.phone_number_id.clone(),
            number.display_number.clone(),
            number.business.clone(),
            number.app_id.clone(),
            or_dash(number.agent_prefix.as_ref()),
            active.to_owned(),
            token,
            since,
            by,
        ]);
    }
    table.print(out, 0)
}
