//! The base schema as this program makes it: expected, compared, put back and recorded.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use agent_provisioner::base_schema::{FACTS, read_as_text};
use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{ADMIN, Admin, Database, ROLES, WORKER, ask, expect, json, pg_dump_can};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/base/facts.jsonl");

/// What differs, as `change kind object`.
async fn differences(db: &Database) -> Vec<String> {
    let verified = ask(&db.url(WORKER), &["migrate", "verify", "--json"]).await;
    let report = json(&verified);
    let differences = report.get("differences").unwrap().as_array().unwrap();
    assert_eq!(verified.status.code(), Some(i32::from(!differences.is_empty())), "{report}");
    let text =
        |difference: &Value, key: &str| difference.get(key).unwrap().as_str().unwrap().to_owned();
    let told =
        |d: &Value| format!("{} {} {}", text(d, "change"), text(d, "kind"), text(d, "object"));
    differences.iter().map(told).collect()
}

async fn repair(db: &Database, args: &[&str]) -> std::process::Output {
    ask(&db.url(ADMIN), &[&["migrate", "repair"], args].concat()).await
}

/// Every row of every table, and where it is stored: an update moves it.
async fn rows(root: &Admin) -> Vec<String> {
    let tables = "select format('select %L, ctid, t::text from %s t', oid::regclass, oid::regclass)
        from pg_class where relkind = 'r' and relnamespace in (
            'public'::regnamespace, 'provisioning'::regnamespace, 'auth'::regnamespace)
        and relname not in ('migrations', 'repeatables') order by 1";
    let all = root.rows(tables).await;
    root.rows(&all.join(" union all ")).await
}

