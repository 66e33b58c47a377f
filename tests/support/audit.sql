-- Which job built or dropped which table, written by the very transaction that did.
create schema audit;
create table audit.ddl (
    seq      bigint generated always as identity,
    job      bigint,    -- null: it was no job
    verb     text not null,
    relation text not null
);

create function audit.job() returns bigint language sql set search_path = pg_catalog, pg_temp as $$
    select substring(current_setting('application_name') from '^agent-provisioner job (\d+)$')::bigint
$$;

create function audit.created() returns event_trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into audit.ddl (job, verb, relation)
    select audit.job(), 'create', object_identity from pg_catalog.pg_event_trigger_ddl_commands()
    where command_tag = 'CREATE TABLE' and schema_name = 'public';
end $$;

create function audit.dropped() returns event_trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into audit.ddl (job, verb, relation)
    select audit.job(), 'drop', object_identity from pg_catalog.pg_event_trigger_dropped_objects()
    where object_type = 'table' and schema_name = 'public';
end $$;

-- A table that goes into the trash is gone from where it was.
create function audit.moved() returns event_trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into audit.ddl (job, verb, relation)
    select audit.job(), 'drop', 'public.' || c.relname
    from pg_catalog.pg_event_trigger_ddl_commands() d join pg_catalog.pg_class c on c.oid = d.objid
    where d.schema_name = 'provisioning_trash' and c.relkind = 'r' and c.relname !~ '^_';
end $$;

create event trigger audit_moved on ddl_command_end when tag in ('ALTER TABLE')
    execute function audit.moved();
create event trigger audit_created on ddl_command_end when tag in ('CREATE TABLE')
    execute function audit.created();
create event trigger audit_dropped on sql_drop execute function audit.dropped();
