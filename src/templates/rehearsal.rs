//! The templates run for a scratch prefix and taken back: what the server makes of them.

use std::collections::HashMap;

use tokio_postgres::Client;

use super::apply::{apply, lock_referenced};
use super::error::{Error, query};
use super::exposure::{self, Public};
use super::round_trip;
use super::scratch::{Made, Named, made, names, scratch_id, scratch_prefix};
use super::template::Template;
use super::template_set::Templates;
use super::trial;
use super::worker_role::{act_as_worker, worker_role};
use crate::agent::{Agent, AgentId, Prefix, Reference};
use crate::schema::{self, Fact, Kind};
use crate::sql_text::{self, checksum};

/// What an agent looks like after each file, with prefix and id left open.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    scratch: Prefix,
    id: AgentId,
    stages: Vec<Stage>,
    /// Words of SQL that a prefix and the rest of a name can come to.
    keywords: Vec<String>,
    /// The tables that files declare public, where the variant is the plain one.
    public: Vec<Public>,
}

#[derive(Debug)]
struct Stage {
    version: i32,
    tables: Vec<String>,
    types: Vec<String>,
    /// By oid: a table that a later file renames keeps it.
    table_names: HashMap<u32, String>,
    type_names: HashMap<u32, String>,
    relations: Vec<Named>,
    objects: Vec<Fact>,
}

/// Tables and types that files rename: what each was called, and is.
#[derive(Debug, Default)]
pub(crate) struct Renamed {
    pub(crate) tables: Vec<(String, String)>,
    pub(crate) types: Vec<(String, String)>,
}

/// What changes more in a definition than the id's digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    reference: Reference,
    /// The server shows a bigint beyond the range of integer with quotes and a cast.
    wide: bool,
    /// With [`Fact::echo`], which costs as much again.
    echoed: bool,
}

impl Variant {
    /// Locks nothing that is there.
    pub(crate) const PLAIN: Self = Self { reference: Reference::Check, wide: false, echoed: false };

    pub(crate) fn of(id: AgentId, reference: Reference) -> Self {
        Self { reference, wide: i32::try_from(id.0).is_err(), echoed: false }
    }

    pub(crate) fn echoed(self) -> Self {
        Self { echoed: true, ..self }
    }
}

impl Rehearsal {
    /// Needs an open transaction, and leaves it as it was.
    ///
    /// The plain variant refuses what is open to everybody and not declared so: it is what every command that
    /// looks at agents begins with.
    ///
    /// With the foreign key, `agents` is locked against writers for the milliseconds until the
    /// catalog is read; so are tables outside that the files refer to by foreign keys of their own.
    pub(crate) async fn run(
        client: &Client,
        templates: &Templates,
        variant: Variant,
    ) -> Result<Self, Error> {
        let failed = query("rehearse the templates");
        client.batch_execute("savepoint rehearsal").await.map_err(failed)?;
        act_as_worker(client, None).await?;
        let (scratch, id) = (scratch_prefix()?, scratch_id(variant.wide));
        let begun = trial::transaction(client).await?;
        let (keywords, stages, public) = (keywords(client).await?, Vec::new(), Vec::new());
        let mut rehearsal = Self { scratch, id, stages, keywords, public };
        for file in templates.files() {
            let file_script = file.render(&rehearsal.scratch, rehearsal.id);
            lock_referenced(client, &file_script, &rehearsal.scratch).await?;
            apply(client, &file_script).await?;
            trial::require_transaction(client, &begun, &file.name, &rehearsal.scratch).await?;
            rehearsal.add_stage(client, file.version, variant).await?;
            rehearsal.expect_made(file)?;
        }
        templates.foreign_key().map_or(Ok(()), |key| rehearsal.expect_made(key))?;
        rehearsal.expect_tables(templates.realtime())?;
        rehearsal.add_last(client, templates, variant).await?;
        if variant == Variant::PLAIN {
            let (scratch, script) =
                (&rehearsal.scratch, templates.numbered(&rehearsal.scratch, id));
            let checked = exposure::check(client, scratch, templates, &script, "rehearsal");
            rehearsal.public = checked.await?;
        }
        let back = "rollback to savepoint rehearsal; release savepoint rehearsal";
        client.batch_execute(back).await.map_err(query("take the rehearsal back"))?;
        Ok(rehearsal)
    }

