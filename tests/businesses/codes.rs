//! The codes of answers: each can be had, and there are no others.

use std::collections::BTreeSet;

use super::{DEFAULT, EMPTY, FIRST, MIA, NED, SERVICE, SUE, crm};
use crate::support::{ADA, Admin, BOSS, Caller, DAN, user};

/// The codes that the functions' bodies give.
const IN_SQL: &str =
    "select distinct c[1] from pg_proc p, regexp_matches(prosrc, 'code := ([^;]*);', 'g') m,
        regexp_matches(m[1], '(?:^|then |else )''([a-z_]+)''', 'g') c
    where pronamespace in ('public'::regnamespace, 'provisioning'::regnamespace)";

const NOBODY: Caller = user("nobody", "");
const GONE: &str = "00000000-0000-0000-0000-0000000000ee";

/// Code; who; what; what an administrator does before. Ids in braces.
const CALLS: &[(&str, Caller, &str, &str)] = &[
    ("agent_exists", BOSS, "drop_agent_tables('agt_ada')", ""),
    ("already_member", MIA, "invite_member('{first}', 'staff', '{sue}')", ""),
    ("argument_invalid", MIA, "change_member_role('{first}', '{ned}', 'emperor')", ""),
    ("argument_missing", BOSS, "create_agent(null)", ""),
    ("business_required", SERVICE, "create_agent('{dan}', created_by => '{dan}')", ""),
    ("last_owner", MIA, "remove_member('{first}', '{mia}')", ""),
    ("no_such_agent", ADA, "delete_agent(99)", ""),
    ("no_such_business", BOSS, "create_agent('{dan}', business_id => '{gone}')", ""),
    ("no_such_config", DAN, "get_whatsapp_config('{dan}')", ""),
    ("no_such_invitation", DAN, "accept_invitation('{gone}')", ""),
    ("no_such_user", BOSS, "create_agent('{gone}', business_id => '{default}')", ""),
    ("not_admin", ADA, "create_business('x')", ""),
    ("not_allowed", SUE, "remove_member('{first}', '{ned}')", ""),
    ("not_built", BOSS, "create_agent_indexes('agt_ada')", ""),
    ("not_changeable", ADA, "update_agent_details(1, null, '{\"agent_prefix\": \"x\"}')", ""),
    ("not_member", MIA, "change_member_role('{first}', '{dan}', 'staff')", ""),
    (
        "not_of_business",
        MIA,
        "add_whatsapp_number('{first}', '00000000-0000-0000-0000-000000000c0a', '77777', '20000', '4915100', 2)",
        "",
    ),
    ("not_signed_in", NOBODY, "update_agent_details(1, '{}')", ""),
    ("number_has_app", MIA, "move_agent(1, '{empty}')", ""),
    (
        "number_has_token",
        MIA,
        "move_agent(1, '{empty}')",
        "insert into public.meta_apps (id, app_id, name)
             values ('00000000-0000-0000-0000-000000000f00', '99999', 'the platform');
         update public.whatsapp_numbers set meta_app_id = '00000000-0000-0000-0000-000000000f00'
             where agent_id = 1;
         insert into provisioning.secrets (kind, whatsapp_number_id, business_id, ciphertext)
         select 'access_token', id, business_id, decode('01' || repeat('00', 50), 'hex')
         from public.whatsapp_numbers where agent_id = 1",
    ),
    (
        "number_taken",
        MIA,
        "add_whatsapp_number('{first}', '00000000-0000-0000-0000-000000000c0a', '10001', '20000', '4915100')",
        "",
    ),
    ("ok", BOSS, "create_agent('{dan}', business_id => '{default}')", ""),
    (
        "paused",
        ADA,
        "delete_agent(1)",
        "insert into provisioning.jobs (kind, agent_id, agent_prefix, state, finished_at)
         values ('deprovision', 1, 'agt_ada', 'paused', now())",
    ),
    ("prefix_invalid", BOSS, "create_agent('{dan}', 'Agt-1')", ""),
    ("prefix_taken", BOSS, "create_agent('{dan}', 'agt_ada', business_id => '{default}')", ""),
    ("role_too_high", NED, "change_member_role('{first}', '{ned}', 'owner')", ""),
    ("settings_invalid", MIA, "update_business_settings('{first}', '{\"x\": 1}')", ""),
    (
        "settings_secret",
        MIA,
        "update_business_settings('{first}', '{\"hours\": {\"token\": 1}}')",
        "",
    ),
    (
        "settings_too_large",
        MIA,
        "update_business_settings('{first}', jsonb_build_object('hours', jsonb_build_object('x', repeat('a b', 30000))))",
        "",
    ),
    (
        "unexpected",
        BOSS,
        "create_agent('{dan}', 'agt_no', business_id => '{default}')",
        "alter table public.agents add constraint mine check (agent_prefix <> 'agt_no')",
    ),
    ("user_has_agent", BOSS, "create_agent('{ada}', business_id => '{default}')", ""),
    ("wrong_user", BOSS, "create_agent('{dan}', created_by => '{ada}')", ""),
];

async fn answer(admin: &Admin, who: &Caller, call: &str, before: &str) -> String {
    let ids = [
        ("{first}", FIRST),
        ("{empty}", EMPTY),
        ("{default}", DEFAULT),
        ("{gone}", GONE),
        ("{ada}", ADA.id),
        ("{dan}", DAN.id),
        ("{mia}", MIA.id),
        ("{ned}", NED.id),
        ("{sue}", SUE.id),
    ];
    let call = ids.iter().fold(call.to_owned(), |call, (name, id)| call.replace(name, id));
    admin.run(&format!("begin; {before}")).await;
    let said = admin.ask(who, &format!("select code, success from public.{call}")).await;
    said.unwrap().rows.join("")
}

#[tokio::test]
async fn every_code_can_be_had_and_says_whether_the_call_succeeded() {
    let (db, admin) = crm().await;
    for (code, who, call, before) in CALLS {
        let success = if ["ok", "paused"].contains(code) { "t" } else { "f" };
        let said = answer(&admin, who, call, before).await;
        assert_eq!(said, format!("{code}|{success}"), "{}: {call}", who.name);
    }
    let holder = db.admin().await;
    holder.run("begin; lock table provisioning.jobs").await;
    let busy = answer(&admin, &ADA, "delete_agent(1)", "set local lock_timeout = '20ms'").await;
    assert_eq!(busy, "busy|f");
    let had = CALLS.iter().map(|(code, ..)| (*code).to_owned()).chain(["busy".to_owned()]);
    let in_sql: BTreeSet<String> = admin.rows(IN_SQL).await.into_iter().collect();
    assert_eq!(had.collect::<BTreeSet<_>>(), in_sql, "left: above, right: the database");
    let documented = crate::docs::codes();
    assert_eq!(documented, in_sql, "left: docs/api.md, right: the database");
}
