//! What a template set makes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::Client;

use super::error::{Error, query};
use super::exposure::Public;
use super::first_rows::first_rows;
use super::history::History;
use super::rehearsal::{Rehearsal, Renamed, Variant};
use super::search_path;
use super::template_set::Templates;
use crate::agent::{Agent, Prefix, Reference};
use crate::postgres;
use crate::schema::{Fact, FirstRows, Recorded};
use crate::sql_text::checksum;

/// Everything that an agent has to have.
///
/// Learnt from the server and so never written twice: the templates run for a scratch prefix in a
/// transaction that is rolled back.
#[derive(Debug)]
pub struct ExpectedSchema {
    templates: Templates,
    /// Without the foreign key: nobody waits for `agents`.
    plain: Rehearsal,
    // What follows is learnt when it is first needed. Two may learn it at once, for nobody waits for another here: the one
    // who waits may hold what the other one's transaction needs, and says nothing to the server meanwhile.
    others: Mutex<HashMap<Variant, Arc<Rehearsal>>>,
    history: Mutex<Option<Arc<History>>>,
}

impl ExpectedSchema {
    /// Runs the templates and takes the result back.
    pub async fn prepare(client: &mut Client, templates: Templates) -> Result<Self, Error> {
        let templates = search_path::choose_search_paths(client, templates).await?;
        let tx = postgres::begin(client).await.map_err(query("begin"))?;
        let plain = Rehearsal::run(tx.client(), &templates, Variant::PLAIN).await?;
        tx.rollback().await.map_err(query("take the rehearsal back"))?;
        if plain.tables(&"zz".parse()?, templates.version()).is_empty() {
            return Err(Error::NoTables);
        }
        Ok(Self { templates, plain, others: Mutex::default(), history: Mutex::default() })
    }

    /// Another one, where the templates are others or make something else.
    pub(crate) fn digest(&self) -> String {
        checksum(&format!(
            "{} {} {}",
            env!("CARGO_PKG_VERSION"),
            self.templates.checksum(),
            self.plain.digest()
        ))
    }

    /// Whether definitions may have constants that name roles.
    pub(crate) fn names_roles(&self) -> bool {
        self.plain.has_text(&["::regrole", "::aclitem"])
    }

    /// The files it was learnt from.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// The tables that files declare public.
    pub fn public(&self) -> &[Public] {
        self.plain.public()
    }

    /// The names of an agent's tables at a template version, in the order of their making.
    pub fn tables(&self, prefix: &Prefix, version: i32) -> Vec<String> {
        self.plain.tables(prefix, version)
    }

    /// What the files between two versions rename of an agent's.
    pub(crate) fn renamed(&self, prefix: &Prefix, from: i32, to: i32) -> Renamed {
        self.plain.renamed(prefix, from, to)
    }

    /// The names of an agent's types at a template version.
    pub fn types(&self, prefix: &Prefix, version: i32) -> Vec<String> {
        self.plain.types(prefix, version)
    }

    /// The names of these tables of an agent's, and of their indexes and sequences; without `tables` of all relations.
    pub(crate) fn relations(
        &self,
        prefix: &Prefix,
        version: i32,
        tables: Option<&[String]>,
    ) -> Vec<String> {
        self.plain.relations(prefix, version, tables)
    }

    /// What follows the prefix in the names of an agent's tables at a template version.
    pub fn table_suffixes(&self, version: i32) -> Vec<String> {
        self.plain.table_suffixes(version)
    }

    /// The same for its types.
    pub fn type_suffixes(&self, version: i32) -> Vec<String> {
        self.plain.type_suffixes(version)
    }

    /// All that an agent of a template version has, in the order of its making. Needs an open
    /// transaction, in which it rehearses once for each kind of agent.
    pub(crate) async fn objects(
        &self,
        client: &Client,
        agent: &Agent,
        version: i32,
        reference: Reference,
    ) -> Result<Vec<Fact>, Error> {
        self.objects_of(client, agent, version, Variant::of(agent.id, reference)).await
    }

    /// The same with [`Fact::echo`]: only one that differs needs it.
    pub(crate) async fn objects_with_echoes(
        &self,
        client: &Client,
        agent: &Agent,
        version: i32,
        reference: Reference,
    ) -> Result<Vec<Fact>, Error> {
        self.objects_of(client, agent, version, Variant::of(agent.id, reference).echoed()).await
    }

    async fn objects_of(
        &self,
        client: &Client,
        agent: &Agent,
        version: i32,
        variant: Variant,
    ) -> Result<Vec<Fact>, Error> {
        if variant == Variant::PLAIN {
            return Ok(self.plain.objects(agent, version));
        }
        let known = locked(&self.others).get(&variant).map(Arc::clone);
        let rehearsal = if let Some(known) = known {
            known
        } else {
            let new = Arc::new(Rehearsal::run(client, &self.templates, variant).await?);
            Arc::clone(locked(&self.others).entry(variant).or_insert(new))
        };
        Ok(rehearsal.objects(agent, version))
    }

    /// The statements that an agent of a template version was built by, and what each of them made. Needs an open
    /// transaction, in which the templates run once, statement by statement.
    pub(crate) async fn history(
        &self,
        client: &Client,
        agent: &Agent,
        version: i32,
    ) -> Result<Vec<Recorded>, Error> {
        let known = locked(&self.history).as_ref().map(Arc::clone);
        let history = if let Some(known) = known {
            known
        } else {
            let new = Arc::new(History::record(client, &self.templates).await?);
            Arc::clone(locked(&self.history).get_or_insert(new))
        };
        Ok(history.of(agent, version))
    }

    /// The rows that these tables of an agent begin with. Needs an open transaction, in which the templates run up to three
    /// times.
    pub(crate) async fn first_rows(
        &self,
        client: &Client,
        agent: &Agent,
        version: i32,
        tables: &HashSet<&str>,
    ) -> Result<Vec<FirstRows>, Error> {
        first_rows(client, &self.templates, agent, version, tables).await
    }
}

/// What a panic left is whole: it is written in one step.
fn locked<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
