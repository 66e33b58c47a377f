-- Runs after the repeatable files where a numbered migration was applied.

-- Who signed up before the trigger on auth.users was there, and how far agents' tables are by now.
do $$
begin
    perform provisioning.copy_sign_ups();
    perform provisioning.add_agent_states();
    perform provisioning.note_agent_states(array(select s.agent_id from public.agent_states s));
end $$;
