//! One database or many: `[database]`, or an entry `[[database]]` for each.

use std::fmt;
use std::str::FromStr;

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::error::Error;
use super::settings::Config;

/// What an entry says over the rest of the file, and the key that it stands for.
const OVERRIDES: [(&str, &str); 6] = [
    ("reference", "reference"),
    ("retention", "deprovision.retention"),
    ("templates", "templates"),
    ("realtime", "realtime"),
    ("console_database_url", "console.database_url"),
    ("console_database_url_file", "console.database_url_file"),
];

/// Names are part of URLs, labels and file names.
const LONGEST: usize = 40;

/// What `--database` takes for every database; so none is called that.
const EVERY: &str = "all";

/// The name of an entry: 1 to 40 of `a-z`, `0-9`, `-` and `_`, and not `all`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseName(String);

/// Not the name of a database.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a name of a database has 1 to 40 of a-z, 0-9, - and _, and is not \"all\"")]
pub struct InvalidName;

impl DatabaseName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One of its keys, as errors call it.
    pub(super) fn key(&self, key: &str) -> String {
        format!("database.{self}.{key}")
    }
}

impl FromStr for DatabaseName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let usual = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(usual);
        if fits && text != EVERY { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The settings for every database of this process: one at least. Either there is one and it has no name, or all have names and
/// these differ.
#[derive(Clone, Debug)]
pub struct Databases {
    first: Config,
    others: Vec<Config>,
    passed_over: Vec<DatabaseName>,
}

impl Databases {
    /// One database. `passed_over`: the entries that the environment goes over.
    pub(super) fn one(config: Config, passed_over: Vec<DatabaseName>) -> Self {
        Self { first: config, others: Vec::new(), passed_over }
    }

    /// Those that have an entry each; `None` where there is no entry.
    pub(super) fn many(configs: Vec<Config>) -> Option<Self> {
        let mut configs = configs.into_iter();
        let first = configs.next()?;
        Some(Self { first, others: configs.collect(), passed_over: Vec::new() })
    }

    /// The first one's settings. Sections `http`, `console` and `log` are the same for all.
    pub fn first(&self) -> &Config {
        &self.first
    }

    /// The first one's settings, alone.
    pub fn into_first(self) -> Config {
        self.first
    }

    /// The settings for each, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Config> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The settings for each, in the order of the file.
    pub fn into_all(self) -> Vec<Config> {
        std::iter::once(self.first).chain(self.others).collect()
    }

    /// Whether they have names, even where there is only one.
    pub fn is_many(&self) -> bool {
        self.first.name.is_some()
    }

    /// The names, in the order of the file; none in the single form.
    pub fn names(&self) -> Vec<&DatabaseName> {
        self.iter().filter_map(|config| config.name.as_ref()).collect()
    }

    /// The settings for the one of this name.
    pub fn named(&self, name: &str) -> Option<&Config> {
        self.iter().find(|config| config.name.as_ref().is_some_and(|own| own.as_str() == name))
    }

    /// Entries of the file that are not used, since the environment names one database.
    pub fn passed_over(&self) -> &[DatabaseName] {
        &self.passed_over
    }
}

/// An entry of the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: DatabaseName,
    /// What it says, as the keys of one database.
    pub settings: Settings,
    overrides: Vec<&'static str>,
}

impl Entry {
    /// An error of one database's settings, said of this entry.
    pub(super) fn blame(&self, error: Error) -> Error {
        let of_overrides = |key: &str| {
            let mut own = OVERRIDES.iter().filter(|(own, _)| self.overrides.contains(own));
            own.find(|(_, stands_for)| *stands_for == key).map(|(own, _)| *own)
        };
        let renamed =
            error.rename(|key| match (key.strip_prefix("database."), of_overrides(key)) {
                (Some(own), _) | (None, Some(own)) => self.name.key(own),
                (None, None) => key.to_owned(),
            });
        if let Error::Setting { key, place, reason } = renamed {
            let unknown =
                key.starts_with("database.") && reason.starts_with("there is no such key");
            let own = OVERRIDES.map(|(own, _)| format!("`{own}`")).join(", ");
            let reason = if unknown { format!("{reason}, `name`, {own}") } else { reason };
            return Error::Setting { key, place, reason };
        }
        renamed
    }
}

/// Takes the entries out of the file's settings; `None` for the single form.
pub(super) fn entries(file: &mut Map<String, Value>) -> Result<Option<Vec<Entry>>, Error> {
    let is_array = |value: &Value| matches!(value.kind, ValueKind::Array(_));
    if !file.get("database").is_some_and(is_array) {
        return Ok(None);
    }
    let Some(Value { kind: ValueKind::Array(values), .. }) = file.remove("database") else {
        return Ok(None);
    };
    if values.is_empty() {
        let reason = "has no entry: write [[database]] with name and url_file".to_owned();
        return Err(Error::Value { key: "database".to_owned(), reason });
    }
    refuse_shared_console(file.get("console"))?;
    let mut entries: Vec<Entry> = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let number = index + 1;
        let entry = entry(value).map_err(|reason| Error::Value {
            key: format!("name of [[database]] number {number}"),
            reason,
        })?;
        if entries.iter().any(|other| other.name == entry.name) {
            let reason = "is there twice: each [[database]] has a name of its own".to_owned();
            return Err(Error::Value { key: format!("database.{}", entry.name), reason });
        }
        entries.push(entry);
    }
    Ok(Some(entries))
}

/// With one URL for all, the pages of each database would show the same one.
fn refuse_shared_console(console: Option<&Value>) -> Result<(), Error> {
    let Some(ValueKind::Table(console)) = console.map(|console| &console.kind) else {
        return Ok(());
    };
    for key in ["database_url", "database_url_file"] {
        if console.contains_key(key) {
            let reason = format!("is for one database: write console_{key} into each [[database]]");
            return Err(Error::Value { key: format!("console.{key}"), reason });
        }
    }
    Ok(())
}

/// Else why its name cannot be used.
fn entry(value: Value) -> Result<Entry, String> {
    let wanted = |_quotes| format!("cannot be used: {InvalidName}");
    let ValueKind::Table(mut database) = value.kind else {
        return Err("cannot be read: write [[database]], and its keys below".to_owned());
    };
    let name = database.remove("name").ok_or_else(|| "is not set".to_owned())?;
    let name = name.into_string().map_err(|_quotes| wanted(InvalidName))?;
    let name = name.parse().map_err(wanted)?;
    let mut settings = Map::new();
    let mut overrides = Vec::new();
    for (own, stands_for) in OVERRIDES {
        if let Some(value) = database.remove(own) {
            settings.insert(stands_for.to_owned(), value);
            overrides.push(own);
        }
    }
    settings.insert("database".to_owned(), Value::new(None, ValueKind::Table(database)));
    Ok(Entry { name, settings: Settings(settings), overrides })
}

/// Settings that were read already.
#[derive(Clone, Debug)]
pub(super) struct Settings(pub Map<String, Value>);

impl Source for Settings {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}
