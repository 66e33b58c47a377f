//! The operators' commands on agents.

use std::process::Output;

use serde_json::{Value, json as value};

use crate::support::{ADA, ADMIN, BEN, BOSS, Database, WORKER, ask, expect, json};

async fn agents(url: &str, args: &[&str]) -> Output {
    ask(url, &[&["agents"], args].concat()).await
}

#[tokio::test]
async fn list_knows_every_agent_by_the_state_that_agent_status_gives_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    for prefix in ["agt_deleting", "agt_left", "agt_ready", "agt_stuck"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    drop(service);
    admin
        .run(
            "delete from provisioning.instances;
             insert into public.agents (agent_prefix)
             values ('agt_broken'), ('agt_pending'), ('agt_brief');
             update provisioning.jobs set state = 'dead', finished_at = now(), last_error = 'no'
             where agent_prefix = 'agt_broken';
             delete from public.agents where agent_prefix in ('agt_deleting', 'agt_brief', 'agt_stuck');
             update provisioning.jobs set state = 'dead', finished_at = now()
             where agent_prefix = 'agt_stuck' and kind = 'deprovision';
             alter table public.agents disable trigger enqueue_deprovision,
                 disable trigger enqueue_provision;
             delete from public.agents where agent_prefix = 'agt_left';
             insert into public.agents (agent_prefix) values ('agt_unseen')",
        )
        .await;
    for role in [WORKER, ADMIN] {
        let listed = json(&agents(&db.url(role), &["list", "--json"]).await);
        let mut states = Vec::new();
        for agent in listed.as_array().unwrap() {
            let rule = format!("select state from public.agent_status({})", agent["id"]);
            let (prefix, state) = (agent["prefix"].as_str().unwrap(), agent["state"].as_str());
            assert_eq!(admin.rows(&rule).await, [state.unwrap()], "{prefix}");
            states.push(format!("{prefix} {} {}", state.unwrap(), agent["table_count"]));
        }
        let expected = [
            "agt_brief deleting 0",
            "agt_broken failed 0",
            "agt_deleting deleting 4",
            "agt_left orphaned 4",
            "agt_pending pending 0",
            "agt_ready ready 4",
            "agt_stuck failed 4",
            "agt_unseen waiting 0",
        ];
        assert_eq!(states, expected, "{role}");
        let ready = &listed[5];
        let job = &ready["last_job"];
        assert_eq!(
            [&ready["template_version"], &ready["reference"]],
            [&value!(1), &value!("foreign_key")]
        );
        assert_eq!([&job["kind"], &job["state"]], ["provision", "succeeded"]);
        assert_eq!(listed[1]["last_job"]["error"], "no");
        assert_eq!(listed[7]["last_job"], Value::Null);
    }
    let text = agents(&db.url(WORKER), &["list"]).await;
    expect(&text, 0, &["PREFIX", "agt_unseen", "foreign_key"]);
}

#[tokio::test]
async fn show_measures_the_tables_and_names_what_is_missing_or_locked() {
    let db = Database::new().await;
    let (admin, holder) = (db.admin().await, db.admin().await);
    let service = db.service().await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    drop(service);
    admin
        .run(
            "insert into public.agt_6f78_customers (name, phone)
             select 'a', 'b' from generate_series(1, 1234);
             analyze public.agt_6f78_customers; drop table public.agt_6f78_orders_items",
        )
        .await;
    let url = db.url(WORKER);
    let shown = json(&agents(&url, &["show", "agt_6f78", "--json"]).await);
    let tables = shown[0]["tables"].as_array().unwrap();
    assert_eq!(tables[0]["name"], "agt_6f78_customers");
    assert_eq!(tables[0]["rows"], 1234);
    let bytes = "select pg_total_relation_size('public.agt_6f78_customers')";
    assert_eq!(tables[0]["bytes"], admin.one::<i64>(bytes).await);
    assert_eq!([&tables[1]["rows"], &tables[1]["present"]], [&Value::Null, &value!(true)]);
    assert_eq!([&tables[3]["bytes"], &tables[3]["present"]], [&Value::Null, &value!(false)]);
    let text = agents(&url, &["show", "agt_6f78"]).await;
    expect(&text, 0, &["Agent agt_6f78 (1) is ready", "1234", " kB", "missing", "provision"]);

    holder.run("begin; lock table public.agt_6f78_messages").await;
    expect(&agents(&url, &["show", "agt_6f78"]).await, 0, &["locked", "1234"]);
}

