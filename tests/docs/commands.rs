//! Commands that stand in the documents are commands of the program.

use super::markdown::{code, spans};
use super::{faults, read};
use crate::support::{provisioner, said};

const PROGRAM: &str = "agent-provisioner";
const VERBS: [&str; 8] = ["agents", "apps", "jobs", "keys", "migrate", "numbers", "run", "render"];

/// The words of a command, without comments, settings before it and what the shell does after it.
fn words(line: &str) -> Vec<String> {
    let line = line.split(" #").next().unwrap().split(" > ").next().unwrap();
    // What stands between quotation marks is one word.
    let pieces = line.split('"').enumerate();
    pieces
        .flat_map(|(i, piece)| {
            let split = if i % 2 == 1 { vec![piece] } else { piece.split_whitespace().collect() };
            split.into_iter().map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|word| match word.as_str() {
            "ID" => "1".to_owned(),
            "PREFIX" => "agt_6f78".to_owned(),
            "FILE" => "/nowhere.toml".to_owned(),
            _ => word,
        })
        .collect()
}

/// The arguments of each command that is written out, and of each that is only mentioned.
fn commands(text: &str) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let (mut whole, mut mentioned) = (Vec::new(), Vec::new());
    for line in code(text) {
        let words = words(line.trim_start_matches("$ "));
        let settings =
            words.iter().take_while(|word| word.contains('=') || *word == "docker").count();
        if words.get(settings).is_some_and(|word| word == PROGRAM) {
            whole.push(words.into_iter().skip(settings + 1).collect());
        }
    }
    for span in spans(text).into_iter().filter(|span| !span.contains('…')) {
        let words = words(&span);
        match words.split_first() {
            Some((first, rest)) if first == PROGRAM => mentioned.push(rest.to_vec()),
            Some((first, rest))
                if VERBS.contains(&first.as_str())
                    && rest.first().is_some_and(|word| !word.starts_with('(')) =>
            {
                mentioned.push(words);
            }
            _ => {}
        }
    }
    (whole, mentioned)
}

fn starts(args: &[String], verb: &str) -> bool {
    args.first().is_some_and(|first| first == verb)
}

/// Commands that the program does not understand. Those that are written out are run, where there is no server.
fn unknown(_: &str, text: &str) -> Vec<String> {
    let refused = |args: &[String], help: bool| {
        let mut command = provisioner("postgres://me@127.0.0.1:9/x");
        command.args(args).args(help.then_some("--help"));
        let output = command.output().unwrap();
        let text =
            || format!("{}: {}", args.join(" "), said(&output).lines().next().unwrap_or_default());
        (output.status.code() == Some(2)).then(text)
    };
    let (whole, mentioned) = commands(text);
    // `dev` starts a server, `run` waits for one, `audit` reads files of the reader's, `man` writes some, those of secrets do
    // both, and a watch goes on.
    let help = |args: &[String]| {
        ["dev", "run", "audit", "man", "numbers", "apps", "keys"]
            .iter()
            .any(|verb| starts(args, verb))
            || args.iter().any(|word| word.ends_with("watch") || word == "--database") // of other settings
    };
    let whole = whole.iter().filter_map(|args| refused(args, help(args)));
    whole.chain(mentioned.iter().filter_map(|args| refused(args, !starts(args, "help")))).collect()
}

#[test]
fn every_command_is_one_of_the_program() {
    let planted = "`agents restor` and `jobs replay --all` and `jobs list --state dead`\n\n    \
                   A=b agent-provisioner agents restore --deleted-sinc 2h   # soon\n    \
                   agent-provisioner migrate down\n    \
                   agent-provisioner jobs approve 1 --reason \"they left\"\n";
    let found = unknown("", planted);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert_eq!(faults(unknown), [""; 0]);
    let (whole, mentioned) = commands(&read("docs/operate.md"));
    assert!(whole.len() > 25 && mentioned.len() > 20, "{} {}", whole.len(), mentioned.len());
}

/// Every verb of the program stands in a document for operators.
#[test]
fn every_verb_is_documented() {
    let texts = [
        "README.md",
        "docs/operate.md",
        "docs/install.md",
        "docs/moves.md",
        "docs/moving.md",
        "docs/templates.md",
        "docs/tokens.md",
    ];
    let texts = texts.map(read).concat();
    for verb in ["agents", "apps", "jobs", "keys", "migrate", "numbers"] {
        let help = said(&provisioner("").args([verb, "--help"]).output().unwrap());
        let list = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
        let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        for name in names.filter(|name| !["", "help", "up", "status"].contains(name)) {
            assert!(texts.contains(&format!("{verb} {name}")), "{verb} {name} is in no document");
        }
    }
}
