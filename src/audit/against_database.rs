//! The database against what the files made, and the file that ends the differences.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use super::causes::{self, Faults};
use super::compare::Comparison;
use super::error::Error;
use super::fix::{self, Copy};
use super::foreign_ledger;
use super::item::Item;
use super::makers::Makers;
use super::order;
use super::plan::plan;
use super::replay::Replay;
use super::shadow::Shadow;
use super::step::Step;
use super::{Audit, Project};
use crate::schema::Key;

impl Audit<'_> {
    /// The database against what the files made.
    pub(super) async fn compare(
        &mut self,
        shadow: &mut Shadow,
        replay: &Replay,
        faults: Option<&Faults<'_>>,
        makers: &Makers<'_>,
        project: &Project,
    ) -> Result<(), Error> {
        let Some(live) = &mut self.live else { return Ok(()) };
        // What is as the platform or this program's own base schema makes it is not the project's.
        let lost = replay.base.lost_publications(&live.state);
        let lost: Vec<String> = lost.map(|fact| fact.relation.clone()).collect();
        let unchanged =
            replay.base.facts.keys().filter(|key| !replay.state.facts.contains_key(*key));
        live.state.without_keys(&unchanged.cloned().collect::<HashSet<Key>>());
        live.lost_publications = lost;
        let of_tools = foreign_ledger::take_out(&mut live.state, &replay.state);
        self.report.findings.extend(of_tools);
        let mut copy = None;
        if live.version / 10_000 != shadow.version / 10_000 {
            let made = fix::rebuild(shadow, live, &replay.base, &self.stand_ins).await?;
            let rewritten = fix::rewritten(&made, &live.state);
            self.report.unchecked.push(format!(
                "differences that only PostgreSQL {} and {} write differently: {} definitions of the database were \
                 compared as the shadow writes them",
                live.version / 10_000, shadow.version / 10_000, rewritten.len()
            ));
            for (key, definition) in rewritten {
                if let Some(fact) = live.state.facts.get_mut(&key) {
                    fact.definition = definition;
                }
            }
            copy = Some(made);
        }
        let comparison = Comparison::of(&replay.state, &live.state);
        let states = [&replay.state, &live.state];
        let mut steps = plan(&comparison.differences, states, &live.default_privileges.grants);
        comparison.without_what_comes_along(&mut steps);
        let claimed = [order::claimed(self.files, replay), self.left_out.clone()].concat();
        self.report.status = comparison.status();
        let contested = &self.contested;
        let mut findings = comparison.findings(makers, &steps, &claimed, contested);
        let mut doubted = HashMap::new();
        if let Some(faults) = faults {
            let with = Comparison::of(&faults.whole.state, &live.state);
            let with = causes::ids(&with.findings(makers, &[], &claimed, contested));
            for (finding, file) in faults.without_consequences(&mut findings, &with) {
                self.report.unchecked.push(causes::unproven(&finding, file));
                doubted.insert(finding.id, file.name.clone());
            }
        }
        self.report.findings.extend(findings);
        self.consequences = comparison.consequences(makers);
        let steps = comparison.only_what_is_told(steps, &claimed, &doubted, contested);
        self.fix(shadow, replay, project, copy, &comparison, &steps).await
    }

    async fn fix(
        &mut self,
        shadow: &mut Shadow,
        replay: &Replay,
        project: &Project,
        copy: Option<Copy>,
        comparison: &Comparison,
        steps: &[Step],
    ) -> Result<(), Error> {
        let (Some(file), Some(live)) = (&project.fix, &self.live) else { return Ok(()) };
        let copy = match copy {
            Some(copy) => copy,
            None => fix::rebuild(shadow, live, &replay.base, &self.stand_ins).await?,
        };
        for left in &copy.left {
            self.report
                .unchecked
                .push(format!("the fix against {left}; the copy of the schema lacks it"));
        }
        let headline = |item: &Item| comparison.headline(item);
        let fix = fix::prove(shadow, &copy, steps, &replay.state, &replay.base, headline).await?;
        self.report.unchecked.extend(fix.unproven);
        // It may have secrets in it. One that is there keeps its mode.
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        let written = open.open(file).and_then(|mut file| file.write_all(fix.sql.as_bytes()));
        written.map_err(|source| Error::Write(file.clone(), source))
    }
}
