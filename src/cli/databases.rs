//! `--database`: which of the databases in the settings a command works on.

use clap::Args as Clap;

use crate::config::{Config, DatabaseName, Databases};

/// What `--database` takes for every database.
const ALL: &str = "all";

#[derive(Clone, Debug, Clap)]
#[command(next_help_heading = "Many databases")]
pub(super) struct Options {
    /// The database, by its name in the settings, or `all` where the command takes many
    #[arg(long, global = true, value_name = "NAME|all")]
    database: Option<String>,
    /// With `--database all`: work on this one first, alone, and on the others if it went well [default: the first]
    #[arg(long, global = true, value_name = "NAME")]
    canary_database: Option<String>,
    /// With `--database all`: work on at most N at a time
    #[arg(long, global = true, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// With `--database all`: begin no other once more than N have failed [default: 0 for what changes something, else any number]
    #[arg(long, global = true, value_name = "N")]
    max_failed_databases: Option<usize>,
}

/// What a command can work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All that the process has, unless one is named.
    Process,
    /// One.
    One,
    /// One, or each in turn.
    Each,
}

/// What to work on.
#[derive(Debug)]
pub(super) enum Chosen {
    One(Box<Config>),
    /// The canary is the first of them.
    Each(Vec<(DatabaseName, Config)>),
}

/// Which database is meant cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "--database chooses an entry [[database]], and the settings have one database without a name: leave the option out"
    )]
    Single,
    #[error(
        "--database chooses an entry [[database]], and the environment names another database: unset DATABASE_URL and \
         PROVISIONER_DATABASE__URL, or leave the option out"
    )]
    PassedOver,
    #[error("the settings have no database of that name: --database takes {0}")]
    Unknown(String),
    #[error("the settings have many databases: say --database with {0}")]
    Unsaid(String),
    #[error("this works on one database at a time: say --database with {0}")]
    NotEach(String),
}

impl Options {
    /// What to work on.
    pub(super) fn choose(&self, databases: Databases, reach: Reach) -> Result<Chosen, Error> {
        let choices = choices(&databases, reach);
        if !databases.is_many() {
            let is_set = self.database.is_some() || self.canary_database.is_some();
            return match (is_set, databases.passed_over()) {
                (true, []) => Err(Error::Single),
                (true, _) => Err(Error::PassedOver),
                (false, _) => Ok(Chosen::One(Box::new(databases.into_first()))),
            };
        }
        match self.database.as_deref() {
            Some(ALL) if reach == Reach::Each => self.each(databases, choices),
            Some(ALL) if reach == Reach::One => Err(Error::NotEach(choices)),
            Some(name) if name != ALL => {
                let found = databases.named(name).cloned().ok_or(Error::Unknown(choices))?;
                Ok(Chosen::One(Box::new(found)))
            }
            None if reach != Reach::Process && databases.iter().count() > 1 => {
                Err(Error::Unsaid(choices))
            }
            Some(_) | None => Ok(Chosen::One(Box::new(databases.into_first()))),
        }
    }

    /// Of the process itself: all of its databases, or the named one.
    pub(super) fn of_process(&self, databases: Databases) -> Result<Vec<Config>, Error> {
        let is_one = self.database.as_deref().is_some_and(|name| name != ALL);
        if databases.is_many() && !is_one {
            return Ok(databases.into_all());
        }
        match self.choose(databases, Reach::Process)? {
            Chosen::One(config) => Ok(vec![*config]),
            Chosen::Each(all) => Ok(all.into_iter().map(|(_, config)| config).collect()),
        }
    }

    /// The one that is named.
    pub(super) fn name(&self) -> Option<&str> {
        self.database.as_deref().filter(|name| *name != ALL)
    }

    /// How many at a time.
    pub(super) fn parallel(&self) -> usize {
        self.parallel.into()
    }

    /// How many may have failed when another is begun.
    pub(super) fn max_failed(&self, changes: bool) -> usize {
        self.max_failed_databases.unwrap_or(if changes { 0 } else { usize::MAX })
    }

    /// Whether the first one goes alone.
    pub(super) fn has_canary(&self, changes: bool) -> bool {
        changes || self.canary_database.is_some()
    }

    fn each(&self, databases: Databases, choices: String) -> Result<Chosen, Error> {
        let named = |config: Config| Some((config.name.clone()?, config));
        let mut all: Vec<_> = databases.into_all().into_iter().filter_map(named).collect();
        if let Some(canary) = &self.canary_database {
            let place = all.iter().position(|(name, _)| name.as_str() == canary);
            let place = place.ok_or(Error::Unknown(choices))?;
            let canary = all.remove(place);
            all.insert(0, canary);
        }
        Ok(Chosen::Each(all))
    }
}

/// What could have been said.
fn choices(databases: &Databases, reach: Reach) -> String {
    let names = databases.names();
    let names = names.iter().map(|name| name.as_str());
    let all = (reach != Reach::One).then_some(ALL);
    names.chain(all).collect::<Vec<_>>().join(", ")
}
