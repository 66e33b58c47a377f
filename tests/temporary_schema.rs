//! What a caller of our functions has made in his temporary schema runs with his own rights or not at all.

use crate::support::{ADA, Admin, BOSS, CAT, Database, WORKER};

/// Types of the caller's that are named like built-in ones, with a CHECK that sees whose rights it runs with. A sequence
/// keeps that, whatever becomes of the statement.
const TRAP: &str = "
    set search_path = pg_catalog, pg_temp;
    create function pg_temp.spy() returns boolean language plpgsql as $$
    begin
        if current_user <> current_setting('test.caller') then
            perform nextval('public.seen');
        end if;
        return true;
    end $$;
    do $do$
    declare
        named record;
    begin
        for named in
            select t.typname from pg_type t
            where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype = 'b' and t.typcategory <> 'A'
              and t.typname !~ '^(pg_|_)' and t.typname <> 'unknown'
        loop
            execute format('create domain pg_temp.%1$I as pg_catalog.%1$I check (pg_temp.spy())', named.typname);
        end loop;
    end $do$;
    create function pg_temp.lower(a pg_catalog.text) returns pg_catalog.text language plpgsql as
        'begin perform pg_temp.spy(); return a; end';
    create function pg_temp.now() returns pg_catalog.timestamptz language plpgsql as
        'begin perform pg_temp.spy(); return pg_catalog.now(); end'";

/// Calls every function of ours that the caller may call, with values that mean something.
const CALL: &str = "
    do $do$
    declare
        called record;
    begin
        for called in
            select p.oid::regproc as name, (
                select string_agg(
                    case t.typname
                        when 'text' then '''agt_ada''' when 'varchar' then '''agt_ada''' when 'name' then '''agt_ada'''
                        when 'int8' then '1' when 'int4' then '1' when 'int2' then '1' when 'float8' then '1'
                        when 'bool' then 'true' when 'regclass' then '''public.agt_ada_customers'''
                        when 'uuid' then '''00000000-0000-0000-0000-00000000000a''' when 'jsonb' then '''{}'''
                        when 'interval' then '''1 s''' when 'timestamptz' then '''2020-01-01'''
                        else case when t.typcategory = 'A' then '''{1}''' else 'null' end
                    end || '::pg_catalog.' || quote_ident(t.typname), ', ' order by a.place)
                from unnest(p.proargtypes::oid[]) with ordinality a (type, place)
                join pg_type t on t.oid = a.type and t.typnamespace = 'pg_catalog'::regnamespace
            ) as arguments
            from pg_proc p
            where p.pronamespace in ('public'::regnamespace, 'provisioning'::regnamespace)
              and p.prorettype <> 'trigger'::regtype
              and has_function_privilege(p.oid, 'execute')
              and has_schema_privilege(p.pronamespace, 'usage')
        loop
            begin
                execute format('select %s(%s)', called.name, called.arguments);
            exception when others then
                null;
            end;
        end loop;
    end $do$";

const SEEN: &str = "select is_called from public.seen";

async fn run_the_trap(session: &Admin, caller: &str) {
    session
        .run(&format!("select set_config('test.caller', '{caller}', false); {TRAP}; {CALL}"))
        .await;
}

#[tokio::test]
async fn a_type_of_the_callers_never_runs_as_the_owner() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service_with(&[("REFERENCE", "check")]).await;
    admin.populate().await;
    admin.settled().await;
    drop(service);
    admin.run("create sequence public.seen; grant usage on sequence public.seen to public").await;
    run_the_trap(&Admin(db.connect(WORKER).await), WORKER).await;
    assert!(!admin.one::<bool>(SEEN).await, "the worker's role");
    for caller in [ADA, CAT, BOSS] {
        let session = db.admin().await;
        let claims = caller.begin().replace("begin; ", "").replace("set local", "set");
        session.run(&claims).await;
        run_the_trap(&session, "authenticated").await;
        assert!(!admin.one::<bool>(SEEN).await, "{}", caller.name);
    }
    // A function with the path that many recommend falls into it.
    let with_empty_path = "create function public.falls_for_it(a text) returns boolean language plpgsql security definer
        set search_path = '' as 'declare b text := a; begin return b is null; end'";
    admin.run(with_empty_path).await;
    run_the_trap(&Admin(db.connect(WORKER).await), WORKER).await;
    assert!(admin.one::<bool>(SEEN).await);
}
