//! The files on the shadow: in which order they run, and what each of them makes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::DbError;

use super::error::Error;
use super::files::SqlFile;
use super::rollback::{self, Outcome, Rollback};
use super::run::{Failure, Pieces, Progress, Sessions, StandIns};
use super::schema_state::SchemaState;
use super::shadow::Shadow;
use crate::postgres::{query, session_settings};
use crate::schema::{Fact, Key};

/// What the files make, and how that was found.
#[derive(Debug)]
pub(super) struct Replay {
    /// The files that ran, by number, in their order.
    pub(super) order: Vec<usize>,
    /// The files that did not run, by number, and why.
    pub(super) failures: Vec<(usize, Failure)>,
    /// Whether any file had to wait for a later one.
    pub(super) retried: bool,
    /// The files that failed in the order that was given, and then ran, and why they failed.
    pub(super) waited: Vec<(usize, Failure)>,
    /// Which files made or changed a fact, in their order.
    pub(super) makers: HashMap<Key, Vec<usize>>,
    /// What the server remarked, and of which file.
    pub(super) notices: Vec<(usize, DbError)>,
    pub(super) rollbacks: Vec<Rollback>,
    /// What they made in the end, beside what the platform brings.
    pub(super) state: SchemaState,
    /// What was there before any file ran: what the platform brings.
    pub(super) base: SchemaState,
    /// The database of the shadow in which the files ran.
    pub(super) database: String,
    /// How long a file may take.
    pub(super) limit: Duration,
}

impl Replay {
    pub(super) fn has_failed(&self, file: usize) -> bool {
        self.failures.iter().any(|(index, _)| *index == file)
    }
}

/// Runs files in this order; those that fail again after the others, until nothing moves. Then come those that are to run
/// `last`, and what waits for these. An order that had to be found is proven by a second run on another database.
pub(super) async fn replay(
    shadow: &mut Shadow,
    files: &[SqlFile],
    mut order: Vec<usize>,
    last: &[usize],
    stand_ins: &mut StandIns,
    limit: Duration,
) -> Result<Replay, Error> {
    order.retain(|file| !last.contains(file));
    let first = Pass::begin(shadow, files, stand_ins, limit).await?.run(&order, true).await?;
    if first.failures.is_empty() && last.is_empty() {
        return first.end().await;
    }
    let mut waited = first.failures.clone();
    let (found, failures) = first.go_on(last.to_vec()).await?;
    waited.retain(|(index, _)| found.contains(index));
    order.extend_from_slice(last);
    let retried = !is_subsequence(&found, &order);
    let mut proof = Pass::begin(shadow, files, stand_ins, limit).await?.run(&found, true).await?;
    proof.failures.extend(failures);
    let mut replay = proof.end().await?;
    (replay.retried, replay.waited) = (retried, waited);
    Ok(replay)
}

/// Runs the files that ran once more, in their order, on another database.
pub(super) async fn again(
    shadow: &mut Shadow,
    files: &[SqlFile],
    replay: &Replay,
    stand_ins: &mut StandIns,
) -> Result<Replay, Error> {
    let pass = Pass::begin(shadow, files, stand_ins, replay.limit).await?;
    pass.run(&replay.order, false).await?.end().await
}

/// What the files would make if all of their statements ran that can.
#[derive(Debug)]
pub(super) struct Whole {
    /// What they would make, without what the platform brings.
    pub(super) state: SchemaState,
    /// Statements that do not run, of each file that has some, and the server's words.
    pub(super) refused: BTreeMap<usize, Vec<(String, String)>>,
    /// The database of the shadow in which all this is.
    pub(super) database: String,
}

/// Runs the files again, and of those that do not run each statement by itself.
pub(super) async fn whole(
    shadow: &mut Shadow,
    files: &[SqlFile],
    replay: &Replay,
    stand_ins: &mut StandIns,
) -> Result<Whole, Error> {
    let mut pass = Pass::begin(shadow, files, stand_ins, replay.limit).await?;
    pass = pass.run(&replay.order, false).await?;
    let mut refused = BTreeMap::new();
    let mut left: BTreeMap<usize, Pieces> = BTreeMap::new();
    for (index, failure) in &replay.failures {
        if failure.is_final() {
            let all = files.get(*index).map(|file| (file.text.clone(), failure.message.clone()));
            refused.extend(all.map(|all| (*index, vec![all])));
        } else {
            left.insert(*index, Pieces::default());
        }
    }
    loop {
        let count = |left: &BTreeMap<usize, Pieces>| left.values().map(Pieces::done).sum::<usize>();
        let before = count(&left);
        for (index, pieces) in &mut left {
            let Some(file) = files.get(*index) else { continue };
            pass.sessions.run_pieces(file, pieces, pass.stand_ins).await?;
        }
        if count(&left) == before || left.values().all(|pieces| pieces.refused.is_empty()) {
            break;
        }
    }
    for (index, mut pieces) in left {
        let failure = replay.failures.iter().find(|(failed, _)| *failed == index);
        let failure = failure.map(|(_, failure)| failure);
        // What is no SQL waits for nothing, and may not be a statement, such as a comment that does not end.
        if let Some(failure) = failure.filter(|it| it.is_no_sql() && pieces.refused.is_empty()) {
            pieces.refused.push((failure.statement.clone(), failure.message.clone()));
        }
        if !pieces.refused.is_empty() {
            refused.insert(index, pieces.refused);
        }
    }
    pass.sessions.session.begin_anew().await?;
    let Replay { state, database, .. } = pass.end().await?;
    Ok(Whole { state, refused, database })
}