#[tokio::test]
async fn the_expected_facts_are_those_of_a_fresh_database() {
    let db = Database::new().await;
    let mut admin = db.connect(ADMIN).await;
    let found = read_as_text(&mut admin).await.unwrap();
    if std::env::var_os("WRITE_FACTS").is_some() {
        fs::write(FILE, &found).unwrap();
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let differing: Vec<_> = lines(&found).symmetric_difference(&lines(FACTS)).cloned().collect();
    assert!(
        differing.is_empty(),
        "sql/base/facts.jsonl does not fit the schema. To write it again: WRITE_FACTS=1 cargo test --test main \
         base_schema::the_expected_facts; then read the difference in git: {differing:#?}"
    );
}

/// What was done, the difference that it makes, and what puts it right: nothing for `repair`, `--force`, or `by hand`.
const DAMAGE: [(&str, &str, &str); 34] = [
    ("drop trigger sync_public_user_insert on auth.users", "missing trigger sync_public_user_insert on auth.users", ""),
    ("alter table auth.users disable trigger sync_public_user_update", "differs trigger sync_public_user_update on auth.users", ""),
    ("alter table public.agents disable trigger guard_agent", "differs trigger guard_agent on public.agents", ""),
    ("drop trigger note_schedule on provisioning.jobs", "missing trigger note_schedule on provisioning.jobs", ""),
    ("drop trigger note_job_state on provisioning.jobs", "missing trigger note_job_state on provisioning.jobs", ""),
    ("alter table provisioning.agents disable trigger note_registration", "differs trigger note_registration on provisioning.agents", ""),
    ("alter table public.users disable row level security", "missing row security public.users", ""),
    ("alter table public.users force row level security", "differs row security public.users", ""),
    ("alter table provisioning.jobs disable row level security", "missing row security provisioning.jobs", ""),
    ("drop policy agents_insert on public.agents", "missing policy agents_insert on public.agents", ""),
    ("alter policy agents_update on public.agents using (true)", "differs policy agents_update on public.agents", ""),
    ("drop policy no_api_access on provisioning.trash", "missing policy no_api_access on provisioning.trash", ""),
    ("alter policy no_api_access on provisioning.jobs using (true)", "differs policy no_api_access on provisioning.jobs", ""),
    ("revoke select on public.users from authenticated", "missing grant select on public.users to authenticated", ""),
    ("revoke insert (name) on public.users from authenticated", "missing grant insert (name) on public.users to authenticated", ""),
    ("revoke execute on function public.delete_agent(bigint) from authenticated", "missing grant execute on function public.delete_agent(bigint) to authenticated", ""),
    ("drop function public.agent_status(bigint)", "missing function public.agent_status(bigint)", ""),
    ("alter function provisioning.is_admin() security invoker", "differs function provisioning.is_admin()", ""),
    ("alter function provisioning.is_admin() reset search_path", "differs function provisioning.is_admin()", ""),
    ("create or replace function provisioning.is_admin() returns boolean language plpgsql stable security definer
      set search_path = pg_catalog, pg_temp as 'begin return true; end'", "differs function provisioning.is_admin()", ""),
    ("drop view provisioning.job_waits", "missing view provisioning.job_waits", ""),
    ("grant truncate on public.users to anon", "extra grant truncate on public.users to anon", "--force"),
    ("grant select (api_key) on public.whatsapp_configuration to anon", "extra grant select (api_key) on public.whatsapp_configuration to anon", "--force"),
    ("grant execute on function public.create_agent(uuid, varchar, uuid, uuid) to public", "extra grant execute on function public.create_agent(uuid,character varying,uuid,uuid) to public", "--force"),
    ("grant usage on schema provisioning to authenticated", "extra grant usage on schema provisioning to authenticated", "--force"),
    ("grant select on public.users to authenticated with grant option", "differs grant select on public.users to authenticated", "--force"),
    ("create policy \"every body\" on public.users for select to anon using (true)", "extra policy \"every body\" on public.users", "--force"),
    ("grant insert on public.users to authenticated", "extra grant insert on public.users to authenticated", "--force"),
    ("grant select on public.agents to service_role with grant option; set role service_role;
      grant select on public.agents to supabase_auth_admin; reset role",
     "differs grant select on public.agents to service_role", "--force"),
    ("create function provisioning.x() returns void language sql as ''", "extra function provisioning.x()", "by hand"),
    ("drop index public.users_role_idx", "missing index public.users_role_idx", "by hand"),
    ("alter table public.users alter role drop default", "missing default public.users.role", "by hand"),
    ("alter table provisioning.jobs drop constraint jobs_paused_check", "missing constraint jobs_paused_check on provisioning.jobs", "by hand"),
    ("alter function public.delete_agent(bigint) owner to supabase_auth_admin", "differs owner function public.delete_agent(bigint)", "by hand"),
];

#[tokio::test]
async fn each_change_is_named_and_what_is_said_puts_it_right() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    admin.populate().await;
    let before = rows(&root).await;
    assert_eq!(differences(&db).await, [""; 0]);
    for (damage, difference, way) in DAMAGE {
        root.run(damage).await;
        assert_eq!(differences(&db).await, [difference], "{damage}");
        let report = json(&ask(&db.url(WORKER), &["migrate", "verify", "--json"]).await);
        let fix = report["differences"][0]["fix"].as_str().unwrap().to_owned();
        let findings = json(&ask(&db.url(WORKER), &["doctor", "--json"]).await);
        let told = |finding: &Value| finding["what"] == "base schema" && finding["fix"] == *fix;
        assert!(findings.as_array().unwrap().iter().any(told), "{damage}: {findings}");
        match way {
            "by hand" => {
                let (_, statement) = fix.split_once(": ").unwrap();
                for statement in statement.split_inclusive(';') {
                    root.run(statement).await;
                }
            }
            "" => expect(&repair(&db, &[]).await, 0, &[]),
            force => {
                assert!(fix.contains("migrate repair --force"), "{fix}");
                expect(&repair(&db, &[]).await, 1, &["left as it is"]);
                assert_eq!(differences(&db).await, [difference], "{damage}");
                expect(&repair(&db, &[force]).await, 0, &[]);
            }
        }
        if difference == "missing constraint jobs_paused_check on provisioning.jobs" {
            root.run("alter table provisioning.jobs validate constraint jobs_paused_check").await;
        }
        assert_eq!(differences(&db).await, [""; 0], "{damage}");
    }
    expect(&repair(&db, &[]).await, 0, &["nothing was put right"]);
    assert_eq!(rows(&root).await, before);
    // What was made anew has lost the worker's rights only.
    root.run(ROLES).await;
    let _service = db.service().await;
    admin.settled().await;
}

/// A project's own, and what roles beside the API's have.
#[tokio::test]
async fn what_a_project_has_added_is_no_difference() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(
        "create role reporting_of_a_project;
         alter table public.users add column nickname text default 'x' check (nickname <> ''), add column no serial;
         create index on public.users (nickname);
         grant insert (nickname), select (nickname) on public.users to authenticated, anon;
         create function public.mine() returns trigger language plpgsql as 'begin return new; end';
         create trigger mine before insert on public.users for each row execute function public.mine();
         create trigger mine before insert on auth.users for each row execute function public.mine();
         create policy mine on public.users for select to reporting_of_a_project using (true);
         grant select on public.users to reporting_of_a_project;
         alter publication supabase_realtime add table public.users",
    )
    .await;
    assert_eq!(differences(&db).await, [""; 0]);
}

