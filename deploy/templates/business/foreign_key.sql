-- Only with reference = "foreign_key", and last: it locks public.agents against writers until
-- the transaction ends.
alter table public.{prefix}_customers
    add constraint {prefix}_customers_agent_id_fkey
    foreign key (agent_id) references public.agents (id) on delete cascade;