fn is_subsequence(found: &[usize], order: &[usize]) -> bool {
    let mut rest = order.iter();
    found.iter().all(|file| rest.any(|next| next == file))
}

/// One run of files on one database.
struct Pass<'a> {
    files: &'a [SqlFile],
    stand_ins: &'a mut StandIns,
    database: String,
    sessions: Sessions,
    base: SchemaState,
    facts: BTreeMap<Key, Fact>,
    order: Vec<usize>,
    failures: Vec<(usize, Failure)>,
    progress: HashMap<usize, Progress>,
    makers: HashMap<Key, Vec<usize>>,
    notices: Vec<(usize, DbError)>,
    rollbacks: Vec<Rollback>,
}

impl<'a> Pass<'a> {
    async fn begin(
        shadow: &mut Shadow,
        files: &'a [SqlFile],
        stand_ins: &'a mut StandIns,
        limit: Duration,
    ) -> Result<Self, Error> {
        shadow.retire_roles(files).await?;
        let database = shadow.database().await?;
        let (session, root) = (shadow.role_in(&database).await?, shadow.root_in(&database).await?);
        let sessions = Sessions { session, root, limit };
        let base = state(&sessions.session.client).await?;
        sessions.session.notices();
        Ok(Self {
            files,
            stand_ins,
            database,
            sessions,
            facts: base.facts.clone(),
            base,
            order: Vec::new(),
            failures: Vec::new(),
            progress: HashMap::new(),
            makers: HashMap::new(),
            notices: Vec::new(),
            rollbacks: Vec::new(),
        })
    }

    /// Each file once. With `looking` it is told what each of them made.
    async fn run(mut self, order: &[usize], looking: bool) -> Result<Self, Error> {
        for &index in order {
            let Some(file) = self.files.get(index) else { continue };
            let progress = self.progress.entry(index).or_default();
            let ran = self.sessions.run(file, progress, self.stand_ins).await?;
            let notices = self.sessions.session.notices();
            match ran {
                Ok(()) => {
                    self.order.push(index);
                    self.notices.extend(notices.into_iter().map(|it| (index, it)));
                    if looking {
                        self.look(index).await?;
                    }
                }
                Err(failure) => self.failures.push((index, failure)),
            }
        }
        Ok(self)
    }

    /// What the last file made, and whether another one takes it back.
    async fn look(&mut self, index: usize) -> Result<(), Error> {
        let now = facts(&self.sessions.session.client).await?;
        for (key, fact) in &now {
            if self.facts.get(key) != Some(fact) {
                self.makers.entry(key.clone()).or_default().push(index);
            }
        }
        let before = std::mem::replace(&mut self.facts, now);
        let Some(up) = self.files.get(index) else { return Ok(()) };
        for (number, down) in self.files.iter().enumerate().filter(|(_, file)| file.undoes(up)) {
            let states = [&before, &self.facts];
            let tried = self
                .sessions
                .within_limit(async |session, _| rollback::check(session, [up, down], states).await)
                .await?;
            let outcome = tried.unwrap_or_else(Outcome::NotTried);
            self.rollbacks.push(Rollback { up: index, down: number, outcome });
            self.sessions.session.notices();
        }
        Ok(())
    }

    /// Tries again what failed, as long as that helps, without and then with those that are to run last: the order that was
    /// found, and what is left.
    async fn go_on(
        mut self,
        mut last: Vec<usize>,
    ) -> Result<(Vec<usize>, Vec<(usize, Failure)>), Error> {
        let mut given_up = Vec::new();
        loop {
            given_up.extend(self.failures.extract_if(.., |(_, failure)| failure.is_final()));
            let left: Vec<usize> = self.failures.drain(..).map(|(index, _)| index).collect();
            let count = left.len();
            self = self.run(&left, false).await?;
            let is_stuck = self.failures.is_empty() || self.failures.len() == count;
            if is_stuck && last.is_empty() {
                break;
            }
            if is_stuck {
                self = self.run(&std::mem::take(&mut last), false).await?;
            }
        }
        let Self { order, mut failures, sessions, .. } = self;
        failures.extend(given_up);
        sessions.close().await;
        Ok((order, failures))
    }

    async fn end(self) -> Result<Replay, Error> {
        let mut state = state(&self.sessions.session.client).await?;
        state.without(&self.base);
        let limit = self.sessions.limit;
        self.sessions.close().await;
        Ok(Replay {
            order: self.order,
            failures: self.failures,
            retried: false,
            waited: Vec::new(),
            makers: self.makers,
            notices: self.notices,
            rollbacks: self.rollbacks,
            state,
            base: self.base,
            database: self.database,
            limit,
        })
    }
}

/// All that a database of the shadow has now.
pub(super) async fn state(client: &Client) -> Result<SchemaState, Error> {
    begin(client).await?;
    let state = SchemaState::read(client, &[]).await?;
    rollback(client).await?;
    Ok(state)
}

async fn facts(client: &Client) -> Result<BTreeMap<Key, Fact>, Error> {
    begin(client).await?;
    let facts = SchemaState::read_facts(client).await?;
    rollback(client).await?;
    Ok(facts)
}

/// With the settings by which catalogs are read.
pub(super) async fn begin(client: &Client) -> Result<(), Error> {
    let begin = format!("begin; {}", session_settings::local());
    Ok(client.batch_execute(&begin).await.map_err(query("begin"))?)
}

pub(super) async fn rollback(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute("rollback").await.map_err(query("take back"))?)
}
