//! `agents verify`: what it compares, and what it does not mistake for drift.

use serde_json::json as value;
use tokio_postgres::types::Type;

use crate::support::{ADMIN, Database, WORKER, ask, expect, json};

#[tokio::test]
async fn agents_as_they_were_built_do_not_differ_whatever_their_id_and_reference() {
    let db = Database::new().await;
    let admin = db.admin().await;
    for (reference, head) in [("check", "che"), ("foreign_key", "for")] {
        let _service = db.service_with(&[("REFERENCE", reference)]).await;
        let more = u8::from(reference == "check");
        for (number, id) in ["7", "2147483646", "2147483648", "9007199254740993"].iter().enumerate()
        {
            let prefix = format!("{head}_{number}");
            let insert = "insert into public.agents (id, agent_prefix) values";
            admin.run(&format!("{insert} ({id} + {more}, '{prefix}')")).await;
        }
        admin.settled().await;
    }
    for role in [ADMIN, WORKER] {
        let verified = ask(&db.url(role), &["agents", "verify"]).await;
        expect(&verified, 0, &["8 compared: 8 as they should be, 0 not"]);
    }
    // It looks for the key exactly where there should be one.
    admin
        .run("update provisioning.agents set reference = 'check' where agent_prefix = 'for_0'")
        .await;
    let found = "extra    constraint   for_0_customers_agent_id_fkey on public.for_0_customers";
    let verified = ask(&db.url(ADMIN), &["agents", "verify", "for_0", "che_0"]).await;
    expect(&verified, 1, &["for_0 (7): 1 difference\n", found, "2 compared"]);
}

#[tokio::test]
async fn an_index_is_told_in_the_servers_own_words_however_it_came_to_be() {
    let admin = Database::new().await.admin().await;
    admin
        .run(
            r#"create type public.size as enum ('s', 'm');
               create domain public.word as text;
               create table public.many (
                   a integer, "B b" text, c varchar(9), d timestamptz, e public.size, f public.word,
                   g text collate "C", h integer[], i jsonb, j oid, k name, l bpchar,
                   unique (a), exclude using btree (j with =)
               );
               create index on public.many (a, d desc, c);
               create index "Odd name" on public.many ("B b" desc, a);
               create index on public.many (d desc nulls last, a nulls first);
               create index on public.many (e); create index on public.many (f);
               create index on public.many (g); create index on public.many (h);
               create index on public.many (k); create index on public.many (l);
               create index on public.many (g collate "default"); create index on public.many (c text_pattern_ops);
               create index on public.many (c varchar_ops); create index on public.many (a oid_ops);
               create index on public.many (lower(c), a); create index on public.many (a) where a > 3;
               create index on public.many (a) include (c); create index on public.many (a) with (fillfactor = 70);
               create unique index on public.many (d); create unique index on public.many (a) nulls not distinct;
               create index on public.many using hash (c); create index on public.many using gin (i);
               create index on public.many using brin (d);
               create table public.parted (a integer) partition by range (a);
               create index on public.parted (a);"#,
        )
        .await;
    let tables = "select array['public.many'::regclass, 'public.parted'::regclass]::oid[]";
    let tables: Vec<u32> = admin.one(tables).await;
    admin.run("set search_path = ''").await;
    let sql = include_str!("../sql/queries/catalog.sql");
    let parameters =
        [(&tables as _, Type::OID_ARRAY), (&[0_u32; 0].as_slice() as _, Type::OID_ARRAY)];
    let told = admin.query_typed(sql, &parameters).await.unwrap();
    let told = told.iter().filter(|row| row.get::<_, &str>("kind") == "index");
    let mut told: Vec<String> = told.map(|row| row.get("definition")).collect();
    told.sort();
    let own = "select pg_get_indexdef(indexrelid) from pg_index where indrelid = any ($1) \
               and indexrelid not in (select conindid from pg_constraint)";
    let own = admin.query(own, &[&tables]).await.unwrap();
    let mut own: Vec<String> = own.iter().map(|row| row.get(0)).collect();
    own.sort();
    assert_eq!(told, own);
    assert_eq!(told.len(), 23);
}

