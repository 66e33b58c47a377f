//! Agents that go to another database.

mod broken_off;
mod copies;
mod pair;
mod refused;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pair::{MESSAGE, Pair, can_write};
use serde_json::{Value, json as value};

use crate::schemas::assert_is_as_its_schema_says;
use crate::support::{ADA, Admin, BEN, expect, json, sound};

/// What an agent has in tables that all agents share.
const SHARED: &str = "select (select to_jsonb(a) - 'id' from public.agents a where agent_prefix = 'agt_ada'),
    (select to_jsonb(w) - '{id,updated_at}'::text[] from public.whatsapp_configuration w where whatsapp_number = '+1'),
    (select jsonb_agg(to_jsonb(n) - '{meta_app_id,updated_at}'::text[] order by id) from public.whatsapp_numbers n),
    (select jsonb_agg(to_jsonb(s) - 'id' order by 1) from provisioning.secrets s where kind = 'access_token')";

const NUMBER: &str = "insert into public.whatsapp_numbers
        (id, business_id, meta_app_id, agent_id, phone_number_id, business_account_id, display_number)
    select '00000000-0000-0000-0000-0000000000a1', a.business_id, m.id, a.id, '10001', '20000', '491511'
    from public.agents a, public.meta_apps m where a.agent_prefix = 'agt_ada';
    insert into provisioning.secrets (kind, whatsapp_number_id, business_id, ciphertext)
    select 'access_token', n.id, n.business_id, decode('01' || repeat('ab', 60), 'hex') from public.whatsapp_numbers n";

const APP: &str = "insert into public.meta_apps (app_id, name) values ('99999', 'platform')";

/// All rows of an agent's tables, and what its sequences give next.
async fn rows(admin: &Admin) -> Vec<String> {
    let mut all = Vec::new();
    for table in ["customers", "messages", "orders", "orders_items"] {
        all.extend(
            admin.rows(&format!("select t from public.agt_ada_{table} t order by id")).await,
        );
        let next = format!("select pg_sequence_last_value('public.agt_ada_{table}_id_seq')");
        all.extend(admin.rows(&next).await);
    }
    all
}

#[tokio::test]
async fn an_agent_goes_with_all_that_it_has_and_comes_back() {
    let pair = Pair::new("reference = \"foreign_key\"\nrealtime = [\"messages\"]").await;
    let (eu, us) = (&pair.eu.admin, &pair.us.admin);
    eu.run(&format!("{APP}; {NUMBER}")).await;
    us.run(APP).await;
    eu.run("update public.agt_ada_orders_items set quantity = 3, price = 1.5; delete from public.agt_ada_messages").await;
    let before = (rows(eu).await, eu.rows(SHARED).await, eu.catalog("agt_ada", 1).await);
    let checked =
        json(&pair.agents("eu", &["move", "agt_ada", "--to", "us", "--dry-run", "--json"]).await);
    assert_eq!((&checked["outcome"], &checked["new_id"]), (&value!("possible"), &Value::Null));
    assert_eq!(us.tables("agt_ada").await, [""; 0]);
    assert_eq!(us.one::<i64>("select count(*) from provisioning.moves").await, 0);

    let moved = pair.agents("eu", &["move", "agt_ada", "--to", "us", "--wait", "--json"]).await;
    expect(&moved, 0, &[]);
    let moved = json(&moved);
    assert_is_as_its_schema_says("agents move", &moved);
    assert_eq!(
        (&moved["outcome"], &moved["new_id"], &moved["rows"]),
        (&value!("moved"), &value!(1), &value!(3))
    );
    assert_eq!(moved["tables"].as_array().unwrap().len(), 4);
    us.settled().await;
    let after = (rows(us).await, us.rows(SHARED).await, us.catalog("agt_ada", 1).await);
    assert_eq!(before, after);
    sound(&pair.agents("us", &["verify", "--full", "--json"]).await, 1);
    let there = "select s.state, p.reference, (select string_agg(kind || ' ' || state || ' ' || outcome, ', ' order by id)
            from provisioning.jobs), (select count(*) from pg_publication_tables where tablename = 'agt_ada_messages')
        from public.agent_states s join provisioning.agents p using (agent_id)";
    let converted =
        "ready|foreign_key|provision succeeded provisioned, convert succeeded converted|1";
    assert_eq!(us.rows(there).await, [converted]);
    // Triggers, policies and sequences go on.
    let work = "insert into public.agt_ada_orders_items (order_id, name, price) values (1, 'x', 7);
                select total_amount, (select max(id) from public.agt_ada_orders_items) from public.agt_ada_orders";
    assert_eq!(us.ask(&ADA, work).await.unwrap().rows, ["11.50|2"]);
    assert_eq!(us.ask(&BEN, work).await.unwrap_err().code().code(), "42501");

    // The source has it in the trash, knows where it is, and gives it back only to somebody who says so.
    assert_eq!(eu.tables("agt_ada").await, [""; 0]);
    let left = "select m.state, m.peer, (select count(*) from provisioning.trash where agent_prefix = 'agt_ada'),
            (select is_active from public.whatsapp_numbers), (select is_active from public.whatsapp_configuration where whatsapp_number = '+1'),
            m.carried is null, (select state || ' ' || outcome from provisioning.jobs where id = m.job)
        from provisioning.moves m";
    assert_eq!(eu.rows(left).await, ["done|us|1|f|f|t|succeeded trashed"]);
    assert_eq!(
        us.rows("select state, peer, carried is null from provisioning.moves").await,
        ["done|eu|t"]
    );
    expect(&pair.agents("eu", &["restore", "agt_ada"]).await, 1, &["\"us\"", "--moved"]);
    let again = json(&pair.agents("eu", &["move", "agt_ada", "--to", "us", "--json"]).await);
    assert_eq!(again["outcome"], "already_moved");

    let before = (rows(us).await, before.1, before.2);
    let back = pair.agents("us", &["move", "agt_ada", "--to", "eu", "--wait"]).await;
    expect(&back, 0, &["moved agt_ada (agent 1) to eu with 3 rows"]);
    eu.settled().await;
    assert_eq!(before, (rows(eu).await, eu.rows(SHARED).await, eu.catalog("agt_ada", 1).await));
    sound(&pair.agents("eu", &["verify", "--full", "--json"]).await, 2);
}

