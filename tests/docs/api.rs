//! docs/api.md is complete, and its examples work: in SQL, and in a browser by supabase-js.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::markdown::{code, prose};
use super::read;
use crate::support::{
    Admin, BEN, BOSS, Browser, CALLERS, Caller, DAN, Database, PASSWORD, PUBLISHABLE, Page, SECRET,
    Supabase, have, supabase_js, until,
};

/// The codes in the body of a function, of the definer behind it, and of what these call.
const CODES: &str = "
    with recursive called (oid) as (
        select oid from pg_proc
        where proname = '{function}' and pronamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
        union
        select p.oid from called join pg_proc c using (oid)
        join pg_proc p on p.pronamespace = 'provisioning'::regnamespace and 'code' = any (p.proargnames)
            and position('provisioning.' || p.proname || '(' in c.prosrc) > 0
    )
    select distinct l[1] from called join pg_proc p using (oid), regexp_matches(p.prosrc, 'code := ([^;]*);', 'g') m,
        regexp_matches(m[1], '(?:^|then |else )''([a-z_]+)''', 'g') l";

/// What every function may answer.
const ANY: [&str; 3] = ["ok", "busy", "unexpected"];

const BUSINESS: &str = "00000000-0000-0000-0000-000000000b0a";
const APP: &str = "00000000-0000-0000-0000-000000000c0a";
const INVITATION: &str = "00000000-0000-0000-0000-000000000d0a";

/// All codes that a function may answer.
pub async fn codes_of(admin: &Admin, function: &str) -> BTreeSet<String> {
    admin.rows(&CODES.replace("{function}", function)).await.into_iter().collect()
}

/// The sections of functions, by the names of these.
fn sections(text: &str) -> BTreeMap<String, String> {
    let sections = text.split("\n### ").skip(1).filter_map(|section| section.split_once('\n'));
    let sections = sections.map(|(name, rest)| {
        let end = rest.split("\n## ").next().unwrap_or_default();
        (name.to_owned(), end.to_owned())
    });
    sections.filter(|(_, section)| code(section).iter().any(|line| line.starts_with('→'))).collect()
}

/// The examples of a section, in SQL and for supabase-js.
fn examples(section: &str) -> (Vec<String>, String) {
    let lines = code(section);
    let sql = lines.iter().filter(|line| line.starts_with("select ")).map(|line| fill(line));
    let script = lines.iter().skip_while(|line| !line.starts_with("const "));
    let script: Vec<String> = script.map(|line| fill(line)).collect();
    (sql.collect(), script.join("\n"))
}

fn fill(line: &str) -> String {
    [
        ("<user>", DAN.id),
        ("<member>", BEN.id),
        ("<admin>", BOSS.id),
        ("<business>", BUSINESS),
        ("<app>", APP),
        ("<invitation>", INVITATION),
    ]
    .iter()
    .fold(line.to_owned(), |line, (name, id)| line.replace(name, id))
}

/// What is missing of the section of a function.
async fn missing(admin: &Admin, function: &str, section: &str) -> Vec<String> {
    let (sql, script) = examples(section);
    let mut missing = Vec::new();
    if !sql.iter().any(|line| line.contains(&format!("public.{function}("))) {
        missing.push(format!("{function}: SQL"));
    }
    if !script.contains(&format!("supabase.rpc('{function}'")) {
        missing.push(format!("{function}: supabase-js"));
    }
    let text = prose(section);
    let listed = text.split("- **Codes**: ").nth(1).and_then(|rest| rest.split('.').next());
    let listed: BTreeSet<String> = listed
        .into_iter()
        .flat_map(|list| list.split(", "))
        .map(|code| code.trim_matches('`').to_owned())
        .collect();
    let mut codes = codes_of(admin, function).await;
    codes.retain(|code| !ANY.contains(&code.as_str()));
    if listed != codes {
        missing.push(format!("{function}: codes {codes:?}"));
    }
    missing
}

