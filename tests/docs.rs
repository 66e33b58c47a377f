//! What the documentation says is so: its links, commands, keys, statements, tables and samples of output.
//!
//! Each check is a function from a text to the faults in it, and is tried on a text with a fault first.

mod api;
mod commands;
mod database;
mod markdown;
mod paths;
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use agent_provisioner::config;

pub use api::codes_of;

use crate::deploy::{known, path, read};
use markdown::{anchors, code, links, spans};

/// Every document that people read, by its path from the top.
fn documents() -> BTreeMap<String, String> {
    let top =
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/example/README.md"];
    let top = top.map(str::to_owned);
    let inner = fs::read_dir(path("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().into_string().unwrap()));
    let texts = top
        .into_iter()
        .chain(inner)
        .filter(|name| path(name).extension().is_some_and(|end| end == "md"));
    texts.map(|name| (name.clone(), read(&name))).collect()
}

/// The faults that a check finds in all documents, after the name of the document.
fn faults(check: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let of = |(name, text): (String, String)| {
        check(&name, &text).into_iter().map(move |fault| format!("{name}: {fault}"))
    };
    documents().into_iter().flat_map(of).collect()
}

/// Links of a document, by its path, that lead nowhere.
fn dead_links(name: &str, text: &str) -> Vec<String> {
    let leads = |link: &&String| {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let there = |text: &str| anchor.is_empty() || anchors(text).contains(anchor);
        let target = path(name).parent().unwrap().join(file);
        if file.is_empty() {
            there(text)
        } else {
            // A picture has no anchors.
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            target.is_dir() || fs::read(target).map(text).is_ok_and(|text| there(&text))
        }
    };
    links(text).iter().filter(|link| !link.contains("://") && !leads(link)).cloned().collect()
}

#[test]
fn every_link_leads_somewhere() {
    let planted = "[a](install.md#tls) [b](gone.md) [c](install.md#gone) [d](#here)\n\n# Here";
    assert_eq!(dead_links("docs/planted.md", planted), ["gone.md", "install.md#gone"]);
    assert_eq!(faults(dead_links), [""; 0]);
}

#[test]
fn the_readme_links_every_document() {
    let from = |name: &str| -> BTreeSet<String> {
        let parent = Path::new(name).parent().unwrap();
        let file = |link: String| parent.join(link.split('#').next().unwrap());
        links(&read(name)).into_iter().map(file).map(|file| file.display().to_string()).collect()
    };
    let linked = from("README.md");
    let unlinked: Vec<_> = documents().into_keys().filter(|name| !linked.contains(name)).collect();
    assert_eq!(unlinked, ["README.md"]);
}

/// Files of the repository that a document names and that are not there.
fn missing_files(_: &str, text: &str) -> Vec<String> {
    let top = ["deploy/", "docs/", "src/", "sql/", "tests/", "benches/", ".ci/"];
    let words = spans(text).into_iter().chain(code(text));
    let words = words.flat_map(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let named = words.filter(|word| top.iter().any(|top| word.starts_with(top)));
    named.filter(|file| !path(file.trim_end_matches(['.', ',', ';'])).exists()).collect()
}

#[test]
fn every_file_that_is_named_is_there() {
    assert_eq!(
        missing_files("", "see `deploy/gone.sql` and\n\n    psql -f deploy/roles.sql\n"),
        ["deploy/gone.sql"]
    );
    assert_eq!(faults(missing_files), [""; 0]);
}

/// The codes of answers in docs/api.md.
pub fn codes() -> BTreeSet<String> {
    let rows = markdown::table(&read("docs/api.md"), "### Codes");
    rows.iter().flatten().step_by(2).map(|code| code.trim_matches('`').to_owned()).collect()
}

/// The sample of TypeScript in docs/api.md.
pub fn typescript() -> String {
    let text = read("docs/api.md");
    let section = text.split("\n## TypeScript\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let lines = code(section).into_iter().filter(|line| !line.starts_with("agent-provisioner "));
    lines.collect::<Vec<_>>().join("\n")
}

/// The key and the default of each row of a table.
fn rows(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(key, rest)| (key, rest.split(" |").next().unwrap()))
        .collect()
}

/// Every key that the program knows.
fn keys() -> BTreeSet<String> {
    let inner = |name: String| -> Vec<String> {
        let section = [
            "database",
            "worker",
            "deprovision",
            "jobs",
            "verify",
            "tokens",
            "http",
            "console",
            "log",
        ]
        .contains(&name.as_str());
        if !section {
            return vec![name];
        }
        known(&name).into_iter().map(|key| format!("{name}.{key}")).collect()
    };
    known("").into_iter().flat_map(inner).collect()
}

/// Keys that are missing, that do not exist, or that have another default.
fn wrong_keys(text: &str) -> Vec<String> {
    let rows = rows(text);
    let listed: BTreeSet<String> = rows.iter().map(|(key, _)| (*key).to_owned()).collect();
    let known = keys();
    let mut faults: Vec<String> = known.symmetric_difference(&listed).cloned().collect();
    let load = |settings: Vec<(String, String)>| {
        config::load(None, settings).map(|config| format!("{config:?}"))
    };
    for (key, default) in rows.into_iter().filter(|(key, _)| known.contains(*key)) {
        let variable = format!("PROVISIONER_{}", key.to_uppercase().replace('.', "__"));
        let value = default.strip_prefix('`').and_then(|default| default.strip_suffix('`'));
        let Some(value) = value.filter(|value| *value != "database.url") else { continue };
        let same = load(vec![(variable, value.to_owned())]).unwrap_or_default();
        if same != load(Vec::new()).unwrap() {
            faults.push(format!("{key} = {default}"));
        }
    }
    faults
}

#[test]
fn the_table_of_settings_has_every_key_and_its_default() {
    let text = read("docs/configuration.md");
    let planted = text.replace("| `worker.concurrency` | `4` |", "| `worker.concurrency` | `5` |");
    let planted = planted.replace("`http.listen`", "`http.listens`");
    let found = wrong_keys(&planted);
    assert_eq!(found, ["http.listen", "http.listens", "worker.concurrency = `5`"]);
    assert_eq!(wrong_keys(&text), [""; 0]);
    // Where a document speaks of a key, it is one.
    let sections = [
        "database.",
        "worker.",
        "deprovision.",
        "jobs.",
        "verify.",
        "tokens.",
        "http.",
        "console.",
        "log.",
    ];
    let spoken = |_: &str, text: &str| -> Vec<String> {
        let key = |span: String| span.split([' ', '=']).next().unwrap().to_owned();
        let key = spans(text).into_iter().map(key);
        let key = key.filter(|key| sections.iter().any(|section| key.starts_with(section)));
        key.filter(|key| !key.ends_with('*') && !keys().contains(key)).collect()
    };
    assert_eq!(spoken("", "`worker.gone` and `log.level = x`"), ["worker.gone"]);
    assert_eq!(faults(spoken), [""; 0]);
}

#[test]
fn the_readme_is_short_and_gives_the_command_that_runs_the_tests() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 130);
    for command in ["deploy/quickstart", "deploy/test"] {
        assert!(code(&readme).iter().any(|line| line == command), "{command}");
    }
    assert!(read(".ci/run").contains(" step test deploy/test\n"));
}
