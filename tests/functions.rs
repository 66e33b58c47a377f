//! The documented functions: who gets which answer, and that a refusal changes nothing.

use std::fmt::Write;

use crate::settings::{HOSTILE, spoil};
use crate::support::{ADA, Admin, BEN, BOSS, CALLERS, CAT, Caller, DAN, Database};

/// Agent 1 is Ada's, and Cat created it; agent 2 is Ben's; both are built. Agent 3 is nobody's and
/// not built; `agt_gone` is built, and its agent is not there any more. Names in braces are the
/// ids of users; Gone has none.
const CALLS: &str = r#"
create_agent('{dan}', 'agt_dan', '{boss}')
create_agent('{dan}', 'agt_dan', '{ada}')
create_agent('{dan}', 'agt_dan', null)
create_agent('{dan}', null, '{boss}')
create_agent('{dan}')
create_agent(user_id => '{dan}', agent_prefix => 'agt_dan')
create_agent(created_by => '{boss}', user_id => '{dan}')
create_agent('{dan}', 'agt_ada', '{boss}')
create_agent('{dan}', 'Agt-1', '{boss}')
create_agent('{dan}', 'agt"; drop table users; --', '{boss}')
create_agent('{ada}', 'agt_x', '{boss}')
create_agent(null, 'agt_x', '{boss}')
create_agent('{gone}', 'agt_x', '{boss}')
create_agent('{dan}', 'agt_x', '{gone}')
create_agent('{dan}', 'agt_x', '{boss}', '{gone}')
update_agent_details(1, '{"name":" Ada L. "}')
update_agent_details(1, '{"name":"Ada L."}', null, '{ada}')
update_agent_details(1, '{"name":"Ada L."}', null, '{ben}')
update_agent_details(1, '{"name":"Ada L."}', null, '{boss}')
update_agent_details(1, '{"name":"Ada L."}', null, '{gone}')
update_agent_details(1, '{"name":"  "}')
update_agent_details(1, '{"role":"admin"}')
update_agent_details(1, '{"role":"emperor"}')
update_agent_details(1, '{"email":"x@y"}')
update_agent_details(1, '{"id":"x"}')
update_agent_details(1, '[]')
update_agent_details(1, null, '{"agent_prefix":"agt_x"}')
update_agent_details(1, null, '{"agent_prefix":"agt_ada","id":1}')
update_agent_details(1, '{"name":"Ada L."}', '{"user_id":"{dan}"}')
update_agent_details(1, '{"name":"Ada L."}', '{"user_id":"{gone}"}')
update_agent_details(1, '{"name":"Ada L."}', '{"user_id":"x"}')
update_agent_details(1, '{"name":"Ada L."}', '{"user_id":"{ben}"}')
update_agent_details(1, null, '{"created_by":"{ada}"}')
update_agent_details(3, '{"name":"x"}')
update_agent_details(9, '{}')
delete_agent(1)
delete_agent(9)
agent_status(1)
agent_status(9)
agent_statuses()
create_agent_tables('agt_ada', 1)
create_agent_tables('agt_new', 3)
create_agent_tables('agt_ada', 2)
drop_agent_tables('agt_ada')
drop_agent_tables('agt_gone')
drop_agent_tables('users; --')
create_agent_indexes('agt_ada')
create_agent_indexes('agt_new')
create_agent_indexes('agt_x')
create_whatsapp_config('{dan}', '+3', 'https://x')
create_whatsapp_config('{ada}', '+3', 'https://x')
create_whatsapp_config('{ada}', null, 'https://x')
create_whatsapp_config('{ada}', '+3', ' ')
create_whatsapp_config('{ada}', '+3000000000000000000000', 'https://x')
create_whatsapp_config('{gone}', '+3', 'https://x')
create_whatsapp_config(null, '+3', 'https://x')
get_whatsapp_config('{ada}')
get_whatsapp_config('{dan}')
update_whatsapp_config('{ada}', verify_token => 'x')
update_whatsapp_config('{ada}', business_account_id => repeat('x', 101))
update_whatsapp_config('{dan}', verify_token => 'x')
delete_whatsapp_config('{ada}')
delete_whatsapp_config('{dan}')"#;

