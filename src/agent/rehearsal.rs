//! The templates run for a scratch prefix and taken back: what the server makes of them.

use std::iter::repeat_with;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use super::exposure::{self, Public};
use super::object::{Kind, Object};
use super::provision::{apply, reach, tie};
use super::{Agent, AgentId, Prefix, Reference, Template, Templates, catalog, echo};

/// What an agent looks like after each file, with prefix and id left open.
#[derive(Debug)]
pub(super) struct Rehearsal {
    scratch: Prefix,
    id: AgentId,
    stages: Vec<Stage>,
    /// The tables that files declare public, where the variant is the plain one.
    public: Vec<Public>,
}

#[derive(Debug)]
struct Stage {
    version: i32,
    tables: Vec<String>,
    types: Vec<String>,
    objects: Vec<Object>,
}

/// What changes more in a definition than the id's digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    reference: Reference,
    /// The server shows a bigint beyond the range of integer with quotes and a cast.
    wide: bool,
}

impl Variant {
    /// Locks nothing that is there.
    pub(super) const PLAIN: Self = Self { reference: Reference::Check, wide: false };

    pub(super) fn of(id: AgentId, reference: Reference) -> Self {
        Self { reference, wide: i32::try_from(id.0).is_err() }
    }
}

/// Tables, or types, that the templates made.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) oids: Vec<u32>,
    pub(super) names: Vec<String>,
}

impl Rehearsal {
    /// Needs an open transaction, and leaves it as it was.
    ///
    /// The plain variant refuses what is open to everybody and not declared so: it is what every command that
    /// looks at agents begins with.
    ///
    /// With the foreign key, `agents` is locked against writers for the milliseconds until the
    /// catalog is read; so are tables outside that the files refer to by foreign keys of their own.
    pub(super) async fn run(
        client: &Client,
        templates: &Templates,
        variant: Variant,
    ) -> Result<Self, Error> {
        let failed = query("rehearse the templates");
        client.batch_execute("savepoint rehearsal").await.map_err(failed)?;
        let (scratch, id) = (scratch_prefix()?, scratch_id(variant.wide));
        let mut rehearsal = Self { scratch, id, stages: Vec::new(), public: Vec::new() };
        for file in templates.files() {
            let file_script = file.render(&rehearsal.scratch, rehearsal.id);
            reach(client, &file_script, &rehearsal.scratch).await?;
            apply(client, &file_script).await?;
            rehearsal.add_stage(client, file.version).await?;
            rehearsal.expect_made(file)?;
        }
        templates.foreign_key().map_or(Ok(()), |key| rehearsal.expect_made(key))?;
        rehearsal.expect_tables(templates.realtime())?;
        rehearsal.add_last(client, templates, variant.reference).await?;
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

    async fn add_stage(&mut self, client: &Client, version: i32) -> Result<(), Error> {
        let (tables, types) = made(client, &self.scratch).await?;
        let objects = self.objects_of(client, &tables, &types).await?;
        let (tables, types) = (tables.names, types.names);
        self.stages.push(Stage { version, tables, types, objects });
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
        reference: Reference,
    ) -> Result<(), Error> {
        let published = templates.published(&self.scratch);
        let key = templates.key(&self.scratch, self.id, reference);
        let nothing = published.is_empty() && key.is_empty();
        let Some(last) = self.stages.last().filter(|_| !nothing) else { return Ok(()) };
        apply(client, &published).await?;
        tie(client, &key, &self.scratch).await?;
        let (tables, types) = made(client, &self.scratch).await?;
        let mut added = self.objects_of(client, &tables, &types).await?;
        added.retain(|object| !last.objects.contains(object));
        for stage in &mut self.stages {
            let has = |new: &&Object| stage.objects.iter().any(|o| o.relation == new.relation);
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
    ) -> Result<Vec<Object>, Error> {
        let owner =
            client.query_typed(include_str!("../../sql/queries/worker_role.sql"), &[]).await;
        let owner = owner.map_err(query("look for the worker's role"))?;
        let owner: String = owner.first().map(|row| row.get(0)).unwrap_or_default();
        let objects = catalog::read(client, &tables.oids, &types.oids).await?;
        let mut objects: Vec<_> = objects.into_iter().map(|(_, object)| object).collect();
        for object in objects.iter_mut().filter(|object| object.kind == Kind::Owner) {
            object.definition.clone_from(&owner);
        }
        objects.sort_by_key(Object::rank);
        echo::listen(client, &self.scratch, &mut objects).await?;
        Ok(objects)
    }

    /// See the field.
    pub(super) fn public(&self) -> &[Public] {
        &self.public
    }

    /// The names of an agent's tables at a template version, in the order of their making.
    pub(super) fn tables(&self, prefix: &Prefix, version: i32) -> Vec<String> {
        self.names(|stage| &stage.tables, prefix, version)
    }

    /// The names of an agent's types at a template version.
    pub(super) fn types(&self, prefix: &Prefix, version: i32) -> Vec<String> {
        self.names(|stage| &stage.types, prefix, version)
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

    /// All that an agent of a template version has, in the order of its making.
    pub(super) fn objects(&self, agent: &Agent, version: i32) -> Vec<Object> {
        let (scratch_id, id) = (self.id.to_string(), agent.id.to_string());
        // The scratch prefix and id are random: nothing else in a definition looks like them.
        let fill = |text: &str| {
            text.replace(self.scratch.as_str(), agent.prefix.as_str()).replace(&scratch_id, &id)
        };
        let objects = self.at(version).map(|stage| stage.objects.iter());
        objects.into_iter().flatten().map(|object| object.map(fill)).collect()
    }

    fn at(&self, version: i32) -> Option<&Stage> {
        self.stages.iter().rev().find(|stage| stage.version <= version)
    }
}

/// Who is to own agents' tables, quoted.
pub async fn worker_role(client: &Client) -> Result<String, Error> {
    let rows = client.query_typed(include_str!("../../sql/queries/worker_role.sql"), &[]).await;
    let rows = rows.map_err(query("look for the worker's role"))?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

/// The tables and the types that stand under a scratch prefix, in the order of their making.
pub(super) async fn made(client: &Client, scratch: &Prefix) -> Result<(Made, Made), Error> {
    let sql = include_str!("../../sql/queries/rehearsed.sql");
    let rows = client.query_typed(sql, &[(&format!("{scratch}_"), Type::TEXT)]).await;
    let rows = rows.map_err(query("look at what the templates made"))?;
    let (tables, types): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| row.get::<_, bool>("is_table"));
    let list = |rows: Vec<&Row>| Made {
        oids: rows.iter().map(|row| row.get("oid")).collect(),
        names: rows.iter().map(|row| row.get("name")).collect(),
    };
    Ok((list(tables), list(types)))
}

/// As long as a prefix may be, so that the rehearsal also meets the longest names.
pub(super) fn scratch_prefix() -> Result<Prefix, Error> {
    let tail: String = repeat_with(fastrand::lowercase).take(14).collect();
    format!("zz_try{tail}").parse().map_err(Error::Prefix)
}

fn scratch_id(wide: bool) -> AgentId {
    AgentId(if wide {
        fastrand::i64(8_000_000_000_000_000_000..9_000_000_000_000_000_000)
    } else {
        fastrand::i64(1_900_000_000..2_000_000_000)
    })
}
