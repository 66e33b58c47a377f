//! `agent-provisioner agents verify`

use std::collections::BTreeMap;
use std::io::{self, Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;
use serde::Serialize;

use super::jobs::print_json;
use super::table::{clean, one_line};
use super::{Error, connect_fleet};
use crate::agent::{self, Built, Change, Changed, Drift, Manifest, Prefix, Public, headlines};
use crate::config::Config;
use crate::db::Db;
use crate::fleet::{self, Drifted, Orphans};

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// Only these agents, by prefix
    prefixes: Vec<Prefix>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

/// Everything that `verify` has to say.
#[derive(Debug, Serialize)]
struct Report {
    checked: usize,
    /// The templates' own.
    template_version: i32,
    /// How many agents are at which.
    versions: BTreeMap<i32, usize>,
    changed_templates: Vec<Changed>,
    /// What everybody may see, because the templates say so.
    public_tables: Vec<Public>,
    drifted: Vec<Agent>,
    without_tables: Vec<Orphan>,
    without_agent: Vec<Orphan>,
    unmanaged: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Agent {
    prefix: String,
    id: i64,
    template_version: i32,
    reference: &'static str,
    differences: Vec<Difference>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    change: &'static str,
    kind: &'static str,
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    /// Why no repair makes it good.
    #[serde(skip_serializing_if = "Option::is_none")]
    obstacle: Option<String>,
    /// What does, run by `postgres`.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_hand: Option<String>,
}

#[derive(Debug, Serialize)]
struct Orphan {
    prefix: String,
    id: i64,
}

pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    let (db, manifest) = connect_fleet(config).await?;
    let agents = select(&db, &args.prefixes).await?;
    let (checked, versions) = (agents.len(), fleet::versions(&agents));
    let drifted = fleet::verify(&db, &manifest, agents, |_| {}).await?;
    let orphans = if args.prefixes.is_empty() {
        fleet::orphans(&*db.get().await?, &manifest).await.map_err(fleet::Error::from)?
    } else {
        Orphans::default()
    };
    let client = db.get().await?;
    let changed = agent::changed(&client, manifest.templates()).await;
    let changed = changed.map_err(fleet::Error::from)?;
    let report = Report::new(checked, versions, &manifest, changed, &drifted, orphans);
    let mut out = stdout().lock();
    if args.json {
        print_json(&mut out, &report)?;
    } else {
        report.print(&mut out)?;
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The registered agents of these prefixes, or all; a prefix that nobody has is an error.
pub(super) async fn select(db: &Db, prefixes: &[Prefix]) -> Result<Vec<Built>, Error> {
    let names: Vec<&str> = prefixes.iter().map(Prefix::as_str).collect();
    let only = (!names.is_empty()).then_some(names.as_slice());
    let agents = Built::read(&*db.get().await?, only).await.map_err(fleet::Error::from)?;
    let known = |name: &&&str| !agents.iter().any(|built| built.agent.prefix.as_str() == **name);
    match names.iter().find(known) {
        Some(unknown) => Err(Error::NotBuilt((*unknown).to_owned())),
        None => Ok(agents),
    }
}

impl Report {
    fn new(
        checked: usize,
        versions: BTreeMap<i32, usize>,
        manifest: &Manifest,
        changed_templates: Vec<Changed>,
        drifted: &[Drifted],
        orphans: Orphans,
    ) -> Self {
        let orphan = |(prefix, id)| Orphan { prefix, id };
        Self {
            checked,
            template_version: manifest.templates().version(),
            versions,
            changed_templates,
            public_tables: manifest.public().to_vec(),
            drifted: drifted.iter().map(Agent::of).collect(),
            without_tables: orphans.without_tables.into_iter().map(orphan).collect(),
            without_agent: orphans.without_agent.into_iter().map(orphan).collect(),
            unmanaged: orphans.unmanaged,
        }
    }

    /// Tables that are nobody's, or everybody's, are told, but may well be meant. What a changed file comes to shows in
    /// the agents.
    fn is_clean(&self) -> bool {
        self.drifted.is_empty() && self.without_tables.is_empty() && self.without_agent.is_empty()
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for agent in &self.drifted {
            agent.print(out)?;
        }
        for Orphan { prefix, id } in &self.without_tables {
            let prefix = clean(prefix);
            writeln!(out, "{prefix} ({id}): has no tables; see: agents show {prefix}")?;
        }
        for Orphan { prefix, id } in &self.without_agent {
            let prefix = clean(prefix);
            writeln!(
                out,
                "{prefix} ({id}): has tables, and no row in public.agents; see: agents show {prefix}"
            )?;
        }
        for table in &self.unmanaged {
            let table = clean(table);
            writeln!(out, "public.{table}: looks like an agent's table, and is managed by nobody")?;
        }
        for table in &self.public_tables {
            print_public(table, out)?;
        }
        for changed in &self.changed_templates {
            let how = if changed.gone { "is gone" } else { "was changed" };
            writeln!(out, "{} {how} after agents were built from it", clean(&changed.file))?;
            writeln!(out, "  fix: {}", clean(&changed.fix()))?;
        }
        let (checked, drifted) = (self.checked, self.drifted.len());
        writeln!(
            out,
            "{checked} compared: {} as they should be, {drifted} not",
            checked - drifted
        )?;
        let current = self.template_version;
        for (version, agents) in self.versions.iter().filter(|(version, _)| **version != current) {
            let older = ": these templates are older; is `templates` set as for the service?";
            let hint = if *version > current { older } else { "" };
            writeln!(out, "{agents} at template version {version}, not {current}{hint}")?;
        }
        Ok(())
    }
}

fn print_public(table: &Public, out: &mut impl Write) -> io::Result<()> {
    let Public { table, declared, row_security, rights } = table;
    let bare = (!row_security).then(|| "no row security".to_owned());
    let open: Vec<String> = bare.into_iter().chain(rights.iter().cloned()).collect();
    let open = if open.is_empty() { "nothing is open".to_owned() } else { open.join("; ") };
    let (table, declared, open) = (clean(table), clean(declared), clean(&open));
    writeln!(out, "public.{table}: may be public, as {declared} says ({open})")
}

impl Agent {
    fn of(drifted: &Drifted) -> Self {
        let Drifted { built, drift } = drifted;
        Self {
            prefix: built.agent.prefix.to_string(),
            id: built.agent.id.0,
            template_version: built.version,
            reference: built.reference.as_str(),
            differences: headlines(drift).into_iter().map(Difference::of).collect(),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let count = self.differences.len();
        let noun = if count == 1 { "difference" } else { "differences" };
        writeln!(out, "{} ({}): {count} {noun}", self.prefix, self.id)?;
        self.differences.iter().try_for_each(|difference| difference.print(out))
    }
}

impl Difference {
    pub(super) fn of(drift: &Drift) -> Self {
        let Drift { object, change } = drift;
        let definition = Some(object.definition.clone()).filter(|text| !text.is_empty());
        let (mut obstacle, mut by_hand) = (None, None);
        let (change, expected, found) = match change {
            Change::Missing => ("missing", definition, None),
            Change::Removed { obstacle: why, statement } => {
                obstacle.clone_from(why);
                by_hand = statement.clone().filter(|_| why.is_some());
                ("missing", definition, None)
            }
            Change::Differs { found } => ("differs", definition, Some(found.clone())),
            Change::Extra => ("extra", None, definition),
        };
        let (kind, object) = (object.kind.as_str(), object.to_string());
        Self { change, kind, object, expected, found, obstacle, by_hand }
    }

    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { change, kind, object, expected, found, obstacle, by_hand } = self;
        writeln!(out, "  {change:<8} {kind:<12} {}", clean(object))?;
        if let (Some(expected), Some(found)) = (expected, found) {
            writeln!(out, "           expected     {}", clean(expected))?;
            writeln!(out, "           found        {}", clean(found))?;
        }
        if let Some(obstacle) = obstacle {
            writeln!(out, "           no repair    {}", clean(obstacle))?;
        }
        if let Some(by_hand) = by_hand {
            writeln!(out, "           by hand      {};", one_line(by_hand))?;
        }
        Ok(())
    }
}
