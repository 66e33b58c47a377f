//! How many agents a database has room for: what doctor and status say of it.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{Database, WORKER, ask};

/// What `status --json` says of the room.
async fn room(db: &Database) -> Value {
    let said = ask(&db.url(WORKER), &["status", "--json"]).await;
    let status: Value = serde_json::from_slice(&said.stdout).unwrap();
    status.get("room").unwrap().clone()
}

fn limit<'a>(room: &'a Value, what: &str) -> &'a Value {
    let limits = room["limits"].as_array().unwrap();
    limits.iter().find(|limit| limit["what"] == what).unwrap()
}

async fn finding(db: &Database) -> Value {
    let said = ask(&db.url(WORKER), &["doctor", "--json"]).await;
    let findings: Vec<Value> = serde_json::from_slice(&said.stdout).unwrap();
    findings.into_iter().find(|finding| finding["what"] == "room").unwrap()
}

#[tokio::test]
async fn an_agent_takes_of_the_room_what_the_documents_say() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let before = room(&db).await;
    let service = db.service().await;
    admin.create("agt_1").await;
    admin.settled().await;
    service.stop().await;
    let after = room(&db).await;
    let more = |what: &str| {
        let used = |room: &Value| limit(room, what)["used"].as_i64().unwrap();
        used(&after) - used(&before)
    };
    assert_eq!(more("pg_dump_locks"), 8); // 4 tables and 4 sequences
    assert_eq!(more("api_reload"), 0); // 0.44 ms
    assert!(more("catalog") >= 0);
    let caches = limit(&after, "session_caches")["used"].as_i64().unwrap();
    assert!(caches >= 10 * 160_000, "{caches}");
    assert!(caches % 160_000 == 0, "{caches}");
    // The built-in reference is a foreign key or not, as the settings say.
    let slots: i64 = admin
        .one(
            "select current_setting('max_locks_per_transaction')::bigint
             * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)",
        )
        .await;
    let of_dump = limit(&after, "pg_dump_locks");
    assert_eq!(of_dump["most"].as_i64().unwrap(), slots * 19 / 10);
    let used = of_dump["used"].as_i64().unwrap();
    assert_eq!(of_dump["agents"].as_i64().unwrap(), 1 + (slots * 19 / 10 - used) / 8);
    let agents = |limit: &Value| limit["agents"].as_i64().unwrap();
    let limits = after["limits"].as_array().unwrap();
    assert!(limits.is_sorted_by_key(agents), "{limits:?}");
}

#[tokio::test]
async fn doctor_warns_when_seven_tenths_are_used() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_1").await;
    admin.settled().await;
    service.stop().await;
    let fine = finding(&db).await;
    assert_eq!((&fine["severity"], &fine["key"]), (&"ok".into(), &"room".into()));
    // One agent takes 160 kB in each of ten sessions, or more of them.
    let root = db.connect(SUPERUSER).await;
    let name: String =
        root.query_one("select quote_ident(current_database())", &[]).await.unwrap().get(0);
    root.batch_execute(&format!("alter database {name} set effective_cache_size = '2MB'"))
        .await
        .unwrap();
    let near = finding(&db).await;
    assert_eq!(near["severity"], "warning", "{near}");
    assert_eq!(near["key"], "room/session_caches");
    assert!(!near["fix"].as_str().unwrap().is_empty());
}

/// The agent with more rows comes first, once the server knows of them.
#[tokio::test]
async fn the_largest_agents_are_named() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_small").await;
    admin.create("agt_large").await;
    admin.settled().await;
    service.stop().await;
    let root = db.connect(SUPERUSER).await;
    root.batch_execute(
        "insert into public.agt_large_customers (name, phone) select 'x', n::text from generate_series(1, 5000) n;
         insert into public.agt_small_customers (name, phone) select 'x', n::text from generate_series(1, 500) n;
         analyze public.agt_large_customers; analyze public.agt_small_customers",
    )
    .await
    .unwrap();
    let seen = room(&db).await;
    let named: Vec<&Value> =
        seen["largest"].as_array().unwrap().iter().map(|of| &of["prefix"]).collect();
    assert_eq!(named, ["agt_large", "agt_small"]);
}
