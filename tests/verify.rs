//! `agents verify`: what it compares, and what it does not mistake for drift.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::{Value, json as value};
use tokio_postgres::types::{ToSql, Type};

use crate::support::{
    ADMIN, Admin, Database, Files, Service, WORKER, ask, expect, finish, json, said, sound,
};

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
        sound(&ask(&db.url(role), &["agents", "verify", "--json"]).await, 8);
    }
    // It looks for the key exactly where there should be one.
    admin
        .run("update provisioning.agents set reference = 'check' where agent_prefix = 'for_0'")
        .await;
    let verified = ask(&db.url(ADMIN), &["agents", "verify", "for_0", "che_0", "--json"]).await;
    expect(&verified, 1, &[]);
    let report = json(&verified);
    assert_eq!((&report["checked"], report["drifted"].as_array().unwrap().len()), (&value!(2), 1));
    let agent = &report["drifted"][0];
    assert_eq!((&agent["prefix"], &agent["id"]), (&value!("for_0"), &value!(7)));
    let [found] = agent["differences"].as_array().unwrap().as_slice() else {
        unreachable!("{agent}")
    };
    assert_eq!((&found["change"], &found["kind"]), (&value!("extra"), &value!("constraint")));
    assert_eq!(found["object"], "for_0_customers_agent_id_fkey on public.for_0_customers");
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
    let sql = include_str!("../sql/schema/catalog.sql");
    let (types, whose) = (Vec::<u32>::new(), vec![0_i64; tables.len()]);
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&tables, Type::OID_ARRAY), (&types, Type::OID_ARRAY), (&whose, Type::INT8_ARRAY)];
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
    let without_counts = |mut report: Value| {
        let counts = ["compared", "unchanged", "unchanged_since"];
        let object = report.as_object_mut().unwrap();
        for count in counts {
            object.remove(count).unwrap();
        }
        report
    };
    let report = without_counts(json(&ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await));
    let not_compared = report["not_compared"].clone();
    assert!(not_compared.as_array().unwrap().contains(&value!("rows")));
    let expected = value!({
        "views": [], "not_compared": not_compared, "differing_instances": [],
        "changed_templates": [], "public_tables": [], "checked": 4, "template_version": 1, "versions": {"1": 4}, "drifted": [],
        "without_tables": [{"prefix": "agt_new", "id": 5}],
        "without_agent": [{"prefix": "agt_gone", "id": 4}],
        "unmanaged": ["agt_6f78_notes", "shop_orders"], "adoptable": [],
    });
    assert_eq!(report, expected);
    // What the worker will see to is no orphan; and tables of nobody's are no drift.
    let jobs = ["('provision', 5, 'agt_new')", "('deprovision', 4, 'agt_gone')"];
    let insert = "insert into provisioning.jobs (kind, agent_id, agent_prefix) values";
    for (job, handled) in jobs.iter().zip(["without_tables", "without_agent"]) {
        admin.run(&format!("{insert} {job}")).await;
        let verified = ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await;
        expect(&verified, 1, &[]);
        let mut left = expected.clone();
        left[handled] = value!([]);
        assert_eq!(without_counts(json(&verified)), left);
        admin.run("delete from provisioning.jobs where state = 'pending'").await;
    }
    admin.run(&format!("{insert} {}", jobs.join(", "))).await;
    let verified = ask(&db.url(ADMIN), &["agents", "verify", "--json"]).await;
    expect(&verified, 0, &[]);
    assert_eq!(json(&verified)["unmanaged"], expected["unmanaged"]);
    let damage = "delete from provisioning.jobs where state = 'pending';
                  drop policy agt_orders_owner on public.agt_orders";
    admin.run(damage).await;
    let verified = ask(&db.url(ADMIN), &["agents", "verify", "--full"]).await;
    insta::assert_snapshot!("verified", said(&verified));
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

/// A row of the catalog that only a superuser can spoil, or a disk.
#[tokio::test]
async fn an_agent_of_which_the_catalog_cannot_be_read_is_named() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    for number in 0..5 {
        admin.create(&format!("agt_{number}")).await;
    }
    admin.settled().await;
    drop(service);
    let root = Admin(db.connect(SUPERUSER).await);
    let spoil = "update pg_constraint set conkey = '{99}'
                 where conrelid = 'public.agt_3_customers'::regclass and contype = 'p'";
    root.run(spoil).await;
    let wanted = ["cannot compare agent agt_3 with its templates", "99"];
    expect(&ask(&db.url(ADMIN), &["agents", "verify"]).await, 1, &wanted);
    sound(&ask(&db.url(ADMIN), &["agents", "verify", "--json", "agt_0", "agt_4"]).await, 2);
}

#[tokio::test]
async fn a_prefix_that_nobody_has_is_an_error_and_not_a_clean_bill() {
    let db = Database::new().await;
    let unknown = ask(&db.url(ADMIN), &["agents", "verify", "agt_x"]).await;
    expect(&unknown, 1, &["\"agt_x\""]);
    let invalid = ask(&db.url(ADMIN), &["agents", "verify", "agt-x"]).await;
    expect(&invalid, 2, &["\"agt-x\""]);
}

