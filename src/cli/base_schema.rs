//! `agent-provisioner migrate verify`, `repair` and `baseline`

use std::io::Write;
use std::process::ExitCode;

use super::Error;
use super::table::{counted, print_json};
use crate::operations::migrate::{
    self, BaseDifference, Baseline, BaselineReport, NOT_COMPARED, Verified, VerifyReport,
};
use crate::service::Instance;
use crate::telemetry::Printable;

pub(super) async fn verify(
    out: &mut impl Write,
    instance: &Instance,
    json: bool,
) -> Result<ExitCode, Error> {
    let Verified { ledger, differences } = migrate::verify(instance).await?;
    let ledger = ledger.map(|error| error.to_string());
    if json {
        let clean = differences.is_empty() && ledger.is_none();
        print_json(out, &VerifyReport { ledger, differences, not_compared: NOT_COMPARED })?;
        return Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(ledger) = &ledger {
        writeln!(out, "{}", Printable(ledger))?;
    }
    list(out, &differences)?;
    if differences.is_empty() {
        writeln!(out, "the base schema is as this program makes it")?;
    }
    writeln!(out, "not compared: {NOT_COMPARED}")?;
    Ok(if differences.is_empty() && ledger.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Exit code 1 where something is left to be done.
pub(super) async fn repair(
    out: &mut impl Write,
    instance: &Instance,
    force: bool,
    json: bool,
) -> Result<ExitCode, Error> {
    let repaired = migrate::repair(instance, force).await?;
    let code = if repaired.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if json {
        print_json(out, &repaired)?;
        return Ok(code);
    }
    for difference in &repaired.put_back {
        writeln!(out, "put right: {}", Printable(difference))?;
    }
    if repaired.put_back.is_empty() {
        writeln!(out, "nothing was put right")?;
    }
    if !repaired.left.is_empty() {
        writeln!(out, "left as it is:")?;
        list(out, &repaired.left)?;
    }
    if let Some(users @ 1..) = repaired.not_copied {
        writeln!(
            out,
            "not in public.users: {} of auth.users; to copy: select provisioning.copy_sign_ups();",
            counted(users, "user")
        )?;
    }
    // Made anew, it has none of the rights that deploy/roles.sql gave.
    let anew = |difference: &BaseDifference| difference.made_anew().is_some();
    if repaired.put_back.iter().any(anew) {
        writeln!(
            out,
            "now run deploy/roles.sql: the worker's role has no rights on what was made anew"
        )?;
    }
    Ok(code)
}

pub(super) async fn baseline(
    out: &mut impl Write,
    instance: &Instance,
    json: bool,
) -> Result<ExitCode, Error> {
    let baseline = migrate::baseline(instance).await?;
    if json {
        let (recorded, version) =
            (matches!(baseline, Baseline::Recorded), migrate::schema_version());
        let (differences, code) = match baseline {
            Baseline::Refused(differences) => (differences, ExitCode::FAILURE),
            Baseline::Nothing | Baseline::Recorded => (Vec::new(), ExitCode::SUCCESS),
        };
        print_json(out, &BaselineReport { recorded, version, differences })?;
        return Ok(code);
    }
    match baseline {
        Baseline::Nothing => writeln!(out, "the schema is recorded already")?,
        Baseline::Recorded => {
            writeln!(out, "recorded version {}", migrate::schema_version())?;
        }
        Baseline::Refused(differences) => {
            writeln!(out, "nothing was recorded, since the schema is not this program's:")?;
            list(out, &differences)?;
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(out: &mut impl Write, differences: &[BaseDifference]) -> Result<(), Error> {
    for difference in differences {
        writeln!(out, "{}", Printable(difference))?;
        // Statements that have lines of their own are pasted line by line.
        let lines: Vec<_> =
            difference.fix.lines().map(|line| Printable(line).to_string()).collect();
        writeln!(out, "    fix: {}", lines.join("\n    "))?;
    }
    Ok(())
}
