//! Any file and any environment are settings or an error, never a panic.
#![no_main]

use std::fs;

use agent_provisioner::config::load;
use libfuzzer_sys::fuzz_target;

/// Text before the first zero is the file, the rest the environment, a line each.
fuzz_target!(|text: &str| {
    let (file, environment) = text.split_once('\0').unwrap_or((text, ""));
    let path = std::env::temp_dir().join(format!("fuzz-{}.toml", std::process::id()));
    fs::write(&path, file).unwrap();
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
    if let Ok(databases) = load(Some(&path), variables) {
        for config in databases.iter() {
            config.database.source().ok();
        }
    }
});
