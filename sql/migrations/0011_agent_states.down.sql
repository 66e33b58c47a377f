-- Refuses while an agent is on its way: without the row nobody knows which of the two databases has it.
do $$
begin
    if coalesce(current_setting('provisioning.lose_rows', true), '') <> 'on'
        and exists (select from provisioning.moves where ended_at is null)
    then
        raise exception 'agents are being moved from or to this database'
            using errcode = 'dependent_objects_still_exist',
                  hint = 'End the moves first: agent-provisioner agents move. To lose their record: agent-provisioner migrate down '
                      '--yes; in psql first set provisioning.lose_rows = on.';
    end if;
end $$;

drop table provisioning.moves;
drop table public.agent_states;