/// Everything that a function may change.
const STATE: &str = "select md5(concat(
    (select string_agg(u::text, ',' order by id) from public.users u),
    (select string_agg(a::text, ',' order by id) from public.agents a),
    (select string_agg(w::text, ',' order by id) from public.whatsapp_configuration w),
    (select string_agg(j::text, ',' order by id) from provisioning.jobs j)))";

const GONE: Caller = Caller { name: "gone", id: "00000000-0000-0000-0000-0000000000ee", ..ADA };
const PEOPLE: [Caller; 6] = [ADA, BEN, CAT, DAN, BOSS, GONE];

#[tokio::test]
async fn everybody_gets_the_answer_that_is_theirs_and_a_refusal_changes_nothing() {
    let db = Database::new().await;
    answer_all(&crm(&db).await).await;
}

#[tokio::test]
async fn the_answers_do_not_depend_on_the_callers_settings() {
    let db = Database::new().await;
    crm(&db).await;
    spoil(&db, &HOSTILE[..16]).await; // but for the one that ends a session when it is refused something
    let admin = db.admin().await;
    let spoilt = "select count(*) from pg_settings where source = 'database'";
    assert_eq!(admin.one::<i64>(spoilt).await, 16);
    answer_all(&admin).await;
    let next = "select wait from provisioning.next_due(array['provision'], 1)";
    assert_eq!(admin.rows(next).await, ["0"]);
}

async fn answer_all(admin: &Admin) {
    let before = admin.one::<String>(STATE).await;
    let mut answers = String::new();
    for call in CALLS.trim().lines() {
        writeln!(answers, "{call}").unwrap();
        let mut said: Vec<(String, Vec<&str>)> = Vec::new();
        for caller in &CALLERS {
            let answer = answer(admin, caller, call, &before).await;
            match said.iter_mut().find(|(known, _)| *known == answer) {
                Some((_, callers)) => callers.push(caller.name),
                None => said.push((answer, vec![caller.name])),
            }
        }
        for (answer, callers) in said {
            writeln!(answers, "    {answer}\n        {}", callers.join(" ")).unwrap();
        }
    }
    insta::with_settings!({filters => vec![("agt_[a-z0-9]{8}\\b", "agt_????????")]}, {
        insta::assert_snapshot!("calls", answers);
    });
}

/// The people, two agents that are built, one that is not, and tables whose agent is gone.
async fn crm(db: &Database) -> Admin {
    let admin = db.admin().await;
    let service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    drop(service);
    admin.run("insert into public.agents (agent_prefix) values ('agt_new')").await;
    let gone = "insert into provisioning.agents values (77, 'agt_gone', null, 1, 'check')";
    admin.run(gone).await;
    admin
}

async fn answer(admin: &Admin, caller: &Caller, call: &str, before: &str) -> String {
    let mut sql = format!(
        "select concat_ws(' ', r.j ->> 'success', r.j ->> 'code', r.j ->> 'state', r.j ->> 'template_version', r.j ->> 'message')
         from (select to_jsonb(f) as j from public.{call} f) r"
    );
    for Caller { name, id, .. } in PEOPLE {
        sql = sql.replace(&format!("{{{name}}}"), id);
    }
    admin.run(&caller.begin()).await;
    let answer = match admin.answer(&sql).await {
        Ok(answer) => answer.rows.join("\n"),
        Err(error) => format!("{} {}", error.code().code(), error.message()),
    };
    if answer.starts_with("false") {
        admin.run("reset role").await;
        assert_eq!(admin.one::<String>(STATE).await, before, "{call}: {answer}");
    }
    admin.run("rollback").await;
    PEOPLE.iter().fold(answer, |answer, who| answer.replace(who.id, &format!("{{{}}}", who.name)))
}

