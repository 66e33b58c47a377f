//! What people, browsers and tokens send that nobody should: refused clearly, executed never.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use agent_provisioner::agent::Prefix;
use agent_provisioner::sql_text::split;

use crate::support::{
    ADA, Admin, BEN, BOSS, CALLERS, CAT, Caller, DAN, Database, WORKER, ask, begin, said,
};

/// Everything that anybody could have changed. Other tests make roles of their own on the same server.
const STATE: &str = "select md5(concat(
    (select string_agg(u::text, ',' order by id) from public.users u),
    (select string_agg(a::text, ',' order by id) from public.agents a),
    (select string_agg(w::text, ',' order by id) from public.whatsapp_configuration w),
    (select string_agg(j::text, ',' order by id) from provisioning.jobs j),
    (select string_agg(relname, ',' order by oid) from pg_class where relkind in ('r', 'v', 'S')),
    (select string_agg(rolname || rolsuper || rolbypassrls, ',' order by oid) from pg_roles
     where rolname in ('anon', 'authenticated', 'authenticator', 'service_role', 'postgres',
                       'agent_provisioner', 'agent_console'))))";

/// Where SQL, formats, patterns and encodings go wrong.
const ODD: [&str; 34] = [
    "",
    "'",
    "''",
    "\"",
    "\\",
    "`",
    ";",
    "--",
    "/*",
    "$$",
    "%",
    "%I",
    "{prefix}",
    "_%",
    ".",
    " ",
    "\t",
    "\n",
    "\r",
    "\u{a0}",
    "\u{feff}",
    "\u{200b}",
    "\u{301}",
    "é",
    "ı",
    "ſ",
    "K",   // the Kelvin sign, whose lower case is k
    "аgt", // Cyrillic
    "😀",
    "'; drop table public.users; --",
    "\"; drop schema provisioning cascade; --",
    "$$; select pg_terminate_backend(pid) from pg_stat_activity; $$",
    "AGT",
    "                                                               ",
];

fn prefix() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9_]{1,19}",
        "[a-z][a-z0-9_]{18,21}",
        "[A-Za-z0-9_]{0,24}",
        "[a-z_]{60,70}",
        ("[a-z][a-z0-9_]{0,9}", select(&ODD[..]), "[a-z0-9_]{0,9}")
            .prop_map(|(head, odd, tail)| format!("{head}{odd}{tail}")),
        "\\PC{0,24}",
    ]
}

fn cases(cases: u32) -> TestRunner {
    TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) })
}

async fn crm() -> (Database, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    drop(service);
    admin.fill(&["agt_ada", "agt_ben"]).await;
    (db, admin)
}

#[test]
fn the_table_the_function_and_the_program_agree_on_what_a_prefix_is() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_db, admin) = runtime.block_on(crm());
    let before: String = runtime.block_on(admin.one(STATE));
    let checked = |text: String| {
        runtime.block_on(async {
            let valid = text.parse::<Prefix>().is_ok();
            admin.run("begin").await;
            let insert = "insert into public.agents (agent_prefix) values ($1)";
            let inserted = admin.execute(insert, &[&text]).await;
            admin.run("rollback").await;
            match inserted {
                Ok(_) => prop_assert!(valid, "{text:?} was inserted"),
                Err(error) => {
                    prop_assert!(!valid, "{text:?}: {error:?}");
                    let code = error.code().unwrap().code().to_owned();
                    prop_assert!(["23514", "22001"].contains(&&*code), "{text:?}: {error:?}");
                }
            }
            admin.run(&BOSS.begin()).await;
            let create =
                "select success, message from public.create_agent($1::text::uuid, $2, null)";
            let row = admin.query_one(create, &[&DAN.id, &text]).await.unwrap();
            admin.run("rollback").await;
            let message: String = row.get(1);
            prop_assert_eq!(row.get::<_, bool>(0), valid, "{:?}: {}", text, message);
            prop_assert!(!message.contains("unexpected"), "{text:?}: {message}");
            Ok(())
        })
    };
    cases(512).run(&prefix(), checked).unwrap();
    assert_eq!(runtime.block_on(admin.one::<String>(STATE)), before);
}