#[tokio::test]
async fn list_show_and_agent_status_tell_of_renamed_and_moved_tables_in_the_same_words() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let service = db.service().await;
    admin.settled().await;
    drop(service);
    admin
        .run(
            "alter table public.agt_ada_orders_items rename to agt_ada_order_items;
             create schema archive; alter table public.agt_ada_orders set schema archive;
             alter table public.agt_ada_messages set schema archive;
             alter table archive.agt_ada_messages rename to \"Chats\"",
        )
        .await;
    let words = [
        ("agt_ada_messages", "moved to schema archive and renamed to \"Chats\""),
        ("agt_ada_orders", "moved to schema archive"),
        ("agt_ada_orders_items", "renamed to agt_ada_order_items"),
    ];
    let displaced = words.map(|(table, said)| value!({ "table": table, "displacement": said }));
    for role in [WORKER, ADMIN] {
        let listed = json(&agents(&db.url(role), &["list", "--json"]).await);
        assert_eq!(listed[0]["displaced"], value!(displaced), "{role}");
        assert_eq!(listed[1]["displaced"], value!([]), "{role}");
        let shown = json(&agents(&db.url(role), &["show", "agt_ada", "--json"]).await);
        for table in shown[0]["tables"].as_array().unwrap() {
            let said = words.iter().find(|(name, _)| table["name"] == *name).map(|(_, said)| said);
            assert_eq!(table["displacement"], value!(said), "{table}");
            assert_eq!(table["present"], said.is_none(), "{table}");
        }
        for command in [&["list"][..], &["show", "agt_ada"]] {
            expect(&agents(&db.url(role), command).await, 0, &words.map(|(_, said)| said));
        }
    }
    let status = "select message from public.agent_status(1)";
    let told = words.map(|(table, said)| format!(" The table {table} was {said}.")).concat();
    for caller in [ADA, BOSS] {
        let message = admin.ask(&caller, status).await.unwrap().rows;
        assert_eq!(message, [format!("The tables are ready.{told}")]);
    }
    let others = "select message from public.agent_status(2)";
    assert_eq!(admin.ask(&BEN, others).await.unwrap().rows, ["The tables are ready."]);
    for sql in [status, "select * from provisioning.displaced_tables"] {
        assert_eq!(admin.ask(&BEN, sql).await.unwrap_err().code().code(), "42501", "{sql}");
    }
}

#[tokio::test]
async fn a_prefix_that_stands_for_two_agents_shows_both() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    drop(service);
    admin.run("delete from public.agents").await;
    admin.create("agt_6f78").await;
    let url = db.url(WORKER);
    let shown = json(&agents(&url, &["show", "agt_6f78", "--json"]).await);
    let brief = |agent: &Value| value!([agent["id"], agent["state"], agent["alive"]]);
    let all: Vec<_> = shown.as_array().unwrap().iter().map(brief).collect();
    assert_eq!(value!(all), value!([[2, "pending", true], [1, "deleting", false]]));
    expect(&agents(&url, &["show", "agt_6f78"]).await, 0, &["(2)", "(1)", "public.agents"]);
}

#[tokio::test]
async fn a_prefix_that_nobody_has_ends_with_1_and_wrong_usage_with_2() {
    let db = Database::new().await;
    let url = db.url(WORKER);
    expect(&agents(&url, &["show", "agt_x"]).await, 1, &["\"agt_x\""]);
    expect(&agents(&url, &["show"]).await, 2, &["error: "]);
    expect(&agents(&url, &["list"]).await, 0, &["no agents"]);
    assert_eq!(json(&agents(&url, &["list", "--json"]).await), value!([]));
}

