-- They may be gone already.
set local client_min_messages = warning;
drop trigger if exists guard_secret on public.whatsapp_numbers;
drop trigger if exists guard_secret on public.meta_apps;
drop function if exists provisioning.guard_secret();
drop table provisioning.secrets;