#[tokio::test]
async fn every_function_has_its_codes_and_an_example_for_each_kind_of_client() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let text = read("docs/api.md");
    let planted = text
        .replace("select success, code from public.delete_agent(1);", "")
        .replace("supabase.rpc('move_agent'", "supabase.rpc('move_agents'")
        .replace("`no_such_config`.", "`no_such_config`, `paused`.");
    let mut found = Vec::new();
    for (function, section) in sections(&planted) {
        found.extend(missing(&admin, &function, &section).await);
    }
    assert!(found.contains(&"delete_agent: SQL".to_owned()), "{found:?}");
    assert!(found.contains(&"move_agent: supabase-js".to_owned()), "{found:?}");
    assert!(
        found.contains(&"get_whatsapp_config: codes {\"no_such_config\"}".to_owned()),
        "{found:?}"
    );
    let mut functions = 0;
    for (function, section) in sections(&text) {
        assert_eq!(missing(&admin, &function, &section).await, [""; 0]);
        functions += 1;
    }
    let all = "select count(*) from pg_proc where pronamespace = 'public'::regnamespace";
    assert_eq!(admin.one::<i64>(all).await, functions);
}

/// What the examples speak of: a built agent and one that is not, a business with a member, a number and an app with
/// secrets, an invitation, and a configuration.
async fn crm() -> (Database, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    for Caller { name, id, .. } in [BOSS, DAN, BEN] {
        let insert =
            format!("insert into auth.users (id, email) values ('{id}', '{name}@example.com')");
        admin.run(&insert).await;
    }
    let service = db.service().await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    drop(service);
    admin
        .run(&format!(
            "update public.users set role = 'admin' where id = '{boss}';
             update public.agents set user_id = '{ben}';
             insert into public.user_businesses (business_id, user_id, role) select id, '{boss}', 'owner' from public.businesses;
             insert into public.businesses (id, name) values ('{BUSINESS}', 'x');
             insert into public.user_businesses (business_id, user_id, role) values ('{BUSINESS}', '{ben}', 'staff');
             insert into public.agents (agent_prefix, created_by) values ('agt_2', '{boss}');
             insert into public.business_invitations (id, business_id, role, user_id)
                 values ('{INVITATION}', '{BUSINESS}', 'staff', '{dan}');
             insert into public.meta_apps (id, business_id, app_id, name) values ('{APP}', '{BUSINESS}', '970001', 'x');
             insert into public.whatsapp_numbers (business_id, meta_app_id, phone_number_id, business_account_id, display_number)
                 values ('{BUSINESS}', '{APP}', '10001', '20000', '4915110001');
             insert into provisioning.secrets (kind, whatsapp_number_id, business_id, ciphertext)
                 select 'access_token', id, business_id, decode('01' || repeat('00', 50), 'hex') from public.whatsapp_numbers;
             insert into provisioning.secrets (kind, meta_app_id, ciphertext)
                 select 'app_secret', id, decode('01' || repeat('00', 50), 'hex') from public.meta_apps;
             insert into public.whatsapp_configuration (user_id, whatsapp_number, webhook_url)
                 values ('{ben}', '+1', 'https://example.com')",
            boss = BOSS.id,
            dan = DAN.id,
            ben = BEN.id,
        ))
        .await;
    (db, admin)
}

/// Who may do it differs: an admin, the backend, or somebody who was invited.
const WHO: [Caller; 3] = [BOSS, CALLERS[6], DAN];

#[tokio::test]
async fn the_examples_in_sql_succeed() {
    let (_db, admin) = crm().await;
    for (function, section) in sections(&read("docs/api.md")) {
        for sql in examples(&section).0 {
            let mut answers = Vec::new();
            for who in &WHO {
                answers.push(admin.ask(who, &sql).await.map(|answer| answer.rows.join("\n")));
            }
            let coded = !codes_of(&admin, &function).await.is_empty();
            let succeeded = answers.iter().flatten().any(|rows| {
                if coded {
                    rows.ends_with("|ok") || rows.starts_with("t|")
                } else {
                    !rows.is_empty()
                }
            });
            assert!(succeeded, "{sql}: {answers:?}");
        }
    }
}

/// A page that has supabase-js, and the project's address and key.
fn bare(library: String) -> Page {
    let html = "<!doctype html><title>x</title><script src=\"supabase.js\"></script>";
    let files = [("index.html", html.to_owned()), ("supabase.js", library)];
    Page { files: files.map(|(name, text)| (name.to_owned(), text)).into(), policy: String::new() }
}

