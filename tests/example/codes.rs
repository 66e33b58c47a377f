//! The page has a word for every code that it may meet.

use crate::deploy::read;
use crate::docs::codes_of;
use crate::support::Database;

#[tokio::test]
async fn every_code_of_what_it_calls_has_advice() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let text = read("deploy/example/agents.js");
    let advice = text.split("export const advice = {").nth(1).unwrap().split("};").next().unwrap();
    let advised =
        |code: &str| advice.lines().any(|line| line.trim().starts_with(&format!("{code}: ")));
    for function in ["create_agent", "delete_agent"] {
        assert!(text.contains(&format!("'{function}'")));
        let codes = codes_of(&admin, function).await;
        assert!(codes.len() > 4, "{codes:?}");
        let unknown: Vec<_> = codes.iter().filter(|code| *code != "ok" && !advised(code)).collect();
        assert_eq!(unknown, [""; 0], "{function}");
    }
}