#[test]
fn every_prefix_is_an_identifier_that_needs_no_quotes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_db, admin) = runtime.block_on(crm());
    let round_trip = async |prefix: &str| {
        assert!(prefix.parse::<Prefix>().is_ok(), "{prefix}");
        // The longest name that the built-in templates make of it.
        let name = format!("{prefix}_orders_items_order_id_idx");
        admin.run(&format!("begin; create table public.{name} (n int)")).await;
        let sql = format!("select to_regclass('public.\"{name}\"') is not null");
        assert!(admin.one::<bool>(&sql).await, "{name}");
        admin.run("rollback").await;
    };
    let words = "select word from pg_get_keywords() where word ~ '^[a-z][a-z0-9_]{1,19}$'";
    for word in runtime.block_on(admin.rows(words)) {
        runtime.block_on(round_trip(&word));
    }
    let any = |prefix: String| {
        runtime.block_on(round_trip(&prefix));
        Ok(())
    };
    cases(64).run(&"[a-z][a-z0-9_]{1,19}", any).unwrap();
}

/// Words that SQL keeps for itself, and prefixes that begin like other agents' tables.
const AWKWARD: [&str; 12] = [
    "select",
    "table",
    "user",
    "all",
    "null",
    "pg_temp",
    "public",
    "agt",
    "agt_orders",
    "agt_orders_items",
    "a__________________b",
    "agtxorders",
];

#[tokio::test]
async fn awkward_prefixes_are_built_and_go_without_their_look_alikes() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    for prefix in AWKWARD {
        admin.create(prefix).await;
    }
    admin.settled().await;
    let registered = "select count(*) from provisioning.agent_tables";
    assert_eq!(admin.one::<i64>(registered).await, 48);
    for (gone, prefix) in (1..).zip(AWKWARD) {
        admin.run(&format!("delete from public.agents where agent_prefix = '{prefix}'")).await;
        admin.settled().await;
        let left: i64 = admin
            .one(
                "select count(*) from provisioning.agent_tables t
                 join pg_class c on c.oid = t.relation and c.relname = t.table_name",
            )
            .await;
        assert_eq!(left, 48 - 4 * gone, "{prefix}");
    }
    assert_eq!(admin.rows("select distinct state from provisioning.jobs").await, ["succeeded"]);
}

#[tokio::test]
async fn the_commands_take_no_text_for_sql() {
    let (db, admin) = crm().await;
    let before: String = admin.one(STATE).await;
    let url = db.url(WORKER);
    for odd in ODD {
        let prefix = format!("agt{odd}");
        let shown = ask(&url, &["agents", "show", &prefix]).await;
        assert_eq!(shown.status.code(), Some(1), "{prefix:?}: {}", said(&shown));
        // The server said nothing: there is no such agent.
        assert!(!said(&shown).contains("SQLSTATE"), "{prefix:?}: {}", said(&shown));
        let jobs = ask(&url, &["jobs", "list", "--json", "--prefix", &prefix]).await;
        assert_eq!(said(&jobs).trim(), "[]", "{prefix:?}");
        let rendered = ask(&url, &["render", &prefix]).await;
        let (code, text) = (rendered.status.code(), said(&rendered));
        if prefix.parse::<Prefix>().is_ok() {
            assert_eq!(code, Some(0), "{prefix:?}: {text}");
        } else {
            assert_eq!(code, Some(2), "{prefix:?}: {text}");
        }
    }
    assert_eq!(admin.one::<String>(STATE).await, before);
}