    async fn add_stage(
        &mut self,
        client: &Client,
        version: i32,
        variant: Variant,
    ) -> Result<(), Error> {
        let (tables, types) = made(client, &self.scratch).await?;
        let objects = self.objects_of(client, &tables, &types, variant).await?;
        let relations = names(client, &self.scratch).await?;
        let by_oid = |made: &Made| made.oids.iter().copied().zip(made.names.clone()).collect();
        let (table_names, type_names) = (by_oid(&tables), by_oid(&types));
        let (tables, types) = (tables.names, types.names);
        self.stages.push(Stage {
            version,
            tables,
            types,
            table_names,
            type_names,
            relations,
            objects,
        });
        Ok(())
    }

    /// A file declares public what it makes itself, or an earlier file.
    fn expect_made(&self, file: &Template) -> Result<(), Error> {
        let is_made = |table: &str| {
            let name = table.replace("{prefix}", self.scratch.as_str());
            self.stages.iter().any(|stage| stage.tables.contains(&name))
        };
        match file.public().find(|(_, table)| !is_made(table)) {
            Some((at, table)) => {
                let reason = format!(
                    "there is no table {table} to be public: neither this file nor an earlier one \
                     makes it"
                );
                Err(Error::Stray { at, reason })
            }
            None => Ok(()),
        }
    }

    /// What is to be published has to be there at the end.
    fn expect_tables(&self, realtime: &[String]) -> Result<(), Error> {
        let own = |name: &String| {
            let table = name.strip_prefix(self.scratch.as_str())?.strip_prefix('_')?;
            Some(table.to_owned())
        };
        let last = self.stages.last().into_iter().flat_map(|stage| &stage.tables);
        let tables: Vec<String> = last.filter_map(own).collect();
        match realtime.iter().find(|name| !tables.contains(name)) {
            Some(name) => Err(Error::Realtime { name: name.clone(), tables }),
            None => Ok(()),
        }
    }

    /// What publications and the foreign key add belongs to every stage that has the table.
    async fn add_last(
        &mut self,
        client: &Client,
        templates: &Templates,
        variant: Variant,
    ) -> Result<(), Error> {
        let published = templates.published(&self.scratch);
        let key = templates.key(&self.scratch, self.id, variant.reference);
        let nothing = published.is_empty() && key.is_empty();
        let Some(last) = self.stages.last().filter(|_| !nothing) else { return Ok(()) };
        apply(client, &published).await?;
        trial::add_keys(client, key, &self.scratch, self.id).await?;
        let (tables, types) = made(client, &self.scratch).await?;
        let mut added = self.objects_of(client, &tables, &types, variant).await?;
        added.retain(|object| !last.objects.contains(object));
        for stage in &mut self.stages {
            let has = |new: &&Fact| stage.objects.iter().any(|o| o.relation == new.relation);
            let more: Vec<_> = added.iter().filter(has).cloned().collect();
            stage.objects.extend(more);
        }
        Ok(())
    }

    async fn objects_of(
        &self,
        client: &Client,
        tables: &Made,
        types: &Made,
        variant: Variant,
    ) -> Result<Vec<Fact>, Error> {
        let owner = worker_role(client).await?;
        let objects = schema::read(client, &tables.oids, &types.oids).await?;
        let mut objects: Vec<_> = objects.into_iter().map(|(_, object)| object).collect();
        for object in objects.iter_mut().filter(|object| object.kind == Kind::Owner) {
            object.definition.clone_from(&owner);
        }
        objects.sort_by_key(Fact::rank);
        if variant.echoed {
            round_trip::add_echoes(client, &self.scratch, &mut objects).await?;
        }
        Ok(objects)
    }

    /// See the field.
    pub(crate) fn public(&self) -> &[Public] {
        &self.public
    }

    /// The names of an agent's tables at a template version, in the order of their making.
    pub(crate) fn tables(&self, prefix: &Prefix, version: i32) -> Vec<String> {
        self.names(|stage| &stage.tables, prefix, version)
    }

    /// What the files between two versions rename of an agent's.
    pub(crate) fn renamed(&self, prefix: &Prefix, from: i32, to: i32) -> Renamed {
        let (Some(old), Some(new)) = (self.at(from), self.at(to)) else {
            return Renamed::default();
        };
        let own = |name: &str| name.replace(self.scratch.as_str(), prefix.as_str());
        let pairs = |old: &HashMap<u32, String>, new: &HashMap<u32, String>| {
            let renamed = new.iter().filter_map(|(oid, name)| {
                let was = old.get(oid).filter(|was| *was != name)?;
                Some((own(was), own(name)))
            });
            renamed.collect()
        };
        let tables = pairs(&old.table_names, &new.table_names);
        Renamed { tables, types: pairs(&old.type_names, &new.type_names) }
    }