/// What statements of JavaScript return, or why they fail.
async fn run(browser: &Browser, statements: &str) -> Value {
    let run = format!(
        "void (delete window.outcome, (async () => {{ {statements} }})().then(
             outcome => {{ window.outcome = {{ outcome }} }}, error => {{ window.outcome = {{ error: String(error) }} }}))"
    );
    browser.value(&run).await;
    until("the end of the example", || async {
        let ended = browser.value("window.outcome").await;
        ended.is_object().then_some(ended)
    })
    .await
}

#[tokio::test]
async fn the_examples_for_supabase_js_succeed() {
    let Some(library) = supabase_js().filter(|_| have(&["chromium", "chromedriver"])) else {
        return;
    };
    let (db, _admin) = crm().await;
    let api = Supabase::rolling_back(&db, |_| bare(library)).await;
    let browser = Browser::new().await;
    browser.go(&api.url).await;
    let sign_in = format!(
        "const made = (key, storageKey) => supabase.createClient(location.origin, key, {{ auth: {{ storageKey }} }})
         window.clients = [made('{PUBLISHABLE}', 'a'), made('{SECRET}', 'b'), made('{PUBLISHABLE}', 'c')]
         for (const [client, email] of [[clients[0], 'boss@example.com'], [clients[2], 'dan@example.com']]) {{
             const {{ error }} = await client.auth.signInWithPassword({{ email, password: '{PASSWORD}' }})
             if (error) throw error
         }}"
    );
    assert_eq!(run(&browser, &sign_in).await, serde_json::json!({ "outcome": null }));
    let text = read("docs/api.md");
    assert!(sections(&text).len() > 20);
    for (function, section) in sections(&text) {
        let script = examples(&section).1;
        let tried = format!(
            "const answers = []
             for (const supabase of clients) {{
                 const attempt = async () => {{ {script}
                     return data }}
                 answers.push(await attempt())
             }}
             const succeeded = it => it && ('code' in it ? it.code === 'ok' : !Array.isArray(it) || it.length > 0)
             return answers.some(succeeded) ? 'succeeded' : answers"
        );
        let outcome = run(&browser, &tried).await;
        assert_eq!(outcome, serde_json::json!({ "outcome": "succeeded" }), "{function}: {script}");
    }
}

/// From docs/api.md alone, with a service that builds and an API that learns of it late.
#[tokio::test]
async fn the_way_from_create_to_the_first_row_works_as_it_is_written() {
    let Some(library) = supabase_js().filter(|_| have(&["chromium", "chromedriver"])) else {
        return;
    };
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let api = Supabase::start(&db, |_| bare(library)).await;
    let browser = Browser::new().await;
    browser.go(&api.url).await;
    let text = read("docs/api.md");
    let section = text.split("\n## From create to the first row\n").nth(1).unwrap();
    let lines = code(section.split("\n## ").next().unwrap());
    let (import, rest) = lines.split_first().unwrap();
    assert_eq!(import, "import { createClient } from '@supabase/supabase-js'");
    let filled = fill(&rest.join("\n"))
        .replace("https://YOUR-PROJECT.supabase.co", &api.url)
        .replace("YOUR-PUBLISHABLE-KEY", PUBLISHABLE)
        .replace("admin@example.com", "boss@example.com")
        .replace("YOUR-PASSWORD", PASSWORD);
    let library = "const { createClient } = window.supabase";
    let script = format!(
        "{library}\nconst example = async () => {{ {filled}\n return customer }}\nreturn await example()"
    );
    let service = db.service().await;
    api.hold_schema();
    let late = async {
        until("an insert that is too early", || async { (api.unknown().len() > 1).then_some(()) })
            .await;
        api.release_schema();
    };
    let (outcome, ()) = tokio::join!(run(&browser, &script), late);
    let name = outcome.pointer("/outcome/name").and_then(Value::as_str);
    assert_eq!(name, Some("Grace"), "{outcome}");
    let prefix = format!("select agent_prefix from public.agents where user_id = '{}'", DAN.id);
    let prefix = admin.rows(&prefix).await.join("");
    let kept = format!("select name || phone from public.{prefix}_customers");
    assert_eq!(admin.rows(&kept).await, ["Grace+4915100000"]);
    drop(service);
}
