-- Refuses where tokens would be lost, unless `migrate down --yes` says so.
do $$
begin
    if coalesce(current_setting('provisioning.lose_rows', true), '') <> 'on'
        and exists (select from provisioning.secrets)
    then
        raise exception 'tokens of numbers and secrets of apps would be lost'
            using errcode = 'dependent_objects_still_exist',
                  hint = 'To lose them: agent-provisioner migrate down --yes; in psql first set provisioning.lose_rows = on.';
    end if;
end $$;

-- They may be gone already.
set local client_min_messages = warning;
drop trigger if exists guard_secret on public.whatsapp_numbers;
drop trigger if exists guard_secret on public.meta_apps;
drop function if exists provisioning.guard_secret();
drop table provisioning.secrets;
