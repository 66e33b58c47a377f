-- Gives the role that runs the files what the role postgres has of the platform: see sql/audit/stubs.sql.
-- {role} is a quoted name.
grant anon, authenticated, service_role to {role} with admin option;
grant all on schema auth, storage, realtime, extensions, vault, supabase_functions to {role};
grant all on all tables in schema auth, storage, realtime, vault to {role};
alter schema storage owner to {role};
alter table storage.buckets owner to {role};
alter table storage.objects owner to {role};
alter table realtime.messages owner to {role};
alter schema extensions owner to {role};
alter default privileges for role {role} in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role {role} in schema public
    grant all on sequences to anon, authenticated, service_role;
alter default privileges for role {role} in schema public
    grant all on functions to anon, authenticated, service_role;
alter publication supabase_realtime owner to {role};