#[tokio::test]
async fn orphans_of_every_kind_are_told() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    for prefix in ["agt", "agt_6f78", "agt_bare", "agt_gone"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    drop(service);
    admin
        .run(
            "alter table public.agents disable trigger enqueue_deprovision,
                 disable trigger enqueue_provision;
             delete from public.agents where agent_prefix = 'agt_gone';
             insert into public.agents (agent_prefix) values ('agt_new');
             insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
                 values ('provision', 5, 'agt_new', 'dead', now());
             create table public.agt_6f78_notes (); create table public.shop_orders ();
             create table public.agtx_notes (); create table public.unrelated ()",
        )
        .await;
    let report = json(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await);
    let expected = value!({
        "changed_templates": [], "public_tables": [], "checked": 4, "template_version": 1, "versions": {"1": 4}, "drifted": [],
        "without_tables": [{"prefix": "agt_new", "id": 5}],
        "without_agent": [{"prefix": "agt_gone", "id": 4}],
        "unmanaged": ["agt_6f78_notes", "shop_orders"],
    });
    assert_eq!(report, expected);
    let verified = ask(&db.url(ADMIN), &["agents", "verify"]).await;
    expect(&verified, 1, &["agt_new (5): has no tables", "agt_gone (4): has tables, and no row"]);
    expect(&verified, 1, &["public.agt_6f78_notes: looks like an agent's table"]);
    // What the worker will see to is no orphan; and tables of nobody's are no drift.
    let jobs = ["('provision', 5, 'agt_new')", "('deprovision', 4, 'agt_gone')"];
    let insert = "insert into provisioning.jobs (kind, agent_id, agent_prefix) values";
    for (job, left) in jobs.iter().zip(["agt_gone (4): has tables", "agt_new (5): has no tables"]) {
        admin.run(&format!("{insert} {job}")).await;
        expect(&ask(&db.url(ADMIN), &["agents", "verify"]).await, 1, &[left, "4 as they should"]);
        admin.run("delete from provisioning.jobs where state = 'pending'").await;
    }
    admin.run(&format!("{insert} {}", jobs.join(", "))).await;
    expect(&ask(&db.url(ADMIN), &["agents", "verify"]).await, 0, &["looks like an agent's table"]);
}

#[tokio::test]
async fn agents_that_come_and_go_meanwhile_do_not_count_as_drift() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service_with(&[("REFERENCE", "check")]).await;
    let stay = "insert into public.agents (agent_prefix) select 'stay_' || i from generate_series(1, 20) i";
    admin.run(stay).await;
    admin.settled().await;
    let churn = async {
        loop {
            let come = "insert into public.agents (agent_prefix) select 'go_' || i from generate_series(1, 8) i";
            admin.run(come).await;
            admin.holds("select count(*) > 22 from provisioning.agents").await;
            admin.run("delete from public.agents where agent_prefix like 'go%'").await;
            admin.holds("select count(*) < 26 from provisioning.agents").await;
        }
    };
    let verify = async {
        for _ in 0..8 {
            expect(&ask(&db.url(ADMIN), &["agents", "verify"]).await, 0, &[" 0 not"]);
        }
    };
    tokio::select! {
        () = verify => {}
        () = churn => {}
    }
}

#[tokio::test]
async fn a_prefix_that_nobody_has_is_an_error_and_not_a_clean_bill() {
    let db = Database::new().await;
    let unknown = ask(&db.url(ADMIN), &["agents", "verify", "agt_x"]).await;
    expect(&unknown, 1, &["no tables are registered for an agent \"agt_x\""]);
    let invalid = ask(&db.url(ADMIN), &["agents", "verify", "agt-x"]).await;
    expect(&invalid, 2, &["agent prefix \"agt-x\" is not valid"]);
}
