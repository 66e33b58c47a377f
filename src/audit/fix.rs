//! The file of `--fix`: what ends the differences, tried on a copy of the database's schema.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

use super::compare::commented;
use super::error::Error;
use super::extension;
use super::item::{Component, Item};
use super::live::Live;
use super::plan::plan;
use super::replay::state;
use super::schema_state::SchemaState;
use super::session::Session;
use super::shadow::Shadow;
use super::step::{Manual, Step};
use crate::postgres::query;
use crate::schema::{self, Change, Difference, Key, Kind};
use crate::sql_text::Reader;

/// What the file says, and what is not proven about it.
#[derive(Debug)]
pub(super) struct Fix {
    pub(super) sql: String,
    /// What is not proven: one sentence each.
    pub(super) unproven: Vec<String>,
}

/// A copy of the database's schema on the shadow.
#[derive(Debug)]
pub(super) struct Copy {
    database: String,
    /// Facts that could not be made there, and why.
    pub(super) left: Vec<String>,
    /// What is there now, in the words of the shadow's server.
    pub(super) state: SchemaState,
}

/// Makes the database's schema anew from its facts. `stand_ins` are extensions that the shadow lacks.
pub(super) async fn rebuild(
    shadow: &mut Shadow,
    live: &Live,
    base: &SchemaState,
    stand_ins: &[(String, Option<String>)],
) -> Result<Copy, Error> {
    let database = shadow.database().await?;
    let (session, root) = (shadow.role_in(&database).await?, shadow.root_in(&database).await?);
    for (name, schema) in stand_ins {
        extension::stand_in(&root, name, schema.as_deref()).await?;
    }
    let missing: Vec<Difference> = live
        .state
        .in_order()
        .into_iter()
        .map(|object| Difference { object, change: Change::Missing })
        .collect();
    let nothing = SchemaState::default();
    let steps = plan(&missing, [&live.state, &nothing], &live.default_privileges.grants);
    let mut left = Vec::new();
    session.begin_anew().await?;
    for lost in &live.lost_publications {
        run(&session, &format!("drop publication if exists {lost}")).await?;
    }
    run(&session, "set check_function_bodies = off").await?;
    for step in &steps {
        for statement in step.all() {
            let said = match made_as_extension(&session, &root, step).await? {
                Some(said) => said,
                None => run(&session, &not_concurrently(statement)).await?,
            };
            if let Some(said) = said {
                // With a colon, what follows a name such as `secret` would look like one.
                left.push(format!(
                    "{} {} ({said})",
                    step.item.component.as_str(),
                    step.item.object
                ));
                break;
            }
        }
    }
    session.begin_anew().await?;
    let mut found = state(&session.client).await?;
    found.without(base);
    session.close().await;
    root.close().await;
    Ok(Copy { database, left, state: found })
}

/// The server's words, if it refuses.
async fn run(session: &Session, sql: &str) -> Result<Option<String>, Error> {
    match session.client.batch_execute(sql).await {
        Ok(()) => Ok(None),
        Err(error) => match error.as_db_error() {
            Some(said) => Ok(Some(said.message().to_owned())),
            None => Err(query("run a statement on the shadow")(error).into()),
        },
    }
}

/// `None` for what is no extension. Else why it cannot be made there, if it cannot.
async fn made_as_extension(
    session: &Session,
    root: &Session,
    step: &Step,
) -> Result<Option<Option<String>>, Error> {
    let Item { component, object } = &step.item;
    if *component != Component::Extension || step.statements.is_empty() {
        return Ok(None);
    }
    let name = Reader::new(object).name().unwrap_or_else(|| object.clone());
    let made = extension::make(session, root, &name, None).await?;
    Ok(Some(made.err().map(str::to_owned)))
}

/// The statement without `concurrently`, which no transaction allows. On a copy nobody waits for a lock.
fn not_concurrently(statement: &str) -> String {
    statement.replacen("INDEX CONCURRENTLY ", "INDEX ", 1).replacen(
        "index concurrently ",
        "index ",
        1,
    )
}

/// Tries all steps on the copy, and leaves out those that the server refuses there. `headline` is what an object is told
/// with.
pub(super) async fn prove(
    shadow: &Shadow,
    copy: &Copy,
    steps: &[Step],
    expected: &SchemaState,
    base: &SchemaState,
    headline: impl Fn(&Item) -> Item,
) -> Result<Fix, Error> {
    let (session, root) =
        (shadow.role_in(&copy.database).await?, shadow.root_in(&copy.database).await?);
    session.begin_anew().await?;
    run(&session, "set check_function_bodies = off").await?;
    let said = rehearse(&session, &root, steps).await?;
    let mut unproven = Vec::new();
    for (place, said) in &said {
        let Some(step) = steps.get(*place) else { continue };
        unproven.push(format!(
            "the fix of {} {} does not run on a copy of the schema: {said}",
            step.item.component.as_str(),
            step.item.object
        ));
    }
    let refused: HashSet<usize> = said.into_keys().collect();
    session.begin_anew().await?;
    let mut after = state(&session.client).await?;
    after.without(base);
    session.close().await;
    root.close().await;
    let left = steps
        .iter()
        .enumerate()
        .filter(|(place, step)| !step.by_hand.is_empty() || refused.contains(place));
    let by_hand: BTreeSet<Item> = left.map(|(_, step)| headline(&step.item)).collect();
    for difference in schema::compare(&expected.in_order(), &after.in_order()) {
        let item = Item::of(&difference.object);
        let is_extra = difference.change == Change::Extra;
        let key = difference.object.key();
        let is_platforms = [Kind::Extension, Kind::PublicationOptions].contains(&key.0);
        let is_there = key.0 == Kind::Extension || base.facts.contains_key(&key);
        if !(by_hand.contains(&headline(&item)) || is_extra || is_platforms && is_there) {
            unproven.push(format!(
                "after the fix {} {} is still not as the files make it",
                item.component.as_str(),
                item.object
            ));
        }
    }
    Ok(Fix { sql: script(steps, &refused), unproven })
}