/// The keys of additional grants are in the same transaction away and back: nobody sees them missing.
#[tokio::test]
async fn a_repair_without_force_keeps_additional_rights_to_the_letter() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let odd = "grant select, trigger on public.users to anon;
        grant update (webhook_url) on public.whatsapp_configuration to anon;
        grant execute on function provisioning.notify(text, text, double precision) to public;
        grant select on sequence public.agents_id_seq to authenticated with grant option";
    admin.run(odd).await;
    let rights = "select relname, relacl::text from pg_class where relacl is not null and relnamespace = 'public'::regnamespace
        union all select attname, attacl::text from pg_attribute where attacl is not null and attrelid = 'public.whatsapp_configuration'::regclass
        union all select proname, proacl::text from pg_proc where proname = 'notify' order by 1";
    let before = admin.rows(rights).await;
    let sorted = |rows: Vec<String>| {
        let sort = |row: String| {
            let mut items: Vec<_> = row.split([',', '{', '}']).map(str::to_owned).collect();
            items.sort();
            items.concat()
        };
        rows.into_iter().map(sort).collect::<Vec<_>>()
    };
    admin.run("drop policy agents_insert on public.agents").await;
    expect(&repair(&db, &[]).await, 1, &["put right: policy agents_insert"]);
    assert_eq!(sorted(admin.rows(rights).await), sorted(before));
}

/// Every right that somebody has on something, by name.
const RIGHTS: &str = "select c.oid::regclass::text, c.relacl::text from pg_class c
        where c.relnamespace in ('public'::regnamespace, 'provisioning'::regnamespace) and c.relacl is not null
    union all select a.attrelid::regclass || '.' || a.attname, a.attacl::text from pg_attribute a where a.attacl is not null
    union all select p.oid::regprocedure::text, p.proacl::text from pg_proc p
        where p.pronamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
    union all select n.nspname, n.nspacl::text from pg_namespace n where n.nspname like 'provisioning%' order by 1";

