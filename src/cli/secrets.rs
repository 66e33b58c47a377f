//! What `agent-provisioner numbers` and `agent-provisioner apps` do with secrets.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args as Clap;

use super::Error;
use super::confirm::confirm;
use super::output::stdout;
use super::secret_input;
use super::table::{clean, or_dash, print_json};
use crate::operations::secrets::{self, SecretState};
use crate::operations::{Actor, MetaId};
use crate::service::Instance;
use crate::tokens::Kind;

/// Where a secret comes from.
#[derive(Clone, Debug, Clap)]
pub(super) struct From {
    /// The file that holds it; without this it is read from standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn set(
    from: &From,
    kind: Kind,
    owner: &MetaId,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let name = name(kind);
    let secret = secret_input::read(name, from.file.as_deref())?;
    secrets::set(actor, instance, kind, owner, &secret).await?;
    writeln!(stdout(), "the {name} of {owner} is set")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn test(
    kind: Kind,
    owner: &MetaId,
    json: bool,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let tested = secrets::test(instance, kind, owner).await?;
    let mut out = stdout().lock();
    if json {
        print_json(&mut out, &tested)?;
        return Ok(ExitCode::SUCCESS);
    }
    let key = &tested.key;
    let which = if tested.is_current { "the last one" } else { "an older one: keys rotate" };
    writeln!(
        out,
        "key {key}, {which}, decrypts the {} of {owner}; Meta was not asked",
        name(kind)
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn forget(
    kind: Kind,
    owner: &MetaId,
    yes: bool,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let name = name(kind);
    if let Some(code) = confirm(&format!("Delete the {name} of {owner}?"), yes)? {
        return Ok(code);
    }
    secrets::forget(actor, instance, kind, owner).await?;
    writeln!(stdout(), "the {name} of {owner} is deleted")?;
    Ok(ExitCode::SUCCESS)
}

/// For people.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::AccessToken => "access token",
        Kind::AppSecret => "app secret",
        Kind::VerifyToken => "verify token",
    }
}

/// For a list: its last four characters, since when and who set it, or a dash for each.
pub(super) fn cells(set: Option<&SecretState>) -> [String; 3] {
    let last = |set: &SecretState| {
        set.last_four.as_ref().map_or("set".to_owned(), |four| format!("…{four}"))
    };
    [
        or_dash(set.map(last)),
        or_dash(set.map(|set| &set.set_at)),
        or_dash(set.map(|set| clean(&set.set_by))),
    ]
}
