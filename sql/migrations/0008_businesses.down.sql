-- Refuses where more would go than the migration made, unless `migrate down --yes` says so.
do $$
begin
    if coalesce(current_setting('provisioning.lose_rows', true), '') <> 'on' and (
        exists (select from public.businesses b
                where b.id <> '00000000-0000-0000-0000-000000000001' or b.settings <> '{}')
        or exists (select from public.whatsapp_numbers)
        or exists (select from public.meta_apps)
        or exists (select from public.business_invitations)
        or exists (select from public.user_businesses m join public.users u on u.id = m.user_id
                   where m.role <> 'owner' or u.role <> 'admin'))
    then
        raise exception 'businesses, their members, apps and numbers would be lost'
            using errcode = 'dependent_objects_still_exist',
                  hint = 'To lose them: agent-provisioner migrate down --yes; in psql first set provisioning.lose_rows = on.';
    end if;
end $$;

drop table provisioning.unknown_numbers;
drop table public.whatsapp_numbers;
drop table public.meta_apps;
drop table public.business_invitations;
drop table public.user_businesses;
alter table provisioning.trash drop column business_id;
alter table provisioning.deleted_agents drop column business_id;
alter table public.agents drop column business_id;
drop table public.businesses;