/// A value of any kind, some of them what a function looks for.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        select(&ODD[..]).prop_map(str::to_owned),
        select(vec![ADA.id, BEN.id, BOSS.id, "admin", "agent", "agt_x", "ada@example.com"])
            .prop_map(str::to_owned),
        "\\PC{0,300}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let key = prop_oneof![select(&KEYS[..]).prop_map(str::to_owned), "\\PC{0,70}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(key, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const KEYS: [&str; 9] = [
    "name",
    "email",
    "role",
    "id",
    "agent_prefix",
    "user_id",
    "created_by",
    "created_at",
    "name = 'x', role = 'admin', name",
];

fn updates() -> impl Strategy<Value = Value> {
    let pairs = proptest::collection::hash_map(select(&KEYS[..]), value(), 0..3);
    let object = pairs.prop_map(|map| {
        Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    });
    // What an admin could send, and the owner must not.
    let good = vec!["admin", "agt_x", BEN.id, ADA.id, "ada@example.com", "Ada L."];
    let meant = (select(&KEYS[..]), select(good)).prop_map(|(key, value)| json!({key: value}));
    prop_oneof![2 => object, 2 => meant, 1 => value()]
}

/// The rows that `update_agent_details` of agent 1 is about, without what its owner may change.
const FIXED: &str = "select md5(concat(
    (select string_agg(to_jsonb(u)::text, ',' order by id) from public.users u where name <> 'ada' and id <> '{ada}'),
    (select string_agg((to_jsonb(u) - 'name')::text, ',') from public.users u where id = '{ada}'),
    (select string_agg(a::text, ',' order by id) from public.agents a)))";

#[test]
fn whatever_an_owner_sends_only_the_own_name_changes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_db, admin) = runtime.block_on(crm());
    let fixed = FIXED.replace("{ada}", ADA.id);
    let (before, all): (String, String) =
        runtime.block_on(async { (admin.one(&fixed).await, admin.one(STATE).await) });
    let sent = |(user, agent): (Value, Value)| {
        runtime.block_on(async {
            let sql = "select success, message from public.update_agent_details(1, $1::text::jsonb,
                           $2::text::jsonb, null)";
            admin.run(&ADA.begin()).await;
            let (user, agent) = (user.to_string(), agent.to_string());
            let answer = admin.query_one(sql, &[&user, &agent]).await;
            let Ok(row) = answer else {
                let error = answer.unwrap_err();
                admin.run("rollback").await;
                // JSON that PostgreSQL does not take: a number or a text that it cannot hold.
                let code = error.code().unwrap().code().to_owned();
                prop_assert!(["22P05", "22P02", "22003"].contains(&&*code), "{user}: {error:?}");
                return Ok(());
            };
            admin.run("reset role").await;
            let (success, message): (bool, String) = (row.get(0), row.get(1));
            let fixed: String = admin.one(&fixed).await;
            let now: String = admin.one(STATE).await;
            admin.run("rollback").await;
            prop_assert_eq!(&fixed, &before, "{} {}: {}", user, agent, message);
            prop_assert!(success || now == all, "{user} {agent}: {message}");
            prop_assert!(!message.contains("unexpected"), "{user} {agent}: {message}");
            prop_assert!(!message.contains("secret"), "{user} {agent}: {message}");
            Ok(())
        })
    };
    cases(512).run(&(updates(), updates()), sent).unwrap();
}

/// What a function says to somebody, and whether anything changed.
async fn call(admin: &Admin, begin: &str, call: &str, before: &str) -> String {
    admin.run(begin).await;
    let sql = format!("select left(f::text, 300) from public.{call} f");
    let said = match admin.answer(&sql).await {
        Ok(answer) => answer.rows.join("\n"),
        Err(error) => format!("{} {}", error.code().code(), error.message()),
    };
    admin.run("rollback").await;
    assert_eq!(admin.one::<String>(STATE).await, before, "{call}");
    said
}