/// Overloads of our names, columns of our tables, objects in our schema, and what a role of the API has passed on.
#[tokio::test]
async fn a_repair_without_force_neither_takes_nor_gives_rights_of_a_project() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    root.run(
        "create role reader_of_a_project; set role postgres;
         alter table public.users add column avatar text, add column secret text;
         grant select (avatar) on public.users to anon;
         grant update (avatar) on public.users to service_role;
         create function public.create_agent(text) returns text language sql as 'select 1::text';
         revoke all on function public.create_agent(text) from public;
         grant execute on function public.create_agent(text) to anon;
         create function public.delete_agent(wipe text) returns text language sql security definer as 'select 1::text';
         revoke all on function public.delete_agent(text) from public, anon, authenticated, service_role;
         create function provisioning.delete_agent(text, text) returns text language sql security definer as 'select 1::text';
         revoke all on function provisioning.delete_agent(text, text) from public, anon, authenticated, service_role;
         create view provisioning.mine as select 1 as a;
         grant select on provisioning.mine to authenticated;
         grant usage on schema provisioning to authenticated;
         grant select on public.whatsapp_configuration to service_role with grant option;
         set role service_role;
         grant select on public.whatsapp_configuration to reader_of_a_project",
    )
    .await;
    let before = admin.rows(RIGHTS).await;
    expect(&repair(&db, &[]).await, 1, &["nothing was put right"]);
    assert_eq!(admin.rows(RIGHTS).await, before);
    // What is made anew gets its own rights, and a file of grants that runs again leaves what is not ours.
    admin.run("drop function public.agent_status(bigint)").await;
    expect(&repair(&db, &[]).await, 1, &["put right: function public.agent_status(bigint)"]);
    assert_eq!(admin.rows(RIGHTS).await, before);
    admin
        .run("update provisioning.repeatables set checksum = 'old' where name = '80_grants'")
        .await;
    expect(&ask(&db.url(ADMIN), &["migrate"]).await, 0, &["applied 80_grants"]);
    let of_a_project = |rights: Vec<String>| {
        let names =
            ["users.avatar", "users.secret", "create_agent(text)", "delete_agent(text", "mine"];
        let is = |right: &String| names.iter().any(|name| right.contains(name));
        rights.into_iter().filter(is).collect::<Vec<_>>()
    };
    assert_eq!(of_a_project(admin.rows(RIGHTS).await), of_a_project(before));
}

/// Functions of ours run with their owner's rights.
#[tokio::test]
async fn no_fix_gives_a_function_to_a_superuser() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("create role other_owner").await;
    for owner in [SUPERUSER, "other_owner"] {
        root.run(&format!("alter schema provisioning owner to {owner}")).await;
        assert_eq!(differences(&db).await, ["differs owner schema provisioning"]);
        let (found, fix) = first(&db).await;
        assert_eq!(
            (found["found"].as_str(), found["expected"].as_str()),
            (Some(owner), Some(ADMIN))
        );
        assert_eq!(fix, "alter schema provisioning owner to postgres;");
        root.run(&fix).await;
        assert_eq!(differences(&db).await, [""; 0]);
    }
    let all = format!(
        "do $$ declare ours text; begin
             for ours in select format('alter table %s owner to {SUPERUSER}', oid::regclass) from pg_class
                 where relkind = 'r' and relnamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
             loop execute ours; end loop;
         end $$"
    );
    root.run(&all).await;
    let report = json(&ask(&db.url(WORKER), &["migrate", "verify", "--json"]).await);
    let differences = report["differences"].as_array().unwrap();
    let is_function =
        |difference: &&Value| difference["object"].as_str().unwrap().starts_with("function ");
    let fixes = || {
        differences.iter().filter(is_function).map(|difference| difference["fix"].as_str().unwrap())
    };
    assert!(fixes().count() > 50, "{report}");
    assert!(fixes().all(|fix| !fix.contains("owner to")), "{report}");
}

/// What an operator pastes: each statement by itself, in the order of the differences.
async fn paste_fixes(db: &Database) {
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    let report = json(&ask(&db.url(WORKER), &["migrate", "verify", "--json"]).await);
    for difference in report.get("differences").unwrap().as_array().unwrap() {
        let fix = difference.get("fix").unwrap().as_str().unwrap();
        let (who, statements) = fix.split_once(": ").unwrap();
        let session = if who.contains("superuser") { &root } else { &admin };
        for statement in statements.split_inclusive(';') {
            session.run(statement).await;
        }
    }
}