#[tokio::test]
async fn the_answer_is_the_same_whoever_asks_and_whoever_builds() {
    let db = Database::new().await;
    let admin = db.admin().await;
    // Words of SQL come of these prefixes.
    let user = "create table public.\"{prefix}_user\" (id serial primary key, boss int references public.\"{prefix}_user\" (id), at text default '{prefix}_user');
                create index on public.\"{prefix}_user\" (boss);
                alter table public.\"{prefix}_user\" enable row level security;
                revoke all on public.\"{prefix}_user\" from public, anon, authenticated, service_role;";
    let files = Files::new(&[("0001_user.sql", user)]);
    let reading = "alter default privileges for role postgres in schema public grant select on tables to pg_monitor";
    admin.run(reading).await;
    let path = ("TEMPLATES", files.path());
    let service = Service::start(&db.url(ADMIN), &[path]);
    service.logged("running").await;
    for prefix in ["agt_x", "session", "current"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    drop(service);
    let owned = "select count(*) from pg_tables where tablename ~ '_user$' and tableowner <> 'agent_provisioner' and schemaname = 'public' and tablename <> 'users'";
    assert_eq!(admin.one::<i64>(owned).await, 0);
    for role in [ADMIN, WORKER] {
        let mut command = files.command(&db, &["agents", "verify", "--json"]);
        sound(&finish(command.env("DATABASE_URL", db.url(role))).await, 3);
    }
}

#[tokio::test]
async fn a_view_that_shows_rows_past_row_security_is_named_whatever_its_name() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.create("agt_y").await;
    admin.settled().await;
    let views = "create schema reports; grant usage on schema reports to anon;
        create view reports.everybody as select phone from public.agt_x_customers;
        create view reports.above as select phone from reports.everybody;
        create view reports.as_reader with (security_invoker = true) as select phone from public.agt_x_customers;
        create view reports.for_nobody as select phone from public.agt_x_customers;
        grant select on reports.everybody, reports.as_reader to anon;
        grant select (phone) on reports.above to anon";
    admin.run(views).await;
    let named = async |role: &str, args: &[&str]| {
        let verified = ask(&db.url(role), &[&["agents", "verify", "--json"], args].concat()).await;
        let report = json(&verified);
        let views = report["views"].as_array().unwrap().iter();
        let views: Vec<_> = views.map(|view| view["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(verified.status.success(), views.is_empty());
        views
    };
    for role in [ADMIN, WORKER] {
        assert_eq!(named(role, &[]).await, ["reports.above", "reports.everybody"]);
        assert_eq!(named(role, &["agt_y"]).await, [""; 0]);
    }
    admin.run("alter view reports.everybody set (security_invoker = true)").await;
    assert_eq!(named(WORKER, &["agt_x"]).await, ["reports.above"]);
    admin.run("alter view reports.above set (security_invoker = true)").await;
    assert_eq!(named(WORKER, &["agt_x"]).await, [""; 0]);
}

#[tokio::test]
async fn a_sequence_behind_its_rows_is_named_before_a_customer_is_turned_away() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let root = db.connect(SUPERUSER).await;
    let import = "insert into public.agt_x_customers (id, name, phone) select i, 'n', i from generate_series(1, 3) i;
                  select pg_stat_force_next_flush()";
    root.batch_execute(import).await.unwrap();
    drop(root);
    admin.holds("select pg_stat_get_live_tuples('public.agt_x_customers'::regclass) = 3").await;
    for role in [ADMIN, WORKER] {
        let report = json(&ask(&db.url(role), &["agents", "verify", "--json"]).await);
        let [found] = report["drifted"][0]["differences"].as_array().unwrap().as_slice() else {
            unreachable!("{report}")
        };
        assert_eq!(
            (&found["kind"], &found["object"]),
            (&value!("sequence position"), &value!("public.agt_x_customers.id"))
        );
    }
    admin.run("alter sequence public.agt_x_customers_id_seq restart with 4; select nextval('public.agt_x_customers_id_seq')").await;
    sound(&ask(&db.url(WORKER), &["agents", "verify", "--json"]).await, 1);
}

#[tokio::test]
async fn a_number_with_a_cast_is_the_same_number() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    let cast = "alter table public.agt_x_customers alter agent_id set default '1'::bigint,
                    drop constraint agt_x_customers_agent_id_check,
                    add constraint agt_x_customers_agent_id_check check (agent_id = '1'::bigint)";
    admin.run(cast).await;
    sound(&ask(&db.url(WORKER), &["agents", "verify", "--json"]).await, 1);
}

#[tokio::test]
async fn a_child_of_another_agents_is_told_whoever_is_compared_with_it() {
    let db = Database::new().await;
    let files = Files::new(&[(
        "0001_notes.sql",
        "create table public.{prefix}_notes (id int);
         alter table public.{prefix}_notes enable row level security, force row level security;
         revoke all on public.{prefix}_notes from public, anon, authenticated, service_role",
    )]);
    let service = files.service(&db, &[("REFERENCE", "check")]).await;
    let admin = db.admin().await;
    admin.create("agt_x").await;
    admin.create("agt_y").await;
    admin.all_done().await;
    drop(service);
    Admin(db.connect(SUPERUSER).await)
        .run("alter table public.agt_y_notes inherit public.agt_x_notes")
        .await;
    let drifted = async |args: &[&str]| {
        let report = files.verify(&db, args).await;
        report["drifted"].as_array().unwrap().iter().find(|it| it["prefix"] == "agt_x").cloned()
    };
    let alone = drifted(&["agt_x"]).await.unwrap();
    assert_eq!(alone["differences"][0]["kind"], "child", "{alone}");
    assert_eq!(drifted(&["--full"]).await.unwrap(), alone);
}
