//! What the driver makes of our statements.

use std::fs;
use std::path::Path;

use tokio_postgres::types::Type;

use crate::support::Database;

/// The statements in strings of the code. Those with more to be filled in are not to be had.
fn inline(code: &str) -> Vec<String> {
    let (mut texts, mut text, mut inside) = (Vec::new(), String::new(), false);
    let mut letters = code.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, inside) {
            ('"', true) => texts.push(std::mem::take(&mut text)),
            ('\\', true) => match letters.next() {
                Some('\n') => while letters.next_if(|next| next.is_whitespace()).is_some() {},
                Some('n') => text.push('\n'),
                escaped => text.extend(escaped),
            },
            (other, true) => text.push(other),
            (..) => {}
        }
        inside ^= letter == '"';
    }
    let verbs = ["select ", "with ", "insert ", "update ", "delete "];
    texts.retain(|text| verbs.iter().any(|verb| text.starts_with(verb)));
    texts
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let (name, text) =
            (path.display().to_string(), fs::read_to_string(&path).unwrap_or_default());
        let kind = path.extension();
        if kind == Some("rs".as_ref()) {
            found.extend(inline(&text).into_iter().map(|text| (name.clone(), text)));
        } else if kind == Some("sql".as_ref()) {
            found.push((name, text));
        }
    }
}

/// Of a column whose type it does not know the driver asks in the middle of the answer, on the same connection. If the rest of the
/// answer comes in several pieces meanwhile, it waits for ever.
#[tokio::test]
async fn no_statement_answers_in_a_type_that_the_driver_has_to_ask_for() {
    let mut statements = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    collect(&root.join("src"), &mut statements);
    for folder in
        ["audit", "operations", "postgres", "provisioning", "queue", "schema", "service", "worker"]
    {
        collect(&root.join("sql").join(folder), &mut statements);
    }
    let db = Database::new().await;
    let admin = db.admin().await;
    let (mut known, mut asked) = (0, Vec::new());
    for (place, sql) in &statements {
        for first in [&[][..], &[Type::OID_ARRAY], &[Type::INT8_ARRAY], &[Type::TEXT_ARRAY]] {
            let Ok(prepared) = admin.prepare_typed(sql, first).await else { continue };
            known += 1;
            let own = prepared.columns().iter().filter(|column| column.type_().oid() >= 10_000);
            asked.extend(own.map(|one| format!("{place}: {} of {}", one.name(), one.type_())));
            break;
        }
    }
    assert_eq!(asked, [""; 0]);
    // The others are texts that are no statements, or leave the types of more parameters to the code.
    assert!(known > 240, "{known} of {}", statements.len());
}