#[tokio::test]
async fn create_builds_an_agent_for_a_user_and_delete_takes_it_to_the_trash() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let _service = db.service().await;
    admin.settled().await;
    let url = db.url(ADMIN);
    let user = "select id from public.users where email = 'new@example.org'";
    admin.run("insert into auth.users (email) values ('new@example.org')").await;
    let create = ["create", "agt_new", "--user", "New@Example.org", "--by", "eve"];
    let created = json(&agents(&url, &[&create[..], &["--wait", "--json"]].concat()).await);
    assert_eq!([&created["prefix"], &created["end"]], ["agt_new", "succeeded"]);
    assert_eq!(admin.tables("agt_new").await.len(), 4);
    let whose = "select user_id::text || created_by::text from public.agents where agent_prefix = 'agt_new'";
    let id = admin.rows(&format!("select id from ({user}) u")).await.concat();
    assert_eq!(admin.rows(whose).await, [id.repeat(2)]);
    let asked = |kind: &str| {
        format!(
            "select requested_by from provisioning.jobs where kind = '{kind}' and agent_prefix = 'agt_new'"
        )
    };
    assert_eq!(admin.rows(&asked("provision")).await, ["postgres (eve)"]);

    let counted = "select count(*) from public.agents";
    let agents_before = admin.rows(counted).await;
    expect(&agents(&url, &create).await, 1, &["\"agt_new\" is taken"]);
    expect(
        &agents(&url, &["create", "--user", "nobody@example.org"]).await,
        1,
        &["nobody@example.org"],
    );
    let refused = agents(&db.url(WORKER), &["create", "agt_no", "--user", BEN.id]).await;
    expect(&refused, 1, &["agent_provisioner", "postgres"]);
    let refused = agents(&db.url(WORKER), &["delete", "agt_new", "--yes"]).await;
    expect(&refused, 1, &["agent_provisioner", "postgres"]);
    // None is deleted where one is unknown, or without --yes.
    let some = ["delete", "agt_new", "agt_nowhere", "--yes"];
    expect(&agents(&url, &some).await, 1, &["\"agt_nowhere\""]);
    let planned = agents(&url, &["delete", "agt_new", "--json"]).await;
    assert_eq!(planned.status.code(), Some(2));
    assert_eq!(admin.rows(counted).await, agents_before);
    assert_eq!(admin.rows(&asked("deprovision")).await, [""; 0]);

    let delete = ["delete", "agt_new", "agt_new", "--yes", "--wait", "--json", "--by", "eve"];
    let deleted = json(&agents(&url, &delete).await);
    let brief = |report: &Value| value!([report["prefix"], report["tables"], report["end"]]);
    let all: Vec<_> = deleted.as_array().unwrap().iter().map(brief).collect();
    assert_eq!(value!(all), value!([["agt_new", 4, "succeeded"]]));
    assert_eq!(admin.rows(&asked("deprovision")).await, ["postgres (eve)"]);
    assert_eq!(admin.tables("agt_new").await, [""; 0]);
    let trash = json(&agents(&url, &["trash", "--json"]).await);
    assert_eq!(trash[0]["prefix"], "agt_new");
    expect(&agents(&url, &["delete", "agt_new", "--yes"]).await, 1, &["\"agt_new\""]);
}

#[tokio::test]
async fn delete_says_that_a_paused_deletion_waits_and_names_the_user_whose_address_is_meant() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let id = admin.create("agt_a").await;
    admin
        .run(&format!(
            "update provisioning.jobs set state = 'succeeded', finished_at = now();
             insert into provisioning.agents (agent_id, agent_prefix, template_version, reference)
                 values ({id}, 'agt_a', 1, 'check');
             insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
                 values ('deprovision', {id}, 'agt_a', 'paused', now())"
        ))
        .await;
    let deleted = agents(&db.url(ADMIN), &["delete", "agt_a", "--yes", "--json"]).await;
    assert_eq!(json(&deleted)[0]["paused"], true);
    let deleted = agents(&db.url(ADMIN), &["delete", "agt_a", "--yes"]).await;
    expect(&deleted, 0, &["jobs show 2"]);
    assert_eq!(admin.one::<i64>("select count(*) from public.agents").await, 1);
    // Two users whose addresses differ by the letters alone: only the exact one is meant.
    admin
        .run("insert into auth.users (email) values ('Eve@example.org'), ('eve@example.org')")
        .await;
    for (named, code) in [("EVE@example.org", 1), ("eve@example.org", 0)] {
        let created = agents(&db.url(ADMIN), &["create", "--user", named]).await;
        expect(&created, code, &[]);
    }
    let whose = "select u.email from public.agents a join public.users u on u.id = a.user_id";
    assert_eq!(admin.rows(whose).await, ["eve@example.org"]);
}
