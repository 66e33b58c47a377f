//! Any file is a template or an error, never a panic; and a template can be filled in.
#![no_main]

use std::fs;

use agent_provisioner::agent::{AgentId, Reference};
use agent_provisioner::sql_text::split;
use agent_provisioner::templates::Templates;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for statement in split(text) {
        assert!(!statement.text.is_empty() && text.contains(statement.text));
    }
    let directory = std::env::temp_dir().join(format!("fuzz-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("0001_fuzz.sql"), text).unwrap();
    if let Ok(templates) = Templates::from(Some(&directory), &[]) {
        let prefix = "agt_6f78".parse().unwrap();
        let rendered = templates.render(&prefix, AgentId(7), Reference::ForeignKey);
        // Where it is written with two braces, one of each is left.
        let meant = |name: &str| text.contains(&format!("{{{{{name}}}}}"));
        for name in ["prefix", "agent_id"] {
            assert!(meant(name) || !rendered.contains(&format!("{{{name}}}")));
        }
    }
});