#[tokio::test]
async fn claims_that_no_gateway_would_sign_call_no_function() {
    let (_db, admin) = crm().await;
    let before: String = admin.one(STATE).await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!(r#"{{"sub":"{}"}}"#, "a".repeat(1_000_000));
    let admins = json!({"role": "admin", "user_role": "admin", "app_metadata": {"role": "admin"}});
    let claims = [
        "{".to_owned(),
        "null".to_owned(),
        "true".to_owned(),
        "\"admin\"".to_owned(),
        deep,
        long,
        admins.to_string(),
        json!([{"sub": BOSS.id}]).to_string(),
        json!({"sub": [BOSS.id]}).to_string(),
        json!({"sub": {"sub": BOSS.id}}).to_string(),
        json!({"sub": 1}).to_string(),
        json!({"sub": true}).to_string(),
        json!({"sub": format!("{}' or true --", BOSS.id)}).to_string(),
        json!({"SUB": BOSS.id, "Sub": BOSS.id, "sub ": BOSS.id}).to_string(),
        json!({"role": "service_role"}).to_string(),
        json!({"role": "postgres", "sub": null}).to_string(),
        json!({"sub": DAN.id, "role": "service_role", "is_admin": true}).to_string(),
        json!({"sub": DAN.id, "user_metadata": {"role": "admin"}}).to_string(),
    ];
    let calls = [
        format!("create_agent('{}', 'agt_x', '{}')", DAN.id, BOSS.id),
        format!("create_agent('{}', 'agt_x', null)", DAN.id),
        format!("update_agent_details(1, '{{\"name\":\"x\"}}', null, '{}')", ADA.id),
        "update_agent_details(1, '{\"role\":\"admin\"}')".to_owned(),
        "delete_agent(1)".to_owned(),
        "create_agent_tables('agt_ada', 1)".to_owned(),
        "create_agent_indexes('agt_ada')".to_owned(),
        "agent_status(1)".to_owned(),
        format!("get_whatsapp_config('{}')", ADA.id),
        format!("update_whatsapp_config('{}', api_key => 'x')", ADA.id),
        format!("delete_whatsapp_config('{}')", ADA.id),
    ];
    for claims in &claims {
        for asked in &calls {
            let begin = begin("authenticated", claims);
            let said = call(&admin, &begin, asked, &before).await;
            let (claims, refused) = (claims.get(..80).unwrap_or(claims), [",f,", "(f,"]);
            let refused = refused.iter().any(|mark| said.contains(mark))
                || ["42501", "22P02", "54001"].iter().any(|code| said.starts_with(code))
                || said.is_empty();
            assert!(refused, "{claims} {asked}: {said}");
            for secret in ["secret", "api_key", "+1"] {
                assert!(!said.contains(secret), "{claims} {asked}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn oversized_values_are_refused_or_kept_and_never_cut_short() {
    let (_db, admin) = crm().await;
    let before: String = admin.one(STATE).await;
    let Caller { id, .. } = ADA;
    let huge = "repeat('é', 10000000)";
    for asked in [
        format!("update_agent_details(1, jsonb_build_object('name', {huge}))"),
        format!("update_agent_details(1, jsonb_build_object({huge}, 1))"),
        format!("update_agent_details(1, null, jsonb_build_object('user_id', {huge}))"),
        "update_agent_details(1, ('[' || repeat('[],', 100000) || '1]')::jsonb)".to_owned(),
        format!("create_whatsapp_config('{id}', {huge}, 'https://x')"),
        format!("update_whatsapp_config('{id}', phone_number_id => {huge})"),
        format!("create_agent('{}', {huge}, null)", DAN.id),
        format!("create_agent_tables({huge}, 1)"),
        format!("create_agent_indexes({huge})"),
    ] {
        let said = call(&admin, &BOSS.begin(), &asked, &before).await;
        assert!(said.contains(",f,") || said.starts_with("(f,"), "{asked}: {said}");
        assert!(!said.contains("unexpected"), "{asked}: {said}");
    }
    let kept = format!(
        "select success and length(config ->> 'webhook_url') = 10000000
         from public.create_whatsapp_config('{id}', '+1', {huge})"
    );
    assert_eq!(admin.ask(&ADA, &kept).await.unwrap().rows, ["t"]);
}

#[tokio::test]
async fn nobody_uses_up_the_ids_of_an_agent_that_is_not_his() {
    let (_db, admin) = crm().await;
    // As projects have them: one that draws for whoever asks, and one that writes for everybody.
    admin
        .run(
            "create function public.draw(s regclass) returns bigint language sql as 'select nextval(s)';
             create function public.receive() returns void language sql security definer as
                 'insert into public.agt_ada_customers (name, phone) values (''x'', ''+1'')'",
        )
        .await;
    let drawn = "select last_value from public.agt_ada_customers_id_seq";
    let before: i64 = admin.one(drawn).await;
    let role = |name| CALLERS.into_iter().find(|caller| caller.name == name).unwrap();
    let (anon, service) = (role("anon"), role("service_role"));
    let insert = "insert into public.agt_ada_customers (name, phone) values ('x', '+1')";
    let many = "insert into public.agt_ada_customers (name, phone) select 'x', n from generate_series(1, 9) n";
    let quiet = format!("{insert} on conflict do nothing");
    let draw = "select public.draw('public.agt_ada_customers_id_seq')";
    for (caller, sql) in [
        (BEN, insert),
        (CAT, insert), // created it, and is no admin
        (anon, insert),
        (BEN, many),
        (BEN, &quiet),
        (BEN, "select nextval('public.agt_ada_customers_id_seq')"),
        (BEN, draw),
        (ADA, draw),
        (BEN, "select setval('public.agt_ada_customers_id_seq', 2147483647)"),
    ] {
        let refusal = admin.ask(&caller, sql).await.expect_err(sql);
        assert_eq!(refusal.code().code(), "42501", "{}: {sql}: {refusal}", caller.name);
        assert_eq!(admin.one::<i64>(drawn).await, before, "{}: {sql}", caller.name);
    }
    let receive = "select public.receive()";
    let drawers =
        [(ADA, insert), (BOSS, insert), (service, insert), (service, draw), (anon, receive)];
    for (count, (caller, sql)) in (1..).zip(drawers) {
        let done = admin.ask(&caller, sql).await;
        assert!(done.is_ok(), "{}: {sql}: {done:?}", caller.name);
        assert_eq!(admin.one::<i64>(drawn).await, before + count, "{}: {sql}", caller.name);
    }
}

/// Something of a statement that may hide a semicolon, written so that the server takes it.
fn piece() -> impl Strategy<Value = String> {
    let body = "[a-c;:'\"$\\\\/*-é\n]{0,8}";
    prop_oneof![
        body.prop_map(|s| format!("'{}'", s.replace('\'', "''"))),
        body.prop_map(|s| format!("E'{}'", s.replace('\\', "\\\\").replace('\'', "\\'"))),
        body.prop_map(|s| format!("e'{}'", s.replace('\\', "\\\\").replace('\'', "''"))),
        body.prop_map(|s| format!("$x${}$x$", s.replace('$', ""))),
        body.prop_map(|s| format!("$é_1${}$é_1$", s.replace('$', ""))),
        body.prop_map(|s| format!("1 as \"a{}\"", s.replace('"', "\"\""))),
        body.prop_map(|s| format!("1 -- {}\n", s.replace('\n', ""))),
        body.prop_map(|s| format!("1 /* {} /* ; */ ; */", s.replace(['*', '/'], ""))),
        Just("1 as a$b$c".to_owned()),
    ]
}

#[test]
fn statements_are_split_where_the_server_splits_them() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_db, admin) = runtime.block_on(crm());
    let statement = proptest::collection::vec(piece(), 1..4)
        .prop_map(|pieces| format!("select {}", pieces.join(", ")));
    let end = select(vec![";", " ; ", ";\n", "; -- ;\n", ";/* ; */", ";;"]);
    let script = proptest::collection::vec((statement, end), 1..5);
    let agrees = |script: Vec<(String, &str)>| {
        let sql: String = script.iter().flat_map(|(text, end)| [text, *end]).collect();
        let own = split(&sql);
        // One by one they mean what they mean together.
        for statement in &own {
            let rows = runtime.block_on(admin.answer(statement.text));
            prop_assert!(rows.is_ok_and(|answer| answer.rows.len() == 1), "{:?}", statement.text);
        }
        let together = runtime.block_on(admin.answer(&sql));
        prop_assert!(together.is_ok(), "{sql:?}: {together:?}");
        prop_assert_eq!(together.unwrap().rows.len(), own.len(), "{:?}", sql);
        Ok(())
    };
    cases(256).run(&script, agrees).unwrap();
}
