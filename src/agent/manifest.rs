//! What a template set makes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio::sync::Mutex;
use tokio_postgres::Client;

use super::error::{Error, query};
use super::exposure::Public;
use super::rehearsal::{Rehearsal, Variant};
use super::{Agent, Object, Prefix, Reference, Templates, search_path};
use crate::db;

/// Everything that an agent has to have.
///
/// Learnt from the server and so never written twice: the templates run for a scratch prefix in a
/// transaction that is rolled back.
#[derive(Debug)]
pub struct Manifest {
    templates: Templates,
    /// Without the foreign key: nobody waits for `agents`.
    plain: Rehearsal,
    others: Mutex<HashMap<Variant, Rehearsal>>,
}

impl Manifest {
    /// Runs the templates and takes the result back.
    pub async fn prepare(client: &mut Client, templates: Templates) -> Result<Self, Error> {
        let templates = search_path::settle(client, templates).await?;
        let tx = db::begin(client).await.map_err(query("begin"))?;
        let plain = Rehearsal::run(tx.client(), &templates, Variant::PLAIN).await?;
        tx.rollback().await.map_err(query("take the rehearsal back"))?;
        if plain.tables(&"zz".parse()?, templates.version()).is_empty() {
            return Err(Error::NoTables);
        }
        Ok(Self { templates, plain, others: Mutex::default() })
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

    /// The names of an agent's types at a template version.
    pub fn types(&self, prefix: &Prefix, version: i32) -> Vec<String> {
        self.plain.types(prefix, version)
    }

    /// All that an agent of a template version has, in the order of its making. Needs an open
    /// transaction, in which it rehearses once for each kind of agent.
    pub(super) async fn objects(
        &self,
        client: &Client,
        agent: &Agent,
        version: i32,
        reference: Reference,
    ) -> Result<Vec<Object>, Error> {
        let variant = Variant::of(agent.id, reference);
        if variant == Variant::PLAIN {
            return Ok(self.plain.objects(agent, version));
        }
        let mut others = self.others.lock().await;
        let rehearsal = match others.entry(variant) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Rehearsal::run(client, &self.templates, variant).await?)
            }
        };
        Ok(rehearsal.objects(agent, version))
    }
}
