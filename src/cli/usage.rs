//! Usage errors of commands for secrets: they do not quote what was typed, which may be a secret.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Whoever types a secret by mistake names one of these.
const COMMANDS: [&str; 3] = ["numbers", "apps", "keys"];

/// In the place of what was typed.
const HIDDEN: &str = "…";

/// Whether the arguments are of a command for secrets.
pub(super) fn is_for_secrets(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.any(|argument| COMMANDS.iter().any(|command| argument == *command))
}

/// The same error, with nothing of what was typed.
pub(super) fn without_values(mut error: clap::Error) -> clap::Error {
    let mut typed = vec![ContextKind::InvalidValue, ContextKind::InvalidSubcommand];
    // Of other errors it is the name of an argument.
    if error.kind() == ErrorKind::UnknownArgument {
        typed.push(ContextKind::InvalidArg);
    }
    for kind in typed {
        if error.get(kind).is_some() {
            error.insert(kind, ContextValue::String(HIDDEN.to_owned()));
        }
    }
    // Tips such as "to pass it as a value, use …".
    error.remove(ContextKind::Suggested);
    error.remove(ContextKind::TrailingArg);
    error
}
