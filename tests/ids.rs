//! The ids that a database gives to agents.

use crate::support::{
    ADMIN, Admin, Database, Files, WORKER, ask, expect, findings, finish, json, provisioner,
};

async fn ids(admin: &Admin) -> Vec<String> {
    admin.rows("select id from public.agents order by id").await
}

/// What `doctor` says of them, where it is not as it should be.
async fn finding(url: &str) -> Option<[String; 4]> {
    findings(url).await.into_iter().find(|[_, what, ..]| what == "ids")
}

#[tokio::test]
async fn a_range_begins_behind_what_was_given_of_it_and_its_end_is_seen_before() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let range = async |role: &str, range: &str| {
        ask(&db.url(role), &["migrate", "--id-range", range, "--json"]).await
    };
    admin.run("insert into public.agents (agent_prefix) values ('agt_a'), ('agt_b')").await;
    for bad in ["9", "9-1", "0-5", "5-5", "-3-9", "1-99999999999999999999"] {
        expect(&range(ADMIN, bad).await, 2, &[]);
    }
    expect(&range(WORKER, "1000-1009").await, 1, &[]);
    // Of nothing that was given the next agent gets the number again, also where it is gone.
    let set = json(&range(ADMIN, "1-1009").await);
    assert_eq!(set["ids"]["next"], 3, "{set}");
    admin.run("delete from public.agents where agent_prefix = 'agt_b'").await;
    let set = json(&range(ADMIN, "2-1009").await);
    assert_eq!(set["ids"]["next"], 3, "{set}");
    let set = json(&range(ADMIN, "1000-1009").await);
    assert_eq!(set["ids"], serde_json::json!({ "first": 1000, "last": 1009, "next": 1000 }));
    assert_eq!(finding(&db.url(ADMIN)).await, None);
    for number in 0..9 {
        admin
            .run(&format!("insert into public.agents (agent_prefix) values ('agt_{number}')"))
            .await;
    }
    assert_eq!(ids(&admin).await[1..3], ["1000", "1001"]);
    for role in [ADMIN, WORKER] {
        let [severity, _, found, fix] = finding(&db.url(role)).await.unwrap();
        assert_eq!(severity, "warning");
        assert!(found.contains("1000-1009") && fix.contains("--id-range"), "{found} {fix}");
    }
    admin.run("insert into public.agents (agent_prefix) values ('agt_z')").await;
    let over = admin.answer("insert into public.agents (agent_prefix) values ('agt_more')").await;
    assert_eq!(over.unwrap_err().code().code(), "2200H");
    expect(&range(ADMIN, "1000-1009").await, 1, &["1000-1009"]);
    expect(&range(ADMIN, "2000-2999").await, 0, &[]);
    admin.run("insert into public.agents (agent_prefix) values ('agt_more')").await;
    assert_eq!(ids(&admin).await.last().unwrap(), "2000");
    assert_eq!(finding(&db.url(WORKER)).await, None);
    // A migration leaves it.
    expect(&ask(&db.url(ADMIN), &["migrate"]).await, 0, &[]);
    expect(&ask(&db.url(ADMIN), &["migrate", "verify"]).await, 0, &[]);
    admin.run("insert into public.agents (agent_prefix) values ('agt_again')").await;
    assert_eq!(ids(&admin).await.last().unwrap(), "2001");
}

#[tokio::test]
async fn a_database_with_a_name_is_to_have_a_range() {
    let db = Database::new().await;
    let text = format!("[[database]]\nname = \"eu\"\nurl = \"{}\"\n", db.url(ADMIN));
    let files = Files::new(&[("config.toml", &text)]);
    let run = async |args: &[&str]| {
        let mut command = provisioner("");
        command.env_remove("DATABASE_URL");
        command.env("PROVISIONER_CONFIG", format!("{}/config.toml", files.path())).args(args);
        finish(&mut command).await
    };
    let severity = async || {
        let report = json(&run(&["doctor", "--json"]).await);
        let found = report.as_array().unwrap().iter().find(|one| one["what"] == "ids").cloned();
        found.unwrap()["severity"].clone()
    };
    assert_eq!(severity().await, "warning");
    let all = ["migrate", "--database", "all", "--id-range", "1-9"];
    expect(&run(&all).await, 2, &[]);
    expect(&run(&["migrate", "--id-range", "1-999999"]).await, 0, &["1-999999"]);
    assert_eq!(severity().await, "ok");
}