/// What was done, and the first difference that it makes.
const BY_HAND: [(&str, &str); 13] = [
    (
        "alter table provisioning.purge_holds drop constraint purge_holds_pkey",
        "missing constraint purge_holds_pkey on provisioning.purge_holds",
    ),
    (
        "alter table public.agents drop constraint agents_user_id_key",
        "missing constraint agents_user_id_key on public.agents",
    ),
    (
        "alter table provisioning.jobs drop constraint jobs_kind_check",
        "missing constraint jobs_kind_check on provisioning.jobs",
    ),
    ("alter table provisioning.jobs drop column force", "missing column provisioning.jobs.force"),
    (
        "drop index public.users_role_idx; create index users_role_idx on public.users (name)",
        "differs index public.users_role_idx",
    ),
    (
        "alter sequence provisioning.trash_id_seq cycle increment by 5",
        "differs sequence provisioning.trash_id_seq",
    ),
    (
        "create rule r as on insert to public.agents do instead nothing",
        "extra rule r on public.agents",
    ),
    (
        "create rule r as on insert to provisioning.agent_tables do instead nothing",
        "extra rule r on provisioning.agent_tables",
    ),
    (
        "create table public.kid () inherits (provisioning.jobs)",
        "extra child public.kid of provisioning.jobs",
    ),
    (
        "create table public.kid2 () inherits (public.users)",
        "extra child public.kid2 of public.users",
    ),
    ("drop sequence provisioning.lock_budget", "missing sequence provisioning.lock_budget"),
    ("alter sequence public.agents_id_seq owned by none", "missing sequence public.agents_id_seq"),
    (
        "alter table provisioning.trash alter id drop identity",
        "missing sequence provisioning.trash_id_seq",
    ),
];

#[tokio::test]
async fn what_is_printed_for_a_person_works_as_it_is() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    admin.populate().await;
    for (damage, expected) in BY_HAND {
        admin.run(damage).await;
        let told = differences(&db).await;
        assert_eq!(told.first().map(String::as_str), Some(expected), "{damage}: {told:?}");
        if expected.starts_with("extra") {
            expect(&repair(&db, &[]).await, 1, &["left as it is"]);
            assert_eq!(differences(&db).await, told, "{damage}");
        }
        paste_fixes(&db).await;
        assert_eq!(differences(&db).await, [""; 0], "{damage}");
        admin.run(ROLES).await;
    }
    drop(root);
    let _service = db.service().await;
    admin.settled().await;
}

/// `create or replace` fails on each, and took the whole repair with it.
#[tokio::test]
async fn what_cannot_be_replaced_is_dropped_first_or_left_and_the_rest_is_done() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let other = |what: &str| format!("drop function provisioning.is_free(bigint); create {what}");
    for (damage, expected) in [
        (other("function provisioning.is_free(job bigint) returns int language sql as 'select 1'"), "differs function provisioning.is_free(bigint)"),
        (other("function provisioning.is_free(j bigint) returns boolean language sql as 'select true'"), "differs function provisioning.is_free(bigint)"),
        (other("procedure provisioning.is_free(job bigint) language sql as 'select true'"), "differs function provisioning.is_free(bigint)"),
        ("drop view provisioning.job_waits; create view provisioning.job_waits with (security_invoker = true) as select 1 as a; grant select on provisioning.job_waits to public".to_owned(), "differs view provisioning.job_waits"),
        ("drop trigger guard_agent on public.agents; create constraint trigger guard_agent after insert on public.agents for each row execute function provisioning.enforce_agent_rules()".to_owned(), "differs trigger guard_agent on public.agents"),
        ("alter table public.agents enable always trigger guard_agent".to_owned(), "differs trigger guard_agent on public.agents"),
    ] {
        admin.run(&damage).await;
        assert!(differences(&db).await.contains(&expected.to_owned()), "{damage}");
        admin.run("drop policy agents_insert on public.agents").await;
        expect(&repair(&db, &[]).await, 0, &["put right: policy agents_insert"]);
        assert_eq!(differences(&db).await, [""; 0], "{damage}");
    }
    admin
        .run(&other(
            "function provisioning.is_free(j bigint) returns boolean language sql as 'select true';
             revoke all on function provisioning.is_free(bigint) from public;
             create view public.of_a_project as select provisioning.is_free(1) as free;
             drop policy agents_insert on public.agents",
        ))
        .await;
    expect(
        &repair(&db, &[]).await,
        1,
        &["put right: policy agents_insert", "drop routine provisioning.is_free(bigint)"],
    );
    assert_eq!(differences(&db).await, ["differs function provisioning.is_free(bigint)"]);
    admin.run("drop view public.of_a_project").await;
    expect(&repair(&db, &[]).await, 0, &["put right: function provisioning.is_free"]);
}

