//! `agent-provisioner agents trash`, and what `agents restore` and `agents purge` choose from it.

use std::io::Write;
use std::process::ExitCode;

use clap::Args as Clap;

use super::Error;
use super::group::Shape;
use super::output::stdout;
use super::table::{Table, print_json};
use crate::operations::trash::{self, Trashed};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
pub(super) struct List {
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

impl List {
    /// How it goes over many databases.
    pub(super) fn shape(&self) -> Shape {
        Shape { json: self.json, changes: false }
    }
}

pub(super) async fn list(args: &List, instance: &Instance) -> Result<ExitCode, Error> {
    let trash = trash::list(instance).await?;
    let mut out = stdout().lock();
    if args.json {
        print_json(&mut out, &trash)?;
    } else if trash.is_empty() {
        writeln!(out, "the trash is empty")?;
    } else {
        let headings = ["ITEM", "PREFIX", "ID", "TABLES", "USER", "DELETED", "KEPT UNTIL"];
        let mut table = Table::list(&headings);
        for trashed in trash {
            let Trashed { item, agent_id, tables, .. } = trashed;
            let [item, id, tables] = [item, agent_id, tables].map(|number| number.to_string());
            let user = if trashed.owner_known { "-" } else { "not known" };
            let user = trashed.user_id.unwrap_or_else(|| user.to_owned());
            let (deleted, until) = (trashed.deleted_at, trashed.purge_at);
            table.row([item, trashed.agent_prefix, id, tables, user, deleted, until]);
        }
        table.print(&mut out, 0)?;
    }
    Ok(ExitCode::SUCCESS)
}
