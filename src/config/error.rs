//! Why settings cannot be used. No message holds a value: with a slip of the pen any of them may be the
//! password.

use std::io;
use std::path::{Path, PathBuf};

use config::ConfigError;

use crate::postgres::{TlsError, UrlError};

/// Begins the errors of our own deserializers; what is expected follows.
const UNUSABLE: &str = "unusable, expected ";

/// The messages of `serde` that end with what is expected. What stands before that quotes the value.
const EXPECTING: [&str; 5] =
    ["unusable", "invalid type: ", "invalid value: ", "unknown field `", "unknown variant `"];

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration{}", path_of(.0))]
    File(PathBuf, #[source] io::Error),
    /// The file of an installation cannot be read. What stands there decides what a command does, so it is not left out.
    #[error(
        "cannot read the configuration {}: run this as a user who may read it. PROVISIONER_CONFIG=/dev/null goes \
         without it, with other templates and another sslmode than the service, maybe",
        .0.display()
    )]
    Installed(PathBuf, #[source] io::Error),
    /// The file cannot be understood.
    #[error("{} is not TOML{place}: see whether each text stands in quotes", .file.display())]
    Syntax {
        /// Its path.
        file: PathBuf,
        /// Line and column.
        place: String,
    },
    /// An unknown key, or a value of the wrong kind.
    #[error("{key} in {place} cannot be used: {reason}")]
    Setting {
        /// The key, with its section.
        key: String,
        /// A variable or a file.
        place: String,
        /// What would be right.
        reason: String,
    },
    /// A variable that cannot be read.
    #[error("the variable {0} is not UTF-8")]
    Encoding(String),
    /// A value outside its range.
    #[error("{key} {reason}")]
    Value {
        /// The key, with its section.
        key: String,
        /// What would be right.
        reason: String,
    },
    /// A secret's file cannot be read.
    #[error("cannot read {key} from {}", secret_path(.key, .path))]
    Secret {
        /// The key, with its section.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The TLS settings cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// The URL names no usable target.
    #[error("{key} cannot be used")]
    Url {
        /// The key, with its section.
        key: String,
        /// What is wrong with it.
        #[source]
        source: UrlError,
    },
}

impl Error {
    /// Says it of another key.
    pub(super) fn rename(mut self, other: impl Fn(&str) -> String) -> Self {
        if let Self::Setting { key, .. }
        | Self::Value { key, .. }
        | Self::Secret { key, .. }
        | Self::Url { key, .. } = &mut self
        {
            *key = other(key);
        }
        self
    }

    /// Takes from the error what is no value.
    pub(crate) fn of(error: &ConfigError, file: Option<&Path>, variables: &[String]) -> Self {
        if let (ConfigError::FileParse { cause, .. }, Some(file)) = (error, file) {
            let said = cause.to_string();
            let place = said.lines().next().and_then(|line| line.split_once("TOML parse error"));
            let place = place.map_or("", |(_, place)| place).to_owned();
            return Self::Syntax { file: file.to_owned(), place };
        }
        let (mut key, mut cause) = (String::new(), error);
        while let ConfigError::At { error, key: outer, .. } = cause {
            key.push_str(outer.as_deref().unwrap_or_default());
            cause = error;
        }
        if let ConfigError::Type { key: Some(own), .. } = cause {
            own.clone_into(&mut key);
        }
        let (unknown, reason) = reason(cause);
        if let Some(unknown) = unknown {
            key = if key.is_empty() { unknown } else { format!("{key}.{unknown}") };
        }
        let place = place(&key, file, variables);
        let key = if is_plain(&key) { key } else { "a key".to_owned() };
        Self::Setting { key, place, reason }
    }
}

/// The name of a key that nobody knows, and what to do instead.
fn reason(error: &ConfigError) -> (Option<String>, String) {
    if let ConfigError::Type { expected, .. } = error {
        return (None, format!("expected {}", kind(expected)));
    }
    let said = error.to_string();
    let quotes = EXPECTING.iter().any(|begin| said.starts_with(begin));
    let expected = said.rsplit_once(", expected ").filter(|_| quotes).map(|(_, expected)| expected);
    let expected = format!("expected {}", kind(expected.unwrap_or("another value")));
    let unknown = said.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    match unknown {
        Some(unknown) => (Some(unknown.to_owned()), format!("there is no such key, {expected}")),
        None => (None, expected),
    }
}

/// In the words of TOML.
fn kind(expected: &str) -> &str {
    if expected.starts_with("struct ") { "a section" } else { expected }
}

/// The variable that holds the key, or one around or below it; else the file.
fn place(key: &str, file: Option<&Path>, variables: &[String]) -> String {
    let wanted = format!("PROVISIONER_{}", key.replace('.', "__"));
    let related = |name: &&String| {
        let (name, wanted) = (name.to_uppercase(), wanted.to_uppercase());
        let below = |long: &str, short: &str| {
            long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with("__"))
        };
        below(&name, &wanted) || below(&wanted, &name)
    };
    match (variables.iter().find(related), file) {
        (Some(name), _) if is_plain(name) => name.clone(),
        (None, Some(file)) => file.display().to_string(),
        (Some(_) | None, _) => "the environment".to_owned(),
    }
}

/// Whether a key looks like one.
fn is_plain(key: &str) -> bool {
    let usual = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
    !key.is_empty() && key.chars().all(usual)
}

fn path_of(file: &Path) -> String {
    if is_secret(&file.to_string_lossy()) {
        return ": what should be its path looks like a URL".to_owned();
    }
    format!(" {}", file.display())
}

/// What stands in the file's place may be the password itself.
fn secret_path(key: &str, file: &Path) -> String {
    if file.is_absolute() {
        return file.display().to_string();
    }
    format!("the file that {key}_file names")
}

/// Whether the text looks like a URL or a connection string, where none belongs.
pub(crate) fn is_secret(text: &str) -> bool {
    text.contains("://") || text.contains("password=")
}

/// For a deserializer: says what would be right.
pub(crate) fn expected<E: serde::de::Error>(what: &str) -> E {
    E::custom(format_args!("{UNUSABLE}{what}"))
}