#[tokio::test]
async fn a_role_that_may_not_repair_is_told_who_may() {
    let db = Database::new().await;
    for command in ["repair", "baseline"] {
        let refused = ask(&db.url(WORKER), &["migrate", command]).await;
        expect(&refused, 1, &["log in as postgres, who owns schema provisioning"]);
    }
}

/// An agent's tables, trash and jobs bear its number.
#[tokio::test]
async fn a_sequence_that_was_lost_goes_on_behind_every_number_that_was_given() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run(
            "insert into provisioning.deleted_agents (agent_id, agent_prefix) values (70, 'agt_gone');
             drop sequence public.agents_id_seq cascade",
        )
        .await;
    paste_fixes(&db).await;
    assert_eq!(differences(&db).await, [""; 0]);
    let next = "insert into public.agents (agent_prefix) values ('agt_next') returning id";
    assert_eq!(admin.rows(next).await, ["71"]);
    let owned = "select pg_get_serial_sequence('public.agents', 'id')";
    assert_eq!(admin.one::<String>(owned).await, "public.agents_id_seq");
}

/// Whoever may create a schema could plant one before `migrate` ran.
#[tokio::test]
async fn a_planted_ledger_is_refused_before_it_is_read() {
    let db = Database::empty().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(
        "create sequence public.runs; grant all on sequence public.runs to public;
         create role planter; create schema provisioning authorization planter;
         grant all on schema provisioning to public; set role planter;
         create function provisioning.f() returns integer language sql as $$ select nextval('public.runs')::integer $$;
         create view provisioning.migrations as select provisioning.f() as version, now() as applied_at, 'x'::text as checksum;
         create view provisioning.repeatables as select 'x' || provisioning.f() as name, now() as applied_at,
             'x'::text as checksum, '0.0.1'::text as program;
         grant select on provisioning.migrations, provisioning.repeatables to public",
    )
    .await;
    let refused = "view provisioning.migrations belongs to role planter: it has to belong to";
    for user in [ADMIN, SUPERUSER] {
        for command in [&["migrate", "status"][..], &["migrate", "verify"], &["doctor"]] {
            expect(&ask(&db.url(user), command).await, 1, &[refused]);
        }
    }
    assert!(!root.one::<bool>("select is_called from public.runs").await);
}

/// The first difference, and the statements of its fix.
async fn first(db: &Database) -> (Value, String) {
    let report = json(&ask(&db.url(WORKER), &["migrate", "verify", "--json"]).await);
    let difference = report.pointer("/differences/0").unwrap().clone();
    let fix = difference.get("fix").unwrap().as_str().unwrap();
    let statements = fix.split_once(": ").unwrap().1.to_owned();
    (difference, statements)
}

