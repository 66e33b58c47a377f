-- Tables that nobody registered and that may be an agent's: those that bear the names of the templates', and those
-- under its prefix with a foreign key to public.agents, by which the end of the agent's row reaches into
-- them; with the statement that drops the key. Of several prefixes that head a name the longest counts.
-- $1 prefix, $2 ends of the templates' table names, such as _customers
with others as materialized (
    select a.agent_prefix || '_' as head from provisioning.living_agents() a
    where a.agent_prefix ^@ ($1 || '_')
), found as (
    select format('%I.%I', n.nspname, c.relname) as name,
        n.nspname = 'public' and exists (select from unnest($2) e (suffix) where c.relname = $1 || e.suffix) as named,
        (select string_agg(format('alter table %I.%I drop constraint %I', n.nspname, c.relname, k.conname), '; ')
         from pg_catalog.pg_constraint k
         where k.conrelid = c.oid and k.contype = 'f' and k.conparentid = 0
           and k.confrelid = 'public.agents'::regclass) as fix
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.relname ^@ ($1 || '_')
      -- Ours: a number only loses its agent, a state goes with it.
      and c.oid is distinct from to_regclass('public.whatsapp_numbers')
      and c.oid is distinct from to_regclass('public.agent_states')
      and not exists (select from provisioning.agent_tables t where t.relation = c.oid)
      and not exists (select from others o where c.relname ^@ o.head)
)
select name, fix from found where named or fix is not null order by name
