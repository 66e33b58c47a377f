//! `agent-provisioner schema`: what the JSON of each command looks like.

use std::io::stdout;
use std::process::ExitCode;

use clap::Args as Clap;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::Error;
use super::asked::Asked;
use super::group::GroupReport;
use super::table::print_json;
use crate::operations::{
    adopt, adopt_plan, agents, apps, create, delete, doctor, jobs, keys, migrate, moves, numbers,
    purge, repair, restore, rollouts, secrets, status, trash, verify,
};

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// Of this command only, such as `jobs show`; without it an object with those of all
    command: Vec<String>,
}

/// A command's words, and the schema of what it prints.
type Command = (&'static str, fn() -> Schema);

/// Which command prints what with `--json`. Where an option makes it another thing, the option is named.
const COMMANDS: [Command; 53] = [
    ("status", of::<status::StatusReport>),
    ("status --database all", of::<GroupReport>), // and of every other command that takes all
    ("doctor", of::<Vec<doctor::Finding>>),
    ("doctor accept", of::<doctor::Acceptance>),
    ("doctor accepted", of::<Vec<doctor::Acceptance>>),
    ("doctor withdraw", of::<doctor::Withdrawn>),
    ("jobs list", of::<Vec<jobs::JobView>>),
    ("jobs watch", of::<Vec<jobs::JobView>>),
    ("jobs show", of::<jobs::Shown>),
    ("jobs replay", of::<Vec<jobs::JobResult>>),
    ("jobs approve", of::<Vec<jobs::JobResult>>),
    ("jobs cancel", of::<Vec<jobs::JobResult>>),
    ("jobs prune", of::<jobs::Pruned>),
    ("agents list", of::<Vec<agents::Agent>>),
    ("agents show", of::<Vec<agents::Shown>>),
    ("agents create", of::<create::Created>),
    ("agents delete", of::<Vec<delete::Report>>),
    ("agents verify", of::<verify::Report>),
    ("agents repair", of::<Asked>),
    ("agents repair --dry-run", of::<Vec<repair::Plan>>),
    ("agents upgrade", of::<Asked>),
    ("agents convert", of::<Asked>),
    ("agents adopt", of::<adopt_plan::Plan>),
    ("agents adopt --yes", of::<adopt::Done>),
    ("agents move", of::<moves::Moved>),
    ("agents move --abort", of::<moves::Aborted>),
    ("agents copy", of::<moves::AgentCopy>),
    ("agents copy --abort", of::<moves::Aborted>),
    ("agents trash", of::<Vec<trash::Trashed>>),
    ("agents restore", of::<Vec<restore::Report>>),
    ("agents purge", of::<Vec<purge::Report>>),
    ("agents purge --resume", of::<purge::Resumed>),
    ("numbers list", of::<Vec<numbers::Number>>),
    ("numbers add", of::<numbers::Added>),
    ("numbers test", of::<secrets::Tested>),
    ("apps list", of::<Vec<apps::App>>),
    ("apps add", of::<numbers::Added>),
    ("apps test", of::<secrets::Tested>),
    ("keys generate", of::<keys::Generated>),
    ("keys status", of::<keys::KeysReport>),
    ("keys rotate", of::<keys::Rotated>),
    ("rollouts list", of::<Vec<rollouts::RolloutView>>),
    ("rollouts start", of::<Asked>),
    ("rollouts pause", of::<rollouts::Report>),
    ("rollouts resume", of::<rollouts::Report>),
    ("rollouts abort", of::<rollouts::Report>),
    ("migrate", of::<migrate::UpReport>),
    ("migrate up", of::<migrate::UpReport>),
    ("migrate status", of::<Vec<migrate::StepReport>>),
    ("migrate down", of::<migrate::DownReport>),
    ("migrate verify", of::<migrate::VerifyReport>),
    ("migrate repair", of::<migrate::Repaired>),
    ("migrate baseline", of::<migrate::BaselineReport>),
];

/// As it is written out: a field that may be left out is not required.
fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

pub(super) fn main(args: &Args) -> Result<ExitCode, Error> {
    let mut out = stdout().lock();
    if args.command.is_empty() {
        let all: std::collections::BTreeMap<_, _> =
            COMMANDS.iter().map(|(name, schema)| (name, schema())).collect();
        print_json(&mut out, &all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = args.command.join(" ");
    let found = COMMANDS.iter().find(|(name, _)| *name == wanted);
    let (_, schema) = found.ok_or(Error::NoSchema)?;
    print_json(&mut out, &schema())?;
    Ok(ExitCode::SUCCESS)
}