/// A new object has to be closed by name.
#[test]
fn the_grants_name_every_object_of_ours_and_no_other() {
    let file = include_str!("../sql/base/80_grants.sql");
    let (_, list) = file.split_once("array[").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let named: BTreeSet<_> = list.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
    let fact = |line: &str| serde_json::from_str::<[String; 4]>(line).unwrap();
    let ours = FACTS.lines().map(fact).filter_map(|[kind, relation, ..]| match kind.as_str() {
        "schema" | "table" | "function" | "sequence" => Some(format!("{kind} {relation}")),
        "view" => Some(format!("table {relation}")),
        _ => None,
    });
    assert_eq!(named, ours.collect());
}

#[tokio::test]
async fn a_schema_without_its_ledger_is_recorded_where_it_is_this_programs() {
    for forget in [
        "delete from provisioning.migrations; delete from provisioning.repeatables",
        "drop table provisioning.migrations, provisioning.repeatables",
    ] {
        let db = Database::new().await;
        let admin = db.admin().await;
        let ledger = "select version, checksum from provisioning.migrations
            union all select 0, name || checksum from provisioning.repeatables order by 1, 2";
        let whole = admin.rows(ledger).await;
        let url = db.url(ADMIN);
        let baseline = async || ask(&url, &["migrate", "baseline"]).await;
        expect(&baseline().await, 0, &["recorded already"]);
        admin.run(forget).await;
        expect(&ask(&db.url(ADMIN), &["migrate"]).await, 1, &["migrate baseline"]);
        admin.run("alter table provisioning.trash drop column clock_offset").await;
        let refused = baseline().await;
        expect(&refused, 1, &["provisioning.trash.clock_offset is missing"]);
        let there = "select to_regclass('provisioning.migrations') is null
            or (xpath('/row/n/text()', query_to_xml('select count(*) as n from provisioning.migrations', true, true, '')))[1]::text = '0'";
        assert!(admin.one::<bool>(there).await);
        admin.run("alter table provisioning.trash add column clock_offset double precision").await;
        expect(&baseline().await, 0, &["recorded version"]);
        assert_eq!(admin.rows(ledger).await, whole);
        admin.run(ROLES).await;
        assert_eq!(differences(&db).await, [""; 0]);
        expect(&ask(&db.url(ADMIN), &["migrate"]).await, 0, &["up to date"]);
        let _service = db.service().await;
    }
}

/// A restore without privileges, policies and triggers is repaired before it is recorded.
#[tokio::test]
async fn a_repair_needs_no_ledger_but_all_tables() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run("delete from provisioning.migrations; drop policy agents_insert on public.agents")
        .await;
    expect(&ask(&db.url(ADMIN), &["migrate", "baseline"]).await, 1, &["agents_insert"]);
    expect(&repair(&db, &[]).await, 0, &["agents_insert"]);
    expect(&ask(&db.url(ADMIN), &["migrate", "baseline"]).await, 0, &["recorded version"]);
    admin.run("delete from provisioning.migrations where version > 3").await;
    for command in ["repair", "baseline"] {
        expect(&ask(&db.url(ADMIN), &["migrate", command]).await, 1, &["schema version 3"]);
    }
}

#[tokio::test]
async fn a_sign_up_while_the_trigger_was_gone_is_counted_and_copied_by_what_is_said() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    root.run("drop trigger sync_public_user_insert on auth.users").await;
    root.run("insert into auth.users (id, email) values (gen_random_uuid(), 'ada@example.com')")
        .await;
    let copy = "select provisioning.copy_sign_ups();";
    expect(&repair(&db, &[]).await, 0, &["sync_public_user_insert", "1 user of", copy]);
    assert_eq!(admin.one::<i64>("select count(*) from public.users").await, 0);
    admin.run(copy).await;
    assert_eq!(admin.one::<i64>("select count(*) from public.users").await, 1);
}

/// What a superuser makes anew would run with his rights.
#[tokio::test]
async fn a_superusers_repair_makes_objects_for_the_owner() {
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("drop function provisioning.delete_agent(bigint) cascade").await;
    expect(&ask(&db.url(SUPERUSER), &["migrate", "repair"]).await, 0, &["delete_agent"]);
    assert_eq!(differences(&db).await, [""; 0]);
}

