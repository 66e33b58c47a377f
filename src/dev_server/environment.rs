//! What the server's programs get of the environment.

use std::env;
use std::process::Command;

/// Without these a program may not find itself, its libraries or a place for its files.
const KEPT: [&str; 5] = ["PATH", "LD_LIBRARY_PATH", "TMPDIR", "HOME", "TZ"];

/// Takes all else away. The owner's may hold secrets, which the server and whoever runs SQL there have no use for.
pub(crate) fn clear(command: &mut Command) {
    command.env_clear();
    for name in KEPT {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
}