/// Runs the steps as the file does: what has to be committed first, then one transaction, then what runs in none. Returns
/// the server's words on each step that it refuses.
async fn rehearse(
    session: &Session,
    root: &Session,
    steps: &[Step],
) -> Result<BTreeMap<usize, String>, Error> {
    let mut refused = BTreeMap::new();
    for (place, step) in steps.iter().enumerate() {
        for statement in &step.first {
            if let Some(said) = run(session, statement).await? {
                refused.insert(place, said);
            }
        }
    }
    run(session, "begin").await?;
    for (place, step) in steps.iter().enumerate() {
        if step.statements.is_empty() || refused.contains_key(&place) {
            continue;
        }
        let is_extension = step.item.component == Component::Extension;
        if is_extension {
            // Its maker has to see what is there.
            run(session, "commit").await?;
        }
        let said = if let Some(said) = made_as_extension(session, root, step).await? {
            run(session, "begin").await?;
            said
        } else {
            let all = step.statements.join("; ");
            run(session, &format!("savepoint step; {all}; release savepoint step")).await?
        };
        if let Some(said) = said {
            if !is_extension {
                run(session, "rollback to savepoint step").await?;
            }
            refused.insert(place, said);
        }
    }
    run(session, "commit").await?;
    for (place, step) in steps.iter().enumerate() {
        for statement in step.later.iter().filter(|_| !refused.contains_key(&place)) {
            if let Some(said) = run(session, &not_concurrently(statement)).await? {
                refused.insert(place, said);
                break;
            }
        }
    }
    Ok(refused)
}

/// The text of the file, as psql runs it.
fn script(steps: &[Step], refused: &HashSet<usize>) -> String {
    let mut sql =
        "-- What brings the database to what the files make, by `agent-provisioner audit --fix`.\n\
                   -- Tried on a copy of the database's schema. Read it before you run it:\n\
                   --   psql -v ON_ERROR_STOP=1 -f THIS_FILE \"$DATABASE_URL\"\n"
            .to_owned();
    let good = || {
        steps.iter().enumerate().filter(|(place, _)| !refused.contains(place)).map(|(_, step)| step)
    };
    if good().any(|step| !step.first.is_empty()) {
        sql.push_str("\n-- These have to be committed before others can use them.\n");
        for step in good().filter(|step| !step.first.is_empty()) {
            add(&mut sql, step, &step.first, |statement| format!("{statement};"));
        }
    }
    if good().any(|step| !step.statements.is_empty()) {
        sql.push_str(
            "\nbegin;\nset local lock_timeout = '5s';\nset local check_function_bodies = off;\n",
        );
        for step in good().filter(|step| !step.statements.is_empty()) {
            add(&mut sql, step, &step.statements, |statement| format!("{statement};"));
        }
        sql.push_str("\ncommit;\n");
    }
    if good().any(|step| !step.later.is_empty()) {
        sql.push_str("\n-- These lock nobody out for long, and run in no transaction.\n");
        for step in good().filter(|step| !step.later.is_empty()) {
            add(&mut sql, step, &step.later, |statement| format!("{statement};"));
        }
    }
    let refused = || {
        steps.iter().enumerate().filter(|(place, _)| refused.contains(place)).map(|(_, step)| step)
    };
    if refused().next().is_some() {
        sql.push_str("\n-- These do not run on the copy. See why before you use them.\n");
        for step in refused() {
            let all: Vec<String> = step.all().cloned().collect();
            add(&mut sql, step, &all, commented);
        }
    }
    if steps.iter().any(|step| !step.by_hand.is_empty()) {
        sql.push_str("\n-- These could lose something. Decide on each of them.\n");
        for step in steps.iter().filter(|step| !step.by_hand.is_empty()) {
            add(&mut sql, step, &[], commented);
            sql.extend(step.by_hand.iter().flat_map(Manual::lines).map(|line| line + "\n"));
        }
    }
    sql
}

/// Writes what a step is about, and these statements of it.
fn add(sql: &mut String, step: &Step, statements: &[String], write: impl Fn(&str) -> String) {
    // Writing to a String cannot fail.
    let _ok = write!(
        sql,
        "\n-- {} {}\n",
        step.item.component.as_str(),
        step.item.object.replace('\n', " ")
    );
    for statement in statements {
        sql.push_str(&write(&crate::sql_text::pasteable(statement)));
        sql.push('\n');
    }
}

/// The definitions that two servers write differently and mean the same, by what they are about: as the shadow writes the
/// database's.
pub(super) fn rewritten(copy: &Copy, live: &SchemaState) -> BTreeMap<Key, String> {
    let mut rewritten = BTreeMap::new();
    for (key, fact) in &live.facts {
        if let Some(copied) =
            copy.state.facts.get(key).filter(|copied| copied.definition != fact.definition)
        {
            rewritten.insert(key.clone(), copied.definition.clone());
        }
    }
    rewritten
}