/// As clients call them by name.
const SIGNATURES: &str = "
accept_invitation(invitation_id uuid) TABLE(member jsonb, success boolean, message text, code text)
add_whatsapp_number(business_id uuid, meta_app_id uuid, phone_number_id text, business_account_id text, display_number text, agent_id bigint) TABLE(number jsonb, success boolean, message text, code text)
agent_status(agent_id bigint) TABLE(state text, template_version integer, message text)
agent_statuses() TABLE(agent_id bigint, state text, template_version integer, message text)
change_member_role(business_id uuid, user_id uuid, role text) TABLE(member jsonb, success boolean, message text, code text)
create_agent(user_id uuid, agent_prefix character varying, created_by uuid, business_id uuid) TABLE(agent jsonb, success boolean, message text, code text)
create_agent_indexes(prefix text) TABLE(success boolean, message text, code text)
create_agent_tables(prefix text, agent_id bigint) TABLE(success boolean, message text, code text)
create_business(name text, type text, owner uuid) TABLE(business jsonb, success boolean, message text, code text)
create_whatsapp_config(user_id uuid, whatsapp_number character varying, webhook_url text, api_key text, business_account_id character varying, phone_number_id character varying) TABLE(config jsonb, success boolean, message text, code text)
delete_agent(agent_id bigint) TABLE(success boolean, message text, code text)
delete_whatsapp_config(user_id uuid) TABLE(success boolean, message text, code text)
drop_agent_tables(prefix text) TABLE(success boolean, message text, code text)
get_meta_app_secrets(app_id text) TABLE(kind text, meta_app_id uuid, business_id uuid, ciphertext text)
get_whatsapp_config(user_id uuid) TABLE(config jsonb, success boolean, message text, code text)
get_whatsapp_token(phone_number_id text) TABLE(whatsapp_number_id uuid, business_id uuid, ciphertext text)
invite_member(business_id uuid, role text, user_id uuid, email text) TABLE(invitation jsonb, success boolean, message text, code text)
move_agent(agent_id bigint, business_id uuid) TABLE(agent jsonb, success boolean, message text, code text)
remove_member(business_id uuid, user_id uuid) TABLE(success boolean, message text, code text)
route_message(phone_number_id text) TABLE(business_id uuid, whatsapp_number_id uuid, agent_id bigint, agent_prefix text, app_id text, is_active boolean)
secret_status(business_id uuid) TABLE(kind text, whatsapp_number_id uuid, meta_app_id uuid, last_four text, set_at timestamp with time zone)
update_agent_details(agent_id bigint, user_updates jsonb, agent_updates jsonb, current_user_id uuid) TABLE(agent jsonb, success boolean, message text, code text)
update_business_settings(business_id uuid, settings jsonb) TABLE(business jsonb, success boolean, message text, code text)
update_whatsapp_config(user_id uuid, whatsapp_number character varying, webhook_url text, api_key text, business_account_id character varying, phone_number_id character varying, is_active boolean, verify_token text) TABLE(config jsonb, success boolean, message text, code text)";

#[tokio::test]
async fn the_signatures_are_the_documented_ones() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let signatures = "select format('%s(%s) %s', proname, regexp_replace(
            pg_get_function_arguments(oid), ' DEFAULT [^,]*', '', 'g'), pg_get_function_result(oid))
        from pg_proc where pronamespace = 'public'::regnamespace order by proname, pronargs";
    let found = admin.rows(signatures).await.join("\n");
    assert_eq!(found, SIGNATURES.trim());
}

#[tokio::test]
async fn a_call_by_position_changes_the_columns_that_it_always_did() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let set =
        "insert into public.whatsapp_configuration (user_id, whatsapp_number, webhook_url, api_key)
        values ('{id}', '+1', 'https://x', 'key')
        on conflict (user_id) do update set api_key = 'key', verify_token = null";
    admin.run(&set.replace("{id}", DAN.id)).await;
    let call = "select success from public.update_whatsapp_config(
        '{id}', null, 'https://y', null, 'business', 'phone', false)";
    assert_eq!(admin.rows(&call.replace("{id}", DAN.id)).await, ["t"]);
    let columns =
        "webhook_url, api_key, business_account_id, phone_number_id, is_active, verify_token";
    let row =
        format!("select {columns} from public.whatsapp_configuration where user_id = '{}'", DAN.id);
    assert_eq!(admin.rows(&row).await, ["https://y|key|business|phone|f|-"]);
}

