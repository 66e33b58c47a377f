-- What the conversations of all agents share: the tables of deploy/templates/business.

-- A conversation is held by a number of the agent's business. The argument is the agent's id. A definer: the number is
-- looked up with the rights of nobody who writes.
create or replace function provisioning.check_number() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (
        select from public.whatsapp_numbers n
        join public.agents a on a.business_id = n.business_id and a.id = tg_argv[0]::bigint
        where n.id = new.whatsapp_number_id)
    then
        raise exception 'the number is none of the agent''s business' using errcode = 'foreign_key_violation';
    end if;
    return new;
end $$;

-- Says in conversations when their last message came. On the table of messages, with transition table "inserted"; the
-- argument is the table of conversations.
create or replace function provisioning.note_messages() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format(
        'update %I.%I c set last_message_at = i.at
           from (select conversation_id, max("timestamp") as at from inserted
                 where conversation_id is not null group by 1) i
          where c.id = i.conversation_id and (c.last_message_at is null or c.last_message_at < i.at)',
        tg_table_schema, tg_argv[0]);
    return null;
end $$;

-- Gives a number of the agent's messages that have no conversation theirs, oldest first, and says how many. Zero: it is
-- done. Each call is a transaction of its own, so it may be broken off at any point and goes on where it was. The
-- conversations get the agent's number if it has exactly one, else none. For who is not subject to row security.
create or replace function provisioning.fill_conversations(prefix text, batch integer default 1000) returns bigint
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    tables  text[];
    number  uuid;
    filled  bigint;
begin
    select array_agg(format('%I.%I', n.nspname, c.relname) order by t.table_name), min(numbers.id::text)::uuid
    into tables, number
    from provisioning.agents p
    join provisioning.agent_tables t on t.agent_id = p.agent_id
        and t.table_name in (p.agent_prefix || '_conversations', p.agent_prefix || '_messages')
    join pg_class c on c.oid = t.relation
    join pg_namespace n on n.oid = c.relnamespace
    cross join lateral (
        select case when count(*) = 1 then min(w.id::text)::uuid end as id
        from public.whatsapp_numbers w where w.agent_id = p.agent_id) numbers
    where p.agent_prefix = fill_conversations.prefix;
    if cardinality(tables) is distinct from 2 then
        raise exception 'agent "%" has no tables of conversations and messages', prefix
            using errcode = 'undefined_table';
    elsif row_security_active(tables[1]) or row_security_active(tables[2]) then
        raise exception 'row security hides messages from role %', current_user
            using errcode = 'insufficient_privilege', hint = 'Call it as postgres.';
    end if;
    execute format(
        'with chosen as materialized (
             select m.id, m.customer_id, m."timestamp" from %2$s m
             where m.conversation_id is null order by m.id limit $1 for update
         ), made as (
             insert into %1$s as c (customer_id, whatsapp_number_id, created_at, last_message_at)
             select h.customer_id, $2, min(h."timestamp"), max(h."timestamp") from chosen h group by h.customer_id
             on conflict (customer_id, whatsapp_number_id) do update
                 set last_message_at = greatest(c.last_message_at, excluded.last_message_at)
             returning id, customer_id
         )
         update %2$s m set conversation_id = made.id
         from chosen h join made on made.customer_id = h.customer_id where m.id = h.id', tables[1], tables[2])
        using batch, number;
    get diagnostics filled = row_count;
    return filled;
end $$;
