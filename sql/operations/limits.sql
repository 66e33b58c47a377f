-- What grows with the number of agents: how much of it is used, how much there is, and at how many agents the end is reached.
-- A row each, the one that is reached first comes first. Sizes are bytes. `twice` is the value of a setting with which there is twice as much.
with settings as (
    select current_setting('max_locks_per_transaction')::bigint as locks,
        current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint as transactions,
        pg_catalog.pg_size_bytes(current_setting('shared_buffers')) as shared_buffers,
        pg_catalog.pg_size_bytes(current_setting('effective_cache_size')) as memory
), fleet as (
    select count(*) as agents, count(*) filter (where a.reference = 'foreign_key') as keyed,
        -- Of an agent of the built-in templates there are four.
        coalesce(nullif((select count(*) from provisioning.agent_tables), 0)::numeric / nullif(count(*), 0), 4) as tables
    from provisioning.agents a
), catalog as (
    select
        -- pg_dump locks each of these.
        count(*) filter (where c.relkind in ('r', 'p', 'S', 'v', 'm')) as dumped,
        count(*) filter (where c.relkind <> 'S' and c.relnamespace = 'public'::regnamespace) as api,
        (
            select sum(pg_catalog.pg_total_relation_size(s.oid)) from pg_catalog.pg_class s
            where s.relnamespace = 'pg_catalog'::regnamespace and s.relkind = 'r'
        ) as bytes
    from pg_catalog.pg_class c
    where c.relkind in ('r', 'p', 'S', 'v', 'm', 'f')
      and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
), session as (
    -- Those of clients in this database now, and at least ten: each may come to know the tables of all agents.
    select greatest(10, count(*)) as number
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.backend_type = 'client backend'
)
select l.what, l.used::bigint as used, l.most::bigint as most, l.unit, l.twice,
    greatest(0, f.agents + floor((l.most - l.used) / l.each))::bigint as agents
from settings s cross join fleet f cross join catalog c cross join session
cross join lateral (
    values
        -- Measured: 1.9 locks and more fit for each nominal slot, since other tables in shared memory leave some room.
        ('pg_dump_locks', 'locks', c.dumped::numeric, 1.9 * s.locks * s.transactions, 2 * f.tables, (2 * s.locks)::text),
        -- Measured: a deletion takes 2.6 slots for each agent with a foreign key, and more where others work, too.
        ('foreign_keys', 'agents', f.keyed, s.locks * s.transactions / 3.2, 1, null),
        -- Measured: 105 kB for four tables with their indexes, sequences, keys and policies.
        ('catalog', 'bytes', c.bytes, s.shared_buffers, 26000 * f.tables, pg_catalog.pg_size_pretty(2 * s.shared_buffers)),
        -- Measured: 160 kB for four tables, once a session has touched them.
        ('session_caches', 'bytes', session.number * 40000 * f.tables * f.agents, s.memory, session.number * 40000 * f.tables, null),
        -- Measured by others: 0.11 ms for a relation. Two seconds are what this program takes for bearable.
        ('api_reload', 'milliseconds', 0.11 * c.api, 2000, 0.11 * f.tables, null)
) l (what, unit, used, most, each, twice)
where l.what <> 'foreign_keys' or f.keyed > 0
order by agents, l.what
