drop table public.agent_states;