    /// The names of an agent's types at a template version.
    pub(crate) fn types(&self, prefix: &Prefix, version: i32) -> Vec<String> {
        self.names(|stage| &stage.types, prefix, version)
    }

    /// The names of these tables of an agent's, and of their indexes and sequences; without `tables` of all relations.
    pub(crate) fn relations(
        &self,
        prefix: &Prefix,
        version: i32,
        tables: Option<&[String]>,
    ) -> Vec<String> {
        let fill = |name: &str| name.replace(self.scratch.as_str(), prefix.as_str());
        let asked =
            |named: &&Named| tables.is_none_or(|tables| tables.contains(&fill(&named.whole)));
        let relations = self.at(version).map(|stage| &stage.relations).into_iter().flatten();
        relations.filter(asked).map(|named| fill(&named.name)).collect()
    }

    /// What follows the prefix in the names of an agent's tables at a template version.
    pub(crate) fn table_suffixes(&self, version: i32) -> Vec<String> {
        self.suffixes(|stage| &stage.tables, version)
    }

    /// The same for its types.
    pub(crate) fn type_suffixes(&self, version: i32) -> Vec<String> {
        self.suffixes(|stage| &stage.types, version)
    }

    fn suffixes(&self, of: impl Fn(&Stage) -> &Vec<String>, version: i32) -> Vec<String> {
        let names = self.at(version).map(of).into_iter().flatten();
        let suffix =
            |name: &String| name.strip_prefix(self.scratch.as_str()).map(ToOwned::to_owned);
        names.filter_map(suffix).collect()
    }

    fn names(
        &self,
        of: impl Fn(&Stage) -> &Vec<String>,
        prefix: &Prefix,
        version: i32,
    ) -> Vec<String> {
        let names = self.at(version).map(of).into_iter().flatten();
        names.map(|name| name.replace(self.scratch.as_str(), prefix.as_str())).collect()
    }

    /// Of all facts at all stages. The same for two rehearsals that made the same.
    pub(super) fn digest(&self) -> String {
        let (scratch, scratch_id) = (self.scratch.as_str(), self.id.to_string());
        let open =
            |text: &str| text.replace(scratch, "{prefix}").replace(&scratch_id, "{agent_id}");
        let told = |stage: &Stage| -> Vec<String> {
            let told = |fact: &Fact| format!("{} {:?}", stage.version, fact.map(open, open));
            stage.objects.iter().map(told).collect()
        };
        let mut facts: Vec<String> = self.stages.iter().flat_map(told).collect();
        facts.sort_unstable();
        checksum(&facts.join("\n"))
    }

    /// Whether a definition contains one of these words.
    pub(super) fn has_text(&self, words: &[&str]) -> bool {
        let mut facts = self.stages.iter().flat_map(|stage| &stage.objects);
        facts.any(|fact| words.iter().any(|word| fact.definition.contains(word)))
    }

    /// All that an agent of a template version has, in the order of its making.
    pub(crate) fn objects(&self, agent: &Agent, version: i32) -> Vec<Fact> {
        let (scratch_id, id) = (self.id.to_string(), agent.id.to_string());
        let (scratch, prefix) = (self.scratch.as_str(), agent.prefix.as_str());
        let is_head = |word: &&String| word.starts_with(prefix);
        let keywords: Vec<&String> = self.keywords.iter().filter(is_head).collect();
        // The scratch prefix and id are random: nothing else in a definition looks like them.
        let bare = |text: &str| text.replace(scratch, prefix);
        let fill = |text: &str| {
            let text = bare(text).replace(&scratch_id, &id);
            keywords.iter().fold(text, |text, word| sql_text::quote_word(&text, word))
        };
        let objects = self.at(version).map(|stage| stage.objects.iter());
        objects.into_iter().flatten().map(|object| object.map(fill, bare)).collect()
    }

    fn at(&self, version: i32) -> Option<&Stage> {
        self.stages.iter().rev().find(|stage| stage.version <= version)
    }
}

/// Those that the server quotes where they are names.
async fn keywords(client: &Client) -> Result<Vec<String>, Error> {
    let sql =
        r"select word from pg_catalog.pg_get_keywords() where catcode <> 'U' and word like '%\_%'";
    let rows = client.query_typed(sql, &[]).await.map_err(query("ask for the words of SQL"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
