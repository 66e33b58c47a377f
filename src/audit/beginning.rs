//! What new objects grant by themselves when the first file runs: on the shadow as in the database.
//!
//! The database shows what it grants now. Files that change that have run since: with what they began, no catalog says. It is
//! taken to be what makes the fewest grants differ.

use std::collections::HashSet;

use super::default_privileges::DefaultPrivileges;
use super::error::Error;
use super::files::SqlFile;
use super::live::Live;
use super::replay::{self, Replay};
use super::run::StandIns;
use super::schema_state::SchemaState;
use super::shadow::Shadow;
use crate::schema::{Fact, Key, Kind};
use crate::sql_text::tokens;

/// Sets them on the shadow, for the role that runs the files.
pub(super) async fn set(defaults: &DefaultPrivileges, shadow: &Shadow) -> Result<(), Error> {
    shadow.prepare_base(&defaults.of_role(&shadow.owner)).await?;
    let later = defaults.in_new_schemas(&shadow.owner);
    if later.is_empty() { Ok(()) } else { shadow.prepare_base_as_root(&later).await }
}

/// Where files change default privileges and grants differ from the database's, or where several grants differ, runs the
/// files again with other beginnings, and keeps what differs least: somebody may have changed the defaults after the files
/// ran.
pub(super) async fn find_beginning(
    shadow: &mut Shadow,
    files: &[SqlFile],
    live: &Live,
    replay: &mut Replay,
    stand_ins: &mut StandIns,
) -> Result<(), Error> {
    let mut least = differing(&replay.state, &live.state);
    if least == 0 || least == 1 && !files.iter().any(changes_defaults) {
        return Ok(());
    }
    let mut best = String::new();
    for beginning in live.default_privileges.beginnings(&shadow.owner) {
        if least == 0 {
            break;
        }
        shadow.beginning.clone_from(&beginning);
        let other = replay::again(shadow, files, replay, stand_ins).await?;
        let count = differing(&other.state, &live.state);
        if count < least {
            (least, best) = (count, beginning);
            (replay.state, replay.database) = (other.state, other.database);
        }
    }
    shadow.beginning = best;
    Ok(())
}

/// How many grants differ on what is in both.
fn differing(expected: &SchemaState, live: &SchemaState) -> usize {
    let homes = |state: &SchemaState| -> HashSet<String> {
        state.facts.values().map(|fact| fact.home.clone()).collect()
    };
    let (own, theirs) = (homes(expected), homes(live));
    let grants = |state: &SchemaState| -> HashSet<(Key, String)> {
        let them = state.facts.values().filter(|fact| fact.kind == Kind::Grant);
        let both = |fact: &&Fact| own.contains(&fact.home) && theirs.contains(&fact.home);
        them.filter(both).map(|fact| (fact.key(), fact.definition.clone())).collect()
    };
    grants(expected).symmetric_difference(&grants(live)).count()
}

fn changes_defaults(file: &SqlFile) -> bool {
    let mut before = false;
    tokens(&file.text).filter(|token| !token.is_blank()).any(|token| {
        let was = std::mem::replace(&mut before, token.is("default"));
        was && token.is("privileges")
    })
}