#[tokio::test]
async fn an_insert_needs_no_prefix_and_fills_the_creator_who_is_signed_in() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    let drawn = "agent_prefix ~ '^agt_[a-z0-9]{8}$', created_by";
    for values in [
        format!("(user_id) values ('{}')", DAN.id),
        format!("(user_id, agent_prefix, created_by) values ('{}', null, null)", DAN.id),
    ] {
        let insert = format!("insert into public.agents {values} returning {drawn}");
        let answer = admin.ask(&BOSS, &insert).await.unwrap().rows;
        assert_eq!(answer, [format!("t|{}", BOSS.id)], "{values}");
        assert_eq!(admin.ask(&ADA, &insert).await.unwrap_err().code().code(), "42501", "{values}");
        admin.run("begin").await;
        assert_eq!(admin.rows(&insert).await, ["t|-"], "{values}");
        admin.run("rollback").await;
    }
    // Who is named stays, and so does a prefix.
    let named = format!(
        "insert into public.agents (agent_prefix, created_by) values ('agt_x', '{}') returning agent_prefix, created_by",
        CAT.id
    );
    let answer = admin.ask(&BOSS, &named).await.unwrap().rows;
    assert_eq!(answer, [format!("agt_x|{}", CAT.id)]);
}

#[tokio::test]
async fn drawn_prefixes_are_valid_and_all_different() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin.populate().await;
    admin
        .run(
            "insert into auth.users (email) select n || '@example.com' from generate_series(1, 200) n",
        )
        .await;
    let drawn = "select count(distinct f.agent ->> 'agent_prefix') = 200
            and bool_and(f.success and f.agent ->> 'agent_prefix' ~ '^agt_[a-z0-9]{8}$')
        from (select id from public.users where name ~ '^[0-9]+$') u,
            public.create_agent(u.id, null, '{boss}') f";
    assert!(admin.one::<bool>(&drawn.replace("{boss}", BOSS.id)).await);
}

#[tokio::test]
async fn a_function_that_meets_a_lock_says_so_and_changes_nothing() {
    let db = Database::new().await;
    let admin = crm(&db).await;
    let holder = db.admin().await;
    for (locked, call) in [
        (
            "select from public.users where name = 'ada' for update",
            "update_agent_details(1, '{\"name\":\"x\"}')",
        ),
        ("lock table provisioning.jobs", "delete_agent(1)"),
        ("lock table provisioning.jobs", "create_agent('{dan}', 'agt_dan', '{boss}')"),
        ("lock table provisioning.jobs", "create_agent_indexes('agt_ada')"),
        ("lock table provisioning.jobs", "create_agent_tables('agt_new', 3)"),
        ("lock table provisioning.jobs", "drop_agent_tables('agt_gone')"),
        (
            "lock table public.whatsapp_configuration",
            "create_whatsapp_config('{ada}', '+9', 'https://x')",
        ),
        ("lock table public.whatsapp_configuration", "update_whatsapp_config('{ada}', '+9')"),
        ("lock table public.whatsapp_configuration", "delete_whatsapp_config('{ada}')"),
    ] {
        let before = admin.one::<String>(STATE).await;
        holder.run(&format!("begin; {locked}")).await;
        admin.run("set lock_timeout = '20ms'").await;
        let call =
            call.replace("{ada}", ADA.id).replace("{dan}", DAN.id).replace("{boss}", BOSS.id);
        let sql = format!("{}; select success, code from public.{call}; commit", BOSS.begin());
        let answer = admin.answer(&sql).await.unwrap().rows.join("");
        holder.run("commit").await;
        assert_eq!(answer, "f|busy", "{call}");
        assert_eq!(admin.one::<String>(STATE).await, before, "{call}");
    }
}
