-- Keeps in the registry which foreign keys are taken off an agent's tables, each once.
-- $1 agent, $2 the keys
update provisioning.agents p
set removed_keys = (
    select jsonb_agg(u.entry)
    from (
        select old.entry
        from jsonb_array_elements(p.removed_keys) old (entry)
        where not exists (
            select from unnest($2) n (entry), jsonb_to_record(n.entry::jsonb) new (schema text, name text, key text)
            where new.schema = old.entry ->> 'schema' and new.name = old.entry ->> 'name'
              and new.key = old.entry ->> 'key')
        union all
        select n.entry::jsonb from unnest($2) n (entry)
    ) u (entry)
)
where p.agent_id = $1
