//! Whoever may create in schema public has nothing of his run by the service, by a command or by a migration.

use agent_provisioner::dev_server::SUPERUSER;
use serde_json::Value;

use crate::support::{ADMIN, Database, Files, WORKER, ask, expect, json};

/// A role that may create in schema public, and what it puts there: operators that fit varchar and text better than
/// the built-in ones, and casts' usual functions. Each notes which program runs it.
const STRANGER: &str = "
    create role public_creator;
    grant usage, create on schema public to public_creator;
    set role public_creator;
    create table public.seen (program text default current_setting('application_name'));
    grant insert on public.seen to public;
    do $do$
    declare
        n int := 0; op text; l text; r text;
    begin
        for op, l, r in
            select o, a, b
            from unnest('{=,<>,<,~,~~,^@,||,->>,->,@>,&&}'::text[]) o,
                 unnest('{varchar,text,name,jsonb,bigint,integer,smallint,oid,regclass}'::text[]) a,
                 unnest('{varchar,text,name,bigint,integer,oid,regclass}'::text[]) b
            where not exists (
                select from pg_operator x
                where x.oprname = o and x.oprleft = a::regtype and x.oprright = b::regtype
                  and x.oprnamespace = 'pg_catalog'::regnamespace)
        loop
            n := n + 1;
            execute format(
                'create function public.spy%1$s(a %3$s, b %4$s) returns boolean language plpgsql as
                 ''begin insert into public.seen default values; return true; end'';
                 create operator public.%2$s (leftarg = %3$s, rightarg = %4$s, function = public.spy%1$s)', n, op, l, r);
        end loop;
        foreach op in array '{lower,upper,length,replace,left,right,format,coalesce_text}'::text[] loop
            execute format(
                'create function public.%I(a varchar) returns text language plpgsql as
                 ''begin insert into public.seen default values; return a::text; end''', op);
        end loop;
    end $do$;
    reset role";

#[tokio::test]
async fn operators_and_functions_of_others_are_never_run() {
    let db = Database::new().await;
    let admin = db.admin().await;
    db.connect(SUPERUSER).await.batch_execute(STRANGER).await.unwrap();
    let service =
        db.service_with(&[("REFERENCE", "check"), ("WORKER__RECONCILE_INTERVAL", "1s")]).await;
    for prefix in ["agt_a", "agt_b", "agt_c"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    let url = db.url(ADMIN);
    let commands: &[&[&str]] = &[
        &["doctor"],
        &["agents", "list"],
        &["agents", "show", "agt_a"],
        &["agents", "verify"],
        &["agents", "repair", "agt_a", "--wait"],
        &["agents", "upgrade", "agt_a", "--wait"],
        &["agents", "convert", "--reference", "foreign_key", "agt_a", "--wait"],
        &["agents", "adopt"],
        &["jobs", "list", "--all"],
        &["jobs", "show", "1"],
        &["jobs", "replay", "--all-dead"],
        &["jobs", "prune", "--older-than", "1s"],
        &["migrate"],
        &["migrate", "status"],
    ];
    for command in commands {
        drop(ask(&url, command).await);
        drop(ask(&db.url(WORKER), command).await);
    }
    admin.run("select from public.delete_agent(1); delete from public.agents where id = 2").await;
    admin.settled().await;
    drop(ask(&url, &["agents", "restore", "agt_a"]).await);
    drop(ask(&url, &["agents", "purge", "agt_b", "--yes"]).await);
    admin.settled().await;
    drop(service);
    // Names without a schema go on meaning schema public in templates of one's own, and only there.
    let files = Files::new(&[(
        "0001_x.sql",
        "create table {prefix}_x (id int);
         alter table {prefix}_x enable row level security;
         revoke all on {prefix}_x from public, anon, authenticated, service_role;",
    )]);
    let _service = files.service(&db, &[("REFERENCE", "check")]).await;
    admin.create("agt_d").await;
    admin.settled().await;
    assert!(admin.one::<bool>("select to_regclass('public.agt_d_x') is not null").await);
    assert_eq!(admin.rows(OURS).await, [] as [&str; 0]);
    // The trap is set.
    let walk_in = "set application_name = 'agent-provisioner'; set search_path = public; select 'a'::varchar = 'a'::text";
    admin.run(walk_in).await;
    assert_eq!(admin.rows(OURS).await, ["agent-provisioner"]);
}

#[tokio::test]
async fn expressions_in_qualified_templates_mean_the_built_in_operators() {
    let db = Database::new().await;
    let admin = db.admin().await;
    db.connect(SUPERUSER)
        .await
        .batch_execute(&STRANGER.replace("public_creator", "public_maker"))
        .await
        .unwrap();
    let files = Files::new(&[(
        "0001_x.sql",
        "create table public.{prefix}_x (id int, status varchar(10) default 'a' check (status = 'a'));
         alter table public.{prefix}_x enable row level security;
         revoke all on public.{prefix}_x from public, anon, authenticated, service_role;
         insert into public.{prefix}_x default values;",
    )]);
    // One that needs the schema changes nothing for the others.
    files.write(
        "0002_y.sql",
        "create table {prefix}_y (id int);
         alter table {prefix}_y enable row level security;
         revoke all on {prefix}_y from public, anon, authenticated, service_role;",
    );
    let service = files.service(&db, &[("REFERENCE", "check")]).await;
    admin.create("agt_e").await;
    admin.settled().await;
    drop(files.ask(&db, &["agents", "verify"]).await);
    drop(service);
    let used = "select count(*) from pg_depend d join pg_operator o on o.oid = d.refobjid
        join pg_constraint k on k.oid = d.objid where k.conrelid = 'public.agt_e_x'::regclass
        and d.refclassid = 'pg_operator'::regclass and o.oprnamespace = 'public'::regnamespace";
    assert_eq!(admin.one::<i64>(used).await, 0);
    assert_eq!(admin.rows(OURS).await, [] as [&str; 0]);
}

const OURS: &str =
    "select distinct program from public.seen where program like 'agent-provisioner%'";

#[tokio::test]
async fn doctor_names_who_may_create_in_schema_public_and_what_takes_our_names() {
    let db = Database::new().await;
    let (admin, root) = (db.admin().await, db.connect(SUPERUSER).await);
    let findings = async |url: String| {
        let found: Value = json(&ask(&url, &["doctor", "--json"]).await);
        let of = |what: &str| {
            let finding = found.as_array().unwrap().iter().find(|f| f["what"] == what).unwrap();
            (
                finding["severity"].as_str().unwrap().to_owned(),
                finding["fix"].as_str().map(str::to_owned),
            )
        };
        [of("schema public"), of("base schema")]
    };
    for url in [db.url(ADMIN), db.url(WORKER)] {
        assert_eq!(findings(url).await, [("ok".to_owned(), None), ("ok".to_owned(), None)]);
    }
    let made = "create role \"Public creator\";
        grant create on schema public to \"Public creator\", public;
        set role \"Public creator\";
        create function public.delete_agent(agent_id integer) returns void language sql as '';
        reset role";
    root.batch_execute(made).await.unwrap();
    for url in [db.url(ADMIN), db.url(WORKER)] {
        let [creators, objects] = findings(url).await;
        assert_eq!((&*creators.0, &*objects.0), ("warning", "warning"));
        let fix = creators.1.unwrap();
        assert!(fix.contains("from \"Public creator\";") && fix.contains("from public;"), "{fix}");
        let fix = objects.1.unwrap();
        assert!(fix.contains("drop routine public.delete_agent(integer);"), "{fix}");
    }
    let verified = json(&ask(&db.url(WORKER), &["migrate", "verify", "--json"]).await);
    assert_eq!(verified["differences"][0]["owner"], "\"Public creator\"");
    // A migration refuses it, too, before anything of it is run.
    expect(
        &ask(&db.url(ADMIN), &["migrate"]).await,
        1,
        &["public.delete_agent(agent_id integer)", "Public creator"],
    );
    let [creators, objects] = findings(db.url(ADMIN)).await;
    for fix in [creators.1.unwrap(), objects.1.unwrap().split_once("does: ").unwrap().1.to_owned()]
    {
        root.batch_execute(&fix).await.unwrap();
    }
    assert_eq!(findings(db.url(WORKER)).await, [("ok".to_owned(), None), ("ok".to_owned(), None)]);
    expect(&ask(&db.url(ADMIN), &["migrate", "status"]).await, 0, &[]);
    drop(admin);
}

#[tokio::test]
async fn migrate_takes_nothing_over_that_another_role_can_change() {
    let cases = [
        ("create type public.role as enum ('admin', 'agent')", "type public.role"),
        ("create domain public.role as text", "domain public.role"),
        ("create table public.users (id uuid primary key)", "table public.users"),
        ("create view public.agents as select 1 as id", "view public.agents"),
        (
            "create function public.create_agent(x int) returns int language sql as 'select 1'",
            "public.create_agent",
        ),
        ("create schema provisioning", "schema provisioning"),
    ];
    for (number, (sql, named)) in cases.into_iter().enumerate() {
        let db = Database::empty().await;
        let root = db.connect(SUPERUSER).await;
        let role = format!("taker_{number}_{}", std::process::id());
        let made = format!(
            "create role {role}; grant create on schema public to {role};
             do $$ begin execute format('grant create on database %I to {role}', current_database()); end $$;
             set role {role}; {sql}; reset role"
        );
        root.batch_execute(&made).await.unwrap();
        expect(&ask(&db.url(ADMIN), &["migrate"]).await, 1, &[named]);
        // The same goes for the script.
        let script = ask(&db.url(ADMIN), &["migrate", "print"]).await;
        let script = String::from_utf8(script.stdout).unwrap();
        let admin = db.connect(ADMIN).await;
        let refused = admin.batch_execute(&script).await.unwrap_err();
        assert!(refused.as_db_error().unwrap().message().contains(named), "{refused:?}");
    }
}
