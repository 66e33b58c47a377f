-- Relations that no agent has registered: those of schema public, and wherever they are those that hang on one of these
-- tables or on agents; on which, and how. Rows of what refers to agents go with the agent's row, or hold it; whatever hangs on
-- an agent's table holds up its deletion.
-- $1: oids of tables
select c.oid, c.relname::text as bare_name, n.nspname = 'public' as is_public,
    case when n.nspname = 'public' then c.relname::text else format('%I.%I', n.nspname, c.relname) end as name,
    h.hangs_on, h.on_table
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join lateral (
    select format('%s refers to %s', quote_ident(k.conname), k.confrelid::regclass) as hangs_on,
        nullif(k.confrelid, 'public.agents'::regclass) as on_table
    from pg_catalog.pg_constraint k
    where k.conrelid = c.oid and k.contype = 'f'
      and (k.confrelid = any ($1) or k.confrelid = 'public.agents'::regclass)
      -- Ours: a number only loses its agent, a state goes with it.
      and k.conrelid is distinct from to_regclass('public.whatsapp_numbers')
      and k.conrelid is distinct from to_regclass('public.agent_states')
    union all
    select format('it shows rows of %s', d.refobjid::regclass), d.refobjid
    from pg_catalog.pg_rewrite r
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
    where r.ev_class = c.oid and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = any ($1)
    union all
    select format('it is a part of %s', i.inhparent::regclass), i.inhparent
    from pg_catalog.pg_inherits i
    where i.inhrelid = c.oid and i.inhparent = any ($1)
    order by 2 nulls last
    limit 1) h on true
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and (n.nspname = 'public' or h.hangs_on is not null)
  and not n.nspname ^@ 'pg_' and n.nspname not in ('information_schema', 'provisioning', 'provisioning_trash')
  and not exists (select from provisioning.agent_tables t where t.relation = c.oid)
order by 4;