#[tokio::test]
async fn other_repeatable_files_are_applied_again_and_newer_ones_are_not_overwritten() {
    let db = Database::new().await;
    let admin = db.admin().await;
    admin
        .run("update provisioning.repeatables set checksum = 'old' where name = '40_api'; drop function public.delete_agent(bigint)")
        .await;
    expect(&ask(&db.url(WORKER), &["run"]).await, 1, &["40_api", "agent-provisioner migrate"]);
    expect(&ask(&db.url(ADMIN), &["migrate", "status"]).await, 1, &["base  40_api"]);
    let migrated = ask(&db.url(ADMIN), &["migrate"]).await;
    expect(&migrated, 0, &[]);
    assert_eq!(String::from_utf8_lossy(&migrated.stdout), "applied 40_api\napplied 80_grants\n");
    assert_eq!(differences(&db).await, [""; 0]);
    admin.run("update provisioning.repeatables set program = '99.0.0', checksum = 'new'").await;
    for (url, command) in [(WORKER, "run"), (ADMIN, "migrate"), (ADMIN, "migrate repair")] {
        let args: Vec<_> = command.split(' ').collect();
        expect(&ask(&db.url(url), &args).await, 1, &["99.0.0"]);
    }
}

#[tokio::test]
async fn warnings_of_the_server_are_shown() {
    let db = Database::empty().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run("grant create on schema public to postgres").await;
    let admin = db.admin().await;
    admin
        .run(
            "create table public.agents (id bigserial primary key, agent_prefix varchar(20) not null unique,
                 created_at timestamptz default now(), user_id uuid, created_by uuid);
             create function public.build() returns trigger language plpgsql as
                 $$ begin execute 'create table public.x ()'; return new; end $$;
             create trigger build_tables after insert on public.agents for each row execute function public.build()",
        )
        .await;
    let warning =
        "trigger build_tables on public.agents, which builds tables itself, is now disabled";
    expect(&ask(&db.url(ADMIN), &["migrate"]).await, 0, &[warning]);
}

/// A new project gives everything in schema public to the API's roles, and a dump of our schemas has no trigger of
/// schema auth.
#[tokio::test]
async fn a_schema_that_was_restored_into_a_new_project_is_put_right_and_recorded() {
    let (db, new) = (Database::new().await, Database::empty().await);
    if !pg_dump_can(&Admin(db.connect(SUPERUSER).await)).await {
        return;
    }
    let dump = "pg_dump -s --no-owner --no-privileges -n public -n provisioning -n provisioning_trash \"$1\" \
                | grep -v 'CREATE SCHEMA public' | psql -q -v ON_ERROR_STOP=1 \"$2\"";
    let copied = Command::new("bash")
        .args(["-o", "pipefail", "-c", dump, "bash", &db.url(SUPERUSER), &new.url(ADMIN)])
        .output()
        .unwrap();
    expect(&copied, 0, &[]);
    let (url, admin) = (new.url(ADMIN), new.admin().await);
    let migrate = async |args: &[&str]| ask(&url, &[&["migrate"], args].concat()).await;
    expect(&migrate(&[]).await, 1, &["migrate baseline"]);
    expect(&migrate(&["baseline"]).await, 1, &["sync_public_user_insert", "migrate repair"]);
    expect(&migrate(&["repair"]).await, 1, &["sync_public_user_insert", "users to anon"]);
    expect(&migrate(&["repair", "--force"]).await, 0, &["users to anon"]);
    expect(&migrate(&["baseline"]).await, 0, &["recorded version"]);
    expect(&migrate(&[]).await, 0, &["up to date"]);
    admin.run(ROLES).await;
    assert_eq!(differences(&new).await, [""; 0]);
    let _service = new.service().await;
    admin.create("agt_x").await;
    admin.settled().await;
    assert_eq!(admin.tables("agt_x").await.len(), 4);
}
