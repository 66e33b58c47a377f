//! The set of files from which agents' tables are built.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::script::Script;
use super::template::{FOREIGN_KEY, Template};
use super::{AgentId, Prefix, Reference};
use crate::checksum::checksum;

/// The numbered files in order, and what comes after them.
#[derive(Clone, Debug)]
pub struct Templates {
    files: Vec<Template>,
    foreign_key: Option<Template>,
    /// The tables that are added to the publication `supabase_realtime`, without their prefix.
    realtime: Vec<String>,
    /// Whether it is known which files need schema public in their path.
    settled: bool,
}

/// A template set that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory or a file in it cannot be read.
    #[error("cannot read templates at {path}")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Nothing in the directory is a template.
    #[error("no template in {0}: name the first file 0001_something.sql")]
    Empty(PathBuf),
    /// A file's name has no number, or one that another file has.
    #[error("template {0}: its name must be NNNN_name.sql, with a number no other file has")]
    Name(String),
    /// Something in a file would break the transaction or would not be filled in.
    #[error("template {file}:{line}: {reason}")]
    Content {
        /// The file's name.
        file: String,
        /// From 1.
        line: usize,
        /// What is wrong and how to mend it.
        reason: String,
    },
}

impl Templates {
    /// The operator's own set where one is configured, the built-in one otherwise; and the tables
    /// to be published, whose names are plain identifiers without the prefix.
    pub fn from(directory: Option<&Path>, realtime: &[String]) -> Result<Self, Error> {
        let set = directory.map_or_else(Self::builtin, Self::load)?;
        Ok(Self { realtime: realtime.to_vec(), ..set })
    }

    /// The documented four tables.
    pub fn builtin() -> Result<Self, Error> {
        let crm = Template::parse("0001_crm.sql", include_str!("../../sql/agent/0001_crm.sql"))?;
        let key = include_str!("../../sql/agent/foreign_key.sql");
        let key = Template::parse(FOREIGN_KEY, key)?;
        Ok(Self { files: vec![crm], foreign_key: Some(key), realtime: Vec::new(), settled: true })
    }

    /// An operator's own set: every `.sql` file of the directory.
    fn load(directory: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| Error::Read { path, source }
        };
        let (files, realtime) = (Vec::new(), Vec::new());
        let mut set = Self { files, foreign_key: None, realtime, settled: false };
        for entry in fs::read_dir(directory).map_err(failed(directory))? {
            let path = entry.map_err(failed(directory))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(failed(&path))?;
            let mut template = Template::parse(name, &text)?;
            template.public_path = true; // unless it runs without
            if name == FOREIGN_KEY {
                set.foreign_key = Some(template);
            } else {
                set.files.push(template);
            }
        }
        set.files.sort_by_key(|file| file.version);
        if let Some(twice) = set.files.windows(2).find_map(|pair| match pair {
            [a, b] if a.version == b.version => Some(b.name.clone()),
            _ => None,
        }) {
            return Err(Error::Name(twice));
        }
        if set.files.is_empty() { Err(Error::Empty(directory.to_owned())) } else { Ok(set) }
    }

    /// The version that a new agent gets: the highest number.
    pub fn version(&self) -> i32 {
        self.files.last().map_or(0, |file| file.version)
    }

    /// The files that take an agent from one version to another.
    pub fn between(&self, from: i32, to: i32) -> impl Iterator<Item = &Template> {
        self.files.iter().filter(move |file| from < file.version && file.version <= to)
    }

    /// The same for two sets that make the same of every agent.
    pub fn checksum(&self) -> String {
        let all = self.files.iter().chain(&self.foreign_key);
        checksum(&all.fold(String::new(), |all, file| {
            format!("{all}{} {}\n", file.version, file.checksum())
        }))
    }

    /// Whether there is a file for the foreign key.
    pub fn has_foreign_key(&self) -> bool {
        self.foreign_key.is_some()
    }

    /// The numbered files, in order.
    pub fn files(&self) -> &[Template] {
        &self.files
    }

    /// Where a table, with `{prefix}`, is declared public.
    pub(super) fn declares_public(&self, table: &str) -> Option<String> {
        let mut declared = self.files.iter().chain(&self.foreign_key).flat_map(Template::public);
        declared.find_map(|(at, declared)| (declared == table).then_some(at))
    }

    /// The numbered files, once, for somebody to find out which of them need schema public in their path.
    pub(super) fn unsettled(&mut self) -> Option<&mut [Template]> {
        (!std::mem::replace(&mut self.settled, true)).then_some(self.files.as_mut_slice())
    }

    /// What ties an agent's tables to `agents`.
    pub(super) fn foreign_key(&self) -> Option<&Template> {
        self.foreign_key.as_ref()
    }

    /// The names of the tables to be published, without the prefix.
    pub(super) fn realtime(&self) -> &[String] {
        &self.realtime
    }

    /// Everything that a new agent needs.
    pub fn render(&self, prefix: &Prefix, id: AgentId, reference: Reference) -> String {
        self.script(prefix, id, reference).to_string()
    }

    /// The numbered files, then [`Self::last`].
    pub(super) fn script(&self, prefix: &Prefix, id: AgentId, reference: Reference) -> Script {
        let mut script = self.numbered(prefix, id);
        script.append(self.last(prefix, id, reference));
        script
    }

    /// The numbered files.
    pub(super) fn numbered(&self, prefix: &Prefix, id: AgentId) -> Script {
        let mut script = Script::default();
        self.files.iter().for_each(|file| script.append(file.render(prefix, id)));
        script
    }

    /// What the configuration asks for: [`Self::published`], then [`Self::key`].
    pub(super) fn last(&self, prefix: &Prefix, id: AgentId, reference: Reference) -> Script {
        let mut script = self.published(prefix);
        script.append(self.key(prefix, id, reference));
        script
    }

    /// After the numbered files, because workers take turns at a publication.
    pub(super) fn published(&self, prefix: &Prefix) -> Script {
        let publish =
            |table: &String| format!("select provisioning.publish('public.{prefix}_{table}');\n");
        let published: String = self.realtime.iter().map(publish).collect();
        if published.is_empty() {
            return Script::default();
        }
        Script::of_file("realtime", published)
    }

    /// After everything else, because the foreign key locks `agents` against writers, until the commit.
    pub(super) fn key(&self, prefix: &Prefix, id: AgentId, reference: Reference) -> Script {
        let key = self.foreign_key().filter(|_| reference == Reference::ForeignKey);
        key.map(|key| key.render(prefix, id)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foreign_key_comes_last_and_only_when_asked_for() {
        let (prefix, id) = ("agt_6f78".parse().unwrap(), AgentId(7));
        let set = Templates::from(None, &["messages".to_owned()]).unwrap();
        let keyed = set.render(&prefix, id, Reference::ForeignKey);
        let checked = set.render(&prefix, id, Reference::Check);
        assert!(keyed.starts_with(&checked));
        assert!(checked.contains("provisioning.publish('public.agt_6f78_messages')"));
        assert!(keyed.contains("agt_6f78_customers_agent_id_fkey"));
        assert!(!keyed.contains('{'), "a placeholder survived");
    }
}