#[tokio::test]
async fn what_was_moved_comes_back_from_the_trash_for_who_says_so() {
    let pair = Pair::new("reference = \"check\"").await;
    let eu = &pair.eu.admin;
    let before = rows(eu).await;
    expect(&pair.agents("eu", &["move", "agt_ada", "--to", "us", "--wait"]).await, 0, &[]);
    for args in [&["restore", "agt_ada", "--dry-run"][..], &["restore", "agt_ada"]] {
        expect(&pair.agents("eu", args).await, 1, &["\"us\"", "--moved"]);
    }
    let dry = pair.agents("eu", &["restore", "agt_ada", "--moved", "--dry-run"]).await;
    expect(&dry, 0, &["agt_ada"]);
    assert_eq!(eu.tables("agt_ada").await, [""; 0]);
    assert_eq!(eu.rows("select state from provisioning.moves").await, ["done"]);
    expect(&pair.agents("eu", &["restore", "agt_ada", "--moved"]).await, 0, &["restored"]);
    eu.settled().await;
    assert_eq!(rows(eu).await, before);
    assert!(can_write(eu).await);
    sound(&pair.agents("eu", &["verify", "--full", "--json"]).await, 2);
}

#[tokio::test]
async fn under_load_each_acknowledged_row_is_there_once() {
    let pair = Arc::new(Pair::new("reference = \"check\"").await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..3 {
        let (pair, stop) = (Arc::clone(&pair), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let sides = [pair.eu.db.admin().await, pair.us.db.admin().await];
            let (mut acknowledged, mut side) = (Vec::new(), 0);
            while !stop.load(Ordering::SeqCst) {
                let text = format!("{writer} {}", acknowledged.len());
                let insert = format!("{}; {}; commit", ADA.begin(), MESSAGE.replace("{}", &text));
                if sides[side].batch_execute(&insert).await.is_ok() {
                    acknowledged.push(text);
                } else {
                    sides[side].run("rollback").await;
                    side = 1 - side;
                }
            }
            acknowledged
        }));
    }
    let (eu, us) = (&pair.eu.admin, &pair.us.admin);
    let before: i64 = eu.one("select count(*) from public.agt_ada_messages").await;
    // There and back: a later move goes on where the first one ended.
    for (from, to) in [("eu", "us"), ("us", "eu"), ("eu", "us")] {
        let there = if to == "us" { us } else { eu };
        expect(&pair.agents(from, &["move", "agt_ada", "--to", to, "--wait"]).await, 0, &["moved"]);
        let count: i64 = there.one("select count(*) from public.agt_ada_messages").await;
        let more = format!("select count(*) > {count} + 20 from public.agt_ada_messages");
        there.holds(&more).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = 0;
    for writer in writers {
        for text in writer.await.unwrap() {
            let found =
                format!("select count(*) from public.agt_ada_messages where message = '{text}'");
            assert_eq!(us.one::<i64>(&found).await, 1, "{text}");
            acknowledged += 1;
        }
    }
    assert!(acknowledged > 60, "{acknowledged}");
    let after: i64 = us.one("select count(*) from public.agt_ada_messages").await;
    assert_eq!(after, before + acknowledged);
}

#[tokio::test]
async fn somebody_who_has_a_table_locked_is_named_and_waited_for() {
    let pair = Pair::new("reference = \"check\"").await;
    let other = pair.eu.db.admin().await;
    other.run(&format!("begin; {}", MESSAGE.replace("{}", "late"))).await;
    let pid: i32 = other.one("select pg_backend_pid()").await;
    let mut moving = pair.command("eu", &["move", "agt_ada", "--to", "us"]);
    let moving = tokio::spawn(async move { crate::support::finish(&mut moving).await });
    let waits = "exists (select from pg_locks l join pg_database d on d.oid = l.database and d.datname = current_database()
        where not l.granted and l.mode = 'ShareRowExclusiveLock')";
    // Between two tries it holds nothing: a writer gets through.
    pair.eu.admin.holds(&format!("select {waits}")).await;
    pair.eu.admin.holds(&format!("select not {waits}")).await;
    assert!(can_write(&pair.eu.admin).await);
    pair.eu.admin.holds(&format!("select {waits}")).await;
    other.run("commit").await;
    let moved = moving.await.unwrap();
    expect(
        &moved,
        0,
        &[&format!("pg_terminate_backend({pid})"), "public.agt_ada_messages", "moved"],
    );
    let late = "select count(*) from public.agt_ada_messages where message = 'late'";
    assert_eq!(pair.us.admin.one::<i64>(late).await, 1);
}
