//! `agent-provisioner agents create`

use std::io::Write;
use std::process::ExitCode;

use clap::Args as Clap;

use super::output::stdout;
use super::progress::Reporter;
use super::table::{clean, print_json};
use super::{Error, job_text};
use crate::agent::Prefix;
use crate::operations::create::{self, Created};
use crate::operations::{Actor, jobs};
use crate::service::Instance;

/// As the owner of schema `provisioning`, such as `postgres`
#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// Its prefix; without one, one is drawn
    prefix: Option<Prefix>,
    /// Whose agent it is: a user's id or e-mail address
    #[arg(long)]
    user: String,
    /// Who creates it, likewise; else it is the user
    #[arg(long, value_name = "USER")]
    created_by: Option<String>,
    /// The id of its business; needed where whoever creates it owns or administers none or several, and there are several
    #[arg(long, value_name = "ID")]
    business: Option<String>,
    /// Wait until its tables are built
    #[arg(long)]
    wait: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let Args { prefix, user, created_by, business, wait, json } = args;
    let (creator, business) = (created_by.as_deref(), business.as_deref());
    let created = create::create(actor, instance, prefix.as_ref(), &user, creator, business);
    let mut created = created.await?;
    if !json {
        let Created { id, prefix, job, .. } = &created;
        let what = match job {
            Some(job) => format!("job {job} builds its tables"),
            None => "reconcile finds it, since the trigger on agents queued no job".to_owned(),
        };
        writeln!(stdout(), "created {} (agent {id}): {what}", clean(prefix))?;
    }
    let mut built = true;
    if let (true, Some(job)) = (wait, created.job) {
        let mut reporter = Reporter::new(1);
        let ended = jobs::until_ended(instance, &[job], |progress| reporter.tell(progress)).await?;
        created.end = ended.first().and_then(|job| job.end);
        built = !jobs::any_failed(&ended);
        if !json {
            job_text::ends(&mut stdout().lock(), &ended)?;
        }
    }
    if json {
        print_json(&mut stdout().lock(), &created)?;
    }
    Ok(if built { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
