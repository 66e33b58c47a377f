//! The set of files from which agents' tables are built.

use std::fs;
use std::path::Path;

use super::enum_values;
use super::file_text::decode;
use super::load_error::LoadError;
use super::script::Script;
use super::template::{FOREIGN_KEY, Template};
use crate::agent::{AgentId, Prefix, Reference};
use crate::sql_text::checksum;

/// The numbered files in order, and what comes after them.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    files: Vec<Template>,
    foreign_key: Option<Template>,
    /// The tables that are added to the publication `supabase_realtime`, without their prefix.
    realtime: Vec<String>,
    /// What is in the directory and is no template.
    passed_over: Vec<String>,
    /// Whether it is known which files need schema public in their path.
    settled: bool,
}

impl Templates {
    /// The operator's own set where one is configured, the built-in one otherwise; and the tables
    /// to be published, whose names are plain identifiers without the prefix.
    pub fn from(directory: Option<&Path>, realtime: &[String]) -> Result<Self, LoadError> {
        let set = directory.map_or_else(Self::builtin, Self::load)?;
        Ok(Self { realtime: realtime.to_vec(), ..set })
    }

    /// The documented four tables.
    pub fn builtin() -> Result<Self, LoadError> {
        let crm = Template::parse("0001_crm.sql", include_str!("../../sql/agent/0001_crm.sql"))?;
        let key = include_str!("../../sql/agent/foreign_key.sql");
        let key = Template::parse(FOREIGN_KEY, key)?;
        let (files, foreign_key) = (vec![crm], Some(key));
        Ok(Self { files, foreign_key, settled: true, ..Self::default() })
    }

    /// An operator's own set: every `.sql` file of the directory. What only looks like one is refused.
    fn load(directory: &Path) -> Result<Self, LoadError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| LoadError::Read { path, source }
        };
        let mut set = Self { settled: false, ..Self::default() };
        for entry in fs::read_dir(directory).map_err(failed(directory))? {
            let path = entry.map_err(failed(directory))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.to_ascii_lowercase().ends_with(".sql") {
                // Hidden files are others' affair, such as those of a mounted volume.
                set.passed_over.extend((!name.starts_with('.')).then(|| name.into_owned()));
                continue;
            }
            Template::require_name(&name)?;
            let bytes = fs::read(&path).map_err(failed(&path))?;
            let text = decode(bytes).map_err(|(line, reason)| LoadError::Content {
                file: name.to_string(),
                line,
                reason,
            })?;
            let mut template = Template::parse(&name, &text)?;
            template.public_path = true; // unless it runs without
            if name == FOREIGN_KEY {
                set.foreign_key = Some(template);
            } else {
                set.files.push(template);
            }
        }
        set.passed_over.sort_unstable();
        set.files.sort_by_key(|file| file.version);
        if let Some(twice) = set.files.windows(2).find_map(|pair| match pair {
            [a, b] if a.version == b.version => Some(b.name.clone()),
            _ => None,
        }) {
            return Err(LoadError::Name(twice));
        }
        if set.files.is_empty() {
            return Err(LoadError::Empty(directory.to_owned()));
        }
        enum_values::check(&set.files)?;
        Ok(set)
    }

    /// What else is in the directory, by name.
    pub(crate) fn passed_over(&self) -> &[String] {
        &self.passed_over
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

    /// The settings that decide what they make, as instances show them to each other.
    pub(crate) fn settings(&self) -> [(&'static str, String); 2] {
        let mut realtime = self.realtime.clone();
        realtime.sort();
        [("realtime", realtime.join(", ")), ("templates", self.named())]
    }

    /// The version, and the checksum of the files.
    pub(crate) fn named(&self) -> String {
        let mut checksum = self.checksum();
        checksum.truncate(12);
        format!("version {}, checksum {checksum}", self.version())
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
    pub(crate) fn declares_public(&self, table: &str) -> Option<String> {
        let mut declared = self.files.iter().chain(&self.foreign_key).flat_map(Template::public);
        declared.find_map(|(at, declared)| (declared == table).then_some(at))
    }

    /// The numbered files, once, for somebody to find out which of them need schema public in their path.
    pub(crate) fn unsettled(&mut self) -> Option<&mut [Template]> {
        (!std::mem::replace(&mut self.settled, true)).then_some(self.files.as_mut_slice())
    }

    /// What ties an agent's tables to `agents`.
    pub(crate) fn foreign_key(&self) -> Option<&Template> {
        self.foreign_key.as_ref()
    }

    /// The names of the tables to be published, without the prefix.
    pub(crate) fn realtime(&self) -> &[String] {
        &self.realtime
    }

    /// Everything that a new agent needs.
    pub fn render(&self, prefix: &Prefix, id: AgentId, reference: Reference) -> String {
        self.script(prefix, id, reference).to_string()
    }

    /// The numbered files, then [`Self::last`].
    pub(crate) fn script(&self, prefix: &Prefix, id: AgentId, reference: Reference) -> Script {
        let mut script = self.numbered(prefix, id);
        script.append(self.last(prefix, id, reference));
        script
    }

    /// The numbered files.
    pub(crate) fn numbered(&self, prefix: &Prefix, id: AgentId) -> Script {
        let mut script = Script::default();
        self.files.iter().for_each(|file| script.append(file.render(prefix, id)));
        script
    }

    /// What the configuration asks for: [`Self::published`], then [`Self::key`].
    pub(crate) fn last(&self, prefix: &Prefix, id: AgentId, reference: Reference) -> Script {
        let mut script = self.published(prefix);
        script.append(self.key(prefix, id, reference));
        script
    }

    /// After the numbered files, because workers take turns at a publication.
    pub(crate) fn published(&self, prefix: &Prefix) -> Script {
        let publish =
            |table: &String| format!("select provisioning.publish('public.{prefix}_{table}');\n");
        let published: String = self.realtime.iter().map(publish).collect();
        if published.is_empty() {
            return Script::default();
        }
        Script::of_file("realtime", published)
    }

    /// After everything else, because the foreign key locks `agents` against writers, until the commit.
    pub(crate) fn key(&self, prefix: &Prefix, id: AgentId, reference: Reference) -> Script {
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
